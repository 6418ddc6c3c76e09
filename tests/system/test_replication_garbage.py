"""A master that sends garbage, and garbage sent to a master."""
import random
import socket
import threading
import time

from harness.features import needs
from harness.random_commands import Commands
from harness.replicas import seed_of
from harness.resp import ConnectionLost, encode, plain
from harness.runner import equal, test, true
from harness.server import Server, subject_is_redis


class Liar(threading.Thread):
    """A master that shakes hands and then sends a stream with bytes changed, cut and doubled."""

    def __init__(self, rng):
        super().__init__(daemon=True)
        self.rng, self.offset, self.links = rng, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def mutated(self, data):
        data = bytearray(data)
        for _ in range(self.rng.choice((0, 1, 1, 2, 5))):
            at = self.rng.randrange(len(data))
            kind = self.rng.random()
            if kind < 0.4:
                data[at] = self.rng.choice(b"*$\r\n0123456789-+:aZ\x00\xff")
            elif kind < 0.6:
                del data[at:at + self.rng.randrange(1, 10)]
            elif kind < 0.8:
                data[at:at] = self.rng.choice((b"\r\n", b"*2\r\n", b"$99999999999999999999\r\n", b"$-1\r\n", b"*1000000000\r\n",
                                               b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n", b"PING\r\n", b"\n"))
            else:
                data[at:at] = data[max(0, at - 30):at]
            if not data:
                data = bytearray(b"\n")
        return bytes(data)

    def say(self, link, text, odds=0.1):
        link.sendall(self.mutated(text) if self.rng.random() < odds else text)

    def talk(self, link):
        link.settimeout(1)
        got = b""
        for answer in (b"+PONG\r\n", b"+OK\r\n", b"+OK\r\n", None):
            while not got.endswith(b"\r\n"):
                got += link.recv(4096)
            if b"INFO" in got:
                self.say(link, b"$60\r\n" + b"master_replid:%s\r\n" % (b"a" * 40) + b"\r\n" * 2 + b"\r\n")
                got = link.recv(4096)
            if answer:
                self.say(link, answer)
                got = b""
        rdb = bytes.fromhex("524544495330303039ff0000000000000000")
        self.say(link, b"+FULLRESYNC %s %d\r\n" % (b"a" * 40, 1000))
        self.say(link, b"$%d\r\n" % len(rdb), 0.05)
        self.say(link, rdb, 0.05)
        commands = Commands(self.rng)
        for _ in range(200):
            words = [encode(commands.next_command()[0]) for _ in range(self.rng.randrange(1, 8))]
            if self.rng.random() < 0.3:
                words = [encode(["MULTI"])] + words + [encode(["EXEC"])]
            self.say(link, b"".join(words), 0.05)

    def run(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.links += 1
            threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    def serve(self, link):
        try:
            self.talk(link)
        except (OSError, IndexError):
            pass
        link.close()


@test("a replica survives a master that sends garbage, and a master garbage in REPLCONF and PSYNC", seconds=120)
def _():
    needs("replication")
    if subject_is_redis():
        return
    rng = random.Random(seed_of(77))
    liar = Liar(rng)
    liar.start()
    with Server() as server:
        with server.connect() as c:
            c.must("SET", "mine", "yes")
            end = time.monotonic() + 60
            while liar.links < 15 and time.monotonic() < end:
                c.must("REPLICAOF", "127.0.0.1", liar.port)
                time.sleep(0.4)
                c.must("REPLICAOF", "NO", "ONE")
                true(server.process.poll() is None, "the server runs")
            true(liar.links >= 5, f"{liar.links} links")
            c.must("SET", "after", "yes")
        words = ["ACK", "FACK", "GETACK", "capa", "eof", "psync2", "listening-port", "ip-address", "rdb-only", "rdb-filter-only",
                 "version", "?", "-1", "0", "1", "99999999999999999999", "a" * 40, "a" * 5000, "", "\x00\xff", "FAILOVER", "*"]
        for _ in range(300):
            try:
                with server.connect(timeout=5.0) as c:
                    for _ in range(rng.randrange(1, 6)):
                        name = rng.choice(("REPLCONF", "REPLCONF", "PSYNC", "SYNC"))
                        c.send(name, *[rng.choice(words) for _ in range(rng.randrange(0, 6))])
                    c.send("PING")
                    c.socket.settimeout(0.02)
                    c.read()
            except (OSError, ConnectionLost, TimeoutError, ValueError, AssertionError):
                pass
        equal(server.process.poll(), None, "the server runs")
        with server.connect() as c:
            equal(plain(c.command("GET", "after")), b"yes")
    liar.listener.close()
