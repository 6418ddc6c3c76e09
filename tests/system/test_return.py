"""Masters that come back: without writes of their own they go on by the log, whatever happened to both sides meanwhile."""
import os
import shutil
import signal
import time

from harness.cluster import fields
from harness.features import needs
from harness.proxy import Proxy
from harness.resp import plain
from harness.runner import equal, test
from harness.server import Server, subject_is_redis, wait_until
from harness.shards import fail_over, pairs, ready, role, six, sync


def copies(node):
    """Whole copies that a node has begun to take since it was made, over all its starts."""
    with open(node.log_path) as f:
        return f.read().count("primary_copy_begins")


def offset(node):
    return int(node.info("replication")["master_repl_offset"])


def follows(node, port):
    with node.connect() as c:
        c.must("REPLICAOF", "127.0.0.1", port)
    wait_until(lambda: node.info("replication")["master_link_status"] == "up", 60, "the link")


def leads(node, key):
    """It becomes a primary, and writes what the others do not have yet."""
    with node.connect() as c:
        c.must("REPLICAOF", "NO", "ONE")
        c.pipeline([("SET", f"{key}:{i}", i) for i in range(200)])


def has(node, *keys):
    def all_there():
        with node.connect() as c:
            c.command("READONLY")
            return [plain(c.command("GET", f"{key}:199")) for key in keys] == [b"199"] * len(keys)
    wait_until(all_there, 60, f"{keys} on a node")


@test("in a cluster a master that returns without writes of its own takes no copy: after a crash of it, of both, again and again",
      seconds=240)
def _():
    needs("replication")
    with six() as c:
        ready(c)
        old, new = pairs(c)[0]
        tag = next(f"t{i}" for i in range(10000) if c.owner_of(f"t{i}") is old)
        before = {n.port: copies(n) for n in c.nodes}
        for turn in range(2):
            sync(old, new)
            old.kill()
            wait_until(lambda: role(new) == "master", 60, "the replica leads")
            with new.connect() as x:
                x.pipeline([("SET", f"{{{tag}}}{turn}:{i}", i) for i in range(200)])
            if turn == 1:
                new.restart(kill=True)                    # both have been down
                wait_until(lambda: role(new) == "master", 60, "it still leads")
            old.restart(kill=True)
            wait_until(lambda: role(old) == "slave", 60, "the old master follows")
            ready(c)
            has(old, *[f"{{{tag}}}{n}" for n in range(turn + 1)])
            old, new = new, old
        for _ in range(2):                                # and planned ones, one after the other
            fail_over(new)
            wait_until(lambda: role(old) == "slave", 60, "the old master follows")
            ready(c)
            old, new = new, old
        equal({n.port: copies(n) for n in c.nodes}, before, "copies that were begun")


@test("a primary that two others have replaced meanwhile goes on by the log, and so does the second", seconds=120)
def _():
    needs("replication")
    if subject_is_redis():
        return                                            # it remembers one history before its own, and only until it ends
    quiet = {"repl_ping_replica_period": 3600}
    with Server(**quiet) as first, Server(**quiet) as second, Server(**quiet) as third:
        with first.connect() as c:
            c.pipeline([("SET", f"a:{i}", i) for i in range(200)])
        follows(second, first.port)
        follows(third, first.port)
        wait_until(lambda: offset(first) == offset(second) == offset(third), 60, "all have every byte")
        first.kill()
        leads(second, "b")
        follows(third, second.port)
        wait_until(lambda: offset(third) == offset(second), 60, "every byte")
        second.kill()
        leads(third, "c")
        third.restart(kill=True)                          # what it knows of both histories is on disk
        before = copies(first), copies(second)
        for node in (first, second):
            node.start()
            follows(node, third.port)
            has(node, "a", "b", "c")
        equal((copies(first), copies(second)), before, "copies that were begun")
        equal(third.info("stats")["sync_full"], "0", "copies that were sent")


@test("a primary whose folder is an older copy of itself gives its replica a whole copy, though id and offset fit", seconds=120)
def _():
    needs("replication")
    if subject_is_redis():
        return                                            # it goes on from there, and the two differ from then on
    quiet = {"repl_ping_replica_period": 3600, "enable_debug_command": "yes"}
    with Server(**quiet) as primary, Server(replicaof=["127.0.0.1", primary.port], **quiet) as replica:
        with primary.connect() as c:
            c.pipeline([("SET", f"a:{i}", i) for i in range(200)])
        wait_until(lambda: offset(replica) == offset(primary), 60, "every byte")
        primary.stop()
        shutil.copytree(primary.folder, primary.folder + ".older")
        primary.start()
        with primary.connect() as c:
            c.pipeline([("SET", f"b:{i}", i) for i in range(200)])
        wait_until(lambda: offset(replica) == offset(primary), 60, "every byte")
        before, end = copies(replica), offset(replica)
        replica.stop()
        primary.stop()
        shutil.rmtree(primary.folder)
        os.rename(primary.folder + ".older", primary.folder)
        primary.start()
        with primary.connect() as c:
            c.pipeline([("SET", f"c:{i}", i) for i in range(300)])
        equal(offset(primary) > end, True, "the log has grown beyond the replica's offset again")
        replica.start()
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up", 60, "the link")
        has(replica, "a", "c")
        with primary.connect() as x, replica.connect() as y:
            equal(y.must("DEBUG", "DIGEST"), x.must("DEBUG", "DIGEST"))
        equal(copies(replica), before + 1, "copies that were begun")
        with open(primary.log_path) as f:
            equal(f.read().count("replica_log_differs"), 1, "differences that were found")


@test("a primary that nobody hears says no PING to its log, so it comes back without a copy", seconds=120)
def _():
    needs("replication")
    if subject_is_redis():
        return
    with Server(repl_ping_replica_period=1) as old, Server() as new, Proxy(old.port) as gate:
        with old.connect() as c:
            c.pipeline([("SET", f"a:{i}", i) for i in range(200)])
            follows(new, gate.port)
            wait_until(lambda: offset(new) == offset(old), 60, "every byte")
            start = offset(old)
            wait_until(lambda: offset(new) > start, 60, "a PING")
            c.must("CONFIG", "SET", "repl-ping-replica-period", 3600)
            wait_until(lambda: offset(new) == offset(old), 60, "every PING")
            gate.shut = True
            wait_until(lambda: int(old.info("replication")["slave0"].rsplit("lag=", 1)[1]) >= 3, 60, "nobody answers")
            end = offset(old)
            c.must("CONFIG", "SET", "repl-ping-replica-period", 1)
            time.sleep(2.5)
        equal((offset(old), offset(new)), (end, end), "a stream that nobody hears")
        leads(new, "b")
        before = copies(old)
        follows(old, new.port)
        has(old, "a", "b")
        equal(copies(old), before, "copies that were begun")


@test("in a cluster a master that was stopped, not killed, comes back without a copy", seconds=180)
def _():
    needs("replication")
    with six() as c:
        ready(c)
        old, new = pairs(c)[0]
        sync(old, new)
        before = copies(old)
        os.kill(old.process.pid, signal.SIGSTOP)
        wait_until(lambda: role(new) == "master", 60, "the replica leads")
        os.kill(old.process.pid, signal.SIGCONT)
        wait_until(lambda: role(old) == "slave", 60, "the old master follows")
        ready(c)
        with old.connect() as x:
            info = fields(x.must("INFO", "replication"))
        equal([copies(old) - before, info.get("lost_writes", "0")], [0, "0"], "copies, lost writes")
