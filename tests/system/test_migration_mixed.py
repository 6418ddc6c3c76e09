"""One cluster of Cairn and Redis 7.0 nodes in which redis-cli does everything it can: nodes and slots come and go in both directions."""
import os
import random

from redis.crc import key_slot

from harness import dump
from harness.cluster import Cluster, cli
from harness.moving import as_text, healthy, open_slot, reshard, rows_of, same, text, whole
from harness.runner import equal, test, true
from harness.server import REDIS, Server, redis, subject_is_redis, temporary_folder, wait_until
from test_rdb import redis_on


def tags_between(first, last, count):
    """Names whose slots lie there."""
    found, i = [], 0
    while len(found) < count:
        if first <= key_slot(b"t%d" % i) <= last:
            found.append("t%d" % i)
        i += 1
    return found


def pairs(values):
    return [w for v in values for w in v]


def forms(tag, rng):
    """Commands that make a key of every type in every form that a dump has, all in one slot."""
    def key(name):
        return f"{{{tag}}}{name}"

    for name, value in (("empty", ""), ("number", "-12345678901"), ("tiny", "7"), ("float", "1.50"), ("bytes", bytes(range(256)) * 3),
                        ("same", "x" * 30000), ("random", rng.randbytes(70000))):
        yield ("SET", key(name), value)
    yield ("SET", key("nul\0and\r\nlines"), "x", "PX", 7200000)
    yield ("RPUSH", key("list"), "a", "", "-5", "70000", "9" * 30, rng.randbytes(100))
    yield ("RPUSH", key("list:long"), *[f"element {i}" for i in range(1500)])
    yield ("RPUSH", key("list:large"), "a", "b" * 20000, "c")
    for bits in (10, 20, 40):
        yield ("SADD", key(f"intset:{bits}"), *[rng.randrange(-1 << bits, 1 << bits) for _ in range(50)])
    yield ("SADD", key("intset:long"), *range(600))
    yield ("SADD", key("set"), "a", "", "17", "x" * 100)
    yield ("SADD", key("set:long"), *[f"m{i}" for i in range(1000)])
    yield ("HSET", key("hash"), "a", "1", "", "", "n", "-17", "long", "v" * 50)
    yield ("HSET", key("hash:large"), "a", "v" * 5000)
    yield ("HSET", key("hash:long"), *pairs((f"f{i}", i) for i in range(1000)))
    yield ("ZADD", key("zset"), "-inf", "a", "inf", "b", "0.1", "c", "-0", "d", "1e300", "e", "3", "f")
    yield ("ZADD", key("zset:long"), *pairs((i / 7, f"m{i}") for i in range(1000)))
    for i, name in enumerate(("number", "list:long", "intset:20", "hash", "zset:long")):
        yield ("PEXPIRE", key(name), 3600000 + i)


def put(c, node, tags, seed):
    rng = random.Random(seed)
    with node.connect() as x:
        for tag in tags:
            for kind, value in x.pipeline(list(forms(tag, rng))):
                true(kind != "-", value)


def slots_of(c, node):
    return sum(last - first + 1 for first, last, port, _ in c.slot_map(c.nodes[0]) if port == node.port)


def checked(c, before):
    healthy(c)
    for node in c.nodes:
        true(not any("[" in row for row in rows_of(c, node)), "open slots")
    same(whole(c), before)


def there_and_back(c, before):
    """Slots with every form of key from each kind of node to the other, and on, through a Redis and a Cairn."""
    ours, theirs, third = c.nodes
    reshard(c, ours, theirs, 25)
    c.wait_ok()
    same(whole(c), before)
    reshard(c, theirs, third, 25)              # its lowest slots are those that came
    c.wait_ok()
    reshard(c, theirs, ours, 25)               # and then its own
    c.wait_ok()
    checked(c, before)


def unknown_types_stay(c):
    """Cairn has no streams: a Redis that is told to move one there keeps it, and says why."""
    ours, theirs = c.nodes[:2]
    tag = tags_between(10000, 10900, 1)[0]
    slot = key_slot(tag.encode())
    with theirs.connect() as x:
        x.must("XADD", f"{{{tag}}}stream", "*", "a", "1")
        x.must("SET", f"{{{tag}}}string", "1")
        open_slot(c, theirs, ours, slot)
        said = text(theirs, "MIGRATE", "127.0.0.1", ours.port, "", 0, 20000, "KEYS", f"{{{tag}}}stream", f"{{{tag}}}string")
        equal(said, "-ERR Target instance replied with error: ERR Bad data format")
        equal(x.must("CLUSTER", "GETKEYSINSLOT", slot, 10), [f"{{{tag}}}stream".encode()])
        x.must("DEL", f"{{{tag}}}stream")
    cli("--cluster", "fix", ours.address)
    wait_until(c.agree, 60, "one map")
    with c.owner(slot).connect() as x:
        equal(x.must("DEL", f"{{{tag}}}string"), 1)


