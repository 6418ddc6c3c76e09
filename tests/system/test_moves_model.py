"""
A model check under load: clients of redis-py change keys of every type, with and without expiry, while slots move back and forth, as
wholes and key by key. Each knows what every one of its commands must answer, and what must be there at the end, on masters and replicas.

CAIRN_MODEL_SECONDS is how long the slots move (8); a run of minutes belongs in front of a release.
"""
import os
import random
import threading
import time

from redis.cluster import ClusterNode, RedisCluster

from harness import dump
from harness.cluster import Cluster
from harness.moving import finished, move, numbers, replica_of, replicas_ready, reshard, start, whole
from harness.moving_load import ranges_of, settled
from harness.runner import equal, test, true
from harness.server import wait_until

SECONDS = float(os.environ.get("CAIRN_MODEL_SECONDS", "8"))
JOURNEYS_MS = 30000 # MIGRATE sends how long a key has still to live: every journey adds its own time
KINDS = ("string", "number", "list", "set", "hash", "zset")


class Model(threading.Thread):
    """One client with keys of its own, so that it knows all about them."""

    def __init__(self, c, number):
        super().__init__(daemon=True)
        self.client = RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", c.nodes[number % 3].port)])
        self.rng, self.over, self.done, self.failed = random.Random(number), threading.Event(), 0, None
        self.keys = [(kind, f"{kind}:{number}:{i}") for i in range(80) for kind in KINDS]
        self.value, self.expiry, self.soon = {}, {}, {}   # by key; soon: when one that is short-lived ends

    def run(self):
        try:
            while not self.over.is_set():
                self.one(*self.rng.choice(self.keys))
                self.done += 1
        except Exception as e: # noqa: BLE001: the test tells it
            self.failed = e

    def one(self, kind, key):
        if key in self.soon:
            if time.time() < self.soon[key]:
                return
            del self.soon[key]                 # long gone
        chance = self.rng.random()
        if chance < 0.05:
            equal(self.client.delete(key), int(key in self.value), key)
            self.forget(key)
        elif chance < 0.15 and key in self.value:
            at = int(time.time() * 1000) + self.rng.randrange(3600_000, 7200_000)
            equal(self.client.pexpireat(key, at), True, key)
            self.expiry[key] = at
        elif chance < 0.18 and key in self.value:
            equal(self.client.persist(key), key in self.expiry, key)
            self.expiry.pop(key, None)
        elif chance < 0.22 and key in self.value:
            equal(self.client.pexpire(key, self.rng.randrange(1, 1500)), True, key)
            self.forget(key)
            self.soon[key] = time.time() + 5
        elif chance < 0.25:
            equal(self.client.exists(key), int(key in self.value), key)
            told, wanted = self.client.pexpiretime(key), self.expiry.get(key, -1 if key in self.value else -2)
            true(told == wanted or (wanted > 0 and abs(told - wanted) < JOURNEYS_MS), f"{key} expires at {told}, not {wanted}")
        else:
            getattr(self, kind)(key, self.rng.randrange(300), self.rng.choice((1, 2, 200)))

    def forget(self, key):
        self.value.pop(key, None)
        self.expiry.pop(key, None)

    def string(self, key, n, many):
        text = str(n) * many
        old = self.value.get(key, "")
        if n % 2:
            equal(self.client.append(key, text), len(old) + len(text), key)
            self.value[key] = old + text
        else:
            equal(self.client.get(key), old.encode() if key in self.value else None, key)
            equal(self.client.set(key, text, keepttl=n % 4 == 0), True, key)
            self.value[key] = text
            if n % 4:
                self.expiry.pop(key, None)

    def number(self, key, n, _many):
        self.value[key] = self.value.get(key, 0) + n
        equal(self.client.incrby(key, n), self.value[key], key)

    def list(self, key, n, many):
        there = self.value.setdefault(key, [])
        if n % 3 == 0 and there:
            equal(self.client.lpop(key), there.pop(0), key)
        else:
            there += [b"%d" % i for i in range(n, n + many)]
            equal(self.client.rpush(key, *range(n, n + many)), len(there), key)
        if len(there) > 2000:
            equal(self.client.ltrim(key, 0, 9), True, key)
            del there[10:]
        self.emptied(key)

    def set(self, key, n, many):
        there, names = self.value.setdefault(key, set()), {b"m%d" % i for i in range(n, n + many)}
        if n % 3 == 0:
            equal(self.client.srem(key, *names), len(there & names), key)
            there -= names
        else:
            equal(self.client.sadd(key, *names), len(names - there), key)
            there |= names
        self.emptied(key)

    def hash(self, key, n, many):
        there, names = self.value.setdefault(key, {}), [b"f%d" % i for i in range(n, n + many)]
        if n % 3 == 0:
            equal(self.client.hdel(key, *names), sum(there.pop(f, None) is not None for f in names), key)
        else:
            equal(self.client.hset(key, mapping=dict.fromkeys(names, n)), sum(f not in there for f in names), key)
            there.update(dict.fromkeys(names, b"%d" % n))
        self.emptied(key)

    def zset(self, key, n, many):
        there, names = self.value.setdefault(key, {}), [b"m%d" % i for i in range(n, n + many)]
        if n % 3 == 0:
            equal(self.client.zrem(key, *names), sum(there.pop(m, None) is not None for m in names), key)
        else:
            equal(self.client.zadd(key, dict.fromkeys(names, n / 3)), sum(m not in there for m in names), key)
            there.update(dict.fromkeys(names, n / 3))
        self.emptied(key)

    def emptied(self, key):
        if not self.value[key]:
            self.forget(key)

    def wanted(self):
        """As harness.dump tells it."""
        out = {}
        for kind, key in self.keys:
            if key not in self.value:
                continue
            value = self.value[key]
            if kind in ("string", "number"):
                value = str(value).encode()
            elif kind == "set":
                value = sorted(value)
            elif kind == "hash":
                value = sorted(value.items())
            elif kind == "zset":
                value = sorted(value.items(), key=lambda pair: (pair[1], pair[0]))
            out[key.encode()] = (b"string" if kind == "number" else kind.encode(), value, self.expiry.get(key, -1))
        return out


