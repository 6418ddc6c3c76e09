"""Whole copies between Cairn nodes go by files: under writers, through broken links, altered bytes and kill -9, ten at a time."""
import os
import random
import threading
import time

from harness import dump
from harness.features import needs
from harness.proxy import Proxy
from harness.replicas import DATABASES, Writer, follow, same_data, seed_of, wait_caught_up, wait_linked, write_for
from harness.resp import ConnectionLost, plain
from harness.runner import equal, test, true
from harness.server import Server, redis, wait_until

BULK = 60                                     # MB, for copies that shall take a while
HALF = BULK * 500000                          # bytes


def figure(server, name):
    return int(server.info("replication")[name])


def bulk(server, megabytes=BULK, seed=1):
    """Strings that do not compress."""
    rng = random.Random(seed)
    with server.connect() as c:
        for i in range(megabytes):
            c.pipeline([("SET", f"bulk:{i}:{j}", rng.randbytes(8192)) for j in range(128)])


def attach(replica, port):
    with replica.connect() as c:
        c.must("REPLICAOF", "127.0.0.1", port)


def everything(primary, seed):
    """All types, big collections, expiries, in several databases."""
    rng = random.Random(seed)
    with primary.connect() as c:
        for db in DATABASES:
            c.must("SELECT", db)
            for i in range(40):
                c.pipeline([("HSET", f"big:hash:{i}", f"f{j}", rng.randbytes(20)) for j in range(300)])
                c.pipeline([("ZADD", f"big:zset:{i}", rng.random(), f"m{j}") for j in range(300)])
                c.pipeline([("SADD", f"big:set:{i}", f"m{j}") for j in range(300)])
                c.pipeline([("RPUSH", f"big:list:{i}", rng.randbytes(30)) for j in range(300)])
            c.pipeline([("SET", f"short:{i}", i, "PX", 1000 + 20 * i) for i in range(200)])
            c.pipeline([("SET", f"later:{i}", i, "EX", 3600) for i in range(200)])
            c.must("SET", "long", rng.randbytes(3 << 20))
            c.pipeline([("DEL", f"big:set:{i}") for i in range(0, 40, 4)])


def settled(primary):
    """What lives for seconds is gone: two dumps would see it differently."""
    with primary.connect() as c:
        for db in DATABASES:
            c.must("SELECT", db)
            wait_until(lambda: c.must("EXISTS", *[f"short:{i}" for i in range(200)]) == 0, 60, "the end of short lives")


@test("a whole copy between Cairn nodes goes by files and is the data of all types, under writers", seconds=180)
def _():
    needs("replication")
    seed = seed_of(21)
    with Server() as primary, Server() as replica:
        write_for(replica, 0.5, seed + 9)                 # data of its own, which goes
        everything(primary, seed)
        write_for(primary, 1, seed)
        w = Writer(primary, seed + 1)
        w.start()
        follow(replica, primary)
        time.sleep(2)
        w.stop()
        settled(primary)
        same_data(replica, primary)
        equal(figure(primary, "copies_by_files"), 1)
        equal(os.path.exists(os.path.join(replica.folder, "receive")), False, "the folder of received files")
        # It is whole on its own: new collections, another start, another role.
        replica.restart(kill=True, replicaof=["127.0.0.1", primary.port])
        wait_linked(replica)
        write_for(primary, 1, seed + 2)
        same_data(replica, primary)
        equal(primary.info("stats")["sync_full"], "1", "whole copies")
        with replica.connect() as c:
            c.must("REPLICAOF", "NO", "ONE")
        with primary.connect() as c:
            c.must("SET", "a branch", "of its own")
        everything(replica, seed + 3)
        follow(primary, replica)
        settled(replica)
        same_data(primary, replica)
        equal(figure(replica, "copies_by_files"), 1)


@test("a copy whose link breaks goes on where it stopped", seconds=180)
def _():
    needs("replication")
    seed = seed_of(22)
    with Server() as primary, Server() as replica, Proxy(primary.port) as proxy:
        bulk(primary)
        w = Writer(primary, seed, flushes=False)
        w.start()
        proxy.cut_after = BULK * 400000
        attach(replica, proxy.port)
        wait_linked(replica, 120)
        w.stop()
        same_data(replica, primary)
        equal(proxy.links, 2, "links")
        equal(figure(replica, "master_sync_resumed"), 1)
        equal(figure(primary, "copies_resumed"), 1)
        true(proxy.passed < BULK * 1600000, f"it did not begin anew: {proxy.passed} bytes")


def received(replica):
    return int(replica.info("replication").get("master_sync_read_bytes", 0))


def half_a_copy(replica, proxy):
    """Ends when the replica has half of the copy, or more: HALF bytes."""
    proxy.rate = 20000000
    attach(replica, proxy.port)
    wait_until(lambda: received(replica) > HALF, 60, "half of the copy", step=0.01)


