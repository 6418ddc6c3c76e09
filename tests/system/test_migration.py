"""Slots that move the way today's tools move them: SETSLOT, MIGRATE, ASK; redis-cli's reshard, rebalance, fix and import."""
import os
import random
import select
import socket
import subprocess
import threading
import time

from redis.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot

from harness import dump
from harness.cluster import Cluster, cli
from harness.moving import (SLOT, as_text, close_slot, fill, healthy, move_keys, open_slot, reshard, rows_of, same, text,
                            whole)
from harness.resp import plain
from harness.runner import equal, test, true
from harness.server import REDIS, Server, subject_is_redis, temporary_folder, wait_until


@test("CLUSTER SETSLOT checks what it is told, shows the open slots and remembers them over kill -9")
def _():
    with Cluster(3) as c:
        a, b, d = c.nodes # the slot is the third one's
        mine, other = c.id_of(d), c.id_of(a)
        unknown = "f" * 40
        equal(text(a, "CLUSTER", "SETSLOT", SLOT, "MIGRATING", mine), f"-ERR I'm not the owner of hash slot {SLOT}")
        equal(text(d, "CLUSTER", "SETSLOT", SLOT, "IMPORTING", other), f"-ERR I'm already the owner of hash slot {SLOT}")
        equal(text(d, "CLUSTER", "SETSLOT", SLOT, "MIGRATING", unknown), f"-ERR I don't know about node {unknown}")
        equal(text(a, "CLUSTER", "SETSLOT", SLOT, "IMPORTING", unknown), f"-ERR I don't know about node {unknown}")
        equal(text(a, "CLUSTER", "SETSLOT", SLOT, "NODE", unknown), f"-ERR Unknown node {unknown}")
        equal(text(a, "CLUSTER", "SETSLOT", SLOT, "SOMETHING"),
              "-ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP")
        equal(text(a, "CLUSTER", "SETSLOT", 16384, "STABLE"), "-ERR Invalid or out of range slot")
        open_slot(c, d, a)
        true(f"[{SLOT}->-{other}]" in rows_of(c, d), str(rows_of(c, d)))
        true(f"[{SLOT}-<-{mine}]" in rows_of(c, a), str(rows_of(c, a)))
        for node in (a, d):
            node.restart(kill=True)
        c.wait_ok()
        true(f"[{SLOT}->-{other}]" in rows_of(c, d), str(rows_of(c, d)))
        true(f"[{SLOT}-<-{mine}]" in rows_of(c, a), str(rows_of(c, a)))
        equal(text(d, "SET", "foo", "1"), f"-ASK {SLOT} {a.address}") # a key that is not there is the target's
        for node in (a, d):
            equal(text(node, "CLUSTER", "SETSLOT", SLOT, "STABLE"), "OK")
            true(not any("[" in s for s in rows_of(c, node)), str(rows_of(c, node)))
        equal(text(d, "SET", "foo", "1"), "OK")
        equal(text(d, "CLUSTER", "SETSLOT", SLOT, "NODE", other),
              f"-ERR Can't assign hashslot {SLOT} to a different node while I still hold keys for this hash slot.")
        open_slot(c, d, a)
        move_keys(d, a)
        before = int(c.info(a)["cluster_current_epoch"])
        equal(text(a, "CLUSTER", "SETSLOT", SLOT, "NODE", other), "OK")
        true(int(c.info(a)["cluster_my_epoch"]) > before, "the end of an import takes a new epoch")
        wait_until(lambda: c.owner(SLOT) is a and c.agree(), 10, "all know the new owner")
        same(whole(c), {b"foo": (b"string", b"1", -1)})


