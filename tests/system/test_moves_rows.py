"""MIGRATESLOTS: small keys travel as rows, and become rows of the target's store."""
import os

from redis.crc import key_slot

from harness.cluster import Cluster
from harness.moving import (as_text, dropped, fill, finished, move, moves, replica_of, replicas_ready, same, start, state, text,
                            whole)
from harness.moving_load import step
from harness.runner import equal, test, true
from harness.server import wait_until


def many(connection, slot, count, size):
    """Small keys of every type in one slot, some of which expire: what lands as rows. Returns their number."""
    tag = next(b"{%d}" % i for i in range(1000000) if key_slot(b"%d" % i) == slot)
    filler = os.urandom(size)
    for begin in range(0, count, 1000):
        for i in range(begin, begin + 1000):
            words = ((b"SET", b"%s%d" % (tag, i), b"%d" % i + filler), (b"HSET", b"%sh%d" % (tag, i), b"f", b"%d" % i, b"g", filler),
                     (b"ZADD", b"%sz%d" % (tag, i), b"%d" % i, b"m", b"-1.5", filler), (b"RPUSH", b"%sl%d" % (tag, i), b"a", filler),
                     (b"SADD", b"%ss%d" % (tag, i), b"%d" % i, filler))[i % 5]
            connection.send(*words)
            if i % 3 == 0:
                connection.send(b"PEXPIREAT", words[1], b"4102444800000")
        for i in range(begin, begin + 1000):
            connection.read()
            if i % 3 == 0:
                connection.read()
    return count


def shown(node):
    """How many keys the node lists, in every way that it has."""
    with node.connect() as x:
        cursor, scanned = None, 0
        while cursor != b"0":
            cursor, names = x.must("SCAN", cursor or 0, "COUNT", 1000)
            scanned += len(names)
        told = node.info("keyspace").get("db0", "keys=0").split(",")[0]
        sizes = {x.must("DBSIZE"), len(x.must("KEYS", "*")), int(told.split("=")[1]), scanned}
        true((x.must("RANDOMKEY") is None) == (sizes == {0}), "RANDOMKEY")
    return sizes


def digest(node):
    with node.connect(timeout=180) as x:
        return x.must("DEBUG", "DIGEST")


@test("rows that land are in the store, the log and the replicas: kill -9 of the target in the middle, and behind it")
def _():
    # The target is to come back before its replica may take over, on a slow machine too.
    with Cluster(6, replicas=1, enable_debug_command="yes", slot_migration_max_mb_per_sec="5", cluster_node_timeout="20000") as c:
        replicas_ready(c, 3)
        a, b = c.nodes[:2]
        with a.connect() as x:
            keys = many(x, 77, 30000, 400) + many(x, 78, 1000, 40)
            x.must("RPUSH", next(f"{{{i}}}" for i in range(1000000) if key_slot(b"%d" % i) == 79), *range(5000))
        before = digest(a)
        start(c, a, b, (0, 100))
        wait_until(lambda: (moves(b) or [{"keys": 0}])[0]["keys"] > 0, 60, "the first rows have landed")
        equal(state(a), "snapshot")
        b.restart(kill=True)
        equal(finished(a)["state"], "failed")
        c.wait_ok()
        dropped(c, b, (0, 100))
        equal(digest(a), before)
        with a.connect() as x:
            x.must("CONFIG", "SET", "slot-migration-max-mb-per-sec", "0")
        replicas_ready(c, 3)
        told = move(c, a, b, (0, 100))
        equal(told["keys"], keys + 1)
        dropped(c, a, (0, 100))
        equal(digest(b), before)
        theirs = replica_of(c, b)
        wait_until(lambda: digest(theirs) == before, 60, "the target's replica has every key")
        b.restart(kill=True)
        c.wait_ok()
        wait_until(lambda: digest(c.owner(77)) == before, 60, "what landed is there after a kill")


@test("rows that are truncated, altered or out of place end a migration, and what came is dropped")
def _():
    with Cluster(3) as c:
        fill(c, 300)
        a, b, _ = c.nodes
        before = whole(c)
        frame = b"\0" * 8 + b"CNmr" + b"\1\0\0\0" + b"\1\0\0\0" + b"\x0c\0\0\0" + b"\2\0\0\0\2\0\0\0" + b"abcd"
        for bad, why in ((b"", "of 0 bytes"), (frame[:20], "of 20 bytes"), (frame[:-1], "1 rows in 12 bytes has 11"), (frame, "altered"),
                         (frame.replace(b"\1\0\0\0\1", b"\2\0\0\0\1"), "another version"), (frame.replace(b"CN", b"XN"), "no frame")):
            with b.connect() as x:
                def sync(*words):
                    return as_text(x.command("CLUSTER", "SYNCSLOTS", *words))
                wait_until(lambda: sync("ESTABLISH", 2, "%040x" % len(bad), c.id_of(a), c.id_of(b), 0, 100) == "OK", 20,
                           "the target takes slots")
                reply = sync("ROWS", bad)
                true(reply.startswith("-ERR") and why in reply, f"{why}: {reply}")
                true("no migration" in sync("BARRIER"), "it has ended")
        wait_until(lambda: state(b) == "failed", 20, "the target has given it up")
        dropped(c, b, (0, 100))
        same(before, whole(c), expiry_tolerance_ms=0)
        move(c, a, b, (0, 100))


@test("DBSIZE, KEYS, SCAN, RANDOMKEY and INFO list a key on one side of a move only, on masters and replicas")
def _():
    with Cluster(6, replicas=1, enable_debug_command="yes") as c:
        replicas_ready(c, 3)
        fill(c, 1000)
        a, b = c.nodes[:2]
        theirs, ours = replica_of(c, b), replica_of(c, a)
        wait_until(lambda: shown(theirs) == shown(b) and shown(ours) == shown(a), 60, "the replicas have all keys")
        (left,), (right,) = shown(a), shown(b)
        with a.connect() as x:
            moving = sum(x.must("CLUSTER", "COUNTKEYSINSLOT", s) for s in range(5001))
        for give_up in (True, False):
            step(a, 1500)
            start(c, a, b, (0, 5000))
            wait_until(lambda: state(a) == "streaming", 60, "the keys are there")
            step(a, 600000)
            with b.connect() as x:
                arrived = sum(x.must("CLUSTER", "COUNTKEYSINSLOT", s) for s in range(5001))
            equal(arrived, moving, "they have all come")
            equal((shown(a), shown(b)), ({left}, {right}))
            equal(shown(theirs), {right})
            if give_up:
                equal(text(a, "CLUSTER", "CANCELSLOTMIGRATIONS"), "OK")
                wait_until(lambda: state(b) == "failed", 60, "it is given up")
                equal((shown(a), shown(b), shown(theirs)), ({left}, {right}, {right}))
                dropped(c, b, (0, 5000))
        step(a, 0)
        equal(finished(a)["state"], "success")
        wait_until(lambda: c.owner(0) is b and c.agree(), 60, "all know the new owner")
        equal((shown(a), shown(b)), ({left - moving}, {right + moving}))
        dropped(c, a, (0, 5000))
        equal((shown(a), shown(b)), ({left - moving}, {right + moving}))
        wait_until(lambda: (shown(ours), shown(theirs)) == (shown(a), shown(b)), 60, "and the replicas")
