"""The ways in which people start nodes and make a cluster of them: files of both dialects, flags, daemons, init scripts, names."""
import os
import select
import signal
import socket
import subprocess
import time

from harness.cluster import Cluster, cli, fields
from harness.resp import show
from harness.runner import equal, skip, test, true
from harness.server import REDIS_CLI, Server, subject_is_redis, wait_until

TOML = """[server]
port = {port}
bind = ["127.0.0.1"]
dir = "{folder}"

[cluster]
enabled = true
config_file = "other-nodes.conf"
node_timeout = 4321
replica_validity_factor = 7
migration_barrier = 2
require_full_coverage = false
allow_reads_when_down = true
announce_ip = "10.1.2.3"
"""


class Started(Server):
    """A server whose whole command line is in the test's hand."""

    def __init__(self, *words):
        super().__init__()
        self.words = words

    def command_line(self):
        return [self.binary] + [w.format(port=self.port, folder=self.folder) for w in self.words]

    def file(self, name, text):
        with open(os.path.join(self.folder, name), "w") as f:
            f.write(text.format(port=self.port, folder=self.folder))


def settings(c, *names):
    return [c.must("CONFIG", "GET", name)[1].decode() for name in names]


@test("a file, a file with flags behind it, flags alone, and TOML start the same node")
def _():
    conf = "port {port}\nbind 127.0.0.1\ndir {folder}\ncluster-node-timeout 4321\n"
    ways = [(("{folder}/node.conf",), conf + "cluster-enabled yes\n"),
            (("{folder}/node.conf", "--cluster-enabled", "yes"), conf),
            (("{folder}/node.conf", "--cluster-enabled", "yes", "--cluster-node-timeout", "4321"),
             conf.replace("4321", "9999")),
            (("--port", "{port}", "--cluster-enabled", "yes", "--appendonly", "yes", "--dir", "{folder}",
              "--cluster-node-timeout", "4321"), "")]
    for words, text in ways:
        with_file = Started(*words)
        with_file.file("node.conf", text)
        with with_file as server, server.connect() as c:
            equal(settings(c, "cluster-enabled", "cluster-node-timeout", "appendfsync"), ["yes", "4321", "everysec"], str(words))
            equal(fields(c.must("CLUSTER", "INFO"))["cluster_known_nodes"], "1")
    if subject_is_redis():
        return
    with_toml = Started("--config", "{folder}/node.toml")
    with_toml.file("node.toml", TOML)
    with with_toml as server, server.connect() as c:
        equal(settings(c, "cluster-enabled", "cluster-config-file", "cluster-node-timeout", "cluster-replica-validity-factor",
                       "cluster-migration-barrier", "cluster-require-full-coverage", "cluster-allow-reads-when-down",
                       "cluster-announce-ip", "bind"),
              ["yes", "other-nodes.conf", "4321", "7", "2", "no", "yes", "10.1.2.3", "127.0.0.1"])
        true(os.path.exists(os.path.join(server.folder, "other-nodes.conf")), "the file of the cluster")


@test("daemonize, pidfile, logfile and unixsocket do what an init script expects")
def _():
    server = Started("{folder}/node.conf")
    server.file("node.conf", "port {port}\nbind 127.0.0.1\ndir {folder}\ndaemonize yes\npidfile {folder}/node.pid\n"
                             "logfile {folder}/node.log\nunixsocket {folder}/s\nunixsocketperm 700\n")
    pid_path, sock = os.path.join(server.folder, "node.pid"), os.path.join(server.folder, "s")
    if len(sock) > 100:
        skip("the path of the temporary folder is too long for a socket")
    pid = None
    try:
        done = subprocess.run(server.command_line(), stdin=subprocess.DEVNULL, capture_output=True, timeout=120, cwd="/")
        equal(done.returncode, 0, f"the parent's end: {done.stderr.decode()[-300:]}")
        wait_until(lambda: os.path.exists(sock) and os.path.exists(pid_path), 30, "socket and pid file")
        wait_until(lambda: open(pid_path).read().strip().isdigit(), 30, "the pid")
        pid = int(open(pid_path).read())
        wait_until(lambda: cli("-s", sock, "PING", check=False).strip() == "PONG", 30, "PONG over the socket")
        equal(cli("-s", sock, "SET", "k", "v").strip(), "OK")
        equal(os.stat(sock).st_mode & 0o777, 0o700, "mode of the socket")
        true(os.path.getsize(os.path.join(server.folder, "node.log")) > 0, "an empty log")
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(pid_path) and not os.path.exists(f"/proc/{pid}"), 30, "a clean end removes the pid file")
        pid = None
    finally:
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        server.__exit__()


