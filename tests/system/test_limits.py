"""What the server refuses, and what it bounds."""
import socket
import time

from harness.resp import Connection, ConnectionLost, encode, plain, show
from harness.runner import equal, skip, test, true
from harness.server import Server, subject_is_redis, wait_until


@test("maxclients refuses one connection more, with Redis' words")
def _():
    with Server(maxclients="10") as server:
        wait_until(lambda: _works(server), 5, "a server whose first client has gone")
        held = []
        for _ in range(10):
            c = Connection(server.port)
            held.append(c)
            wait_until(lambda: _served(c), 5, "ten connections that are served")
        for _ in range(2):
            with Connection(server.port) as c:          # says nothing itself: it could lose the answer by that
                equal(show(c.read()), "-ERR max number of clients reached")
        for c in held:
            c.close()
        wait_until(lambda: _works(server), 5, "a connection after others ended")


def _served(c):
    """PONG; a connection that was refused because one that ended still counted is made anew."""
    try:
        return c.command("PING") == ("+", b"PONG")
    except ConnectionLost:
        c.__init__(c.port)
        return False


def _works(server):
    try:
        with server.connect() as c:
            return c.command("PING") == ("+", b"PONG")
    except (ConnectionLost, OSError):
        return False


@test("a client that does not read is closed at its output buffer limit")
def _():
    with Server(**{"client-output-buffer-limit": "normal 1mb 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60".split()}) as server:
        with server.connect() as c:
            c.must("SET", "blob", "x" * 200000)
            slow = socket.create_connection(("127.0.0.1", server.port))
            slow.settimeout(10)
            slow.sendall(encode(("GET", "blob")) * 400)
            wait_until(lambda: b"connected_clients:1\r" in c.must("INFO", "clients"), 10, "the server closes it")
            total = 0
            try:
                while True:
                    more = slow.recv(1 << 20)
                    if not more:
                        break
                    total += len(more)
            except ConnectionResetError:
                pass
            true(total < 400 * 200000, "the server sent everything to a client that did not read")
            equal(c.command("PING"), ("+", b"PONG"))


@test("a client whose unfinished request is beyond client-query-buffer-limit is closed, alone and counted")
def _():
    with Server(client_query_buffer_limit="1mb") as server, server.connect() as c:
        for _ in range(2):
            with Connection(server.port) as large:
                try:
                    large.send_raw(b"*2\r\n$4\r\nECHO\r\n$8000000\r\n")
                    for _ in range(100):
                        large.send_raw(b"x" * 50000)
                    large.read()
                    raise AssertionError("it was served")
                except ConnectionLost:
                    pass
        if not subject_is_redis():                   # Debian's does not count yet
            equal(server.info("stats")["client_query_buffer_limit_disconnections"], "2")
        equal(plain(c.command("ECHO", "x" * 900000)), b"x" * 900000, "a request within the limit")


@test("requirepass asks for a password before anything else")
def _():
    with Server(requirepass="secret") as server:
        with Connection(server.port) as c:
            equal(show(c.command("GET", "k")), "-NOAUTH Authentication required.")
            equal(show(c.command("AUTH", "wrong")), "-WRONGPASS invalid username-password pair or user is disabled.")
            equal(show(c.command("AUTH", "default", "wrong")),
                  "-WRONGPASS invalid username-password pair or user is disabled.")
            equal(show(c.command("AUTH", "secret")), "+OK")
            equal(show(c.command("GET", "k")), "nil")
        with Connection(server.port) as c:
            c.send_raw(b"*11\r\n" + b"$1\r\nx\r\n" * 11)
            equal(show(c.read()), "-ERR Protocol error: unauthenticated multibulk length")
        with Connection(server.port) as c:
            c.send_raw(b"*2\r\n$3\r\nGET\r\n$20000\r\n")
            equal(show(c.read()), "-ERR Protocol error: unauthenticated bulk length")
        with Connection(server.port) as c:
            reply = c.command("HELLO", "3", "AUTH", "default", "secret")
            equal(reply[0], "%")
            c.must("CONFIG", "SET", "requirepass", "other")
        with Connection(server.port) as c:
            equal(show(c.command("AUTH", "other")), "+OK")
            c.must("CONFIG", "SET", "requirepass", "")
        with Connection(server.port) as c:
            equal(show(c.command("PING")), "+PONG")