def comes_in(c, node, *options):
    cli("--cluster", "add-node", node.address, c.nodes[0].address, *options)
    c.nodes.append(node)
    mine = c.id_of(node)
    wait_until(lambda: all(mine in c.table(n) and c.table(n)[mine]["flags"] & {"master", "slave"} for n in c.nodes), 60, "all know it")
    c.wait_ok()
    return mine


def goes(c, node):
    mine = c.id_of(node)
    c.nodes.remove(node)
    cli("--cluster", "del-node", c.nodes[0].address, mine)
    wait_until(lambda: all(mine not in c.table(n) for n in c.nodes), 60, "it is forgotten")
    c.wait_ok()
    with node.connect() as x:                 # and it knows of nobody any more
        lines = x.must("CLUSTER", "NODES").decode().splitlines()
        equal(len(lines), 1, "\n".join(lines))
        x.must("CLUSTER", "RESET", "HARD")    # the others do not want to see its old name for a minute


def new_nodes(c, before, ours, theirs):
    """An empty node of each kind gets slots from all, gives them back and goes; then both come again as replicas of the other kind."""
    for node in (ours, theirs):
        mine = comes_in(c, node)
        cli("--cluster", "rebalance", c.nodes[0].address, "--cluster-use-empty-masters", "--cluster-threshold", 1, "--cluster-weight",
            f"{mine}=0.02")
        c.wait_ok()
        true(70 <= slots_of(c, node) <= 150, f"{slots_of(c, node)} slots")
        checked(c, before)
        cli("--cluster", "rebalance", c.nodes[0].address, "--cluster-weight", f"{mine}=0")
        c.wait_ok()
        equal(slots_of(c, node), 0)
        goes(c, node)
    checked(c, before)
    masters = [c.id_of(n) for n in c.nodes]
    ids = [comes_in(c, ours, "--cluster-slave", "--cluster-master-id", masters[1]),
           comes_in(c, theirs, "--cluster-slave", "--cluster-master-id", masters[2])]
    for node, i, master in ((ours, ids[0], masters[1]), (theirs, ids[1], masters[2])):
        wait_until(lambda: node.info("replication").get("master_link_status") == "up", 60, "it replicates")
        wait_until(lambda: c.table(c.nodes[0])[i]["master"] == master, 60, "the others know")
    healthy(c)
    for node in (ours, theirs):
        goes(c, node)


def smaller_things(c):
    """check, info, call, set-timeout and backup, asked of a node of each kind."""
    for node in c.nodes[:2]:
        out = cli("--cluster", "check", node.address)
        true("[OK] All nodes agree about slots configuration." in out and "[OK] All 16384 slots covered." in out, out[-1500:])
        out = cli("--cluster", "info", node.address)
        true("keys in 3 masters." in out, out[-1500:])
        out = cli("--cluster", "call", node.address, "CLUSTER", "INFO")
        equal(out.count("cluster_state:ok"), 3, out[-1500:])
    for i, node in enumerate(c.nodes[:2]):
        out = cli("--cluster", "set-timeout", node.address, 4000 + i)
        true("New node timeout set. 3 OK, 0 ERR." in out, out[-1500:])
        for n in c.nodes:
            equal(text(n, "CONFIG", "GET", "cluster-node-timeout"), ["cluster-node-timeout", str(4000 + i)])
            with open(n.configuration_file()) as f:
                true(f"cluster-node-timeout {4000 + i}" in f.read(), "it is in the file")


def backups(c, before):
    """What --cluster backup wrote is loaded by a Redis, from each kind of node."""
    folder = temporary_folder()
    out = cli("--cluster", "backup", c.nodes[0].address, folder)
    true("[OK] Backup created into:" in out and os.path.exists(os.path.join(folder, "nodes.json")), out[-1500:])
    files = [f for f in os.listdir(folder) if f.endswith(".rdb")]
    equal(len(files), 3)
    found = {}
    for name in files:
        with redis_on(os.path.join(folder, name)) as reader, reader.connect() as x:
            found.update(dump.dump(x))
    same(found, before)


