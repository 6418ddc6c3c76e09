"""Replicas of a cluster: kill -9 of a master, planned failover under load, a shard of real Redis and Cairn nodes."""
import os
import random
import signal
import threading
import time

from harness import dump
from harness.cluster import Cluster, cli, fields
from harness.features import needs
from harness.resp import Connection, ConnectionLost, show
from harness.runner import equal, skip, test, true
from harness.server import REDIS, SUBJECT, subject_is_redis, wait_until

TIMEOUT_MS = 2000


def role(node):
    with node.connect() as c:
        return c.must("ROLE")[0].decode()


def replicas_up(c):
    """Every replica streams from its master, and all nodes know where it stands."""
    for node in c.nodes:
        if node.process.poll() is not None:
            continue
        with node.connect() as x:
            info = fields(x.must("INFO", "replication"))
            if info["role"] == "slave" and info["master_link_status"] != "up":
                return False
    return True


def six(**options):
    options.setdefault("cluster_node_timeout", str(TIMEOUT_MS))
    return Cluster(6, replicas=1, **options)


def ready(c):
    """Every replica streams, and the first node (whose word pairs() takes) has heard of all of them."""
    wait_until(lambda: replicas_up(c) and len(pairs(c)) == len(c.nodes) // 2, 30, "all replicas stream")
    for master, replica in pairs(c):
        sync(master, replica)


def pairs(c):
    """[(master, its replica)], as the first node sees them."""
    running = [n for n in c.nodes if n.process.poll() is None]
    table = c.table(running[0])
    by_address = {n.address: n for n in c.nodes}
    return [(by_address[table[row["master"]]["address"]], by_address[row["address"]])
            for row in table.values() if row["master"] != "-" and row["master"] in table]


def sync(master, replica):
    """The replica has applied all that the master holds."""
    def same():
        try:
            with master.connect() as m, replica.connect() as r:
                end = fields(m.must("INFO", "replication"))["master_repl_offset"]
                return int(fields(r.must("INFO", "replication"))["slave_repl_offset"]) >= int(end)
        except (KeyError, OSError, ConnectionLost):
            return False
    wait_until(same, 30, "the replica has everything")


def fill(c, count=500):
    lines = "".join(f"SET key:{i} value-{i}\n" for i in range(count))
    equal(cli("-c", "-p", c.nodes[0].port, stdin=lines.encode()).count("OK"), count)


def read_back(port, count=500):
    lines = "".join(f"GET key:{i}\n" for i in range(count))
    got = [line for line in cli("-c", "-p", port, stdin=lines.encode()).split("\n") if line and not line.startswith("->")]
    wrong = [i for i in range(count) if i >= len(got) or got[i] != f"value-{i}"]
    equal((len(got), wrong[:5]), (count, []))


class Load(threading.Thread):
    """Counts up one key per slot range through redirections, and notes what was acknowledged."""

    def __init__(self, nodes, key):
        super().__init__(daemon=True)
        self.ports = [n.port for n in nodes]
        self.key, self.acknowledged, self.attempted, self.stop = key, 0, 0, False
        self.longest = 0.0

    def run(self):
        port, last = self.ports[0], time.monotonic()
        while not self.stop:
            try:
                with Connection(port, timeout=3.0) as c:
                    while not self.stop:
                        self.attempted = self.acknowledged + 1
                        reply = show(c.command("SET", self.key, self.attempted))
                        if reply == "+OK":
                            self.acknowledged = self.attempted
                            self.longest = max(self.longest, time.monotonic() - last)
                            last = time.monotonic()
                        elif reply.startswith("-MOVED"):
                            port = int(reply.rsplit(":", 1)[1])
                            break
                        else:
                            time.sleep(0.01)
            except (OSError, ConnectionLost):
                port = self.ports[(self.ports.index(port) + 1) % len(self.ports)]
                time.sleep(0.02)


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
            shards = x.must("CLUSTER", "SHARDS")
            equal(len(shards), 3)
            for shard in shards:
                nodes = [dict(zip(n[::2], n[1::2])) for n in dict(zip(shard[::2], shard[1::2]))[b"nodes"]]
                equal(sorted(n[b"role"] for n in nodes), [b"master", b"replica"])
                equal([n[b"health"] for n in nodes], [b"online"] * 2)
        for master, replica in pairs(c):
            with master.connect() as m:
                lines = m.must("CLUSTER", "REPLICAS", c.id_of(master))
                true(len(lines) == 1 and c.id_of(replica).encode() in lines[0], str(lines))


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
                true(show(r.command("SET", key, "x")).startswith("-MOVED"), "a write")
                equal(show(r.command("MULTI")), "+OK")
                equal(show(r.command("GET", key)), "+QUEUED")
                equal(len(r.must("EXEC")), 1)
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
        true(took < 2.5 * TIMEOUT_MS / 1000, f"failover took {took:.2f} s")
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


@test("CLUSTER FAILOVER under load loses no acknowledged write", seconds=180)
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
            time.sleep(0.7)
            with replica.connect() as r:
                equal(show(r.command("CLUSTER", "FAILOVER")), "+OK")
            wait_until(lambda: role(replica) == "master", 10, "the replica leads")
            time.sleep(0.7)
            for load in loads:
                load.stop = True
            for load in loads:
                load.join()
                with replica.connect() as r:
                    value = int(r.must("GET", load.key))
                true(load.acknowledged <= value <= load.attempted, f"{value} of {load.acknowledged}..{load.attempted}")
                true(load.longest < 4, f"a write waited {load.longest:.1f} s")
            wait_until(lambda: replicas_up(c), 30, "the old master streams")
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
        with taken.connect() as r:
            equal(show(r.command("CLUSTER", "FAILOVER", "TAKEOVER")), "+OK")
        wait_until(lambda: role(second) == "slave", 20, "the old master follows")
        first.kill()
        with forced.connect() as r:
            wait_until(lambda: show(r.command("CLUSTER", "FAILOVER")) ==
                       "-ERR Master is down or failed, please use CLUSTER FAILOVER FORCE", 20, "the master is noticed")
            equal(show(r.command("CLUSTER", "FAILOVER", "FORCE")), "+OK")
        wait_until(lambda: role(forced) == "master", 20, "the forced one leads")
        c.wait_ok()
        read_back(forced.port, 100)


def stopped(pid):
    """Whether every thread of a process has been stopped: the signal takes its time on a busy machine."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat") as f:
            if f.read().rsplit(")", 1)[1].split()[0] != "T":
                return False
    return True


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
            os.kill(master.pid, signal.SIGSTOP)
            try:
                wait_until(lambda: stopped(master.pid), 10, "every thread of the master stands still")
                for key in keys:
                    m.send("SET", key, "late")
                wait_until(lambda: role(replica) == "master", 30, "the replica leads")
            finally:
                os.kill(master.pid, signal.SIGCONT)
            replies = {show(m.read()).split(" ")[0] for _ in keys}
            true(replies <= {"-CLUSTERDOWN", "-MOVED"}, str(replies))
        wait_until(lambda: role(master) == "slave", 20, "the old master follows")
        with replica.connect() as r:
            equal(r.must("GET", keys[0]), b"before")


@test("a master that is cut off refuses writes within the node timeout, and serves again after it", seconds=120)
def _():
    if subject_is_redis():
        skip("Redis 7 takes up to 1.5 node timeouts")
    with Cluster(3, cluster_node_timeout=str(TIMEOUT_MS)) as c:
        with c.nodes[0].connect() as x:
            key = next(k for k in (f"cut:{i}" for i in range(600)) if c.owner(x.must("CLUSTER", "KEYSLOT", k)) is c.nodes[0])
            for node in c.nodes[1:]:
                os.kill(node.pid, signal.SIGSTOP)
            began = time.monotonic()
            try:
                wait_until(lambda: show(x.command("SET", key, "v")) == "-CLUSTERDOWN The cluster is down", 20, "writes are refused")
                took = time.monotonic() - began
            finally:
                for node in c.nodes[1:]:
                    os.kill(node.pid, signal.SIGCONT)
            true(took < TIMEOUT_MS / 1000 + 0.15, f"writes went on for {took:.2f} s")
            c.wait_ok()
            equal(show(x.command("SET", key, "v")), "+OK")


@test("rounds of kill -9, planned and forced failovers leave every replica equal to its master", seconds=300)
def _():
    needs("replication")
    seed = int(os.environ.get("CAIRN_SEED", "0")) or random.randrange(1 << 30)
    rng = random.Random(seed)
    with six() as c:
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
                wait_until(lambda: len(pairs(c)) == 3 and replicas_up(c), 40, f"replicas stream (seed {seed}, after {what})")
        finally:
            for load in loads:
                load.stop = True
        for load in loads:
            load.join()
        for master, replica in pairs(c):
            sync(master, replica)
            with master.connect() as m, replica.connect() as r:
                r.must("READONLY")
                equal(dump.differences(dump.dump(m), dump.dump(r)), [], f"seed {seed}")


@test("redis-cli --cluster add-node --cluster-slave adds a replica", seconds=120)
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
        for master in (c.nodes[1], c.nodes[0]): # a real Redis, then Cairn
            replica = table[master.port]
            sync(master, replica)
            master.kill()
            wait_until(lambda: role(replica) == "master", 40, "the replica leads")
            c.wait_ok(40)
            read_back(replica.port, 200)
            master.start()
            wait_until(lambda: role(master) == "slave" and replicas_up(c), 40, "the old master streams")
        c.wait_ok(40)
        for master, replica in pairs(c): # planned, both ways
            sync(master, replica)
            with replica.connect() as r:          # it refuses while its link to the master is being made
                wait_until(lambda: show(r.command("CLUSTER", "FAILOVER")) == "+OK", 20, "a planned failover begins", 0.5)
            wait_until(lambda: role(replica) == "master" and role(master) == "slave", 20, "a planned failover")
        c.wait_ok(40)
        read_back(c.nodes[0].port, 200)
