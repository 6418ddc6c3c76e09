"""server.py - starts servers on loopback in folders of their own, and ends them by pid.

CAIRN_PATIENCE is how many seconds what is waited for may take at least (60).
CAIRN_SERVER names the program under test; it may be a redis-server, against which the tests themselves are proved.
REDIS_SERVER names the real Redis that runs beside it. CAIRN_TEST_PORTS=FROM-TO bounds the ports that are used; of each
port the one 10000 above is used too, as the cluster bus.
"""
import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness.resp import Connection, ConnectionLost

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
REDIS = os.environ.get("REDIS_SERVER", "redis-server")
REDIS_CLI = os.environ.get("REDIS_CLI", "redis-cli")
SUBJECT = os.environ.get("CAIRN_SERVER", os.path.join(ROOT, "build", "release", "cairn-server"))
PORTS = [int(p) for p in os.environ.get("CAIRN_TEST_PORTS", "21800-21899").split("-")]

PATIENCE = float(os.environ.get("CAIRN_PATIENCE", "60"))

_running = set()
_folders = set()
_next_port = [PORTS[0] + (os.getpid() * 7) % max(1, PORTS[1] - PORTS[0])]


def subject_is_redis():
    """True when the tests are being proved on a real redis-server: what only Cairn promises is then skipped."""
    return "redis-server" in os.path.basename(SUBJECT)


def port_is_free(port):
    for number in (port, port + 10000):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", number))
            except OSError:
                return False
    return True


def use_ports(lane, lanes):
    """This process takes the ports of one of so many lanes."""
    count = (PORTS[1] - PORTS[0] + 1) // lanes
    PORTS[:] = [PORTS[0] + lane * count, PORTS[0] + (lane + 1) * count - 1]
    _next_port[0] = PORTS[0] + os.getpid() * 7 % count


def free_port():
    for _ in range(PORTS[1] - PORTS[0] + 1):
        port = _next_port[0]
        _next_port[0] = port + 1 if port < PORTS[1] else PORTS[0]
        if port_is_free(port):
            return port
    raise AssertionError(f"no free port in {PORTS[0]}-{PORTS[1]}")


def temporary_folder(name="cairn-test"):
    folder = tempfile.mkdtemp(prefix=name + "-")
    _folders.add(folder)
    return folder


def forget_folder(folder):
    _folders.discard(folder)
    shutil.rmtree(folder, ignore_errors=True)


class DidNotStart(AssertionError):
    pass


