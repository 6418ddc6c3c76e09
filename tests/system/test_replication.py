"""Replication: Cairn and Redis as primary and replica of each other, while random commands are written, through kill -9 of
either side; roles, WAIT, gates, FAILOVER."""
import os
import random
import signal
import socket
import subprocess
import threading
import time

from harness import dump
from harness.certificates import certificate
from harness.features import needs
from harness.random_commands import Commands
from harness.resp import ConnectionLost, encode, plain, show
from harness.runner import equal, test, true
from harness.server import REDIS_CLI, Server, free_port, redis, subject_is_redis, temporary_folder, wait_until

DATABASES = (0, 3)
BOUND = 80000                             # commands, about 8 MB of the stream


def seed_of(default):
    seed = int(os.environ.get("CAIRN_SEED", default))
    print(f"      CAIRN_SEED={seed}")
    return seed


def follow(replica, primary):
    with replica.connect() as c:
        c.must("REPLICAOF", "127.0.0.1", primary.port)
    wait_linked(replica)


def wait_linked(replica, seconds=60):
    wait_until(lambda: replica.info("replication").get("master_link_status") == "up", seconds, "the replication link")


def offset(server):
    return int(server.info("replication")["master_repl_offset"])


def wait_caught_up(replica, primary, seconds=60):
    """The primary is quiet: the replica has every byte. It may take as long as it goes on: so many seconds without a step are too many."""
    def step():
        here, there = offset(replica), offset(primary)
        if here != there and here == last[0]:
            return False
        last[0] = here
        return True
    last = [-1]
    while offset(replica) != offset(primary):
        wait_until(step, seconds, f"a step of the replica's offset from {last[0]} to its primary's {offset(primary)}")


def same_data(replica, primary):
    time.sleep(0.1)                           # keys that live for less than that are gone, here and there
    wait_caught_up(replica, primary)
    with replica.connect() as a, primary.connect() as b:
        for db in DATABASES:
            a.must("SELECT", db)
            b.must("SELECT", db)
            found = dump.differences(dump.dump(a), dump.dump(b))
            if found:
                raise AssertionError(f"database {db}:\n" + "\n".join(found))


class Writer(threading.Thread):
    """
    Random commands of all types, MULTI/EXEC, several databases, expiries, until told to stop. most: or so many are written: where
    a slow replica is killed under them, the primary's backlog has to last, and the replica has to come to an end.
    """

    def __init__(self, server, seed, flushes=True, most=10**9):
        super().__init__(daemon=True)
        self.server, self.rng, self.flushes, self.most = server, random.Random(seed), flushes, most
        self.done, self.count, self.error = threading.Event(), 0, None

    def batch(self, commands):
        words = [commands.next_command()[0] for _ in range(self.rng.randrange(1, 40))]
        r = self.rng.random()
        if r < 0.2:
            words = [["MULTI"]] + words + [["EXEC"]]
        elif r < 0.25:
            words = [["SELECT", self.rng.choice(DATABASES)]] + words
        elif r < 0.26 and self.flushes:
            words.append(["FLUSHDB"] if self.rng.random() < 0.8 else ["FLUSHALL"])
        elif r < 0.27 and self.flushes:
            words.append(["SWAPDB", *DATABASES])
        elif r < 0.35:
            words.append(["SET", f"soon:{self.rng.randrange(20)}", "v", "PX", self.rng.randrange(1, 60)])
        return words

    def run(self):
        commands = Commands(self.rng)
        try:
            with self.server.connect() as c:
                while not self.done.is_set() and self.count < self.most:
                    words = self.batch(commands)
                    c.pipeline(words)
                    self.count += len(words)
        except (OSError, ConnectionLost):
            pass                              # the server was killed
        except Exception as e:                # pylint: disable=broad-except
            self.error = e

    def stop(self):
        self.done.set()
        self.join()
        if self.error:
            raise self.error


def write_for(server, seconds, seed):
    w = Writer(server, seed)
    w.start()
    time.sleep(seconds)
    try:
        wait_until(lambda: w.count > 100 or not w.is_alive(), 30, "something is written")
    finally:
        w.stop()
    true(w.count > 100, "something was written")


