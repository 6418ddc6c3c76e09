"""Many slots at once, and many jobs at once: what else the nodes do goes on."""
from harness.cluster import Cluster
from harness.moving import ENDED, moves, state, text
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
