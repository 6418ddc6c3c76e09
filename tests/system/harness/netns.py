"""netns.py - nodes in network namespaces of their own, so that a network can be cut between them and healed again.

    with Network(6) as net:                     skips the test where namespaces are not permitted
        c = Cluster(nodes=net.servers(...))
        net.partition([a, b], [c, d, e, f])     what goes across is lost without a word
        net.heal()
        net.cut(a, b)                           only these two no longer reach each other
        net.join(a, b)

Each node has a namespace with one end of a veth pair; the other ends are ports of bridges inside a further namespace, and a
partition gives each side a bridge of its own. The host's network is not touched. A client of a node is inside its namespace,
and so reaches it always.
"""
import contextlib
import ctypes
import os
import shutil
import subprocess
import time

from harness.runner import skip
from harness.server import Server, wait_until

_libc = ctypes.CDLL(None, use_errno=True)


def _run(*words, inside=None, check=True):
    if inside is not None:
        words = ("nsenter", f"--net=/proc/{inside}/ns/net", "--") + words
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def _enter(descriptor):
    if _libc.setns(descriptor, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """A network namespace, held by a process that sleeps."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        mine = os.stat("/proc/self/ns/net").st_ino
        try:
            wait_until(lambda: self.holder.poll() is not None or os.stat(f"/proc/{self.holder.pid}/ns/net").st_ino != mine, 20,
                       "a namespace", 0.002)
            if self.holder.poll() is not None:
                raise OSError("unshare ended")
            self.descriptor = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY)
        except BaseException:
            self.end(close=False)
            raise

    @property
    def pid(self):
        return self.holder.pid

    @contextlib.contextmanager
    def inside(self):
        """This thread is in the namespace meanwhile; the sockets that it makes stay there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(self.descriptor)
            try:
                yield
            finally:
                _enter(home)
        finally:
            os.close(home)

    def end(self, close=True):
        if close:
            os.close(self.descriptor)
        self.holder.kill()
        self.holder.wait()


class NetworkServer(Server):
    """A server inside a namespace; `host` is the address at which the others reach it."""

    def __init__(self, namespace, host, **options):
        self.namespace, self.host = namespace, host
        super().__init__(bind=f"{host} 127.0.0.1", protected_mode="no", cluster=True, **options)

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def command_line(self):
        return ["nsenter", f"--net=/proc/{self.namespace.pid}/ns/net", "--"] + super().command_line()

    def dial(self, **options):
        with self.namespace.inside():
            return super().dial(**options)


class Network:
    def __init__(self, count):
        self.count, self.spaces, self.switch, self.nodes = count, [], None, []

    def __enter__(self):
        for tool in ("ip", "unshare", "nsenter"):
            if shutil.which(tool) is None:
                skip(f"{tool} is not there to make network namespaces")
        try:
            self.switch = Namespace()
            for _ in range(self.count):
                self.spaces.append(Namespace())
            self.wire()
        except (OSError, AssertionError) as e:
            self.__exit__()
            skip(f"network namespaces are not permitted here: {str(e)[:150]}")
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.__exit__()
        for space in self.spaces + [self.switch]:
            if space is not None:
                space.end()
        self.spaces, self.switch, self.nodes = [], None, []

    def wire(self):
        for side in range(2):
            _run("ip", "link", "add", f"side{side}", "type", "bridge", "forward_delay", "0", inside=self.switch.pid)
            _run("ip", "link", "set", f"side{side}", "up", inside=self.switch.pid)
        for i, space in enumerate(self.spaces):
            _run("ip", "link", "add", f"port{i}", "type", "veth", "peer", "name", "wire", "netns", str(space.pid),
                 inside=self.switch.pid)
            _run("ip", "link", "set", f"port{i}", "master", "side0", "up", inside=self.switch.pid)
            _run("ip", "link", "set", "lo", "up", inside=space.pid)
            _run("ip", "address", "add", f"10.99.0.{i + 1}/24", "dev", "wire", inside=space.pid)
            _run("ip", "link", "set", "wire", "up", inside=space.pid)

    def servers(self, **options):
        self.nodes = [NetworkServer(space, f"10.99.0.{i + 1}", **options) for i, space in enumerate(self.spaces)]
        return self.nodes

    def cli(self, *words, **options):
        """redis-cli, at the first node."""
        from harness.cluster import cli
        return cli(*words, before=("nsenter", f"--net=/proc/{self.spaces[0].pid}/ns/net", "--"), **options)

    # ---- Cutting ----

    def partition(self, *sides):
        """At most two sides; the nodes of one reach each other only. Returns when it was done (monotonic)."""
        for number, side in enumerate(sides):
            for node in side:
                _run("ip", "link", "set", f"port{self.nodes.index(node)}", "master", f"side{number}", inside=self.switch.pid)
        return time.monotonic()

    def heal(self):
        self.partition(self.nodes)

    def cut(self, one, other):
        for a, b in ((one, other), (other, one)):
            _run("ip", "route", "add", "blackhole", f"{b.host}/32", inside=a.namespace.pid)
        return time.monotonic()

    def join(self, one, other):
        for a, b in ((one, other), (other, one)):
            _run("ip", "route", "del", "blackhole", f"{b.host}/32", inside=a.namespace.pid)