def a_pair(primary, replica, seed):
    """A whole copy while writes go on, then the stream; then the data is the same."""
    write_for(primary, 1, seed)
    w = Writer(primary, seed + 1, most=BOUND)
    w.start()
    follow(replica, primary)
    time.sleep(3)
    w.stop()
    same_data(replica, primary)


@test("a Cairn replica of a Cairn primary has the same data, through kill -9 of either side", seconds=180)
def _():
    needs("replication")
    seed = seed_of(1)
    with Server() as primary, Server() as replica:
        a_pair(primary, replica, seed)
        for turn, victim in enumerate((replica, primary, replica, primary)):
            before = primary.info("stats")
            w = Writer(primary, seed + 10 + turn, most=BOUND)
            w.start()
            time.sleep(0.7)
            if victim is replica:
                replica.restart(kill=True, replicaof=["127.0.0.1", primary.port])
                time.sleep(0.7)
                w.stop()
            else:
                primary.restart(kill=True)
                w.stop()
                before = {"sync_full": 0, "sync_partial_ok": 0}
                write_for(primary, 0.5, seed + 20 + turn)
            wait_linked(replica)
            same_data(replica, primary)
            after = primary.info("stats")
            equal(int(after["sync_full"]), int(before["sync_full"]), "whole copies")
            true(int(after["sync_partial_ok"]) > int(before["sync_partial_ok"]), "the replica has continued")


@test("a Cairn replica of a Redis primary has the same data, through kill -9 of the replica", seconds=180)
def _():
    needs("replication")
    if subject_is_redis():
        return
    seed = seed_of(2)
    with redis(repl_diskless_sync_delay=0, repl_backlog_size="64mb") as primary, Server() as replica:
        a_pair(primary, replica, seed)
        for turn in range(3):
            w = Writer(primary, seed + 10 + turn, most=BOUND)
            w.start()
            time.sleep(0.7)
            replica.restart(kill=True, replicaof=["127.0.0.1", primary.port])
            time.sleep(0.7)
            w.stop()
            wait_linked(replica)
            same_data(replica, primary)
        equal(primary.info("stats")["sync_full"], "1", "whole copies")
        true(int(primary.info("stats")["sync_partial_ok"]) >= 3, "continuations")


@test("a Redis replica of a Cairn primary has the same data, through kill -9 of the primary", seconds=180)
def _():
    needs("replication")
    seed = seed_of(3)
    with Server() as primary, redis() as replica:
        a_pair(primary, replica, seed)
        for turn in range(2):
            w = Writer(primary, seed + 10 + turn, most=BOUND)
            w.start()
            time.sleep(0.7)
            primary.restart(kill=True)
            w.stop()
            write_for(primary, 0.5, seed + 20 + turn)
            wait_linked(replica)
            same_data(replica, primary)
            equal(primary.info("stats")["sync_full"], "0", "whole copies")
            true(int(primary.info("stats")["sync_partial_ok"]) >= 1, "continuations")


@test("a chain of Redis, Cairn, Cairn and Redis has one history and one offset", seconds=120)
def _():
    needs("replication")
    seed = seed_of(4)
    with redis(repl_diskless_sync_delay=0) as first, Server() as second, Server() as third, redis() as fourth:
        write_for(first, 0.5, seed)
        follow(second, first)
        follow(third, second)
        follow(fourth, third)
        write_for(first, 1.5, seed + 1)
        for replica in (second, third, fourth):
            same_data(replica, first)
        ids = {s.info("replication")["master_replid"] for s in (first, second, third, fourth)}
        equal(len(ids), 1, "histories")


