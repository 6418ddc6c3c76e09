"""Replicas of a cluster: kill -9 of a master, planned failover under load, a shard of real Redis and Cairn nodes."""
import os
import random
import threading
import time

from harness import dump
from harness.cluster import Cluster, cli
from harness.features import needs
from harness.resp import show
from harness.runner import equal, skip, test, true
from harness.server import REDIS, SUBJECT, subject_is_redis, wait_until
from harness.shards import TIMEOUT_MS, Load, complaints, fail_over, fill, pairs, read_back, ready, replicas_up, role, settled, six, sync


@test("redis-cli --cluster create --cluster-replicas 1 makes six nodes, each replica a copy of its master", seconds=120)
def _():
    needs("replication")
    with six() as c:
        ready(c)
        fill(c)
        equal(sorted(role(n) for n in c.nodes), ["master"] * 3 + ["slave"] * 3)
        for master, replica in pairs(c):
            sync(master, replica)
            with master.connect() as m, replica.connect() as r:
                equal(m.must("DBSIZE"), r.must("DBSIZE"))
        with c.nodes[0].connect() as x:
            wait_until(lambda: all(len(entry) == 4 for entry in x.must("CLUSTER", "SLOTS")), 10, "replicas in CLUSTER SLOTS")

            def shards():
                found = []
                for shard in x.must("CLUSTER", "SHARDS"):
                    nodes = [dict(zip(n[::2], n[1::2])) for n in dict(zip(shard[::2], shard[1::2]))[b"nodes"]]
                    found.append(sorted((n[b"role"], n[b"health"]) for n in nodes))
                return found
            wait_until(lambda: shards() == [[(b"master", b"online"), (b"replica", b"online")]] * 3, 10, "CLUSTER SHARDS")
        for master, replica in pairs(c):
            with master.connect() as m:
                def lines():
                    return m.must("CLUSTER", "REPLICAS", c.id_of(master))
                wait_until(lambda: len(lines()) == 1 and c.id_of(replica).encode() in lines()[0], 10, "CLUSTER REPLICAS")


@test("a replica redirects, and answers reads after READONLY", seconds=120)
def _():
    needs("replication")
    with six() as c:
        ready(c)
        fill(c, 60)
        for master, replica in pairs(c):
            sync(master, replica)
            with master.connect() as m, replica.connect() as r:
                key = m.must("RANDOMKEY").decode()
                moved = show(r.command("GET", key))
                true(moved.startswith("-MOVED") and moved.endswith(f":{master.port}"), moved)
                r.must("READONLY")
                equal(r.must("GET", key), m.must("GET", key))
                for read_only in ("yes", "no"):
                    r.must("CONFIG", "SET", "replica-read-only", read_only)
                    equal(r.must("CONFIG", "GET", "replica-read-only")[1].decode(), read_only)
                    true(show(r.command("SET", key, "x")).startswith("-MOVED"), "a write")
                    equal(show(r.command("MULTI")), "+OK")
                    equal(show(r.command("GET", key)), "+QUEUED")
                    equal(len(r.must("EXEC")), 1)
                    equal(show(r.command("MULTI")), "+OK")
                    true(show(r.command("SET", key, "x")).startswith("-MOVED"), "a queued write")
                    true(show(r.command("EXEC")).startswith("-EXECABORT"), "its transaction")
                equal(replica.info("replication")["slave_read_only"], "0")
                if not subject_is_redis():
                    equal(show(r.command("FLUSHALL")), "-READONLY You can't write against a read only replica.")
                r.must("READWRITE")
                true(show(r.command("GET", key)).startswith("-MOVED"), "READWRITE")