def goes_on(replica, primary, proxy, passed, start):
    """After its restart the replica fetches only what it had not, and has everything. start: before the copy's position."""
    total, behind = figure(primary, "copy_checkpoint_bytes"), figure(primary, "master_repl_offset") - start
    wait_linked(replica, 120)
    same_data(replica, primary)
    equal([figure(replica, "master_sync_resumed"), figure(primary, "copies_resumed")], [1, 1], "resumed copies")
    true(proxy.passed - passed < total - HALF + behind + 1000000, f"{proxy.passed - passed} bytes of {total} came after the restart")
    equal(os.path.exists(os.path.join(replica.folder, "receive")), False, "the folder of received files")


@test("a replica that ends in the middle of a copy goes on where it stopped when it is started again", seconds=180)
def _():
    needs("replication")
    for kill in (True, False):
        with Server() as primary, Server() as replica, Proxy(primary.port) as proxy:
            bulk(primary)
            start = figure(primary, "master_repl_offset")
            w = Writer(primary, seed_of(25), flushes=False)
            w.start()
            with replica.connect() as c:
                c.must("SET", "old", "data")
            half_a_copy(replica, proxy)
            w.stop()
            if kill:
                replica.kill()
            else:
                replica.stop()
            passed, proxy.rate = proxy.passed, 0
            replica.options["replicaof"] = ["127.0.0.1", proxy.port]
            replica.start()
            goes_on(replica, primary, proxy, passed, start)


@test("after a restart of the machine a copy goes on behind the last piece that reached the disk", seconds=180)
def _():
    needs("replication")
    with Server() as primary, Server() as replica, Proxy(primary.port) as proxy:
        bulk(primary)
        start = figure(primary, "master_repl_offset")
        half_a_copy(replica, proxy)
        replica.kill()
        folder = os.path.join(replica.folder, "receive")
        with open(os.path.join(folder, "note"), "r+b") as f:      # another boot
            f.seek(48)
            f.write(b"x")
        whole = sorted((f for f in os.listdir(folder) if f != "note"), key=lambda f: int(f.split(".")[0]))
        have = sum(os.path.getsize(os.path.join(folder, f)) for f in whole)
        with open(os.path.join(folder, whole[-1]), "r+b") as f:   # its end was not written
            lost = min(3000000, os.path.getsize(f.name) - 1)
            f.seek(-lost, 2)
            f.write(bytes(1000))
        passed, proxy.rate = proxy.passed, 0
        replica.options["replicaof"] = ["127.0.0.1", proxy.port]
        replica.start()
        goes_on(replica, primary, proxy, passed, start - lost)
        total = figure(primary, "copy_checkpoint_bytes")
        true(proxy.passed - passed >= total - have + lost, "what was lost came again")


@test("half a copy that no primary has any more is removed", seconds=180)
def _():
    needs("replication")
    with Server(repl_copy_hold_seconds="1") as primary, Server() as replica, Proxy(primary.port) as proxy:
        bulk(primary, 20)
        proxy.rate = 8000000
        attach(replica, proxy.port)
        wait_until(lambda: received(replica) > 8000000, 60, "some bytes", step=0.01)
        replica.kill()
        proxy.close()
        folder = os.path.join(replica.folder, "receive")
        true(os.path.exists(folder), "it waits for the next start")
        wait_until(lambda: figure(primary, "copy_checkpoints") == 0, 60, "the primary forgets it")
        replica.options["replicaof"] = ["127.0.0.1", primary.port]
        replica.start()
        wait_linked(replica, 120)
        same_data(replica, primary)
        equal([figure(replica, "master_sync_resumed"), figure(primary, "copies_by_files")], [0, 2], "it began anew")
        equal(os.path.exists(folder), False, "the folder of received files")
        # A node that is started as a primary has no use for it either.
        with primary.connect() as c:
            c.must("SET", "a", "b")
        replica.stop()
        os.mkdir(folder)
        with open(os.path.join(folder, "note"), "wb") as f:
            f.write(b"no note")
        replica.options["replicaof"] = None
        replica.start()
        wait_until(lambda: not os.path.exists(folder), 30, "the leftovers are removed")


@test("an altered piece of a copy is noticed and fetched again", seconds=180)
def _():
    needs("replication")
    with Server() as primary, Server() as replica, Proxy(primary.port) as proxy:
        bulk(primary, 20)
        proxy.alter_at = 9000000
        attach(replica, proxy.port)
        wait_linked(replica, 120)
        same_data(replica, primary)
        equal(proxy.links, 2, "links")
        true("was altered" in replica.log_tail(400) or "wrong head" in replica.log_tail(400), "the log tells of it")
        equal(figure(replica, "master_sync_resumed"), 1)