@test("a promoted replica goes on with the offset, and the others follow it without a copy", seconds=120)
def _():
    needs("replication")
    seed = seed_of(5)
    quiet = {"repl_ping_replica_period": 3600}   # a PING in the wrong moment is a write on another branch
    with Server(**quiet) as first, Server(**quiet) as second, Server(**quiet) as third:
        a_pair(first, second, seed)
        with first.connect() as c:                # nor does anything expire from here on
            for db in DATABASES:
                c.must("SELECT", db)
                for key in dump.scan_all(c):
                    c.must("PERSIST", key)
        follow(third, first)
        wait_until(lambda: offset(first) == offset(second) == offset(third), 60, "all have every byte")
        old = first.info("replication")
        with second.connect() as c:
            c.must("REPLICAOF", "NO", "ONE")
            c.must("SET", "promoted", "yes")
        new = second.info("replication")
        equal(new["role"], "master")
        equal(new["master_replid2"], old["master_replid"], "the former history")
        equal(int(new["second_repl_offset"]), int(old["master_repl_offset"]) + 1, "where it ends")
        for other in (first, third):
            follow(other, second)
            same_data(other, second)
        equal(second.info("stats")["sync_full"], "0", "whole copies")
        # The demoted one wrote something that the others never saw: it copies everything.
        with third.connect() as c:
            c.must("REPLICAOF", "NO", "ONE")
            c.must("SET", "lost", "yes")
        follow(third, second)
        same_data(third, second)
        with third.connect() as c:
            equal(plain(c.command("GET", "lost")), None, "a write on another branch")


@test("a replica that starts without being one any more begins a history of its own", seconds=60)
def _():
    needs("replication")
    with Server() as primary, Server() as replica:
        follow(replica, primary)
        with primary.connect() as c:
            c.must("SET", "a", 1)
        wait_caught_up(replica, primary)
        replid = primary.info("replication")["master_replid"]
        replica.restart(kill=True)
        info = replica.info("replication")
        equal(info["role"], "master")
        true(info["master_replid"] != replid, "another history")
        equal(info["master_replid2"], replid, "its ancestor")


@test("a replica serves its old data until a whole copy is in place, and keeps it when the copy breaks off", seconds=120)
def _():
    needs("replication")
    with Server() as primary, Server() as replica:
        with replica.connect() as c:
            c.must("SET", "old", "data")
        with primary.connect() as c:
            for i in range(100):
                c.pipeline([("SET", f"k:{i}:{j}", "x" * 500) for j in range(500)])
        with replica.connect() as c:
            words = [("REPLICAOF", "127.0.0.1", primary.port), ("DBSIZE",), ("GET", "old")]
            equal([plain(r) for r in c.pipeline(words)], [b"OK", 1, b"data"], "the old data after REPLICAOF")
            while replica.info("replication")["master_link_status"] != "up":
                size = c.must("DBSIZE")
                if size == 1:
                    value = c.command("GET", "old")
                    true(plain(value) in (b"data", None), "the old value")
                else:
                    true(size in (1, 50000), f"all or nothing, not {size} keys")
            equal(c.must("DBSIZE"), 50000)
            equal(plain(c.command("GET", "old")), None)
        # A copy that breaks off: kill -9 of the replica in the middle of another one.
        with replica.connect() as c:
            c.must("REPLICAOF", "NO", "ONE")
            c.must("FLUSHALL")
            c.must("SET", "old", "again")
            c.must("REPLICAOF", "127.0.0.1", primary.port)
        time.sleep(0.05)
        primary.kill()
        replica.restart(kill=True)
        with replica.connect() as c:
            true(c.must("DBSIZE") in (1, 50000), "old or new, whole")


