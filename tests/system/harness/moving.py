"""moving.py - what tests of moving slots share: opening and closing a slot by hand, and everything that a cluster holds."""
import logging
import random
import time

from redis.cluster import ClusterNode, RedisCluster

from harness import dump
from harness.cluster import cli
from harness.resp import plain
from harness.runner import equal, true
from harness.server import wait_until

logging.getLogger("redis.cluster").setLevel(logging.CRITICAL) # it tells every MOVED with a traceback
SLOT = 12182 # of foo, and of everything with {foo}


def text(node, *words):
    """The reply as text, errors with their dash."""
    with node.connect() as c:
        return as_text(c.command(*words))


def as_text(reply):
    kind, value = reply
    if isinstance(value, list):
        return [as_text(r) for r in value]
    if isinstance(value, bytes):
        value = value.decode()
    return "-" + value if kind == "-" else value


def open_slot(c, source, target, slot=SLOT):
    equal(text(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.id_of(source)), "OK")
    equal(text(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.id_of(target)), "OK")


def close_slot(c, source, target, slot=SLOT):
    for node in [target, source] + [n for n in c.nodes if n not in (source, target)]:
        equal(text(node, "CLUSTER", "SETSLOT", slot, "NODE", c.id_of(target)), "OK")


def move_keys(source, target, slot=SLOT, *options):
    with source.connect() as x:
        while keys := x.must("CLUSTER", "GETKEYSINSLOT", slot, 10):
            x.must("MIGRATE", "127.0.0.1", target.port, "", 0, 60000, *options, "KEYS", *keys)


def rows_of(c, node):
    return c.table(node)[c.id_of(node)]["slots"]


def numbers(connection, commands):
    return [plain(r) for r in connection.pipeline(commands)]


def whole(c):
    """Everything in the cluster: {key: (type, content, expiry)}; no key on two nodes, counts of slots equal a scan."""
    everything = {}
    for node in c.nodes:
        with node.connect() as x:
            if "master" not in c.table(node)[c.id_of(node)]["flags"]:
                continue
            mine = dump.dump(x)
            twice = set(everything) & set(mine)
            true(not twice, f"on two nodes: {sorted(twice)[:5]}")
            counted = {}
            for key, slot in zip(mine, numbers(x, [("CLUSTER", "KEYSLOT", k) for k in mine])):
                counted[slot] = counted.get(slot, 0) + 1
            told = numbers(x, [("CLUSTER", "COUNTKEYSINSLOT", s) for s in range(16384)])
            equal({s: n for s, n in enumerate(told) if n}, counted, f"keys per slot on {node.address}")
            everything.update(mine)
    return everything


def fill(c, count, seed=1):
    """Keys of every type, some with an expiry, some large."""
    rng = random.Random(seed)
    client = RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", c.nodes[0].port)])
    for i in range(count):
        key, kind, many = f"key:{i}", i % 5, rng.choice([1, 3, 20, 300])
        if kind == 0:
            client.set(key, str(i) * many)
        elif kind == 1:
            client.rpush(key, *[f"e{n}" for n in range(many)])
        elif kind == 2:
            client.sadd(key, *[f"m{n}" for n in range(many)])
        elif kind == 3:
            client.hset(key, mapping={f"f{n}": f"v{n}" for n in range(many)})
        else:
            client.zadd(key, {f"m{n}": n / 2 for n in range(many)})
        if i % 3 == 0:
            client.pexpireat(key, int(time.time() * 1000) + 3600_000 + i)
    client.close()


def same(left, right, expiry_tolerance_ms=60000):
    """MIGRATE sends how long a key has still to live, so that each journey adds its own time to the expiry."""
    lines = dump.differences(left, right, expiry_tolerance_ms=expiry_tolerance_ms)
    true(not lines, "\n".join(lines))


def reshard(c, source, target, slots, **options):
    c.wait_ok()                       # redis-cli refuses to begin while the nodes disagree
    return cli("--cluster", "reshard", c.nodes[0].address, "--cluster-from", c.id_of(source), "--cluster-to", c.id_of(target),
               "--cluster-slots", slots, "--cluster-yes", **options)


def healthy(c):
    c.wait_ok()
    out = cli("--cluster", "check", c.nodes[0].address)
    true("[OK] All 16384 slots covered." in out and "open" not in out.lower().replace("check for open slots", ""), out[-1500:])


# ---- CLUSTER MIGRATESLOTS ----

ENDED = ("success", "failed", "cancelled")


def moves(node):
    """What GETSLOTMIGRATIONS tells, newest first, each as a dictionary."""
    with node.connect() as x:
        return [{r[i].decode(): r[i + 1].decode() if isinstance(r[i + 1], bytes) else r[i + 1] for i in range(0, len(r), 2)}
                for r in x.must("CLUSTER", "GETSLOTMIGRATIONS")]


def state(node):
    told = moves(node)
    return told[0]["state"] if told else None


def start(c, source, target, *ranges):
    words = [w for a, b in ranges for w in (a, b)]
    equal(text(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *words, "NODE", c.id_of(target)), "OK")


def finished(node, seconds=60):
    wait_until(lambda: state(node) in ENDED, seconds, "the migration ends")
    return moves(node)[0]


def move(c, source, target, *ranges):
    start(c, source, target, *ranges)
    told = finished(source)
    equal(told["state"], "success", str(told))
    for a, b in ranges:
        wait_until(lambda: c.owner(a) is target and c.owner(b) is target and c.agree(), 20, "all know the new owner")
    return told


def dropped(c, node, *ranges):
    """The old keys of the slots are gone."""
    with node.connect() as x:
        wait_until(lambda: sum(x.must("CLUSTER", "COUNTKEYSINSLOT", s) for a, b in ranges for s in range(a, b + 1)) == 0,
                   60, "what does not belong here is dropped")


def replica_of(c, master):
    mine = c.id_of(master)
    rows = c.table(master)
    ports = [int(r["address"].rsplit(":", 1)[1]) for r in rows.values() if r["master"] == mine]
    return next(n for n in c.nodes if n.port in ports)


def replicas_ready(c, count):
    """Each master has a replica that streams, and every node knows of it."""
    def ready():
        for n in c.nodes:
            with n.connect() as x:
                role = x.must("ROLE")
            if role[0] == b"master" and len(role[2]) < 1 or role[0] == b"slave" and role[3] != b"connected":
                return False
            if sum("slave" in r["flags"] for r in c.table(n).values()) != count:
                return False
        return True
    wait_until(ready, 60, "replicas stream")