@test("while a copy comes, INFO tells how far, the old data is served, and kill -9 leaves it", seconds=180)
def _():
    needs("replication")
    with Server() as primary, Server() as replica, Proxy(primary.port) as proxy:
        bulk(primary, 20)
        with replica.connect() as c:
            c.must("SET", "old", "data")
        proxy.rate = 4000000
        attach(replica, proxy.port)
        wait_until(lambda: int(replica.info("replication").get("master_sync_read_bytes", 0)) > 4000000, 60, "some bytes")
        info = replica.info("replication")
        equal(info["master_sync_in_progress"], "1")
        total, read = int(info["master_sync_total_bytes"]), int(info["master_sync_read_bytes"])
        true(total > 20000000 and read < total, f"{read} of {total}")
        equal(int(info["master_sync_left_bytes"]), total - read)
        true(primary.info("replication")["slave0"].count("state=send_bulk"), "the primary's view")
        equal(figure(primary, "copies_running"), 1)
        with replica.connect() as c:
            equal(plain(c.command("GET", "old")), b"data")
        replica.restart(kill=True)
        with replica.connect() as c:
            equal(plain(c.command("GET", "old")), b"data")
            equal(c.must("DBSIZE"), 1)
        proxy.rate = 0
        attach(replica, primary.port)
        wait_linked(replica)
        same_data(replica, primary)


@test("kill -9 around the moment a copy takes its place leaves the old data or the new", seconds=240)
def _():
    needs("replication")
    rng = random.Random(seed_of(23))
    with Server() as primary, Server() as replica:
        bulk(primary, 8)
        with primary.connect() as p:
            size = p.must("DBSIZE")
        outcomes = set()
        for turn in range(8):
            with replica.connect() as c:
                c.must("REPLICAOF", "NO", "ONE")
                c.must("FLUSHALL")
                c.must("SET", "old", turn)
                c.must("REPLICAOF", "127.0.0.1", primary.port)
            wait_until(lambda: "primary_copy_received" in replica.log_tail(12), 60, "the last byte", step=0.001)
            time.sleep(rng.choice((0, 0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4)))
            again = turn % 2 == 1                         # as a replica, which goes on with what it has
            replica.restart(kill=True, replicaof=["127.0.0.1", primary.port] if again else None)
            if again:
                wait_linked(replica)
            with replica.connect() as c:
                found = c.must("DBSIZE")
                true(found in ((size,) if again else (1, size)), f"turn {turn}: {found} keys")
                value = plain(c.command("GET", "old"))
                equal(value, str(turn).encode() if found == 1 else None)
                outcomes.add(found)
        print(f"      outcomes: {sorted(outcomes)}")
        follow(replica, primary)
        same_data(replica, primary)


@test("ten replicas are copied to two at a time, while the primary goes on", seconds=300)
def _():
    needs("replication")
    with Server() as primary:
        bulk(primary, 16)
        replicas = [Server(workers=1, reader_threads=2, maxmemory="64mb") for _ in range(10)]
        try:
            for r in replicas:
                r.start()
            slowest, most, writes, done = [0.0], 0, [0], threading.Event()

            def write():
                try:
                    with primary.connect() as c:
                        while not done.is_set():
                            began = time.monotonic()
                            c.must("SET", f"w:{writes[0] % 1000}", writes[0])
                            slowest[0] = max(slowest[0], time.monotonic() - began)
                            writes[0] += 1
                except (OSError, ConnectionLost):
                    pass

            writer = threading.Thread(target=write, daemon=True)
            writer.start()
            for r in replicas:
                attach(r, primary.port)
            deadline = time.monotonic() + 200
            while time.monotonic() < deadline:
                info = primary.info("replication")
                most = max(most, int(info["copies_running"]))
                if sum(info.get(f"slave{i}", "").count("state=online") for i in range(10)) == 10:
                    break
                time.sleep(0.01)
            done.set()
            writer.join()
            for r in replicas:
                wait_linked(r)
                wait_caught_up(r, primary)
            true(most <= 2, f"{most} copies at a time")
            true(writes[0] > 100, f"{writes[0]} writes meanwhile")
            print(f"      {writes[0]} writes meanwhile, the slowest {slowest[0] * 1000:.0f} ms")
            true(figure(primary, "copy_checkpoints") < 10, "they share checkpoints")
            with primary.connect() as a, replicas[9].connect() as b:
                found = dump.differences(dump.dump(a), dump.dump(b))
                true(not found, "\n".join(found))
        finally:
            for r in replicas:
                r.__exit__(None, None, None)


@test("repl-copy-files no, and Redis as a replica, go by RDB", seconds=90)
def _():
    needs("replication")
    with Server() as primary, Server(repl_copy_files="no") as replica, redis() as other:
        write_for(primary, 0.5, seed_of(24))
        follow(replica, primary)
        follow(other, primary)
        same_data(replica, primary)
        same_data(other, primary)
        equal(figure(primary, "copies_by_files"), 0)
