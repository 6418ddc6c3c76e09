"""
redis-cli --cluster fix after moves that were broken off at any step, by hand-made mistakes too: nothing is open afterwards, every slot has
one owner, no key is lost or on two nodes. A cluster of three Redis 7.0 passes this too.
"""
import os

from redis.crc import key_slot

from harness import dump
from harness.cluster import Cluster, cli
from harness.moving import as_text, rows_of, same, text, whole
from harness.runner import equal, test, true
from harness.server import REDIS, subject_is_redis, wait_until

WIDTH = 100                                    # slots of each of the first two nodes; the third has the others


class Slot:
    """One slot of the first node, with six keys, and what can be done to it."""

    def __init__(self, c, number):
        self.c, self.number = c, number
        self.owner, self.target, self.third = c.nodes[:3]
        self.tag = next(t for t in (f"t{i}" for i in range(10 ** 7)) if key_slot(t.encode()) == number)
        k = self.key
        with self.owner.connect() as x:
            x.must("MSET", k("a"), "1", k("b"), "2", k("c"), "x" * 5000)
            x.must("RPUSH", k("list"), *range(300))
            x.must("HSET", k("hash"), *[str(i) for i in range(600)])
            x.must("ZADD", k("zset"), "1.5", "m")
            x.must("PEXPIRE", k("b"), 3600000)
        self.names = [k(n) for n in ("a", "b", "c", "list", "hash", "zset")]

    def key(self, name):
        return f"{{{self.tag}}}{name}"

    def set(self, node, *words):
        equal(text(node, "CLUSTER", "SETSLOT", self.number, *words), "OK")

    def importing(self, node, source=None):
        self.set(node, "IMPORTING", self.c.id_of(source or self.owner))

    def migrating(self, target=None):
        self.set(self.owner, "MIGRATING", self.c.id_of(target or self.target))

    def open(self):
        self.importing(self.target)
        self.migrating()

    def move(self, names, *options, to=None):
        equal(text(self.owner, "MIGRATE", "127.0.0.1", (to or self.target).port, "", 0, 60000, *options, "KEYS", *names), "OK")

    def nobody(self):
        """The slot has no owner in anybody's eyes."""
        for node in self.c.nodes:
            equal(text(node, "CLUSTER", "DELSLOTS", self.number), "OK")


# ---- What was done before the tool, or the operator, stopped ----

def migrating_only(s):
    s.migrating()


def importing_only(s):
    s.importing(s.target)


def both_open(s):
    s.open()


def some_keys_moved(s):
    s.open()
    s.move(s.names[:3])


def some_keys_on_both_sides(s):
    s.open()
    s.move(s.names[:2], "COPY")
    s.move(s.names[2:5])


def all_keys_moved(s):
    s.open()
    s.move(s.names)


def target_told(s):
    all_keys_moved(s)
    s.set(s.target, "NODE", s.c.id_of(s.target))


def source_told_first(s):
    all_keys_moved(s)
    s.set(s.owner, "NODE", s.c.id_of(s.target))


def third_imports(s):
    s.open()
    s.importing(s.third)


def third_imports_with_keys(s):
    s.open()
    s.importing(s.third)
    s.move(s.names[:2], to=s.third)
    s.move(s.names[2:4])


def third_imports_and_target_does_not(s):
    s.migrating()
    s.importing(s.third)
    s.move(s.names[:3], to=s.third)


def importing_forgotten(s):
    some_keys_moved(s)
    s.set(s.target, "STABLE")


def migrating_forgotten(s):
    some_keys_moved(s)
    s.set(s.owner, "STABLE")


def two_import(s):
    s.importing(s.target)
    s.importing(s.third)


def imports_from_the_wrong_node(s):
    s.importing(s.target, s.third)


def two_owners(s):
    """The target takes the slot with an epoch that does not win."""
    equal(text(s.owner, "CLUSTER", "BUMPEPOCH").split()[0] in ("BUMPED", "STILL"), True)
    with s.target.connect() as x:              # nothing is heard in between
        for words in (("MULTI",), ("CLUSTER", "DELSLOTS", s.number), ("CLUSTER", "ADDSLOTS", s.number)):
            x.must(*words)
        equal(as_text(x.command("EXEC")), ["OK", "OK"])


def nobody_and_keys_on_one(s):
    s.nobody()


def nobody_and_keys_on_two(s):
    some_keys_moved(s)
    for node in (s.owner, s.target):
        s.set(node, "STABLE")
    s.nobody()


def nobody_and_still_open(s):
    some_keys_moved(s)
    s.nobody()


def nobody_and_no_keys(s):
    with s.owner.connect() as x:
        x.must("DEL", *s.names)
    s.names = []
    s.nobody()


SCENARIOS = [migrating_only, importing_only, both_open, some_keys_moved, some_keys_on_both_sides, all_keys_moved, target_told,
             source_told_first, third_imports, third_imports_with_keys, third_imports_and_target_does_not, importing_forgotten,
             migrating_forgotten, two_import, imports_from_the_wrong_node, two_owners, nobody_and_keys_on_one, nobody_and_keys_on_two,
             nobody_and_still_open, nobody_and_no_keys]

# Where the target has most keys redis-cli makes it the owner first, and a Redis that hears of that before the tool has moved the
# rest drops its keys (docs/decisions/0046): so some_keys_on_both_sides only from Cairn.
MIXED = [some_keys_moved, target_told, importing_forgotten, nobody_and_keys_on_two]

