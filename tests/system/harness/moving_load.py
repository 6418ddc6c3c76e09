"""moving_load.py - clients that write while slots move as wholes, and what must hold when a move has ended, however it did."""
import random
import threading
import time

from harness.moving import ENDED, moves, text, whole
from harness.resp import ConnectionLost
from harness.runner import equal, true
from harness.server import wait_until


def ranges_of(c, node):
    """The slots of a node, as it tells: [(first, last)]."""
    rows = [s for s in c.table(node)[c.id_of(node)]["slots"] if "[" not in s]
    return [(int(r.split("-")[0]), int(r.split("-")[-1])) for r in rows]


class Writer(threading.Thread):
    """Writes keys of every type, each value once, and remembers what was acknowledged and what may have happened."""
    def __init__(self, c, number, replicas=0):
        super().__init__(daemon=True)
        self.cluster, self.replicas, self.rng, self.stopping = c, replicas, random.Random(number), False
        self.ports, self.connections, self.n, self.acknowledged = {}, {}, 0, 0
        self.keys = [(kind, f"{kind}:{number}:{i}") for i in range(60) for kind in ("string", "list", "set", "hash", "zset")]
        self.done = {k: [] for _, k in self.keys}   # acknowledged values, in order
        self.maybe = {k: set() for _, k in self.keys} # of which it is not known
        self.trouble = None

    def run(self):
        try:
            while not self.stopping:
                self.write(*self.rng.choice(self.keys))
        except Exception as e: # noqa: BLE001: the test tells it
            self.trouble = e

    def stop(self):
        self.stopping = True
        self.join(60)
        true(not self.is_alive(), "the writer ends")
        if self.trouble is not None:
            raise self.trouble

    def ask(self, port, *words):
        if port not in self.connections:
            node = next(n for n in self.cluster.nodes if n.port == port)
            self.connections[port] = node.connect(timeout=20)
        return self.connections[port].command(*words)

    def write(self, kind, key):
        self.n += 1
        n = str(self.n)
        words = {"string": ("SET", key, n), "list": ("RPUSH", key, n), "set": ("SADD", key, n), "hash": ("HSET", key, n, n),
                 "zset": ("ZADD", key, n, n)}[kind]
        port = self.ports.get(key, self.cluster.nodes[0].port)
        while not self.stopping:
            try:
                kind_of_reply, value = self.ask(port, *words)
                if kind_of_reply != "-" and self.replicas:
                    _, count = self.ask(port, "WAIT", self.replicas, 3000)
                    if count < self.replicas:
                        self.maybe[key].add(n)
                        return
            except (OSError, ConnectionLost):
                self.connections.pop(port, None)
                self.maybe[key].add(n) # it may have been done
                port = self.rng.choice(self.cluster.nodes).port
                time.sleep(0.02)
                continue
            if kind_of_reply != "-":
                self.ports[key] = port
                self.acknowledged += 1
                if n not in self.maybe[key]:
                    self.done[key].append(n)
                return
            value = value.decode()
            if value.startswith("MOVED"):
                port = int(value.rsplit(":", 1)[1])
            elif value.startswith(("CLUSTERDOWN", "LOADING", "TRYAGAIN", "READONLY", "MASTERDOWN", "NOREPLICAS")):
                time.sleep(0.02)
            else:
                raise AssertionError(f"{words}: {value}")
        self.maybe[key].add(n)

    def check(self, everything):
        for kind, key in self.keys:
            done, maybe = self.done[key], self.maybe[key]
            found = everything.get(key.encode())
            if found is None:
                true(not done, f"{key} is lost, with {len(done)} values")
                continue
            equal(found[0].decode(), kind, key)
            if kind == "string":
                value = found[1].decode()
                true((done and value == done[-1]) or value in maybe, f"{key} is {value}, not {done[-1:]} or {sorted(maybe)[-3:]}")
                continue
            there = [v.decode() for v in (found[1] if kind in ("list", "set") else [p[0] for p in found[1]])]
            if kind == "list":
                sure = [v for v in there if v not in maybe]
                equal(sure, done, key)
            else:
                equal(len(set(there)), len(there), key)
                true(set(done) <= set(there) <= set(done) | maybe, f"{key}: lost {sorted(set(done) - set(there))[:5]}, "
                     f"from nowhere {sorted(set(there) - set(done) - maybe)[:5]}")


class Writers:
    def __init__(self, c, count=3, replicas=0):
        self.cluster, self.list = c, [Writer(c, i, replicas) for i in range(count)]

    def __enter__(self):
        for w in self.list:
            w.start()
        self.more(200)
        return self

    def __exit__(self, *_):
        for w in self.list:
            w.stopping = True

    def more(self, count=100):
        """Waits until so many more writes were acknowledged."""
        goal = sum(w.acknowledged for w in self.list) + count
        wait_until(lambda: sum(w.acknowledged for w in self.list) >= goal or any(w.trouble for w in self.list), 60,
                   "clients can write")

    def check(self):
        for w in self.list:
            w.stop()
        everything = whole(self.cluster)
        for w in self.list:
            w.check(everything)
        known = {k.encode() for w in self.list for _, k in w.keys}
        true(set(everything) <= known, f"keys from nowhere: {sorted(set(everything) - known)[:5]}")


def step(node, ms):
    equal(text(node, "DEBUG", "SLOT-MIGRATION-DELAY", ms), "OK")


def settled(c):
    """One map, and nobody has keys of slots that are not its own."""
    c.wait_ok(60)
    for node in c.nodes:
        wait_until(lambda: all(m["state"] in ENDED for m in moves(node)), 60, "no migration is under way")

    def clean():
        try:
            whole(c)
        except (AssertionError, KeyError): # a key on both sides, or one that moved meanwhile
            return False
        rows = [(n, {s for a, b in ranges_of(c, n) for s in range(a, b + 1)}) for n in c.nodes
                if "master" in c.table(n)[c.id_of(n)]["flags"]]
        for node, mine in rows:
            with node.connect() as x:
                told = x.pipeline([("CLUSTER", "COUNTKEYSINSLOT", s) for s in range(16384)])
            if any(count[1] and s not in mine for s, count in enumerate(told)):
                return False
        return True
    wait_until(clean, 60, "every key is where its slot is", step=0.3)