@test("ROLE, INFO, READONLY, MASTERDOWN, NOREPLICAS and CLIENT LIST tell about replication", seconds=90)
def _():
    needs("replication")
    file_says = {} if subject_is_redis() else {"replica_read_only": "no"}
    with Server(**file_says) as primary, Server() as replica:
        follow(replica, primary)
        wait_until(lambda: primary.info("replication").get("slave0", "").count("state=online"), 10, "an online replica")
        with primary.connect() as p, replica.connect() as r:
            p.must("SET", "a", 1)
            equal(p.must("WAIT", 1, 20000), 1)
            equal(plain(r.command("GET", "a")), b"1")
            equal(r.command("SET", "a", 2)[1], b"READONLY You can't write against a read only replica.")
            if not subject_is_redis():
                refusal = r.command("CONFIG", "SET", "replica-read-only", "no")
                true(refusal[0] == "-" and b"a replica cannot be written to" in refusal[1], str(refusal))
                equal(plain(r.command("CONFIG", "GET", "replica-read-only")), [b"replica-read-only", b"yes"])
                equal(plain(p.command("CONFIG", "GET", "replica-read-only")), [b"replica-read-only", b"yes"])
            role = plain(p.command("ROLE"))
            equal([role[0], role[2][0][:2]], [b"master", [b"127.0.0.1", str(replica.port).encode()]])
            role = plain(r.command("ROLE"))
            equal(role[:4], [b"slave", b"127.0.0.1", primary.port, b"connected"])
            equal(plain(r.command("CONFIG", "GET", "replicaof")), [b"replicaof", f"127.0.0.1 {primary.port}".encode()])
            equal(plain(p.command("CONFIG", "GET", "replicaof")), [b"replicaof", b""])
            true(b" flags=S " in p.must("CLIENT", "LIST"), "the replica's flag in CLIENT LIST")
            equal(p.must("REPLICAOF", "NO", "ONE"), b"OK")
            equal(plain(r.command("REPLICAOF", "127.0.0.1", primary.port)), b"OK Already connected to specified master")
            equal(r.command("REPLICAOF", "127.0.0.1", "99999")[1], b"ERR Invalid master port")
            true(r.command("WAIT", 0, 0)[1].startswith(b"ERR WAIT cannot be used with replica instances."), "WAIT")
            p.must("CONFIG", "SET", "min-replicas-to-write", 2)
            equal(p.command("SET", "a", 2)[1], b"NOREPLICAS Not enough good replicas to write.")
            p.must("CONFIG", "SET", "min-replicas-max-lag", 0)
            p.must("SET", "a", 2)
            true("min_slaves_good_slaves" not in primary.info("replication"), "a line about good replicas")
            p.must("CONFIG", "SET", "min-replicas-max-lag", 10)
            p.must("CONFIG", "SET", "min-replicas-to-write", 1)
            wait_until(lambda: p.command("SET", "a", 2)[0] == "+", 10, "a good replica")
            r.must("CONFIG", "SET", "replica-serve-stale-data", "no")
            primary.kill()
            wait_until(lambda: r.command("GET", "a")[1] == b"MASTERDOWN Link with MASTER is down and "
                       b"replica-serve-stale-data is set to 'no'.", 10, "MASTERDOWN")
            equal(replica.info("replication")["master_link_status"], "down")


@test("a replica hides expired keys and leaves them to its primary", seconds=60)
def _():
    needs("replication")
    with Server() as primary, Server() as replica:
        follow(replica, primary)
        with primary.connect() as p, replica.connect() as r:
            for life in (500, 4000, 16000):       # the longer ones are for a machine that stands still in between
                p.must("SET", "soon", "v", "PX", life)
                equal(p.must("WAIT", 1, 20000), 1)
                primary.pause()                   # it cannot delete the key
                try:
                    if r.must("DBSIZE") == 1:
                        wait_until(lambda: plain(r.command("GET", "soon")) is None, 30, "the replica hides it")
                        equal(r.must("EXISTS", "soon"), 0)
                        equal(r.must("DBSIZE"), 1)
                        break
                finally:
                    primary.resume()
            else:
                raise AssertionError("the key was gone before the primary stood still, three times")
            wait_until(lambda: r.must("DBSIZE") == 0, 10, "the primary's DEL")


def clients_of(connection):
    """CLIENT LIST as dictionaries."""
    lines = connection.must("CLIENT", "LIST").decode().split("\n")
    return [dict(word.split("=", 1) for word in line.split(" ")) for line in lines if line]


def blocked(server):
    return int(server.info("clients")["blocked_clients"])