@test("names that are not absolute are below dir, wherever the server was started")
def _():
    if subject_is_redis():
        skip("it does not make the folder")
    server = Started("node.conf")
    folder = os.path.join(server.folder, "data")       # it does not exist yet
    server.file("node.conf", "port {port}\nbind 127.0.0.1\ndir data\npidfile node.pid\nlogfile node.log\nunixsocket s\n")
    process = subprocess.Popen(server.command_line(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, cwd=server.folder)
    try:
        names = [os.path.join(folder, n) for n in ("node.pid", "node.log", "s", "log", "store")]
        wait_until(lambda: all(os.path.exists(n) for n in names), 60, "the files below dir")
        wait_until(lambda: cli("-p", str(server.port), "PING", check=False).strip() == "PONG", 60, "PONG")
        equal(os.readlink(f"/proc/{process.pid}/cwd"), os.path.realpath(folder), "the process's folder")
        with server.connect() as c:
            c.must("CONFIG", "SET", "timeout", "77")
            c.must("CONFIG", "REWRITE")
        with open(os.path.join(server.folder, "node.conf")) as f:
            true("timeout 77" in f.read(), "REWRITE did not find the file that the server was started with")
        process.send_signal(signal.SIGTERM)
        equal(process.wait(timeout=60), 0)
        equal(sorted(os.listdir(server.folder)), ["data", "node.conf"], "what lies beside dir")
    finally:
        process.kill()
        process.wait()
        server.__exit__()


def told(listener, seconds=60.0):
    listener.settimeout(seconds)
    return listener.recv(4096).decode().split("\n")


@test("a supervisor hears READY when clients are served and STOPPING at the end")
def _():
    if subject_is_redis():
        skip("Debian's redis-server tells more")
    for supervised, abstract in (("systemd", False), ("auto", True)):
        # daemonize is put aside: the supervisor watches the process that it started.
        server = Started("--port", "{port}", "--dir", "{folder}", "--supervised", supervised, "--daemonize", "yes")
        name = f"\0cairn-test-{server.port}" if abstract else os.path.join(server.folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(name)
            server.env = {"NOTIFY_SOCKET": name.replace("\0", "@")}
            with server:
                true("READY=1" in told(listener), "no READY=1")
                equal(server.process.poll(), None, "the process that was started")
                equal(server.stop(), 0)
                equal(told(listener), ["STOPPING=1"])
    # Without a supervisor the directive does nothing, and one that cannot be reached is no reason not to start.
    for env in ({}, {"NOTIFY_SOCKET": "/nowhere/at/all"}):
        server = Started("--port", "{port}", "--dir", "{folder}", "--supervised", "systemd")
        server.env = env
        with server:
            equal(server.stop(), 0)


HELP = """ADDSLOTS ADDSLOTSRANGE BUMPEPOCH COUNT-FAILURE-REPORTS COUNTKEYSINSLOT DELSLOTS DELSLOTSRANGE FAILOVER FORGET GETKEYSINSLOT
FLUSHSLOTS INFO KEYSLOT MEET MYID NODES REPLICATE RESET SET-CONFIG-EPOCH SETSLOT REPLICAS SAVECONFIG SLOTS SHARDS LINKS HELP"""

INIT = """set -e
for p in $PORTS; do until [ "$($CLI -h localhost -p $p PING 2>/dev/null)" = PONG ]; do sleep 0.1; done; done
if $CLI -h localhost -p ${PORTS%% *} CLUSTER INFO | grep -q cluster_state:ok; then echo it is there; exit 0; fi
set -- $PORTS
$CLI --cluster create localhost:$1 localhost:$2 localhost:$3 --cluster-replicas 0 --cluster-yes
"""


def typed(words, dialogue):
    """redis-cli, with each answer typed when its question has come."""
    process = subprocess.Popen([REDIS_CLI, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        text = b""
        for question, answer in dialogue:
            while question.encode() not in text:
                true(select.select([process.stdout], [], [], 120)[0], f"no question {question!r}:\n{text[-500:]!r}")
                more = os.read(process.stdout.fileno(), 65536)
                true(more, f"it ended before {question!r}:\n{text[-500:]!r}")
                text += more
            process.stdin.write(answer.encode() + b"\n")
            process.stdin.flush()
        rest, _ = process.communicate(timeout=120)
        equal(process.returncode, 0, (text + rest)[-800:].decode("utf-8", "replace"))
    finally:
        process.kill()
        process.wait()


@test("an init script that polls PING and creates the cluster by host name may run twice; reshard asks and is answered")
def _():
    try:
        found = {a[4][0] for a in socket.getaddrinfo("localhost", 1, socket.AF_INET)}
    except OSError:
        found = set()
    if found != {"127.0.0.1"}:
        skip("localhost is no name of the loopback here")
    with Cluster(3, create=False) as c:
        environment = dict(os.environ, PORTS=" ".join(str(n.port) for n in c.nodes), CLI=REDIS_CLI)
        texts = []
        for _ in range(2):
            done = subprocess.run(["sh", "-c", INIT], env=environment, capture_output=True, timeout=200)
            texts.append((done.stdout + done.stderr).decode())
            equal(done.returncode, 0, texts[-1][-800:])
            c.wait_ok()
        true("[OK] All 16384 slots covered." in texts[0] and "it is there" in texts[1], texts[1][-300:])
        here, there = c.id_of(c.nodes[0]), c.id_of(c.nodes[2])
        with c.nodes[0].connect() as x:
            key = next(k for k in (f"k{i}" for i in range(1000)) if x.must("CLUSTER", "KEYSLOT", k) < 3)
            x.must("SET", key, "stays")
        typed(["--cluster", "reshard", f"localhost:{c.nodes[1].port}"],
              [("How many slots", "3"), ("receiving node ID", there), ("Source node #1", here), ("Source node #2", "done"),
               ("Do you want to proceed", "yes")])
        c.wait_ok()
        equal(c.slot_map(c.nodes[1])[0][:3], (0, 2, c.nodes[2].port), "the first slots' owner")
        equal(cli("-c", "-p", c.nodes[0].port, "GET", key).strip(), "stays")


@test("the cluster commands that no tool sends change and tell what Redis' do")
def _():
    with Server(cluster=True) as server, server.connect() as c:
        equal(show(c.command("CLUSTER", "ADDSLOTSRANGE", 0, 100, 200, 300)), "+OK")
        equal(show(c.command("CLUSTER", "DELSLOTSRANGE", 50, 100, 200, 200)), "+OK")
        equal(show(c.command("CLUSTER", "DELSLOTS", 0, 1)), "+OK")
        equal([s[:2] for s in c.must("CLUSTER", "SLOTS")], [[2, 49], [201, 300]])
        true(show(c.command("CLUSTER", "DELSLOTSRANGE", 0, 3)).startswith("-ERR Slot 0 is already unassigned"), "a free slot")
        before = c.must("CLUSTER", "MYID")
        equal(show(c.command("CLUSTER", "BUMPEPOCH")).split()[0].lstrip("+"), "BUMPED")
        equal(show(c.command("CLUSTER", "SAVECONFIG")), "+OK")
        with open(os.path.join(server.folder, "nodes.conf")) as f:
            true("2-49 201-300" in f.read(), "the slots in nodes.conf")
        equal(show(c.command("CLUSTER", "FLUSHSLOTS")), "+OK")
        equal(c.must("CLUSTER", "SLOTS"), [])
        equal(show(c.command("CLUSTER", "RESET")), "+OK")
        equal(c.must("CLUSTER", "MYID"), before, "a soft reset keeps the name")
        equal(show(c.command("CLUSTER", "RESET", "HARD")), "+OK")
        true(c.must("CLUSTER", "MYID") != before, "a hard one does not")
        equal(fields(c.must("CLUSTER", "INFO"))["cluster_current_epoch"], "0")
        told = {line.decode().split()[0] for line in c.must("CLUSTER", "HELP") if not line.startswith(b" ")}
        equal(set(HELP.split()) - told, set(), "not in CLUSTER HELP")
        if not subject_is_redis():              # of 7.2 and later
            equal(len(c.must("CLUSTER", "MYSHARDID")), 40)
            c.must("CLUSTER", "ADDSLOTS", 7)
            equal(c.must("CLUSTER", "SLOT-STATS", "SLOTSRANGE", 0, 10)[0][0], 7)


@test("LATENCY notes slow events and tells of them")
def _():
    with Server(enable_debug_command="yes") as server, server.connect() as c:
        equal(c.must("LATENCY", "LATEST"), [])
        c.must("CONFIG", "SET", "latency-monitor-threshold", "20")
        c.must("DEBUG", "SLEEP", "0.05")
        (event, at, last, worst), = [e for e in c.must("LATENCY", "LATEST") if e[0] == b"command"]
        true(40 <= last <= worst and abs(at - time.time()) < 300, str((event, at, last, worst)))
        equal(c.must("LATENCY", "HISTORY", "command")[-1][1], last)
        true(b"command" in c.must("LATENCY", "DOCTOR") and b"command" in c.must("LATENCY", "GRAPH", "command"), "both name it")
        true(c.must("LATENCY", "RESET", "command") == 1 and not c.must("LATENCY", "HISTORY", "command"), "RESET")
        true(c.must("LATENCY", "HISTOGRAM", "config|set")[0] == b"config|set", "HISTOGRAM")