class Server:
    """A server process and its data folder. Options are configuration directives, given on the command line."""

    def __init__(self, binary=None, folder=None, port=None, env=None, cluster=False, arguments=(), **options):
        self.binary = binary or SUBJECT
        self.folder = folder or temporary_folder()
        self.port = port or free_port()
        self.env = env or {}
        self.cluster = cluster
        self.arguments = list(arguments)
        self.process = None
        self.password = options.get("requirepass")
        self.options = {"bind": "127.0.0.1", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
        if cluster:
            self.options.update({"cluster_enabled": "yes", "cluster_config_file": "nodes.conf",
                                 "cluster_node_timeout": "3000"})
        if not self.is_redis:
            self.options["workers"] = "2"         # also on a machine of two cores, where the default is one
        self.options.update(options)

    @property
    def is_redis(self):
        return "redis-server" in os.path.basename(self.binary)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    @property
    def log_path(self):
        return os.path.join(self.folder, "server.log")

    def configuration_file(self):
        """Cluster nodes are started from a file, so that CONFIG REWRITE has something to write to."""
        path = os.path.join(self.folder, "node.conf")
        if not os.path.exists(path):
            with open(path, "w") as f:
                f.write(f"port {self.port}\ndir {self.folder}\n")
                for name, value in self.options.items():
                    if value is not None:
                        f.write(f"{name.replace('_', '-')} {value if value != '' else chr(34) * 2}\n")
        return path

    def command_line(self):
        if self.cluster and not self.arguments:
            return [self.binary, self.configuration_file()]
        words = [self.binary] + self.arguments + ["--port", str(self.port), "--dir", self.folder]
        for name, value in self.options.items():
            if value is None:
                continue
            words.append("--" + name.replace("_", "-"))
            words.extend(str(v) for v in (value if isinstance(value, (list, tuple)) else [value]))
        return words

    def spawn(self):
        log = open(self.log_path, "ab")
        environment = dict(os.environ)
        environment.update(self.env)
        self.process = subprocess.Popen(self.command_line(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                        cwd=self.folder, env=environment)
        log.close()
        _running.add(self.process)

    def start(self, seconds=30.0):
        """Returns itself when the server answers PING (and has loaded its data)."""
        for attempt in range(20):
            self.spawn()
            try:
                self.wait_ready(seconds)
                return self
            except DidNotStart as e:          # a connection of somebody may have this port as its own for a while
                if attempt == 19 or "address already in use" not in str(e).lower():
                    raise
                self.kill()
                time.sleep(0.5)

    def wait_ready(self, seconds=30.0):
        seconds = max(seconds, PATIENCE)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise DidNotStart(f"the server ended with {self.process.returncode}:\n{self.log_tail()}")
            try:
                with self.dial(timeout=5.0) as c:
                    kind, text = c.command("PING")
                    if kind == "-" and text.startswith(b"NOAUTH") and self.password:  # it says that while it loads, too
                        c.command("AUTH", self.password)
                        kind, text = c.command("PING")
                    if kind == "+" or text.startswith((b"NOAUTH", b"MASTERDOWN", b"DENIED")):
                        return
            except (OSError, ConnectionLost, TimeoutError):
                pass
            time.sleep(0.01)
        raise DidNotStart(f"no answer after {seconds} s:\n{self.log_tail()}")

    def dial(self, **options):
        return Connection(self.port, **options)

    def connect(self, protocol=2, timeout=30.0):
        return self.dial(timeout=timeout, protocol=protocol, password=self.password)

    def log_tail(self, lines=25):
        try:
            with open(self.log_path, errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return "(no log)"

    # ---- Ending ----

    def wait_end(self, seconds=30.0):
        code = self.process.wait(timeout=max(seconds, PATIENCE))
        _running.discard(self.process)
        return code

    def stop(self, seconds=30.0):
        """The clean way: SIGTERM, then wait. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end(seconds)

    def kill(self):
        """kill -9, at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.wait_end()

    def restart(self, kill=False, **options):
        if kill:
            self.kill()
        else:
            self.stop()
        self.options.update(options)
        return self.start()

    def __enter__(self):
        if self.process is None:
            self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        forget_folder(self.folder)

    # ---- Standing still ----

    def pause(self):
        """SIGSTOP; returns when every thread stands still, which takes its time on a busy machine."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(self.stands_still, 30, "every thread stands still", 0.005)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def stands_still(self):
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/stat") as f:
                if f.read().rsplit(")", 1)[1].split()[0] != "T":
                    return False
        return True

    # ---- Looking at the process ----

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def disk_bytes(self):
        total = 0
        for base, _, names in os.walk(self.folder):
            for name in names:
                try:
                    total += os.stat(os.path.join(base, name)).st_blocks * 512
                except OSError:
                    pass
        return total

    def info(self, section="everything"):
        with self.connect() as c:
            text = c.must("INFO", section).decode("utf-8", "replace")
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line and not line.startswith("#"))


def redis(**options):
    """A real redis-server, for comparison."""
    return Server(binary=REDIS, **options)


def wait_until(condition, seconds=30.0, what="the condition", step=0.05):
    """
    Polls until condition() is true and returns its value; says what did not come true otherwise. The limit ends a test that
    hangs and measures nothing: it is never below PATIENCE seconds, for machines that stand still for a while.
    """
    seconds = max(seconds, PATIENCE)
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(step)


@atexit.register
def _clean_up():
    for process in list(_running):
        if process.poll() is None:
            process.kill()
            process.wait()
    if not os.environ.get("CAIRN_KEEP"):
        for folder in list(_folders):
            shutil.rmtree(folder, ignore_errors=True)