@test("while a slot moves: ASK, TRYAGAIN, ASKING, and MULTI with EXEC on both sides")
def _():
    with Cluster(3) as c:
        target, _, source = c.nodes
        with source.connect() as s, target.connect() as t:
            s.must("MSET", "{foo}here", "1", "{foo}moves", "2")
            open_slot(c, source, target)
            s.must("MIGRATE", "127.0.0.1", target.port, "{foo}moves", 0, 5000)
            ask = f"-ASK {SLOT} {target.address}"
            again = "-TRYAGAIN Multiple keys request during rehashing of slot"
            moved = f"-MOVED {SLOT} {source.address}"
            equal(as_text(s.command("GET", "{foo}here")), "1")
            equal(as_text(s.command("GET", "{foo}moves")), ask)
            equal(as_text(s.command("SET", "{foo}new", "x")), ask)
            equal(as_text(s.command("MGET", "{foo}here", "{foo}moves")), again)
            equal(as_text(s.command("MGET", "{foo}new", "{foo}moves")), ask)
            equal(as_text(t.command("GET", "{foo}moves")), moved)
            t.must("ASKING")
            equal(as_text(t.command("GET", "{foo}moves")), "2")
            equal(as_text(t.command("GET", "{foo}moves")), moved) # for one command
            t.must("ASKING")
            equal(as_text(t.command("MGET", "{foo}moves", "{foo}here")), again)
            t.must("ASKING")
            equal(as_text(t.command("SET", "{foo}new", "x")), "OK")
            # ASKING in front of MULTI is for all of it
            for words, reply in ((("ASKING",), "OK"), (("MULTI",), "OK"), (("SET", "{foo}new", "y"), "QUEUED"),
                                 (("GET", "{foo}moves"), "QUEUED"), (("EXEC",), ["OK", "2"]), (("GET", "{foo}new"), moved)):
                equal(as_text(t.command(*words)), reply, str(words))
            # the source refuses what is away when it is queued, and the transaction with it
            for words, reply in ((("MULTI",), "OK"), (("INCR", "{foo}here"), "QUEUED"), (("INCR", "{foo}moves"), ask),
                                 (("EXEC",), "-EXECABORT Transaction discarded because of previous errors."),
                                 (("GET", "{foo}here"), "1")):
                equal(as_text(s.command(*words)), reply, str(words))
            # or when it went away since
            for words, reply in ((("MULTI",), "OK"), (("INCR", "{foo}here"), "QUEUED")):
                equal(as_text(s.command(*words)), reply, str(words))
            equal(text(source, "MIGRATE", "127.0.0.1", target.port, "{foo}here", 0, 5000), "OK")
            equal(as_text(s.command("EXEC")), ask)
            close_slot(c, source, target)
        c.wait_ok()
        same(whole(c), {b"{foo}here": (b"string", b"1", -1), b"{foo}moves": (b"string", b"2", -1),
                        b"{foo}new": (b"string", b"y", -1)})


def migrate_texts(source, target, nobody, locked):
    """What MIGRATE says in all cases; the caller compares. source is not in a cluster."""
    said = []

    def migrate(*words, port=target.port):
        said.append((words, text(source, "MIGRATE", "127.0.0.1", port, *words)))

    with source.connect() as s, target.connect() as t:
        s.must("MSET", "a", "1", "b", "2", "c", "3")
        s.must("PEXPIRE", "b", "100000")
        s.must("RPUSH", "list", *range(2000))
        migrate("none", 0, 30000)
        migrate("", 0, 30000, "KEYS", "none", "neither")
        migrate("a", 0, 30000, "KEYS", "b")
        migrate("a", 0, 30000, "SOMETHING")
        migrate("a", "x", 1000)
        migrate("a", 0, "x")
        migrate("a", 0, 30000, "COPY")
        migrate("a", 0, 30000)
        migrate("a", 0, 30000, "REPLACE")
        migrate("", 0, 30000, "KEYS", "none", "b", "list")
        migrate("c", 0, 30000, port=nobody)
        migrate("c", 0, 30000, "AUTH", "wrong")
        migrate("c", 0, 30000, port=locked.port)
        migrate("c", 0, 30000, "AUTH", "wrong", port=locked.port)
        migrate("c", 0, 30000, "AUTH2", "default", "wrong", port=locked.port)
        migrate("c", 0, 30000, "AUTH2", "default", "secret", "COPY", port=locked.port)
        migrate("c", 0, 30000, "COPY", "AUTH", "secret", "REPLACE", port=locked.port)
        migrate("c", 99, 30000)
        t.must("SET", "y", "old")
        s.must("MSET", "x", "1", "y", "2", "z", "3")
        migrate("", 0, 0, "KEYS", "x", "y", "z")
        said.append(("left", sorted(as_text(s.command("KEYS", "*")))))
        said.append(("there", sorted(as_text(t.command("KEYS", "*")))))
        said.append(("length", as_text(t.command("LLEN", "list"))))
        said.append(("expires", 50000 < t.must("PTTL", "b") <= 100000))
        said.append(("kept", as_text(t.command("GET", "y"))))
    return said


