"""Slots that move as a whole: CLUSTER MIGRATESLOTS, GETSLOTMIGRATIONS, CANCELSLOTMIGRATIONS."""
import os
import subprocess
import time

from redis.crc import key_slot

from harness.cluster import Cluster, cli
from harness.moving import (as_text, dropped, fill, finished, move, moves, replica_of, replicas_ready, same, start, state,
                            text, whole)
from harness.moving_load import Writers, ranges_of, settled, step
from harness.runner import equal, test, true
from harness.server import wait_until


@test("CLUSTER MIGRATESLOTS moves keys of every type with their expiry, and the source drops them")
def _():
    with Cluster(3) as c:
        fill(c, 1500)
        a, b, _ = c.nodes
        before = whole(c)
        told = move(c, a, b, (0, 2000), (3000, 5460))
        equal(told["operation"], "EXPORT")
        equal(told["slot_ranges"], "0-2000 3000-5460")
        equal((told["source_node"], told["target_node"]), (c.id_of(a), c.id_of(b)))
        true(told["keys"] == told["keys_total"] > 300, str(told))
        true(told["bytes"] > 0 and told["pause_us"] > 0, str(told))
        dropped(c, a, (0, 2000), (3000, 5460))
        equal(int(a.info("cluster")["slots_dropped_keys"]), told["keys"])
        theirs = moves(b)[0]
        equal((theirs["operation"], theirs["state"], theirs["name"]), ("IMPORT", "success", told["name"]))
        equal(theirs["keys"], told["keys"])
        true(told["bytes"] // 2 < theirs["bytes"] <= told["bytes"], str((told, theirs)))
        same(before, whole(c), expiry_tolerance_ms=0)
        b.restart(kill=True)
        c.wait_ok()
        same(before, whole(c), expiry_tolerance_ms=0)
        move(c, b, a, (0, 2000), (3000, 5460))
        dropped(c, b, (0, 2000), (3000, 5460))
        same(before, whole(c), expiry_tolerance_ms=0)


@test("CLUSTER MIGRATESLOTS says what is wrong, and begins all or nothing")
def _():
    with Cluster(3, enable_debug_command="yes") as c:
        a, b, d = c.nodes
        mine, other = c.id_of(a), c.id_of(b)
        for words, reply in (
                (("SLOTSRANGE", 0, 10, "NODE", "f" * 40), f"-ERR Unknown node name: {'f' * 40}"),
                (("SLOTSRANGE", 0, 10, "NODE", "short"), "-ERR Invalid node name: short"),
                (("SLOTSRANGE", "NODE", other), "-ERR No slot ranges specified"),
                (("SLOTSRANGE", 0, 10, "NODE", mine, "MORE"), "-ERR Target node can not be this node."),
                (("SLOTSRANGE", 6000, 6010, "NODE", other), "-ERR Slots are not served by this node."),
                (("MORE", 0, 1, "NODE", other), "-ERR syntax error"),
                (("SLOTSRANGE", 0, 10, "NODE", mine), "-ERR Target node can not be this node."),
                (("SLOTSRANGE", 10, 0, "NODE", other), "-ERR start slot number 10 is greater than end slot number 0"),
                (("SLOTSRANGE", 0, 16384, "NODE", other), "-ERR Invalid or out of range slot"),
                (("SLOTSRANGE", 0, 5, 5, 6, "NODE", other), "-ERR Slot range 5-6 overlaps with previous range 0-5."),
                (("SLOTSRANGE", 0, 16383, "NODE", other), "-ERR Requested slots span multiple shards"),
                (("SLOTSRANGE", 0, "NODE", other), "-ERR No end slot for final slot range"),
                (("SLOTSRANGE", 0, 1), "-ERR syntax error"),
                (("SLOTSRANGE", 0, 1, "NODE", other, "SLOTSRANGE", 1, 2, "NODE", c.id_of(d)),
                 "-ERR Slot ranges in migrations overlap")):
            equal(text(a, "CLUSTER", "MIGRATESLOTS", *words), reply, str(words))
        equal(moves(a), [])
        equal(text(a, "CLUSTER", "SETSLOT", 7, "MIGRATING", other), "OK")
        equal(text(a, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, 10, "NODE", other),
              "-ERR Slots are being manually migrated")
        equal(text(a, "CLUSTER", "SETSLOT", 7, "STABLE"), "OK")
        equal(text(a, "CLUSTER", "SETSLOT", 5461, "IMPORTING", other), "OK")
        equal(text(a, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 5461, 5461, "NODE", other), "-ERR Slots are being manually imported")
        equal(text(a, "CLUSTER", "SETSLOT", 5461, "STABLE"), "OK")
        with a.connect() as x:                 # nothing is heard in between
            x.pipeline([("MULTI",), ("CLUSTER", "DELSLOTS", 5461), ("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 5461, 5461, "NODE", other)])
            equal(as_text(x.command("EXEC")), ["OK", "-ERR Slot 5461 has no node served."])
        c.wait_ok(60)
        equal(text(a, "CLUSTER", "CANCELSLOTMIGRATIONS"), "-ERR No migrations ongoing")
        replica = c.add_server()
        cli("--cluster", "add-node", replica.address, b.address, "--cluster-slave", "--cluster-master-id", other)
        wait_until(lambda: c.id_of(replica) in c.table(a) and "slave" in c.table(a)[c.id_of(replica)]["flags"], 60, "it is known")
        equal(text(replica, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, 1, "NODE", mine), "-ERR Slot migration can only be used on primary nodes.")
        equal(text(a, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, 1, "NODE", c.id_of(replica)), "-ERR Target node is not a master")
        c.wait_ok(60)
        step(a, 300)
        equal(text(a, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 40, 50, "NODE", other), "OK")
        equal(text(a, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 30, 40, "NODE", other), "-ERR I am already migrating slot 40.")
        equal(text(a, "CLUSTER", "CANCELSLOTMIGRATIONS"), "OK")
        wait_until(lambda: moves(a)[0]["state"] == "cancelled", 60, "it is given up")
        step(a, 0)
        equal(text(a, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, 10, "NODE", other, "SLOTSRANGE", 20, 30, "NODE", c.id_of(d)), "OK")
        wait_until(lambda: [m["state"] for m in moves(a)][:2] == ["success"] * 2, 30, "both migrations end")
        wait_until(lambda: c.owner(5) is b and c.owner(25) is d and c.agree(), 20, "all know the owners")


@test("CLUSTER CANCELSLOTMIGRATIONS gives a migration up: the source goes on, the target drops what came")
def _():
    with Cluster(3, enable_debug_command="yes") as c:
        fill(c, 600)
        a, b, _ = c.nodes
        before = whole(c)
        for at in ("starting", "snapshot", "streaming"):
            step(a, 1000)
            start(c, a, b, (0, 5460))
            wait_until(lambda: state(a) == at, 20, at)
            equal(text(a, "CLUSTER", "CANCELSLOTMIGRATIONS"), "OK")
            told = finished(a)
            equal(told["state"], "cancelled", str(told))
            wait_until(lambda: state(b) in (None, "failed"), 20, "the target knows")
            dropped(c, b, (0, 5460))
            same(before, whole(c), expiry_tolerance_ms=0)
        step(a, 0)
        move(c, a, b, (0, 100))


def crash(at, who, again=True):
    """Kills one side in one step, and starts it again."""
    with Cluster(3, enable_debug_command="yes", cluster_node_timeout=4000) as c, Writers(c) as writers:
        a, b, d = c.nodes
        first, last = ranges_of(c, a)[0]
        middle = (first + last) // 2
        victim = a if who == "source" else b
        step(b if at.startswith("handing-over") else a, 1500)
        start(c, a, b, (first, middle))
        wait_until(lambda: state(a) == at.split()[0], 30, at)
        if at.endswith("claimed"):
            wait_until(lambda: state(b) == "success", 30, "the claim")
        victim.kill()
        time.sleep(0.2)
        victim.start()
        c.wait_ok(60)
        if victim is b:
            ended = finished(a)
            true(ended["state"] in ("failed", "success"), str(ended))
        settled(c)
        owner = c.owner(first)
        true(owner in (a, b), "one of the two owns the slots")
        if at.endswith("claimed"):
            true(owner is b, "the target's claim was durable")
        elif at in ("snapshot", "streaming"):
            true(owner is a, "the source still owns the slots")
        writers.more()
        other = b if owner is a else a
        for node in (a, b):
            step(node, 0)
        if again:
            move(c, owner, other, (first, middle))
            writers.more()
            settled(c)
        writers.check()


for at in ("starting", "snapshot", "streaming", "handing-over", "handing-over claimed"):
    for who in ("source", "target"):
        def run(at=at, who=who):
            crash(at, who)
        test(f"the {who} is killed in step {at} of a migration: one owner, no write lost", seconds=240)(run)


def failover(at, who, how):
    """One side is failed over in one step: by command, or by kill -9 of the master."""
    with Cluster(6, replicas=1, enable_debug_command="yes", cluster_node_timeout=3000) as c:
        replicas_ready(c, 3)
        with Writers(c, 2, replicas=1 if how == "killed" else 0) as writers:
            masters = [n for n in c.nodes if "master" in c.table(n)[c.id_of(n)]["flags"]]
            a, b = masters[0], masters[1]
            old, new = (a, replica_of(c, a)) if who == "source" else (b, replica_of(c, b))
            first, last = ranges_of(c, a)[0]
            middle = (first + last) // 2
            step(b if at == "handing-over" else a, 2000)
            start(c, a, b, (first, middle))
            wait_until(lambda: state(a) == at, 30, at)
            if how == "killed":
                old.kill()
            else:
                text(new, "CLUSTER", "FAILOVER")
            wait_until(lambda: "master" in c.table(new)[c.id_of(new)]["flags"], 60, "the replica is promoted")
            if how == "killed":
                old.start()
            settled(c)
            owner = c.owner(first)
            true(owner in (a, b, new), "an owner")
            if at == "streaming":
                true(owner is (new if who == "source" else a), "the slots stay where they were")
            writers.more()
            settled(c)
            writers.check()


for at in ("streaming", "handing-over"):
    for who in ("source", "target"):
        for how in ("killed", "failed over by command"):
            def run(at=at, who=who, how=how):
                failover(at, who, how)
            test(f"the {who} of a migration is {how} in step {at}, its replica takes over: one owner, no write lost", seconds=300)(run)


TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "cairn-cluster")


def tool(*words, code=0):
    done = subprocess.run([TOOL, *[str(w) for w in words]], capture_output=True, timeout=120)
    text_ = (done.stdout + done.stderr).decode()
    equal(done.returncode, code, text_)
    return text_


@test("tools/cairn-cluster shows slots, moves them, rebalances by weight, and empties a node")
def _():
    with Cluster(4, create=False) as c:
        spare = c.nodes.pop()
        c.create()
        fill(c, 400)
        before = whole(c)
        a, b, d = c.nodes
        c.nodes.append(spare)
        with spare.connect() as x:
            x.must("CLUSTER", "MEET", "127.0.0.1", a.port)
        wait_until(lambda: c.agree() and all(len(c.table(n)) == 4 for n in c.nodes), 30, "four nodes know each other")
        true("5461 slots: 0-5460" in tool("status", a.address), "status")
        said = tool("move", b.address, "--from", a.address, "--to", c.id_of(b)[:10], "--slots", 461)
        true("success" in said and "0-460" in said, said)
        true(c.owner(0) is b and c.owner(460) is b and c.owner(461) is a, "the first slots moved")
        tool("move", a.address, "--to", d.address, "--range", "100-200", "--range", "461-470")
        true(c.owner(150) is d and c.owner(465) is d and c.owner(99) is b, "ranges of two nodes moved")
        true("slots" in tool("rebalance", a.address, "--simulate"), "it says what it would do")
        tool("rebalance", a.address)
        equal(sorted(sum(y - x + 1 for x, y in ranges_of(c, n)) for n in c.nodes), [4096] * 4)
        tool("rebalance", a.address, "--weight", f"{c.id_of(spare)}=0")
        equal(sum(y - x + 1 for x, y in ranges_of(c, spare) if "master" in c.table(spare)[c.id_of(spare)]["flags"]), 0)
        tool("move", a.address, "--to", "nobody", "--range", "0-1", code=1)
        for wrong in ("nan", "-1", "inf", "x"):
            true("not ID=WEIGHT" in tool("rebalance", a.address, "--weight", f"{c.id_of(a)}={wrong}", code=1), wrong)
        true("not A-B" in tool("move", a.address, "--to", b.address, "--range", "5-1", code=1), "a range backwards")
        settled(c)
        same(before, whole(c), expiry_tolerance_ms=0)


@test("a migration keeps slot-migration-max-mb-per-sec, big values pass whole, keys expire behind it")
def _():
    with Cluster(3, slot_migration_max_mb_per_sec="4") as c:
        a, b, _ = c.nodes
        with a.connect() as x, b.connect() as y:
            tag = next(f"{{{i}}}" for i in range(1000000) if key_slot(b"%d" % i) == 77)
            value = os.urandom(7 << 20)
            x.must("SET", f"{tag}large", value)
            for n in range(0, 20000, 1000):
                x.must("RPUSH", f"{tag}list", *range(n, n + 1000))
                x.must("ZADD", f"{tag}zset", *[w for m in range(n, n + 1000) for w in (m / 7, f"m{m}")])
            x.must("SET", f"{tag}short", "1", "PX", "1500")
            list_, zset = x.must("LRANGE", f"{tag}list", 0, -1), x.must("ZRANGE", f"{tag}zset", 0, -1, "WITHSCORES")
            told = move(c, a, b, (77, 77))
            true(told["elapsed_ms"] > 1500, str(told))
            true(y.must("GET", f"{tag}large") == value, "the large value is whole")
            equal(y.must("LRANGE", f"{tag}list", 0, -1), list_)
            equal(y.must("ZRANGE", f"{tag}zset", 0, -1, "WITHSCORES"), zset)
            wait_until(lambda: y.must("EXISTS", f"{tag}short") == 0 and y.must("CLUSTER", "COUNTKEYSINSLOT", 77) == 3, 20, "it expires")


@test("FLUSHALL on either side, and the loss of the connection, end a migration; the keys stay where they were")
def _():
    with Cluster(3, enable_debug_command="yes") as c:
        a, b, _ = c.nodes
        fill(c, 300)
        before = whole(c)
        step(a, 1000)
        start(c, a, b, (0, 5460))
        wait_until(lambda: state(a) == "streaming", 30, "the log is sent")
        equal(text(b, "FLUSHALL"), "OK")
        told = finished(a)
        equal(told["state"], "failed", str(told))
        settled(c)
        mine = whole(c)
        with b.connect() as x:
            equal(x.must("DBSIZE"), 0)
        true(all(before[k] == v for k, v in mine.items()), "what is left is as before")
        start(c, a, b, (0, 5460))
        wait_until(lambda: state(a) == "streaming", 30, "the log is sent")
        with b.connect() as x:
            x.must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        told = finished(a)
        equal(told["state"], "failed", str(told))
        settled(c)
        same(mine, whole(c), expiry_tolerance_ms=0)
