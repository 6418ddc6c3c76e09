"""Slots that move by SETSLOT and MIGRATE while the network breaks: masters in namespaces of their own. Which keys are where after each cut
is known exactly: the target stands still while the first of a MIGRATE are on their way to it."""
import os

from harness import dump
from harness.cluster import Cluster
from harness.moving import SLOT, open_slot, rows_of, same, text, whole
from harness.moving_load import settled
from harness.netns import Network
from harness.runner import equal, skip, test, true
from harness.server import subject_is_redis, wait_until
from harness.shards import role, sync
from test_migration_errors import Mover
from test_migration_fix import Slot

ESTABLISHED, LISTENING, TIME_WAIT = 1, 10, 6


def connections(node):
    """(its port, the peer's port, state, bytes that it has not read) of every TCP connection in a node's namespace."""
    with open(f"/proc/{node.namespace.pid}/net/tcp") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return [(int(r[1].split(":")[1], 16), int(r[2].split(":")[1], 16), int(r[3], 16), int(r[4].split(":")[1], 16)) for r in rows]


def unread(node):
    return sum(count for mine, _, state, count in connections(node) if mine == node.port and state == ESTABLISHED)


def half_closed(source, target):
    """Connections to the target that nobody at the source has any more, but whose bytes may still arrive."""
    return [row for row in connections(source) if row[1] == target.port and row[2] not in (ESTABLISHED, LISTENING, TIME_WAIT)]


def strings_and_lists(x):
    """Less than one MIGRATE sends at a time, and much more than a connection takes of who does not read."""
    for i in range(60):
        x.must("SET", f"{{foo}}s{i}", os.urandom(8000))
        x.must("RPUSH", f"{{foo}}l{i}", *[os.urandom(60) for _ in range(100)])
    return [f"{{foo}}{kind}{i}" for i in range(60) for kind in "sl"]


def one_large(x):
    for at in range(0, 40000, 400):
        x.must("HSET", "{foo}h", *[w for i in range(at, at + 400) for w in (f"f{i}", os.urandom(100))])
    x.must("MSET", "{foo}behind", "1", "{foo}last", "1")
    return ["{foo}h", "{foo}behind", "{foo}last"]


def arrived(target, names):
    """What the target has of these, as it says to who comes by ASK."""
    with target.connect() as y:
        replies = [r for name in names for r in y.pipeline([("ASKING",), ("DUMP", name)])[1:]]
    return {name: value for name, (_, value) in zip(names, replies) if value is not None}


def cut_in_flight(cut, source, target, names):
    """MIGRATE of these keys, some of which are on their way when source and target no longer reach each other."""
    target.pause()
    try:
        mover = Mover(source, target.port, 2000, *names, host=target.host)
        wait_until(lambda: unread(target) > 0, 60, "keys are on their way", 0.005)
        cut()
    finally:
        target.resume()
    said = mover.end()
    true(said.startswith("-IOERR error or timeout"), said)
    with source.connect() as x:
        return {name: x.must("DUMP", name) for name in names}


def all_taken(target, names):
    """What the target has, when it has done everything that reached it."""
    seen = [None]

    def stands_still():
        seen.append(arrived(target, names))
        return unread(target) == 0 and seen[-1] == seen[-2]
    wait_until(stands_still, 60, "the target has taken what reached it", 0.3)
    return seen[-1]


def finish_by_hand(c, source, target):
    with source.connect() as x:
        while keys := x.must("CLUSTER", "GETKEYSINSLOT", SLOT, 100):
            x.must("MIGRATE", target.host, target.port, "", 0, 60000, "REPLACE", "KEYS", *keys)
    for node in (target, source):
        equal(text(node, "CLUSTER", "SETSLOT", SLOT, "NODE", c.id_of(target)), "OK")


def finish_by_fix(c, *_):
    c.cli("--cluster", "fix", c.nodes[0].address, "--cluster-yes", stdin=b"yes\n" * 20)


def broken_off(net, c, make, silent, finish):
    target, _, source = c.nodes if c.owner(SLOT) is c.nodes[2] else reversed(c.nodes)
    with source.connect() as x:
        first = "{foo}first"
        x.must("SET", first, "1")
        names = make(x)
    open_slot(c, source, target)
    equal(text(source, "MIGRATE", target.host, target.port, first, 0, 60000), "OK")   # its connection is kept
    others = [n for n in c.nodes if n is not source]
    there = cut_in_flight((lambda: net.partition(others, [source])) if silent else (lambda: net.cut(source, target)), source, target, names)
    true(None not in there.values(), "the source has every key that was not acknowledged")
    both = all_taken(target, names)
    equal({name: there[name] for name in both}, both, "on both sides")
    true(len(both) + 2 <= len(names), "the last have not arrived")
    true(make is one_large or both, "the first have arrived")
    equal(list(arrived(target, [first])), [first], "what was acknowledged")
    late = [name for name in names if name not in both]
    with source.connect() as x:                                     # life goes on there
        x.must("SET", late[-2], "newer")
        x.must("DEL", late[-1])
        expected = dump.dump(x, [name.encode() for name in names if name != late[-1]])
    expected[first.encode()] = (b"string", b"1", -1)
    if silent:
        net.heal()
    else:
        net.join(source, target)
    c.wait_ok(60)
    wait_until(lambda: not half_closed(source, target), 60, "nothing of it is on its way any more")
    equal(sorted(all_taken(target, names)), sorted(both), "nothing arrives behind the answer")
    finish(c, source, target)
    wait_until(lambda: c.agree() and not any("[" in r for n in c.nodes for r in rows_of(c, n)), 60, "nothing is open, one map")
    true(c.owner(SLOT) in (target, source) and (finish is finish_by_fix or c.owner(SLOT) is target), "who has the slot")
    same(whole(c), expected)
    print(f"      {make.__name__}: {len(both)} of {len(names)} on both sides")
    with target.connect() as y:
        y.must("FLUSHALL")