@test("protected mode serves the loopback only")
def _():
    others = [a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
              if not a[4][0].startswith("127.")]
    if not others:
        skip("this machine has no address but the loopback")
    with Server(bind="* -::*", protected_mode="yes") as server:
        with Connection(server.port) as c:
            equal(c.command("PING"), ("+", b"PONG"))
        with socket.create_connection((others[0], server.port), timeout=5) as s:
            text = s.recv(4096)
            true(text.startswith(b"-DENIED Redis is running in protected mode because "), f"got {text[:100]!r}")
        with Connection(server.port) as c:
            c.must("CONFIG", "SET", "protected-mode", "no")
        with Connection(server.port, host=others[0]) as c:
            equal(c.command("PING"), ("+", b"PONG"))


@test("an idle client is closed after timeout")
def _():
    with Server(timeout="1") as server, server.connect() as c:
        c.must("PING")
        true(c.closed_by_server(60), "still open after 60 s")


@test("an unknown directive stops the start and names its line")
def _():
    import os
    import subprocess
    from harness.server import SUBJECT, free_port, temporary_folder
    folder = temporary_folder()
    path = os.path.join(folder, "bad.conf")
    with open(path, "w") as f:
        f.write(f"port {free_port()}\ndir {folder}\n\nno-such-directive yes\n")
    done = subprocess.run([SUBJECT, path], capture_output=True, timeout=20, stdin=subprocess.DEVNULL)
    true(done.returncode != 0, "it started")
    text = (done.stdout + done.stderr).decode()
    true("no-such-directive" in text and "4" in text, f"it says: {text[:400]}")


@test("a data set of ten times maxmemory works and the process stays small", seconds=300)
def _():
    if subject_is_redis():
        skip("a real Redis holds its data in memory")
    budget = 48 << 20
    value, keys = "v" * 1000, 480 * 1000
    with Server(maxmemory=str(budget)) as server:
        with server.connect(timeout=120) as c:
            peak = 0
            for base in range(0, keys, 1000):
                c.pipeline([("SET", f"key:{i}", f"{i}:{value}") for i in range(base, base + 1000)])
                if base % 20000 == 0:
                    peak = max(peak, server.rss_bytes())
            equal(c.must("DBSIZE"), keys)
            import random
            rng = random.Random(1)
            for _ in range(30):
                some = [rng.randrange(keys) for _ in range(200)]
                replies = c.pipeline([("GET", f"key:{i}") for i in some])
                true(all(r[1] is not None and r[1].startswith(b"%d:" % i) for i, r in zip(some, replies)),
                     "a value is missing or another key's")
                peak = max(peak, server.rss_bytes())
            print(f"      data {keys * 1000 >> 20} MB, maxmemory {budget >> 20} MB, RSS at most {peak >> 20} MB, "
                  f"disk {server.disk_bytes() >> 20} MB")
            true(peak < 3 * budget + (64 << 20), f"RSS rose to {peak >> 20} MB")
            equal(int(server.info("stats")["evicted_keys"]), 0, "evicted_keys")
        server.restart(kill=True)
        with server.connect(timeout=60) as c:
            equal(c.must("DBSIZE"), keys)
            true(c.must("GET", f"key:{keys - 1}").startswith(b"%d:" % (keys - 1)), "the last key")


@test("many connections at once are all served")
def _():
    with Server() as server:
        held = [server.connect() for _ in range(500)]
        for i, c in enumerate(held):
            c.send("SET", f"k{i}", str(i))
        equal({c.read() for c in held}, {("+", b"OK")})
        for i, c in enumerate(held):
            c.send("GET", f"k{i}")
        equal([c.read()[1] for c in held], [str(i).encode() for i in range(500)])
        wait_until(lambda: int(server.info("clients")["connected_clients"]) == 501, 5, "connected_clients 501")
        for c in held:
            c.close()
        wait_until(lambda: int(server.info("clients")["connected_clients"]) == 1, 5, "connected_clients 1")


@test("a long KEYS or a big DEL does not stop the other clients", seconds=120)
def _():
    if subject_is_redis():
        skip("a real Redis stops for it")
    import threading
    with Server() as server, server.connect(timeout=60) as c, server.connect(timeout=60) as other:
        for base in range(0, 300000, 5000):
            c.pipeline([("SET", f"key:{i}", "v") for i in range(base, base + 5000)])
        for base in range(0, 300000, 10000):
            c.must("SADD", "big", *[f"member-{i}" for i in range(base, base + 10000)])
        worst, stop = [0.0], []

        def ping():
            while not stop:
                started = time.monotonic()
                other.must("GET", "key:5")
                worst[0] = max(worst[0], time.monotonic() - started)
        thread = threading.Thread(target=ping)
        thread.start()
        equal(len(c.must("KEYS", "key:*")), 300000)
        c.must("DEL", "big")
        equal(c.must("EXISTS", "big"), 0)
        stop.append(1)
        thread.join()
        print(f"      the slowest GET beside them took {worst[0] * 1000:.0f} ms")
        true(worst[0] < 5.0, f"a GET waited {worst[0]:.2f} s")