@test("kill -9 of a master: its replica takes over in time, and it comes back as a replica", seconds=180)
def _():
    needs("replication")
    with six() as c:
        ready(c)
        fill(c)
        master, replica = pairs(c)[0]
        sync(master, replica)
        name = c.id_of(master)
        began = time.monotonic()
        master.kill()
        wait_until(lambda: role(replica) == "master" and c.info(replica)["cluster_state"] == "ok", 30, "the replica leads")
        took = time.monotonic() - began
        print(f"      after {took * 1000 / TIMEOUT_MS:.2f} node timeouts")
        true(took < 6 * TIMEOUT_MS / 1000, f"failover took {took:.2f} s")    # how fast it is, bench/failover measures
        c.wait_ok()
        read_back(replica.port)
        true("OK" in cli("-c", "-p", replica.port, stdin=b"SET later 1\n"), "a write to the new master")
        master.start()
        wait_until(lambda: c.table(replica)[name]["master"] == c.id_of(replica), 30, "the old master follows the new one")
        wait_until(lambda: replicas_up(c), 30, "it streams")
        sync(replica, master)
        with master.connect() as m, replica.connect() as r:
            equal(m.must("DBSIZE"), r.must("DBSIZE"))
        c.wait_ok()


class Unpauser(threading.Thread):
    """Says CLIENT UNPAUSE all the time: that ends what CLIENT PAUSE began, not what holds writes for a failover."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.done = nodes, threading.Event()

    def run(self):
        connections = [n.connect() for n in self.nodes]
        while not self.done.is_set():
            for c in connections:
                c.must("CLIENT", "UNPAUSE")
            time.sleep(0.002)
        for c in connections:
            c.close()


@test("CLUSTER FAILOVER under load loses no acknowledged write, whoever says CLIENT UNPAUSE meanwhile", seconds=180)
def _():
    needs("replication")
    with six() as c:
        ready(c)
        for _ in range(4):
            master, replica = pairs(c)[0]
            slot = c.slot_map(master)
            key = next(f"load:{i}" for i in range(10000)
                       if c.owner(c.nodes[0].connect().must("CLUSTER", "KEYSLOT", f"load:{i}")) is master)
            true(slot, "a map")
            loads = [Load([master, replica], f"{{{key}}}{n}") for n in range(4)]
            for load in loads:
                load.start()
            unpauser = Unpauser([master, replica])
            unpauser.start()
            time.sleep(0.7)
            fail_over(replica)
            time.sleep(0.7)
            unpauser.done.set()
            unpauser.join()
            for load in loads:
                load.stop = True
            for load in loads:
                load.join()
                with replica.connect() as r:
                    value = int(r.must("GET", load.key))
                true(load.acknowledged <= value <= load.attempted, f"{value} of {load.acknowledged}..{load.attempted}")
                true(load.longest < 12, f"a write waited {load.longest:.1f} s")
            c.wait_ok()
            ready(c)


@test("CLUSTER FAILOVER FORCE and TAKEOVER work without the master, and say what Redis says", seconds=180)
def _():
    needs("replication")
    with six(cluster_replica_no_failover="yes") as c:
        ready(c)
        fill(c, 100)
        (first, forced), (second, taken) = pairs(c)[:2]
        sync(first, forced)
        sync(second, taken)
        with first.connect() as m, forced.connect() as r:
            equal(show(m.command("CLUSTER", "FAILOVER")), "-ERR You should send CLUSTER FAILOVER to a replica")
            equal(show(r.command("CLUSTER", "FAILOVER", "now")), "-ERR syntax error")
            equal(show(r.command("CLUSTER", "FAILOVER", "FORCE", "TAKEOVER")),
                  "-ERR unknown subcommand or wrong number of arguments for 'FAILOVER'. Try CLUSTER HELP.")
        with taken.connect() as r:
            equal(show(r.command("CLUSTER", "FAILOVER", "TAKEOVER")), "+OK")
            wait_until(lambda: r.must("ROLE")[0] == b"master", 20, "it leads")
        wait_until(lambda: role(second) == "slave", 20, "the old master follows")
        first.kill()
        with forced.connect() as r:
            wait_until(lambda: show(r.command("CLUSTER", "FAILOVER")) ==
                       "-ERR Master is down or failed, please use CLUSTER FAILOVER FORCE", 20, "the master is noticed")
            equal(show(r.command("CLUSTER", "FAILOVER", "FORCE")), "+OK")
        fail_over(forced, "FORCE")
        c.wait_ok()
        read_back(forced.port, 100)


@test("a master that was stopped and replaced accepts none of the writes that waited for it", seconds=180)
def _():
    needs("replication")
    if subject_is_redis():
        skip("Redis 7 may accept them")
    with six() as c:
        ready(c)
        master, replica = pairs(c)[0]
        with c.nodes[0].connect() as x:
            keys = [k for k in (f"waits:{i}" for i in range(600)) if c.owner(x.must("CLUSTER", "KEYSLOT", k)) is master][:50]
        with master.connect() as m:
            equal(show(m.command("SET", keys[0], "before")), "+OK")
            sync(master, replica)
            master.pause()
            try:
                for key in keys:
                    m.send("SET", key, "late")
                wait_until(lambda: role(replica) == "master", 30, "the replica leads")
            finally:
                master.resume()
            replies = {show(m.read()).split(" ")[0] for _ in keys}
            true(replies <= {"-CLUSTERDOWN", "-MOVED"}, str(replies))
        wait_until(lambda: role(master) == "slave", 20, "the old master follows")
        with replica.connect() as r:
            equal(r.must("GET", keys[0]), b"before")


@test("a master that is cut off refuses writes within the node timeout, and serves again after it", seconds=120, alone=True)
def _():
    if subject_is_redis():
        skip("Redis 7 takes up to 1.5 node timeouts")
    with Cluster(3, cluster_node_timeout=str(TIMEOUT_MS)) as c:
        with c.nodes[0].connect() as x:
            key = next(k for k in (f"cut:{i}" for i in range(600)) if c.owner(x.must("CLUSTER", "KEYSLOT", k)) is c.nodes[0])
            sent = []

            def refused():
                """Notes when the last write was sent that was accepted: the reply may be late, on a busy machine."""
                at = time.monotonic()
                reply = show(x.command("SET", key, "v"))
                if reply == "+OK":
                    sent.append(at)
                return reply == "-CLUSTERDOWN The cluster is down"
            try:
                for node in c.nodes[1:]:
                    node.pause()
                began = time.monotonic()
                wait_until(refused, 20, "writes are refused", 0.02)
            finally:
                for node in c.nodes[1:]:
                    node.resume()
            took = sent[-1] - began if sent else 0
            true(took < TIMEOUT_MS / 1000 + 0.15, f"writes went on for {took:.2f} s")
            wait_until(lambda: c.agree() and show(x.command("SET", key, "v")) == "+OK", 30, "it serves again")


@test("rounds of kill -9, planned and forced failovers leave every replica equal to its master", seconds=300)
def _():
    needs("replication")
    seed = int(os.environ.get("CAIRN_SEED", "0")) or random.randrange(1 << 30)
    rng = random.Random(seed)
    with six() as c:
        for node in c.nodes[::2] if not subject_is_redis() else []:
            with node.connect() as x:
                x.must("CONFIG", "SET", "repl-apply-threads", "4")
            node.options["repl_apply_threads"] = "4"     # when it is started again
        ready(c)
        loads = [Load(c.nodes, f"{{{tag}}}{i}") for i, tag in enumerate("abcdefgh")]
        for load in loads:
            load.start()
        try:
            for _ in range(int(os.environ.get("CAIRN_ROUNDS", "6"))):
                what, (master, replica) = rng.choice(["kill", "failover", "force", "replica"]), rng.choice(pairs(c))
                victim = replica if what == "replica" else master
                if what in ("kill", "replica"):
                    victim.kill()
                    time.sleep(rng.random() * 1.6 * TIMEOUT_MS / 1000)
                    victim.start()
                else:
                    with replica.connect() as r:
                        r.command("CLUSTER", "FAILOVER", *(["FORCE"] if what == "force" else []))
                    time.sleep(rng.random())
                c.wait_ok(40)
                wait_until(lambda: settled(c), 40, f"replicas stream (seed {seed}, after {what})")
        finally:
            for load in loads:
                load.stop = True
        for load in loads:
            load.join()
        time.sleep(6)                             # a manual failover of the last round may come late, or has ended by now
        c.wait_ok(40)
        wait_until(lambda: settled(c), 40, f"replicas stream (seed {seed})")
        for master, replica in pairs(c):
            sync(master, replica)
            with master.connect() as m, replica.connect() as r:
                r.must("READONLY")
                equal(dump.differences(dump.dump(m), dump.dump(r)), [], f"seed {seed}")


@test("redis-cli --cluster add-node --cluster-slave adds a replica, and del-node takes it away", seconds=120)
def _():
    needs("replication")
    with Cluster(3, cluster_node_timeout=str(TIMEOUT_MS)) as c:
        fill(c, 100)
        added = c.add_server(cluster_node_timeout=str(TIMEOUT_MS))
        cli("--cluster", "add-node", added.address, c.nodes[0].address, "--cluster-slave",
            "--cluster-master-id", c.id_of(c.nodes[1]))
        wait_until(lambda: role(added) == "slave" and replicas_up(c), 30, "it streams")
        sync(c.nodes[1], added)
        with c.nodes[1].connect() as m, added.connect() as r:
            equal(m.must("DBSIZE"), r.must("DBSIZE"))
        masters = c.nodes[:3]
        wait_until(lambda: all(len(c.table(n)) == 4 for n in masters), 30, "everybody knows it")
        text = cli("--cluster", "del-node", masters[0].address, c.id_of(added))
        true("CLUSTER RESET SOFT" in text, text)
        wait_until(lambda: all(len(c.table(n)) == 3 for n in masters) and len(c.table(added)) == 1, 30, "it is forgotten")
        with added.connect() as r:
            wait_until(lambda: r.must("ROLE")[0] == b"master" and r.must("DBSIZE") == 0, 30, "an empty master of its own")


@test("a replica of a real Redis takes over, and a real Redis takes over from Cairn", seconds=180)
def _():
    needs("replication")
    if subject_is_redis():
        skip("the server under test is a real Redis itself")
    timeout = str(TIMEOUT_MS)
    # The first three become masters, in this order; each replica is of the other kind.
    with Cluster(6, create=False, binaries=[SUBJECT, REDIS, SUBJECT, REDIS, SUBJECT, REDIS],
                 cluster_node_timeout=timeout) as c:
        for node in c.nodes:
            if node.is_redis:
                with node.connect() as x:
                    x.must("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        cli("--cluster", "create", *[n.address for n in c.nodes[:3]], "--cluster-yes")
        for i in range(3):
            cli("--cluster", "add-node", c.nodes[3 + i].address, c.nodes[0].address, "--cluster-slave",
                "--cluster-master-id", c.id_of(c.nodes[i]))
        ready(c)
        fill(c, 200)
        table = dict((m.port, r) for m, r in pairs(c))
        gone = [c.nodes[1], c.nodes[0]]           # a real Redis, then Cairn
        for master in gone:
            replica = table[master.port]
            sync(master, replica)
            name = c.id_of(master)
            master.kill()
            wait_until(lambda: role(replica) == "master", 40, "the replica leads")
            c.wait_ok(40)
            read_back(replica.port, 200)
            # As long as the dead one is away the voter names it in its votes: the Redis that is elected next has counted such a vote.
            with open(os.path.join(c.nodes[2].folder, "nodes.conf")) as f:
                true(f"{name}:{c.id_of(replica)}:" in f.read().split("ballots ")[1], "a ballot is open")
        for master in gone:
            master.start()
        wait_until(lambda: all(role(m) == "slave" for m in gone) and settled(c), 40, "the old masters stream")
        c.wait_ok(40)
        for node in c.nodes:
            true(not node.is_redis or not complaints(node), f"{node.address}: {complaints(node)}")
        for master, replica in pairs(c): # planned, both ways
            sync(master, replica)
            fail_over(replica)                    # it refuses while its link to the master is being made
            wait_until(lambda: role(master) == "slave", 20, "the old master follows")
        c.wait_ok(40)
        read_back(c.nodes[0].port, 200)