@test("source and target of a MIGRATE are cut from each other with keys in flight: IOERR, nothing is lost, what is repeated finishes it", seconds=240)
def _():
    if subject_is_redis():
        skip("what a Redis has not sent when it gives up arrives later")
    with Network(3) as net, Cluster(network=net, cluster_node_timeout=15000, enable_debug_command="yes") as c:
        broken_off(net, c, strings_and_lists, True, finish_by_hand)
        broken_off(net, c, one_large, False, finish_by_fix)


# ---- SETSLOT NODE in a minority ----

class Far(Slot):
    """A slot of the first node in a network."""

    def move(self, names, *options, to=None):
        target = to or self.target
        equal(text(self.owner, "MIGRATE", target.host, target.port, "", 0, 60000, *options, "KEYS", *names), "OK")


def joined(c, replica, master):
    equal(text(replica, "CLUSTER", "MEET", c.nodes[0].host, c.nodes[0].port), "OK")
    wait_until(lambda: c.id_of(master) in c.table(replica), 60, "the master is known")
    equal(text(replica, "CLUSTER", "REPLICATE", c.id_of(master)), "OK")
    wait_until(lambda: replica.info("replication").get("master_link_status") == "up", 60, "it streams")


def in_a_minority(net, c, heirs):
    """Both sides of a move are told of its end in a minority; heirs: who follows them, on the other side, and takes over there."""
    source, target, third, fourth = c.nodes[:4]
    away = [source, target]
    true(c.owner(0) is source, "the first node has the first slots")
    slots = [Far(c, number) for number in range(3)]
    before = whole(c)
    for slot in slots[:2]:
        slot.open()
        slot.move(slot.names)
    for master, heir in zip(away, heirs):
        sync(master, heir)
    rest = [n for n in c.nodes if n not in away]
    net.partition(rest, away)
    slots[0].set(target, "NODE", c.id_of(target))                    # nobody has noticed yet
    slots[0].set(source, "NODE", c.id_of(target))
    wait_until(lambda: {c.info(n)["cluster_state"] for n in away} == {"fail"}, 60, "they know that they are in a minority")
    wait_until(lambda: all(role(n) == "master" for n in heirs), 60, "their replicas take over")
    slots[1].set(target, "NODE", c.id_of(target))
    slots[1].set(source, "NODE", c.id_of(target))
    if not heirs:                                                   # and the majority moves another slot by the same epoch
        number = int(rows_of(c, third)[0].split("-")[0])
        open_slot(c, third, fourth, number)
        for node in (fourth, third):
            equal(text(node, "CLUSTER", "SETSLOT", number, "NODE", c.id_of(fourth)), "OK")
    net.heal()
    c.wait_ok(60)
    if heirs:
        finish_by_fix(c)
        wait_until(lambda: c.agree() and not any("[" in r for n in c.nodes for r in rows_of(c, n)), 60, "nothing is open, one map")
        settled(c)
    else:
        equal([c.owner(slot.number) is target for slot in slots], [True, True, False], "who has the slots")
        true(c.owner(number) is fourth, "the majority's move")
    same(whole(c), before)


@test("source and target are told of the end of a move in a minority, while the majority ends another: one owner of each, all keys", seconds=240)
def _():
    with Network(5) as net, Cluster(network=net, cluster_node_timeout=2000) as c:
        in_a_minority(net, c, [])


@test("source and target are told of the end of a move in a minority, and their replicas take over on the other side: one fix, all keys", seconds=300)
def _():
    if subject_is_redis():
        skip("there the keys of such a slot are lost")
    with Network(7) as net, Cluster(network=net, create=False, cluster_node_timeout=2000, enable_debug_command="yes") as c:
        c.cli("--cluster", "create", *[n.address for n in c.nodes[:5]], "--cluster-yes")
        for heir, master in zip(c.nodes[5:], c.nodes):
            joined(c, heir, master)
        c.wait_ok(60)
        in_a_minority(net, c, c.nodes[5:])