@test("clients in WAIT hold nothing: they are listed, unblocked, time out and disconnect like those in BLPOP", seconds=90)
def _():
    needs("replication")
    with Server() as primary:
        waiting = [primary.connect() for _ in range(300)]
        identities = [w.must("CLIENT", "ID") for w in waiting[:2]]
        with primary.connect() as c:
            for w in waiting:
                w.send("SET", "a", 1)
                w.send("WAIT", 1, 0)
            for w in waiting:
                equal(w.read()[1], b"OK")
            wait_until(lambda: blocked(primary) == len(waiting), 20, "all of them to wait")
            # What needs threads that may wait goes on.
            c.pipeline([("SET", f"k:{i}", i) for i in range(100)])
            equal(len(c.must("KEYS", "k:*")), 100)
            equal(sum(l["flags"] == "b" and l["cmd"] == "wait" for l in clients_of(c)), len(waiting))
            equal(c.must("CLIENT", "UNBLOCK", identities[0]), 1)
            equal(c.must("CLIENT", "UNBLOCK", identities[1], "ERROR"), 1)
            equal(waiting[0].read(), (":", 0))
            equal(waiting[1].read()[1], b"UNBLOCKED client unblocked via CLIENT UNBLOCK")
            equal(c.must("CLIENT", "UNBLOCK", identities[0]), 0)
            waiting[0].must("SET", "a", 2)                    # the connection goes on
            for w in waiting[2:]:
                w.close()
            wait_until(lambda: blocked(primary) == 0, 20, "the clients that have gone")
            equal(c.must("WAIT", 1, 50), 0)
            stats = primary.info("commandstats")["cmdstat_wait"]
            calls, failed = (dict(f.split("=") for f in stats.split(","))[name] for name in ("calls", "failed_calls"))
            if not subject_is_redis():                        # Redis 7.0 also counts those that have gone
                equal([calls, failed], ["3", "1"], "calls that ended with an answer")
            # Where nothing may block it answers at once.
            equal(c.pipeline([("MULTI",), ("WAIT", 1, 0), ("EXEC",)])[2][1], [(":", 0)])
            equal(c.command("WAIT", 1, -1)[1], b"ERR timeout is negative")


@test("WAIT ends when the replica has the write, with the master's demotion, and sees only its own client's writes", seconds=90)
def _():
    needs("replication")
    with Server() as primary, Server() as replica:
        follow(replica, primary)
        wait_until(lambda: primary.info("replication").get("slave0", "").count("state=online"), 20, "an online replica")
        with primary.connect() as p, primary.connect() as other:
            replica.pause()
            try:
                p.must("SET", "a", 1)
                p.send("WAIT", 1, 0)
                wait_until(lambda: blocked(primary) == 1, 20, "WAIT")
                equal(other.must("WAIT", 1, 0), 1, "a client that wrote nothing")
            finally:
                os.kill(replica.process.pid, signal.SIGCONT)
            equal(p.read(), (":", 1))
            wait_until(lambda: blocked(primary) == 0, 20, "nobody waits")
            p.send("WAIT", 5, 0)
            wait_until(lambda: blocked(primary) == 1, 20, "WAIT")
            other.must("REPLICAOF", "127.0.0.1", replica.port)
            equal(p.read()[1], b"UNBLOCKED force unblock from blocking operation, instance state changed "
                               b"(master -> replica?)")
            try:
                p.command("PING")
                raise AssertionError("who waited for what a master does is disconnected")
            except (ConnectionLost, OSError):
                pass


@test("the link to the primary is a client with the flag M, and CLIENT KILL TYPE MASTER cuts it", seconds=60)
def _():
    needs("replication")
    with Server() as primary, Server() as replica:
        follow(replica, primary)
        with replica.connect() as r, primary.connect() as p:
            p.must("SET", "a", 1)
            p.must("WAIT", 1, 30000)
            link, = [l for l in clients_of(r) if l["flags"] == "M"]
            equal([link["addr"], link["user"]], [f"127.0.0.1:{primary.port}", "(superuser)"])
            equal(len([l for l in clients_of(p) if l["flags"] == "S" and l["cmd"] == "replconf"]), 1)
            listed = r.must("CLIENT", "LIST", "TYPE", "master").decode()
            equal(listed.count("flags=M"), 1)
            equal(r.must("CLIENT", "KILL", "TYPE", "master"), 1)
            if not subject_is_redis():                        # which gives the next link the same id
                wait_until(lambda: [l["id"] for l in clients_of(r) if l["flags"] == "M"] not in ([], [link["id"]]), 20,
                           "another link")
            p.must("SET", "a", 2)
            equal(p.must("WAIT", 1, 30000), 1)


@test("WAITAOF counts replicas that have the write on stable storage", seconds=60)
def _():
    needs("replication")
    with Server() as primary, Server(appendfsync="always") as replica:
        follow(replica, primary)
        with primary.connect() as p:
            p.must("SET", "a", 1)
            equal(plain(p.command("WAITAOF", 1, 1, 30000)), [1, 1])
            equal(plain(p.command("WAITAOF", 0, 2, 50))[1], 1)
            p.must("CONFIG", "SET", "appendfsync", "no")
            equal(plain(p.pipeline([("SET", "a", 2), ("WAITAOF", 1, 0, 0)])[1])[0], 1, "the own disk")


