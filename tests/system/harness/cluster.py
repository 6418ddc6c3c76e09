"""cluster.py - a cluster of nodes on loopback, made with redis-cli as people do."""
import subprocess

from harness.resp import ConnectionLost
from harness.server import REDIS_CLI, Server, wait_until


def cli(*words, seconds=240, stdin=None, check=True, before=()):
    """redis-cli's output; raises with it when the exit code is not 0 and check. before: words in front, as of nsenter."""
    done = subprocess.run([*before, REDIS_CLI, *[str(w) for w in words]], capture_output=True, timeout=seconds, input=stdin)
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    if check and done.returncode != 0:
        raise AssertionError(f"redis-cli {' '.join(str(w) for w in words)[:200]} ended with {done.returncode}:\n{text[-1500:]}")
    return text


def fields(text):
    return dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)


class Cluster:
    def __init__(self, count=3, binaries=None, create=True, replicas=0, network=None, **options):
        """network: the nodes live in its namespaces (harness.netns) instead of on loopback."""
        self.nodes = network.servers(**options) if network else \
            [Server(cluster=True, binary=binaries[i] if binaries else None, **options) for i in range(count)]
        self.create_it, self.replicas, self.cli = create, replicas, network.cli if network else cli

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start()
            if self.create_it:
                self.create()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.__exit__()

    def create(self):
        text = self.cli("--cluster", "create", *[n.address for n in self.nodes], "--cluster-replicas", self.replicas,
                   "--cluster-yes")
        covered = "[OK] All 16384 slots covered."
        if covered not in text:               # its last look leaves out whom the first node has no link to at that moment
            self.wait_ok()
            wait_until(lambda: covered in self.cli("--cluster", "check", self.nodes[0].address, check=False), 30,
                       f"redis-cli finds all slots after\n{text[-1500:]}")
        self.wait_ok()
        return text

    def add_server(self, binary=None, **options):
        """A started node that is no member yet."""
        node = Server(cluster=True, binary=binary, **options)
        self.nodes.append(node)
        return node.start()

    def info(self, node):
        with node.connect() as c:
            return fields(c.must("CLUSTER", "INFO"))

    def table(self, node):
        """{id: {address, flags, master, slots}} as this node sees it."""
        with node.connect() as c:
            lines = c.must("CLUSTER", "NODES").decode().splitlines()
        rows = {}
        for line in lines:
            words = line.split(" ")
            rows[words[0]] = {"address": words[1].split("@")[0], "flags": set(words[2].split(",")), "master": words[3],
                              "link": words[7], "slots": words[8:]}
        return rows

    def id_of(self, node):
        with node.connect() as c:
            return c.must("CLUSTER", "MYID").decode()

    def slot_map(self, node):
        with node.connect() as c:
            return sorted((first, last, master[1], master[2].decode())
                          for first, last, master, *_ in c.must("CLUSTER", "SLOTS"))

    def epochs(self, node):
        """The configuration epochs of the masters with slots, as this node knows them."""
        with node.connect() as c:
            rows = [line.split(" ") for line in c.must("CLUSTER", "NODES").decode().splitlines()]
        return sorted((row[0], row[6]) for row in rows if any(s[0] != "[" for s in row[8:]))

    def agree(self):
        """
        Every node reports state ok, the same map, and the same epochs: who moves a slot on while an older claim of it is
        still on its way to somebody, may see the older one win.
        """
        try:
            running = [n for n in self.nodes if n.process.poll() is None]
            states = [self.info(n)["cluster_state"] for n in running]
            maps = [(self.slot_map(n), self.epochs(n)) for n in running]
        except (OSError, ConnectionLost, AssertionError):
            return False
        return set(states) == {"ok"} and all(m == maps[0] for m in maps)

    def wait_ok(self, seconds=30):
        wait_until(self.agree, seconds, "cluster_state ok and one map on every node")

    def owner_of(self, key):
        with self.nodes[0].connect() as c:
            return self.owner(c.must("CLUSTER", "KEYSLOT", key))

    def tags_of(self, node, count=1):
        """Names whose slots this node serves."""
        return [t for t in (f"t{i}" for i in range(300)) if self.owner_of(t) is node][:count]

    def owner(self, slot):
        for first, last, port, _ in self.slot_map(self.nodes[0]):
            if first <= slot <= last:
                return next(n for n in self.nodes if n.port == port)
        return None