def imports(c, before, binary):
    """A standalone server of either kind: first copied, then moved over what is there already. What is there is not harmed."""
    with Server(binary=binary) as old, old.connect() as x:
        for kind, value in x.pipeline(list(forms("import", random.Random(3)))):
            true(kind != "-", value)
        x.must("DEL", "{import}nul\0and\r\nlines")  # redis-cli's import ends a name at a zero byte
        keys = dump.dump(x)
        out = cli("--cluster", "import", c.nodes[0].address, "--cluster-from", old.address, "--cluster-copy")
        equal(x.must("DBSIZE"), len(keys), out)
        same(whole(c), {**before, **keys})
        x.must("SET", "{import}number", "8")
        keys[b"{import}number"] = (b"string", b"8", -1)
        out = cli("--cluster", "import", c.nodes[1].address, "--cluster-from", old.address, check=False)
        true("Target key name already exists" in out, out[-1500:])
        equal(x.must("DBSIZE"), len(keys), "nothing is replaced that was not to be")
        cli("--cluster", "import", c.nodes[1].address, "--cluster-from", old.address, "--cluster-replace")
        equal(x.must("DBSIZE"), 0)
        same(whole(c), {**before, **keys})
        for key in keys:
            with c.owner(key_slot(b"import")).connect() as y:
                y.must("DEL", key)


@test("a cluster of Cairn and Redis 7.0: reshard both ways, nodes of either kind come and go, import, backup, set-timeout, call", seconds=120)
def _():
    if subject_is_redis():
        return
    with Cluster(3, binaries=[None, REDIS, None]) as c:
        for i, node in enumerate(c.nodes):
            first = c.slot_map(node)[i][0]
            put(c, node, tags_between(first, first + 24, 3) + tags_between(first + 100, first + 4000, 3), i)
        before = whole(c)
        there_and_back(c, before)
        unknown_types_stay(c)
        smaller_things(c)
        backups(c, before)
        for binary in (REDIS, None):
            imports(c, before, binary)
        with Server(cluster=True) as ours, Server(binary=REDIS, cluster=True) as theirs:
            new_nodes(c, before, ours, theirs)
        checked(c, before)


@test("DEBUG DIGEST and DIGEST-VALUE are those of Redis, so that fix can compare a key on a node of each kind")
def _():
    with Server(enable_debug_command="yes") as ours, redis(enable_debug_command="yes") as theirs, \
            ours.connect() as x, theirs.connect() as y:
        commands = list(forms("tag", random.Random(5)))
        names = sorted({words[1] for words in commands})
        for c in (x, y):
            for db in (0, 3):
                c.must("SELECT", db)
                c.pipeline(commands)
        equal(x.must("DEBUG", "DIGEST-VALUE", *names), y.must("DEBUG", "DIGEST-VALUE", *names))
        equal(x.must("DEBUG", "DIGEST"), y.must("DEBUG", "DIGEST"))


@test("redis-cli add-node adds a Cairn node by way of a Redis node, whose function libraries it asks for; FUNCTION says there are none")
def _():
    if subject_is_redis():
        return
    words = (("LIST",), ("LIST", "WITHCODE", "LIBRARYNAME", "a*"), ("LIST", "LIBRARYNAME"), ("LIST", "X"), ("DELETE", "x"),
             ("FLUSH",), ("FLUSH", "ASYNC"), ("FLUSH", "X"), ("RESTORE", "x"), ("RESTORE", "x", "Y"), ("RESTORE",), ("X",))
    with Cluster(3, binaries=[REDIS] * 3) as c, Server() as alone, alone.connect() as x:
        for word in words:
            equal(text(alone, "FUNCTION", *word), text(c.nodes[0], "FUNCTION", *word), str(word))
        with c.nodes[0].connect() as y:
            equal(x.must("FUNCTION", "DUMP"), y.must("FUNCTION", "DUMP"))
            x.must("FUNCTION", "RESTORE", y.must("FUNCTION", "DUMP"), "REPLACE")
            new = Server(cluster=True).start()
            comes_in(c, new)
            equal(text(new, "DBSIZE"), 0)
            y.must("FUNCTION", "LOAD", "#!lua name=a\nredis.register_function('f', function(keys, args) return 1 end)")
            true("function libraries" in as_text(x.command("FUNCTION", "RESTORE", y.must("FUNCTION", "DUMP"))), "refused by name")
