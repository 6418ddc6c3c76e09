"""Redis between two Cairn nodes, and planned changes of roles between the two kinds."""
import os
import select
import signal
import time

from harness.features import needs
from harness.replicas import Writer, follow, same_data, syncs, wait_linked, write_for
from harness.resp import show
from harness.runner import equal, test, true
from harness.server import Server, redis, subject_is_redis, wait_until


def follows_online(replica, primary):
    follow(replica, primary)
    wait_until(lambda: "state=online" in primary.info("replication").get("slave0", ""), 60, "an online replica")


@test("a Redis between two Cairn nodes: one history, through a cut link and its promotion, without a second copy", seconds=180)
def _():
    needs("replication")
    quiet = {"repl_ping_replica_period": 3600}
    with Server(**quiet) as head, redis(repl_diskless_sync_delay=0, repl_backlog_size="64mb", **quiet) as middle, \
            Server(**quiet) as tail:
        write_for(head, 0.3, 1)
        follow(middle, head)
        follow(tail, middle)
        write_for(head, 0.3, 2)
        for node in (middle, tail):
            same_data(node, head)
        with middle.connect() as c:
            c.must("CLIENT", "KILL", "TYPE", "master")
        write_for(head, 0.3, 3)
        for node in (middle, tail):
            wait_linked(node)
            same_data(node, head)
        with middle.connect() as c:
            c.must("REPLICAOF", "NO", "ONE")
        write_for(middle, 0.3, 4)
        wait_linked(tail)
        same_data(tail, middle)
        equal(len({s.info("replication")["master_replid"] for s in (middle, tail)}), 1, "histories")
        equal((syncs(head)[0], syncs(middle)[0]), (1, 1), "copies")


@test("FAILOVER hands over to a Redis and from one, gives up, is forced and called off, as between two of a kind", seconds=180)
def _():
    needs("replication")
    if subject_is_redis():
        return
    for make, other in ((Server, redis), (redis, Server)):
        with make() as first, other() as second:
            write_for(first, 0.3, 1)
            follows_online(second, first)
            writer = Writer(first, 2)
            writer.start()
            time.sleep(0.3)
            with first.connect() as c:
                c.must("FAILOVER", "TO", "127.0.0.1", second.port, "TIMEOUT", 60000)
            wait_until(lambda: second.info("replication")["role"] == "master", 60, "the other leads")
            writer.stop()
            wait_linked(first)
            same_data(first, second)
            equal(syncs(second)[0], 0, "copies")
        with make() as first, other() as second:
            follows_online(second, first)
            os.kill(second.pid, signal.SIGSTOP)
            try:
                with first.connect() as c:
                    words = ("FAILOVER", "TO", "127.0.0.1", second.port)
                    c.must("SET", "a", 1)
                    c.must(*words, "TIMEOUT", 500)
                    equal(first.info("replication")["master_failover_state"], "waiting-for-sync")
                    c.must("SET", "a", 2)                     # waits until it has given up
                    equal(first.info("replication")["master_failover_state"], "no-failover")
                    c.must(*words)
                    equal(show(c.command(*words)), "-ERR FAILOVER already in progress.")
                    c.must("FAILOVER", "ABORT")
                    c.must("SET", "a", 3)
                    c.must(*words, "TIMEOUT", 300, "FORCE")
                    wait_until(lambda: first.info("replication")["master_failover_state"] == "failover-in-progress", 30, "force")
                    c.must("FAILOVER", "ABORT")
                    equal(first.info("replication")["role"], "master")
                    true(c.must("SET", "a", 4) == b"OK", "it takes writes")
            finally:
                os.kill(second.pid, signal.SIGCONT)


@test("a Redis that holds a type Cairn does not have: the copy is refused by name, less and less often, and taken when it is gone",
      seconds=120)
def _():
    needs("replication")
    if subject_is_redis():
        return
    with redis(repl_diskless_sync_delay=0) as primary, Server() as replica:
        with primary.connect() as p, replica.connect() as r:
            r.must("SET", "old", 1)
            p.must("SET", "a", 1)
            p.must("XADD", "the stream", "*", "f", "v")
            r.must("REPLICAOF", "127.0.0.1", primary.port)
            wait_until(lambda: "a value of type stream" in replica.info("replication").get("master_link_last_error", ""), 30,
                       "the refusal")
            true('"the stream"' in replica.info("replication")["master_link_last_error"], "the key's name")
            equal(show(r.command("GET", "old")), '"1"')
            time.sleep(8)                                     # after 0, 1, 3, 7, 15 seconds
            true(int(primary.info("stats")["sync_full"]) <= 5, "snapshots in eight seconds")
            p.must("DEL", "the stream")
            wait_linked(replica)
            same_data(replica, primary)
            equal(replica.info("replication")["slave_commands_not_applied"], "0")
            p.must("XADD", "the stream", "*", "f", "v")
            wait_until(lambda: replica.info("replication")["slave_commands_not_applied"] == "1", 30, "the command that it does not know")
            p.must("DEL", "the stream")
            same_data(replica, primary)


def silent(connection, seconds):
    """What was asked has no answer yet."""
    return select.select([connection.socket], [], [], seconds)[0] == []


@test("CLIENT UNPAUSE lets no write into a FAILOVER, and the end of a FAILOVER none into a CLIENT PAUSE", seconds=60)
def _():
    needs("replication")
    if subject_is_redis():
        return                                                # 7.2 does so, 7.0 does not
    with Server() as first, Server() as second:
        follows_online(second, first)
        os.kill(second.pid, signal.SIGSTOP)
        try:
            with first.connect() as c, first.connect() as writer:
                c.must("SET", "a", 1)
                c.must("FAILOVER", "TO", "127.0.0.1", second.port)
                writer.send("SET", "a", 2)
                true(silent(writer, 0.3), "held")
                c.must("CLIENT", "UNPAUSE")
                true(silent(writer, 0.3), "held all the same")
                c.must("CLIENT", "PAUSE", 3600000, "WRITE")
                c.must("FAILOVER", "ABORT")
                true(silent(writer, 0.3), "held by the pause")
                c.must("CLIENT", "UNPAUSE")
                equal(show(writer.read()), "+OK")
        finally:
            os.kill(second.pid, signal.SIGCONT)