@test("FAILOVER exchanges the roles without losing a write", seconds=60)
def _():
    needs("replication")
    with Server() as first, Server() as second:
        follow(second, first)
        with first.connect() as c:
            equal(c.command("FAILOVER", "TO", "127.0.0.1", 1)[1], b"ERR FAILOVER target HOST and PORT is not a replica.")
            equal(c.command("FAILOVER", "ABORT")[1], b"ERR No failover in progress.")
            c.must("SET", "before", 1)
            c.must("FAILOVER", "TO", "127.0.0.1", second.port, "TIMEOUT", 60000)
        wait_until(lambda: second.info("replication")["role"] == "master", 10, "the new primary")
        wait_until(lambda: first.info("replication")["master_failover_state"] == "no-failover", 10, "the failover's end")
        wait_linked(first)
        with second.connect() as c:
            c.must("SET", "after", 1)
        same_data(first, second)
        equal(second.info("stats")["sync_full"], "0", "whole copies")


@test("redis-cli --rdb and --replica work against a Cairn primary", seconds=60)
def _():
    needs("replication")
    folder = temporary_folder()
    with Server() as primary:
        with primary.connect() as c:
            c.pipeline([("SET", f"k:{i}", i) for i in range(1000)])
        path = os.path.join(folder, "copy.rdb")
        done = subprocess.run([REDIS_CLI, "-p", str(primary.port), "--rdb", path], capture_output=True, timeout=30, check=False)
        equal(done.returncode, 0, done.stderr.decode())
        with open(path, "rb") as f:
            equal(f.read(5), b"REDIS")
        with open(path, "rb") as f:
            equal(f.read().count(b"k:"), 1000, "keys in the file")
        done = subprocess.run([REDIS_CLI, "-p", str(primary.port), "--functions-rdb", path], capture_output=True, timeout=30,
                              check=False)
        with open(path, "rb") as f:
            equal((done.returncode, f.read().count(b"k:")), (0, 0), done.stderr.decode())
        with primary.connect() as c:
            equal(show(c.command("REPLCONF", "rdb-filter-only", "keys")), "-ERR Unsupported rdb-filter-only option: keys")
            equal(show(c.command("REPLCONF", "rdb-only", "x")), "-ERR value is not an integer or out of range")
            c.must("REPLCONF", "rdb-filter-only", "")
            equal(show(c.command("PSYNC", "?", "-1")), "-ERR Filtered replica requires EOF capability")
        heard = os.path.join(folder, "heard")
        with open(heard, "wb") as said, open(heard, "rb") as hearing:
            listener = subprocess.Popen([REDIS_CLI, "-p", str(primary.port), "--replica"], stdout=said,
                                        stderr=subprocess.DEVNULL)
            try:
                wait_until(lambda: "state=online" in primary.info("replication").get("slave0", ""), 20, "the listener")
                with primary.connect() as c:
                    c.must("SET", "heard", "yes")
                wait_until(lambda: hearing.seek(0) == 0 and b"heard" in hearing.read(), 20, "the write in the listener's output")
            finally:
                listener.kill()
                listener.wait()


@test("a replica logs in with masteruser and masterauth", seconds=60)
def _():
    needs("replication")
    with Server(requirepass="secret") as primary, Server(masterauth="secret") as replica:
        follow(replica, primary)
        with primary.connect() as p:
            p.must("SET", "a", 1)
        wait_caught_up(replica, primary)
        with replica.connect() as r:
            equal(plain(r.command("GET", "a")), b"1")


