"""shards.py - masters and their replicas: who is whose, whether they stream, writers that note what was acknowledged."""
import re
import threading
import time

from harness.cluster import Cluster, cli, fields
from harness.resp import Connection, ConnectionLost, show
from harness.runner import equal, true
from harness.server import wait_until

TIMEOUT_MS = 2000
COMPLAINTS = re.compile(r"unknown|invalid|bad signature|malformed|wrong|corrupt|protocol error|unrecognized", re.I)


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


def complaints(node):
    """What the log of a Redis says against what it received."""
    with open(node.log_path, errors="replace") as f:
        return [line for line in f if COMPLAINTS.search(line)]


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


class Confirmed(threading.Thread):
    """
    Writes keys that are new each time, `SET` and `WAIT 1` on one connection, and counts a write as acknowledged only when WAIT
    said that a replica has it: whatever single node fails then, none of these may be missing.
    """

    def __init__(self, nodes, tag, wait_ms=1000, kind="n"):
        super().__init__(daemon=True)
        self.nodes = {n.port: n for n in nodes}
        self.tag, self.kind, self.wait_ms, self.stop, self.next = tag, kind, wait_ms, False, 0
        self.confirmed = []                       # numbers of keys
        self.accepted = []                        # (port, when it was sent) of every +OK, confirmed or not
        self.errors = set()

    def name(self, number):
        return f"{{{self.tag}}}:{self.kind}:{number}"

    def run(self):
        ports = list(self.nodes)
        port = ports[0]
        while not self.stop:
            try:
                with self.nodes[port].connect(timeout=3.0) as c:
                    moved = None
                    while not self.stop and moved is None:
                        moved = self.one(c, port)
                port = moved if moved in self.nodes else port
            except (OSError, ConnectionLost):
                port = ports[(ports.index(port) + 1) % len(ports)]
                time.sleep(0.02)

    def one(self, c, port):
        """One write; the port it was sent on to, if it was. A node that refuses may be one that was cut off: the next is asked."""
        number, sent = self.next, time.monotonic()
        self.next += 1
        reply, waited = [show(r) for r in c.pipeline([("SET", self.name(number), number), ("WAIT", 1, self.wait_ms)])]
        if reply == "+OK":
            self.accepted.append((port, sent))
            if waited.startswith(":") and int(waited[1:]) >= 1:     # an error: it became a replica meanwhile
                self.confirmed.append(number)
            return None
        if reply.startswith("-MOVED"):
            return int(reply.rsplit(":", 1)[1])
        self.errors.add(reply[:60])
        time.sleep(0.02)
        raise ConnectionLost(reply)

    def last_accepted(self, port, since=0.0):
        """When the last write that this node accepted was sent, if one was since then."""
        return next((at for p, at in reversed(self.accepted) if p == port and at >= since), None)


def stop_all(writers):
    for w in writers:
        w.stop = True
    for w in writers:
        w.join()


def read_all(node, names):
    """The replies to GET of all names, by a master or a replica. A cluster state that is not ok for a moment is waited for."""
    replies = []

    def served():
        with node.connect() as x:
            x.must("READONLY")
            replies[:] = x.pipeline([("GET", name) for name in names])
        return not any(r[1].startswith(b"CLUSTERDOWN") for r in replies if r[0] == "-")

    wait_until(served, 60, f"{node.address} serves reads")
    return replies


def nothing_lost(c, writers):
    """Every confirmed write is where its slot is served, and on a replica of that master."""
    for master, replica in pairs(c):
        sync(master, replica)
    for w in writers:
        owner = c.owner_of(w.tag)
        for node in [owner] + [r for m, r in pairs(c) if m is owner]:
            replies = read_all(node, [w.name(n) for n in w.confirmed])
            missing = [n for n, r in zip(w.confirmed, replies) if r != ("$", b"%d" % n)]
            true(not missing, f"{len(missing)} of {len(w.confirmed)} confirmed writes of {{{w.tag}}} are missing on "
                 f"{node.address}, the first {missing[:3]}: {replies[w.confirmed.index(missing[0])] if missing else ''}")