@test("maxmemory-clients closes the largest clients, and leaves those who said CLIENT NO-EVICT")
def _():
    with Server() as server, server.connect() as c, Connection(server.port) as small:
        c.must("CLIENT", "NO-EVICT", "ON")
        c.must("CONFIG", "SET", "maxmemory-clients", "3mb")
        equal(c.must("CONFIG", "GET", "maxmemory-clients"), [b"maxmemory-clients", b"3145728"])
        small.must("SET", "k", "v")
        large = socket.create_connection(("127.0.0.1", server.port))
        large.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$8000000\r\n" + b"x" * 1000000)
        time.sleep(0.3)
        equal(small.must("GET", "k"), b"v", "within the limit nobody is closed")
        try:
            large.sendall(b"x" * 6000000)
        except OSError:
            pass
        wait_until(lambda: b"evicted_clients:1\r" in c.must("INFO", "stats"), 5, "the large one is closed")
        equal(small.must("GET", "k"), b"v", "the small one stays")
        large.close()
        c.send("SET", "mine", "y" * 7000000)
        equal(c.read(), ("+", b"OK"), "who is not to be evicted is not")
        c.must("CONFIG", "RESETSTAT")
        true(b"evicted_clients:0\r" in c.must("INFO", "stats"), "RESETSTAT")
        # Outputs that nobody reads count too: 1.5 MB each, so one of two must go.
        c.must("SET", "v", "z" * 1500000)
        waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
        for s in waiting:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(encode(("GET", "v")) * 4)
        wait_until(lambda: b"evicted_clients:0\r" not in c.must("INFO", "stats"), 5, "outputs are counted")
        equal(small.must("GET", "k"), b"v")
        for s in waiting:
            s.close()


@test("proto-max-bulk-len bounds what SETRANGE, APPEND and SETBIT make, up and down")
def _():
    with Server() as server, server.connect() as c:
        text = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        equal(show(c.command("SETRANGE", "k", str(512 << 20), "x")), text)
        c.must("CONFIG", "SET", "proto-max-bulk-len", str(1 << 20))
        equal(show(c.command("SETRANGE", "k", str((1 << 20) - 1), "x")), f":{1 << 20}")
        equal(show(c.command("SETRANGE", "k", str(1 << 20), "x")), text)
        equal(show(c.command("APPEND", "k", "x")), text)
        equal(show(c.command("SETBIT", "b", str(8 << 20), "1")), "-ERR bit offset is not an integer or out of range")
        equal(show(c.command("SETBIT", "b", str((8 << 20) - 1), "1")), ":0")
        c.must("CONFIG", "SET", "proto-max-bulk-len", "1gb")
        equal(show(c.command("SETBIT", "b", str(600 << 23), "1")), ":0")
        equal(show(c.command("STRLEN", "b")), f":{(600 << 20) + 1}")


@test("CONFIG RESETSTAT begins the hits and misses anew; INFO tells the average time to live")
def _():
    with Server() as server, server.connect() as c:
        for i in range(50):
            c.must("SET", f"k{i}", "v", "EX", "1000")
        c.command("GET", "k1")
        c.command("GET", "none")
        true(b"keyspace_hits:1\r" in c.must("INFO", "stats"), "a hit")
        c.must("CONFIG", "RESETSTAT")
        text = c.must("INFO", "stats")
        true(b"keyspace_hits:0\r" in text and b"keyspace_misses:0\r" in text, "both begin anew")

        def average():
            line = next(l for l in c.must("INFO", "keyspace").decode().splitlines() if l.startswith("db0:"))
            return int(line.rsplit("avg_ttl=", 1)[1].split(",")[0])
        wait_until(lambda: 900000 < average() <= 1000000, 5, "the average is that of the keys")


@test("memory lies on large pages from 1 GB on, and never with disable-thp yes")
def _():
    if subject_is_redis():
        skip("Redis refuses large pages always")
    for options, wanted in (({"maxmemory": "1gb"}, "1"), ({"maxmemory": "100mb"}, "0"), ({"maxmemory": "1gb", "disable-thp": "yes"}, "0")):
        with Server(**options) as server:
            with open(f"/proc/{server.pid}/status") as f:
                told = dict(line.split(":", 1) for line in f)
            if "THP_enabled" not in told:
                skip("this kernel does not tell")
            equal(told["THP_enabled"].strip(), wanted)