@test("MIGRATE answers as Redis does: missing keys, taken names, options, passwords, ports where nobody listens")
def _():
    with Server() as nobody:
        pass
    answers = []
    for binary, other in ((None, None), (REDIS, REDIS), (None, REDIS), (REDIS, None)):
        with Server(binary=binary) as source, Server(binary=other) as target, \
                Server(binary=other, requirepass="secret") as locked:
            locked_words = migrate_texts(source, target, nobody.port, locked)
            answers.append(locked_words)
    for i, (ours, theirs) in enumerate(zip(answers[0], answers[1])):
        equal(ours, theirs, f"line {i}")
    for name, some in (("to Redis", answers[2]), ("from Redis", answers[3])):
        for ours, theirs in zip(some, answers[1]):
            equal(ours, theirs, name)


@test("MIGRATE of a value of 40 MB and of 3000 keys at once; a target that does not answer costs its timeout and nothing else")
def _():
    with Server() as source, Server() as target, source.connect() as s, target.connect() as t:
        s.must("SET", "large", os.urandom(40 << 20))
        for i in range(0, 60000, 2000):
            s.must("HSET", "hash", *[w for n in range(i, i + 2000) for w in (f"field{n}", f"value{n}")])
        s.pipeline([("SET", f"k{i}", str(i)) for i in range(3000)])
        before = dump.dump(s)
        s.must("MIGRATE", "127.0.0.1", target.port, "", 0, 60000, "KEYS", "large", "hash", *[f"k{i}" for i in range(3000)])
        equal(s.must("DBSIZE"), 0)
        same(dump.dump(t), before)
        s.must("SET", "x", "1")
        if subject_is_redis(): # everybody waits there
            return
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen()
            deaf.settimeout(60)
            done = []

            def go():
                began = time.time()
                done.append((text(source, "MIGRATE", "127.0.0.1", deaf.getsockname()[1], "x", 0, 3000), time.time() - began))

            mover = threading.Thread(target=go)
            mover.start()
            heard, _ = deaf.accept()
            heard.settimeout(60)
            true(heard.recv(1), "the key is on its way")
            equal(as_text(s.command("GET", "x")), "1")
            s.must("SET", "y", "1")
            s.must("MULTI")
            s.must("GET", "x")
            equal(as_text(s.command("EXEC")), ["1"])
            true(not done, "readers of the key and writers of others go on")
            with source.connect() as other:
                for words in (("MULTI",), ("INCR", "z"), ("INCR", "x")):
                    other.must(*words)
                other.send("EXEC")
                s.send("INCR", "x")
                answered, _, _ = select.select([other.socket, s.socket], [], [], 0.3)
                true(not answered or done, "the writers of the key wait")
                equal(plain(s.read()) in (2, 3), True) # and neither is lost
                equal(as_text(other.read())[0], 1)
            mover.join()
            heard.close()
            equal(done[0][0], "-IOERR error or timeout reading to target instance")
            true(2.5 < done[0][1] < 20, f"after {done[0][1]:.2f} s")
            equal(as_text(s.command("GET", "x")), "3")


def keys_in(slots, count):
    """Names whose slots are below `slots`: reshard takes a node's lowest slots first."""
    names, i = [], 0
    while len(names) < count:
        if key_slot(f"w{i}".encode()) < slots:
            names.append(f"w{i}")
        i += 1
    return names


class Writer(threading.Thread):
    """Changes keys of its own through redis-py, which follows MOVED and ASK, and knows what must be there at the end."""

    def __init__(self, c, number, names):
        super().__init__()
        self.client = RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", c.nodes[number % 3].port)])
        self.names, self.over, self.done, self.failed = names, threading.Event(), 0, None
        self.wanted, self.rng = {}, random.Random(number)

    def run(self):
        try:
            while not self.over.is_set():
                self.one(self.names[self.done % len(self.names)], self.done)
                self.done += 1
        except Exception as e: # told by the test
            self.failed = e

    def one(self, name, i):
        kind = self.names.index(name) % 4
        if kind == 0:
            value = self.client.incr(name)
            self.wanted[name] = (b"string", str(int(self.wanted.get(name, (0, b"0"))[1]) + 1).encode(), -1)
            equal(value, int(self.wanted[name][1]), name)
        elif kind == 1:
            self.client.rpush(name, i)
            self.wanted[name] = (b"list", self.wanted.get(name, (0, []))[1] + [str(i).encode()], -1)
        elif kind == 2:
            at = int(time.time() * 1000) + 3600_000 + i
            self.client.set(name, i, pxat=at)
            self.wanted[name] = (b"string", str(i).encode(), at)
        elif self.rng.random() < 0.4:
            self.client.delete(name)
            self.wanted.pop(name, None)
        else:
            self.client.hset(name, "f", i)
            self.wanted[name] = (b"hash", [(b"f", str(i).encode())], -1)


