"""Replication: Cairn and Redis as primary and replica of each other have the same data, while random commands are written,
through kill -9 of either side, promotions, expiries and long absence."""
import os
import time

from harness import dump
from harness.features import needs
from harness.replicas import DATABASES, Writer, follow, offset, same_data, seed_of, syncs, wait_caught_up, wait_linked, write_for
from harness.resp import plain
from harness.runner import equal, test, true
from harness.server import Server, redis, subject_is_redis, wait_until

BOUND = 80000                             # commands, about 8 MB of the stream


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