# ---- Putting it right ----

def by_hand(c):
    """The first two nodes have WIDTH slots each, so that what changes there is quickly checked; the epochs differ."""
    ranges = ((0, WIDTH - 1), (WIDTH, 2 * WIDTH - 1), (2 * WIDTH, 16383))
    for i, (node, (first, last)) in enumerate(zip(c.nodes, ranges)):
        equal(text(node, "CLUSTER", "ADDSLOTSRANGE", first, last), "OK")
        equal(text(node, "CLUSTER", "SET-CONFIG-EPOCH", len(c.nodes) - i), "OK")
        if i > 0:
            equal(text(node, "CLUSTER", "MEET", "127.0.0.1", c.nodes[0].port), "OK")
    wait_until(lambda: all(len(c.table(n)) == len(c.nodes) for n in c.nodes), 60, "all know all")
    c.wait_ok(60)


def is_closed(c):
    return c.agree() and not any("[" in row for n in c.nodes if n.process.poll() is None for row in rows_of(c, n))


def fixes(c, most=3):
    """How many runs it took until nothing is open, every slot is covered and all agree."""
    for count in range(1, most + 1):
        out = cli("--cluster", "fix", c.nodes[2].address, "--cluster-yes", stdin=b"yes\n" * 20, check=False)
        try:
            wait_until(lambda: is_closed(c), 0, "nothing is open, one map")
            return count
        except AssertionError:
            true(count < most, out[-3000:])
    return most


def broken_off(binaries, scenarios):
    """{scenario: how many runs of fix it took}, of those that took more than one."""
    with Cluster(3, binaries=binaries, create=False, enable_debug_command="yes") as c:
        by_hand(c)
        runs, everything = {}, {}
        for number, scenario in enumerate(scenarios):
            slot = Slot(c, number)
            with slot.owner.connect() as x:
                keys = dump.dump(x, [n.encode() for n in slot.names])
            try:
                scenario(slot)
                keys = keys if slot.names else {}
                runs[scenario.__name__] = fixes(c)
                equal(sum(text(n, "CLUSTER", "COUNTKEYSINSLOT", number) for n in c.nodes), len(keys), "keys in the slot")
            except AssertionError as e:
                raise AssertionError(f"{scenario.__name__}: {e}") from e
            everything.update(keys)
        same(whole(c), everything)
        return {name: count for name, count in runs.items() if count > 1}


@test("redis-cli --cluster fix after whatever a move can be broken off by, in one run", seconds=300)
def _():
    equal(broken_off([None] * 3, SCENARIOS), {})


@test("redis-cli --cluster fix moves the rest of a slot's keys between Cairn and Redis, to either side")
def _():
    if subject_is_redis():
        return
    for binaries in ([REDIS, None, None], [None, REDIS, None]):
        some = MIXED + [some_keys_on_both_sides] * (binaries[0] is None)
        equal(broken_off(binaries, SCENARIOS if "CAIRN_ALL" in os.environ else some), {}, binaries)


def values_differ(s):
    s.open()
    s.move(s.names[:2], "COPY")
    with s.target.connect() as x:
        x.must("ASKING")
        x.must("SET", s.key("a"), "another")
    s.move(s.names[3:])


@test("redis-cli --cluster fix does not choose between two values of a key; --cluster-replace takes the owner's")
def _():
    with Cluster(3, binaries=[None, REDIS, None], create=False, enable_debug_command="yes") as c:
        by_hand(c)
        slot = Slot(c, 0)
        before = whole(c)
        values_differ(slot)
        out = cli("--cluster", "fix", c.nodes[2].address, check=False)
        true("Value of key" in out or "--cluster-replace" in out, out[-1500:])
        for node, value in ((slot.owner, "1"), (slot.target, "another")):
            with node.connect() as x:
                x.must("ASKING")
                equal(x.must("GET", slot.key("a")).decode(), value)
        cli("--cluster", "fix", c.nodes[2].address, "--cluster-replace")
        wait_until(lambda: is_closed(c), 20, "nothing is open")
        same(whole(c), before)


@test("redis-cli --cluster fix --cluster-fix-with-unreachable-masters covers a dead master's slots; when it comes back, another fix moves its keys")
def _():
    with Cluster(3, create=False, cluster_node_timeout=1500) as c:
        by_hand(c)
        slots = [Slot(c, 0), Slot(c, 1)]
        before = whole(c)
        slots[1].open()
        slots[1].move(slots[1].names[:3])
        dead = c.nodes[0]
        dead.kill()
        wait_until(lambda: "fail" in c.table(c.nodes[1])[by_port(c, dead)]["flags"], 60, "its death is known")
        out = cli("--cluster", "fix", c.nodes[1].address, stdin=b"yes\n" * 20, check=False)
        true("unreachable" in out.lower(), out[-1500:])
        equal(sum(last - first + 1 for first, last, port, _ in c.slot_map(c.nodes[1]) if port == dead.port), WIDTH, "not without the option")
        cli("--cluster", "fix", c.nodes[1].address, "--cluster-fix-with-unreachable-masters", "--cluster-yes", stdin=b"yes\n" * 20)
        wait_until(lambda: is_closed(c), 60, "nothing is open")
        dead.start()
        wait_until(c.agree, 60, "it yields")
        fixes(c)
        same(whole(c), before)


def by_port(c, node):
    return next(i for i, row in c.table(c.nodes[1]).items() if row["address"] == node.address)
