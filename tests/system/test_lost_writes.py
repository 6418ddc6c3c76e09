"""Writes that only a master had which was replaced: they are saved to a file before they are dropped."""
import glob
import os
import signal
import threading
import time

from harness.cluster import fields
from harness.features import needs
from harness.proxy import Proxy
from harness.resp import Connection, ConnectionLost, plain, show
from harness.runner import equal, test, true
from harness.server import Server, redis, subject_is_redis, wait_until
from harness.shards import pairs, ready, role, six


def files(server):
    return sorted(os.path.basename(f) for f in glob.glob(os.path.join(server.folder, "lost-writes-*")))


def commands_of(server, name):
    """The file's commands, without SELECT, each with its database."""
    with open(os.path.join(server.folder, name), "rb") as f:
        rest, db, found = f.read(), None, []
    while rest:
        true(rest[:1] == b"*", "an array")
        count, rest = rest[1:].split(b"\r\n", 1)
        words = []
        for _ in range(int(count)):
            size, rest = rest[1:].split(b"\r\n", 1)
            words.append(rest[:int(size)])
            rest = rest[int(size) + 2:]
        if words[0].upper() == b"SELECT":
            db = int(words[1])
        else:
            found.append([db] + words)
    return found


def follow_through(replica, port):
    with replica.connect() as c:
        c.must("REPLICAOF", "127.0.0.1", port)
    wait_until(lambda: replica.info("replication").get("master_link_status") == "up", 60, "the link")


def split(primary, replica, write):
    """Replica has everything but what `write` does; primary is killed; replica leads."""
    with Proxy(primary.port) as gate:
        follow_through(replica, gate.port)
        with primary.connect() as c:
            c.must("SET", "shared", 1)
            c.must("SELECT", 3)
            c.must("SET", "shared3", 1)
            equal(c.must("WAIT", 1, 30000), 1)
            gate.shut = True
            write(c)
        primary.kill()
        with replica.connect() as c:
            c.must("REPLICAOF", "NO", "ONE")
            c.must("SET", "new", "yes")


def unshared(c):
    c.must("SELECT", 3)
    c.must("SET", "lost:1", "one")
    c.must("SELECT", 0)
    c.pipeline([("MULTI",), ("SET", "lost:2", "two"), ("INCR", "lost:3"), ("EXEC",)])
    c.must("DEL", "shared")
    c.must("RPUSH", "lost:list", "a", "b")


UNSHARED = [[3, b"SET", b"lost:1", b"one"], [0, b"MULTI"], [0, b"SET", b"lost:2", b"two"], [0, b"INCR", b"lost:3"],
            [0, b"EXEC"], [0, b"DEL", b"shared"], [0, b"RPUSH", b"lost:list", b"a", b"b"]]


def check_return(old, new):
    """The old primary comes back as a replica of the new one: the data is the new one's, the file has what was dropped."""
    old.restart(kill=True, replicaof=["127.0.0.1", new.port])
    wait_until(lambda: old.info("replication").get("master_link_status") == "up", 60, "the link")
    info = old.info("replication")
    equal(files(old), [info["lost_writes_last_file"]])
    equal([info["lost_writes"], info["lost_writes_files"]], ["5", "1"], "commands and files")
    equal(commands_of(old, files(old)[0]), UNSHARED)
    with old.connect() as c:
        equal([plain(c.command("GET", k)) for k in ("shared", "new", "lost:2")], [b"1", b"yes", None])
        equal(c.must("EXISTS", "lost:list", "lost:3"), 0)
    with open(old.log_path) as f:
        equal(f.read().count("lost_writes_saved"), 1, "lines in the log")


@test("a master that was replaced saves the writes that only it had, before a copy drops them", seconds=120)
def _():
    needs("replication")
    with Server() as old, Server() as new:
        split(old, new, unshared)
        check_return(old, new)
        # Once more from there: nothing is lost, nothing is written.
        old.restart(kill=True)
        wait_until(lambda: old.info("replication").get("master_link_status") == "up", 60, "the link")
        equal(len(files(old)), 1)
        # The file can be run again.
        with open(os.path.join(old.folder, files(old)[0]), "rb") as f, new.connect() as c:
            data = f.read()
            c.send_raw(data)
            for _ in range(data.count(b"\r\n*") + 1):
                c.read()
            equal(plain(c.command("GET", "lost:2")), b"two")


@test("FLUSHALL, FLUSHDB and SWAPDB that only the old master had are in the file and named in the log, and undone", seconds=120)
def _():
    needs("replication")
    if subject_is_redis():
        return

    def drastic(c):                               # database 3
        c.must("SET", "lost:1", "one")
        c.must("SWAPDB", 0, 3)
        c.must("FLUSHDB")
        c.must("SELECT", 0)
        c.pipeline([("MULTI",), ("SET", "lost:2", "two"), ("FLUSHALL",), ("SET", "lost:3", "three"), ("EXEC",)])
        c.must("SWAPDB", 0, 9)

    for make in (Server, redis):
        with Server() as old, make() as new:
            split(old, new, drastic)
            old.restart(kill=True, replicaof=["127.0.0.1", new.port])
            wait_until(lambda: old.info("replication").get("master_link_status") == "up", 60, "the link")
            found = [[w[0], w[1].upper()] + w[2:] for w in commands_of(old, files(old)[0])]
            equal([w for w in found if w[1] not in (b"MULTI", b"EXEC")],
                  [[3, b"SET", b"lost:1", b"one"], [0, b"SWAPDB", b"0", b"3"], [3, b"FLUSHDB"], [0, b"SET", b"lost:2", b"two"],
                   [0, b"FLUSHDB"], [0, b"SET", b"lost:3", b"three"], [0, b"SWAPDB", b"0", b"9"]])
            with old.connect() as c:
                equal([plain(c.command("GET", k)) for k in ("shared", "new", "lost:3")], [b"1", b"yes", None])
                c.must("SELECT", 3)
                equal([plain(c.command("GET", k)) for k in ("shared3", "lost:1")], [b"1", None])
                c.must("SELECT", 9)
                equal(c.must("DBSIZE"), 0)
            with open(old.log_path) as f:
                true(" of_databases=4" in f.read(), "the log counts what changed whole databases")