@test("tls-replication: the link speaks TLS, to and from Redis too, and what is plain or unknown is refused", seconds=180)
def _():
    needs("replication")
    tls, other = certificate(tls_replication="yes"), certificate()
    kinds = [(Server, Server)] if subject_is_redis() else [(Server, Server), (redis, Server), (Server, redis)]
    for make_primary, make_replica in kinds:
        with make_primary(tls_port=free_port(), repl_diskless_sync_delay=0, **tls) as primary, \
                make_replica(tls_port=free_port(), **tls) as replica:
            tls_port = primary.options["tls_port"]
            with replica.connect() as c, primary.connect() as p:
                p.pipeline([("SET", f"k:{i}", "x" * 2000) for i in range(2000)])
                c.must("REPLICAOF", "127.0.0.1", tls_port)
                wait_linked(replica)
                p.pipeline([("SET", f"l:{i}", "y" * 20000) for i in range(200)])
                wait_caught_up(replica, primary)
                equal(c.must("DBSIZE"), 2200)
                line = primary.info("replication")["slave0"]
                true(f"port={replica.options['tls_port']}," in line, line)
                if replica.is_redis:
                    continue
                # A plain port does not answer TLS, and a certificate of somebody else is not believed.
                c.must("REPLICAOF", "127.0.0.1", primary.port)
                time.sleep(1.5)
                equal(replica.info("replication")["master_link_status"], "down")
                c.must("CONFIG", "SET", "tls-ca-cert-file", other["tls_ca_cert_file"])
                c.must("REPLICAOF", "127.0.0.1", tls_port)
                time.sleep(1.5)
                equal(replica.info("replication")["master_link_status"], "down")
                c.must("CONFIG", "SET", "tls-ca-cert-file", tls["tls_ca_cert_file"])
                wait_linked(replica)
                equal(c.must("DBSIZE"), 2200)


def syncs(server):
    stats = server.info("stats")
    return int(stats["sync_full"]), int(stats["sync_partial_ok"])


def write_mb(server, megabytes, tag):
    with server.connect() as c:
        for i in range(megabytes * 4):
            c.pipeline([("SET", f"{tag}:{i % 8}:{j}", os.urandom(500).hex()) for j in range(256)])


@test("a replica that was away continues as far back as wal-retention and repl-backlog-size keep the log, and copies beyond", seconds=180)
def _():
    needs("replication")
    if subject_is_redis():
        return
    small = {"wal_segment_bytes": "256kb", "wal_floor_bytes_max": "512kb", "wal_retention_bytes": "1mb",
             "repl_backlog_size": "24mb", "repl_copy_hold_seconds": "1"}           # what holds the files of a copy holds the log behind it too
    with Server(**small) as primary, Server(**small) as replica:
        follow(replica, primary)
        wait_until(lambda: syncs(primary)[0] == 1, 30, "the first copy")
        before = syncs(primary)
        # Away for 8 MB of log: much more than a restart needs, less than the retention.
        replica.kill()
        write_mb(primary, 8, "a")
        time.sleep(2.5)                                     # the keeper looks each second

        def far_back():
            info = primary.info("replication")
            return int(info["repl_backlog_histlen"]) > 8 << 20 and int(info["repl_backlog_seconds"]) >= 2
        wait_until(far_back, 20, "8 MB and 2 s to continue from")
        replica.options["replicaof"] = ["127.0.0.1", primary.port]
        replica.start()
        wait_linked(replica)
        wait_caught_up(replica, primary)
        equal(syncs(primary), (before[0], before[1] + 1), "copies and continuations")
        # Away for more than is kept.
        replica.kill()
        with primary.connect() as c:
            c.must("CONFIG", "SET", "repl-backlog-size", "1mb")
        write_mb(primary, 8, "b")
        wait_until(lambda: int(primary.info("replication")["repl_backlog_histlen"]) < 6 << 20, 60, "a shorter log")
        replica.start()
        wait_linked(replica)
        same_data(replica, primary)
        equal(syncs(primary), (before[0] + 1, before[1] + 1), "copies and continuations")
        # Enough room, but too old.
        replica.kill()
        with primary.connect() as c:
            c.must("CONFIG", "SET", "repl-log-retention-bytes", "24mb")
            c.must("CONFIG", "SET", "wal-retention-seconds", 1)
        write_mb(primary, 2, "c")
        time.sleep(1.5)
        write_mb(primary, 2, "d")
        wait_until(lambda: int(primary.info("replication")["repl_backlog_histlen"]) < 4 << 20, 60, "a younger log")
        replica.start()
        wait_linked(replica)
        same_data(replica, primary)
        equal(syncs(primary), (before[0] + 2, before[1] + 1), "copies and continuations")


