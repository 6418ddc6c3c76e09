"""shards.py - masters and their replicas: who is whose, whether they stream, writers that note what was acknowledged."""
import threading
import time

from harness.cluster import Cluster, cli, fields
from harness.resp import Connection, ConnectionLost, show
from harness.runner import equal
from harness.server import wait_until

TIMEOUT_MS = 2000


def role(node):
    with node.connect() as c:
        return c.must("ROLE")[0].decode()


def replicas_up(c):
    """Every node that says it is a replica streams from its master."""
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


def settled(c):
    """What the first node (whose word pairs() takes) says of masters and replicas is what they say themselves, and all stream."""
    try:
        now = pairs(c)
        if len(now) != len(c.nodes) // 2:
            return False
        for master, replica in now:
            with master.connect() as m, replica.connect() as r:
                leads, follows = fields(m.must("INFO", "replication")), fields(r.must("INFO", "replication"))
            if leads["role"] != "master" or follows["role"] != "slave" or follows["master_link_status"] != "up" or \
                    int(follows["master_port"]) != master.port or "state=online" not in leads.get("slave0", ""):
                return False
        return True
    except (OSError, ConnectionLost, KeyError):
        return False


def ready(c):
    wait_until(lambda: settled(c), 30, "all replicas stream")
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


def fail_over(replica, *options):
    """A manual failover until it is done: it ends by itself after five seconds, and may be asked for again then."""
    with replica.connect() as r:
        def done():
            if r.must("ROLE")[0] == b"master":
                return True
            r.command("CLUSTER", "FAILOVER", *options)
            end = time.monotonic() + 8
            while r.must("ROLE")[0] != b"master" and time.monotonic() < end:
                time.sleep(0.02)
            return r.must("ROLE")[0] == b"master"
        wait_until(done, 60, "the replica leads")


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
                at = self.ports.index(port) if port in self.ports else 0
                port = self.ports[(at + 1) % len(self.ports)]
                time.sleep(0.02)