def counted(node, keys):
    """DBSIZE and all COUNTKEYSINSLOT equal what a scan found."""
    with node.connect(timeout=60) as x:
        slots = numbers(x, [("CLUSTER", "COUNTKEYSINSLOT", s) for s in range(16384)])
        found = {}
        for slot in numbers(x, [("CLUSTER", "KEYSLOT", k) for k in keys]):
            found[slot] = found.get(slot, 0) + 1
        equal({s: n for s, n in enumerate(slots) if n}, found, f"keys per slot of {node.address}")
        equal(x.must("DBSIZE"), len(keys), f"DBSIZE of {node.address}")


def back_and_forth(c, masters, models, rng):
    """Until the time is over; returns how many times. Never the last slot of a master."""
    until, atomic, by_key = time.time() + SECONDS, 0, 0
    while (time.time() < until or by_key < 1) and not any(m.failed for m in models):
        a, b = rng.sample(masters, 2)
        first, last = max(ranges_of(c, a), key=lambda r: r[1] - r[0])
        if (atomic + 1) % 4 == 0 and by_key * 4 <= atomic:
            reshard(c, a, b, 60)
            by_key += 1
        elif last - first > 100:
            width = (last - first) // 2
            at = rng.randrange(first, last - width)
            if rng.random() < 0.3:             # two jobs that run at the same time
                start(c, a, b, (at, at + width // 2))
            move(c, a, b, (at + width // 2 + 1, at + width))
            finished(a)
            atomic += 1
        c.wait_ok(60)
    return atomic, by_key


@test("a model check: clients of every type, with expiries, while slots move both ways: masters, replicas and counts are right",
      seconds=int(120 + 2 * SECONDS))
def _():
    with Cluster(6, replicas=1, cluster_node_timeout=15000) as c: # none is to fail over because it is slow
        replicas_ready(c, 3)
        masters = c.nodes[:3]
        models = [Model(c, n) for n in range(3)]
        for m in models:
            m.start()
        atomic, by_key = back_and_forth(c, masters, models, random.Random(11))
        for m in models:
            m.over.set()
        for m in models:
            m.join(60)
            true(m.failed is None, f"after {m.done} commands: {m.failed!r}")
            true(m.done > 100, f"only {m.done} commands")
        print(f"      {atomic} moves as wholes, {by_key} key by key, {sum(m.done for m in models)} commands")
        settled(c)
        wanted = {k: v for m in models for k, v in m.wanted().items()}

        def right():
            return dump.differences(whole(c), wanted, expiry_tolerance_ms=JOURNEYS_MS)
        wait_until(lambda: not right(), 10, "what is short-lived is gone")
        equal(right(), [])
        for master in masters:
            with master.connect() as x:
                mine = dump.dump(x)
            counted(master, mine)
            theirs = replica_of(c, master)
            with theirs.connect() as x:
                x.must("READONLY")
                wait_until(lambda: not dump.differences(dump.dump(x), mine), 60, f"{theirs.address} has what its master has")
            counted(theirs, mine)