class Liar(threading.Thread):
    """A master that shakes hands and then sends a stream with bytes changed, cut and doubled."""

    def __init__(self, rng):
        super().__init__(daemon=True)
        self.rng, self.offset, self.links = rng, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def mutated(self, data):
        data = bytearray(data)
        for _ in range(self.rng.choice((0, 1, 1, 2, 5))):
            at = self.rng.randrange(len(data))
            kind = self.rng.random()
            if kind < 0.4:
                data[at] = self.rng.choice(b"*$\r\n0123456789-+:aZ\x00\xff")
            elif kind < 0.6:
                del data[at:at + self.rng.randrange(1, 10)]
            elif kind < 0.8:
                data[at:at] = self.rng.choice((b"\r\n", b"*2\r\n", b"$99999999999999999999\r\n", b"$-1\r\n", b"*1000000000\r\n",
                                               b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n", b"PING\r\n", b"\n"))
            else:
                data[at:at] = data[max(0, at - 30):at]
            if not data:
                data = bytearray(b"\n")
        return bytes(data)

    def say(self, link, text, odds=0.1):
        link.sendall(self.mutated(text) if self.rng.random() < odds else text)

    def talk(self, link):
        link.settimeout(1)
        got = b""
        for answer in (b"+PONG\r\n", b"+OK\r\n", b"+OK\r\n", None):
            while not got.endswith(b"\r\n"):
                got += link.recv(4096)
            if b"INFO" in got:
                self.say(link, b"$60\r\n" + b"master_replid:%s\r\n" % (b"a" * 40) + b"\r\n" * 2 + b"\r\n")
                got = link.recv(4096)
            if answer:
                self.say(link, answer)
                got = b""
        rdb = bytes.fromhex("524544495330303039ff0000000000000000")
        self.say(link, b"+FULLRESYNC %s %d\r\n" % (b"a" * 40, 1000))
        self.say(link, b"$%d\r\n" % len(rdb), 0.05)
        self.say(link, rdb, 0.05)
        commands = Commands(self.rng)
        for _ in range(200):
            words = [encode(commands.next_command()[0]) for _ in range(self.rng.randrange(1, 8))]
            if self.rng.random() < 0.3:
                words = [encode(["MULTI"])] + words + [encode(["EXEC"])]
            self.say(link, b"".join(words), 0.05)

    def run(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.links += 1
            threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    def serve(self, link):
        try:
            self.talk(link)
        except (OSError, IndexError):
            pass
        link.close()


@test("a replica survives a master that sends garbage, and a master garbage in REPLCONF and PSYNC", seconds=120)
def _():
    needs("replication")
    if subject_is_redis():
        return
    rng = random.Random(seed_of(77))
    liar = Liar(rng)
    liar.start()
    with Server() as server:
        with server.connect() as c:
            c.must("SET", "mine", "yes")
            end = time.monotonic() + 60
            while liar.links < 15 and time.monotonic() < end:
                c.must("REPLICAOF", "127.0.0.1", liar.port)
                time.sleep(0.4)
                c.must("REPLICAOF", "NO", "ONE")
                true(server.process.poll() is None, "the server runs")
            true(liar.links >= 5, f"{liar.links} links")
            c.must("SET", "after", "yes")
        words = ["ACK", "FACK", "GETACK", "capa", "eof", "psync2", "listening-port", "ip-address", "rdb-only", "rdb-filter-only",
                 "version", "?", "-1", "0", "1", "99999999999999999999", "a" * 40, "a" * 5000, "", "\x00\xff", "FAILOVER", "*"]
        for _ in range(300):
            try:
                with server.connect(timeout=5.0) as c:
                    for _ in range(rng.randrange(1, 6)):
                        name = rng.choice(("REPLCONF", "REPLCONF", "PSYNC", "SYNC"))
                        c.send(name, *[rng.choice(words) for _ in range(rng.randrange(0, 6))])
                    c.send("PING")
                    c.socket.settimeout(0.02)
                    c.read()
            except (OSError, ConnectionLost, TimeoutError, ValueError, AssertionError):
                pass
        equal(server.process.poll(), None, "the server runs")
        with server.connect() as c:
            equal(plain(c.command("GET", "after")), b"yes")
    liar.listener.close()