@test("the writes are saved also when the new master is a Redis, and through two changes of history", seconds=120)
def _():
    needs("replication")
    if subject_is_redis():
        return
    with Server() as old, redis() as new:
        split(old, new, unshared)
        check_return(old, new)
    with Server() as old, Server() as new, Server() as newer:
        split(old, new, unshared)
        follow_through(newer, new.port)
        with newer.connect() as c:
            c.must("REPLICAOF", "NO", "ONE")
        check_return(old, newer)


@test("lost-writes-bytes-max bounds the files; 0 saves none; another primary's data is no loss", seconds=120)
def _():
    needs("replication")
    if subject_is_redis():
        return

    def much(c):
        for i in range(50):
            c.must("SET", f"lost:{i}", "x" * 1000)

    with Server(lost_writes_bytes_max="20kb") as old, Server() as new:
        split(old, new, much)
        old.restart(kill=True, replicaof=["127.0.0.1", new.port])
        wait_until(lambda: old.info("replication").get("master_link_status") == "up", 60, "the link")
        found = commands_of(old, files(old)[0])
        true(10 <= len(found) <= 20, f"{len(found)} commands in 20 kB")
        equal([w[2] for w in found], [f"lost:{i}".encode() for i in range(len(found))], "the first ones")
        true(int(old.info("replication")["lost_writes_bytes"]) <= 20480, "the bound")
        with open(old.log_path) as f:
            true(" cut=1" in f.read(), "the log says that there was more")
    with Server(lost_writes_bytes_max="0") as old, Server() as new:
        split(old, new, unshared)
        old.restart(kill=True, replicaof=["127.0.0.1", new.port])
        wait_until(lambda: old.info("replication").get("master_link_status") == "up", 60, "the link")
        equal(files(old), [])
    with Server() as one, Server() as other:
        with one.connect() as c:
            c.must("SET", "a", 1)
        follow_through(one, other.port)
        equal(files(one), [])


class Writer(threading.Thread):
    """SETs of ever new keys of one slot, at a node that may be the master; notes what was acknowledged."""

    def __init__(self, port, tag):
        super().__init__(daemon=True)
        self.port, self.tag, self.acknowledged, self.done = port, tag, [], threading.Event()

    def run(self):
        try:
            with Connection(self.port, timeout=20.0) as c:
                for n in range(10**9):
                    if self.done.is_set():
                        return
                    key = f"{{{self.tag}}}{n}"
                    if show(c.command("SET", key, n)) != "+OK":
                        return
                    self.acknowledged.append(key)
        except (OSError, ConnectionLost, TimeoutError):
            pass


@test("in a cluster: what a master acknowledged while it was taken over is either there or in its file", seconds=180)
def _():
    needs("replication")
    with six() as c:
        ready(c)
        tag = next(f"t{i}" for i in range(10000)
                   if c.owner(c.nodes[0].connect().must("CLUSTER", "KEYSLOT", f"t{i}")) is pairs(c)[0][0])
        saved = 0
        for turn in range(6):
            slot = c.nodes[0].connect().must("CLUSTER", "KEYSLOT", tag)
            master = c.owner(slot)
            wait_until(lambda: len(pairs(c)) == 3, 30, "replicas")
            replica = next(r for m, r in pairs(c) if m is master)
            before = set(files(master))
            writers = [Writer(master.port, f"{tag}}}{{{turn}.{n}") for n in range(3)]
            for w in writers:
                w.start()
            wait_until(lambda: all(len(w.acknowledged) > 10 for w in writers), 30, "everybody writes")
            replica.pause()                                       # it does not read meanwhile
            time.sleep(0.2)
            with replica.connect() as r:
                r.send("CLUSTER", "FAILOVER", "TAKEOVER")
                os.kill(replica.process.pid, signal.SIGCONT)
                equal(show(r.read()), "+OK")
            wait_until(lambda: role(master) == "slave", 30, "the old master follows")
            for w in writers:
                w.done.set()
                w.join()
            wait_until(lambda: fields_of(master)["master_link_status"] == "up", 60, "its link")
            acknowledged = {key.encode() for w in writers for key in w.acknowledged}
            true(len(acknowledged) > 10, "acknowledged writes")
            with replica.connect() as r:
                keys = list(acknowledged)
                there = {k for k, v in zip(keys, r.pipeline([("EXISTS", k) for k in keys])) if v[1] == 1}
            new = set(files(master)) - before
            found = {w[2] for name in new for w in commands_of(master, name) if w[1] == b"SET"}
            equal(sorted(acknowledged - there - found)[:5], [], "acknowledged, and neither there nor saved")
            equal(sorted(found & there)[:5], [], "saved, and yet there")
            saved += len(found)
            ready(c)
        print(f"      {saved} writes were saved in six takeovers")


def fields_of(node):
    with node.connect() as c:
        return fields(c.must("INFO", "replication"))
