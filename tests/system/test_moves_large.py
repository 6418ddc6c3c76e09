"""Many slots at once, and many jobs at once: what else the nodes do goes on."""
from harness.cluster import Cluster
from harness.moving import ENDED, healthy, move, moves, start, state, text
from harness.moving_load import settled, step
from harness.runner import equal, test, true
from harness.server import wait_until


@test("a target that waits in FINISH, of more migrations than it has threads for long commands, answers everything else")
def _():
    with Cluster(3, enable_debug_command="yes", reader_threads="2") as c:
        a, b, _ = c.nodes
        words = [w for j in range(5) for w in ("SLOTSRANGE", 10 * j, 10 * j + 9, "NODE", c.id_of(b))]
        step(b, 60000)                         # so long, or until it is said otherwise
        equal(text(a, "CLUSTER", "MIGRATESLOTS", *words), "OK")
        wait_until(lambda: [m["state"] for m in moves(a)] == ["handing-over"] * 5, 60, "FINISH has left")
        for _ in range(50):
            true("cluster_state:ok" in text(b, "CLUSTER", "INFO"), "it answers")
            equal(text(b, "KEYS", "*"), [])
        equal([m["state"] for m in moves(b)], ["receiving"] * 5)
        step(b, 0)
        wait_until(lambda: all(m["state"] in ENDED for m in moves(a)), 60, "they end")
        equal({m["state"] for m in moves(a)}, {"success"})
        settled(c)


KEYS = 6000


def first_has_all(c):
    """Every slot and all keys are the first node's."""
    a = c.nodes[0]
    equal(text(a, "CLUSTER", "ADDSLOTSRANGE", 0, 16383), "OK")
    for i, node in enumerate(c.nodes):
        equal(text(node, "CLUSTER", "SET-CONFIG-EPOCH", i + 1), "OK")
        if i > 0:
            equal(text(node, "CLUSTER", "MEET", "127.0.0.1", a.port), "OK")
    wait_until(lambda: all(len(c.table(n)) == len(c.nodes) for n in c.nodes), 60, "all know all")
    c.wait_ok(60)
    with a.connect() as x:
        for i in range(0, KEYS, 1000):
            true(all(r == ("+", b"OK") for r in x.pipeline([("SET", f"key:{k}", k) for k in range(i, i + 1000)])), "SET")


def keys_at(c, *nodes):
    settled(c)
    healthy(c)
    for node in c.nodes:
        with open(f"{node.folder}/nodes.conf") as f:
            size = len(f.read())
        true(size < 2000, f"{node.address}: nodes.conf has {size} bytes")
    equal(sum(text(n, "DBSIZE") for n in nodes), KEYS, "keys")


@test("one migration of all 16384 slots, then of half of them: the old owner follows as its replica, kill -9 of either side loses nothing")
def _():
    with Cluster(3, create=False, enable_debug_command="yes") as c:
        first_has_all(c)
        a, b, d = c.nodes
        told = move(c, a, b, (0, 16383))
        equal((told["keys"], told["slot_ranges"]), (KEYS, "0-16383"))
        wait_until(lambda: text(a, "ROLE")[0] == "slave" and text(a, "DBSIZE") == KEYS, 60, "who has no slots follows who took the last")
        keys_at(c, b, d)
        step(b, 1500)
        start(c, b, d, (0, 8191))
        wait_until(lambda: state(b) == "streaming", 30, "amid it")
        true(moves(b)[0]["keys"] == moves(b)[0]["keys_total"] > KEYS // 3, str(moves(b)))
        b.restart(kill=True)
        keys_at(c, b, d)
        equal([c.owner(s) is b for s in (0, 8191, 8192)], [True] * 3)
        equal(move(c, b, d, (0, 8191))["state"], "success")
        for node in (d, b):
            node.restart(kill=True)
        keys_at(c, b, d)
        equal([c.owner(s) is d for s in (0, 8191, 8192)], [True, True, False])