@test("slots move back and forth with redis-cli reshard while writers go on, and no write is lost", seconds=300)
def _():
    with Cluster(3) as c:
        fill(c, 600)
        before = whole(c)
        names = keys_in(40, 64)
        writers = [Writer(c, n, names[n::4]) for n in range(4)]
        for w in writers:
            w.start()
        try:
            for _ in range(2):
                reshard(c, c.nodes[0], c.nodes[1], 40)
                reshard(c, c.nodes[1], c.nodes[0], 40) # its lowest are those that came
        finally:
            for w in writers:
                w.over.set()
            for w in writers:
                w.join()
        for w in writers:
            true(w.failed is None, f"after {w.done} writes: {w.failed!r}")
            true(w.done > 100, f"only {w.done} writes")
            before.update({k.encode(): v for k, v in w.wanted.items()})
        healthy(c)
        same(whole(c), before)


@test("redis-cli add-node, rebalance --cluster-use-empty-masters, set-timeout, backup, and del-node of the emptied node", seconds=300)
def _():
    with Cluster(3) as c:
        fill(c, 1000)
        before = whole(c)
        new = c.add_server()
        cli("--cluster", "add-node", new.address, c.nodes[0].address)
        c.wait_ok()
        mine = c.id_of(new)
        wait_until(lambda: all(mine in c.table(n) for n in c.nodes), 10, "all know the new node")
        cli("--cluster", "rebalance", c.nodes[0].address, "--cluster-use-empty-masters", "--cluster-weight", f"{mine}=0.01")
        wait_until(c.agree, 10, "one map")
        moved = sum(last - first + 1 for first, last, port, _ in c.slot_map(c.nodes[0]) if port == new.port)
        true(40 <= moved <= 70, f"{moved} slots")
        same(whole(c), before)
        cli("--cluster", "set-timeout", c.nodes[0].address, 4000)
        equal(text(new, "CONFIG", "GET", "cluster-node-timeout"), ["cluster-node-timeout", "4000"])
        folder = temporary_folder()
        cli("--cluster", "backup", c.nodes[0].address, folder)
        equal(len([f for f in os.listdir(folder) if f.endswith(".rdb")]), 4)
        cli("--cluster", "rebalance", c.nodes[0].address, "--cluster-weight", f"{mine}=0")
        wait_until(c.agree, 10, "one map")
        cli("--cluster", "del-node", c.nodes[0].address, mine)
        c.nodes.remove(new)
        c.wait_ok()
        wait_until(lambda: all(mine not in c.table(n) for n in c.nodes), 10, "it is forgotten")
        new.__exit__()
        same(whole(c), before)


@test("redis-cli --cluster import takes over a standalone Redis, and one of ours")
def _():
    for binary in (REDIS, None):
        with Cluster(3) as c, Server(binary=binary) as old, old.connect() as x:
            x.pipeline([("SET", f"s{i}", str(i)) for i in range(2500)]) # redis-cli reads names by the thousand
            x.must("RPUSH", "list", *range(500))
            x.must("ZADD", "zset", "1.5", "a", "inf", "b")
            x.must("PEXPIRE", "s7", "500000")
            before = dump.dump(x)
            cli("--cluster", "import", c.nodes[0].address, "--cluster-from", old.address, "--cluster-copy")
            equal(x.must("DBSIZE"), 2502)
            cli("--cluster", "import", c.nodes[0].address, "--cluster-from", old.address, "--cluster-replace")
            equal(x.must("DBSIZE"), 0)
            same(whole(c), before)


@test("kill -9 of the source or the target in the middle of a reshard, and redis-cli --cluster fix puts it right", seconds=400)
def _():
    for victim in (0, 1):
        with Cluster(3) as c:
            fill(c, 4000, seed=victim)
            before = whole(c)
            words = ["redis-cli", "--cluster", "reshard", c.nodes[0].address, "--cluster-from", c.id_of(c.nodes[0]),
                     "--cluster-to", c.id_of(c.nodes[1]), "--cluster-slots", "400", "--cluster-yes"]
            moving = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1.5)
            c.nodes[victim].kill()
            moving.wait(60)
            c.nodes[victim].start()
            c.wait_ok()
            cli("--cluster", "fix", c.nodes[2].address)
            wait_until(c.agree, 10, "one map")
            healthy(c)
            same(whole(c), before)
            true(0 < sum(port == c.nodes[1].port for _, _, port, _ in c.slot_map(c.nodes[2])), "it owns slots")
