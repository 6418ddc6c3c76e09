"""Bytes as clients send them: pipelines, big values, pieces, rubbish."""
import os
import socket
import threading
import time

from harness.features import has, needs
from harness.resp import Connection, encode, plain, show
from harness.runner import equal, test, true
from harness.server import PATIENCE, Server, redis

_servers = {}


def pair():
    for name, start in (("subject", Server), ("reference", redis)):
        if name not in _servers or _servers[name].process.poll() is not None:
            _servers[name] = start().start()
    return _servers["subject"], _servers["reference"]


def converse(data, fits, servers, pieces=None):
    """
    What each server sends back to these bytes, until fits(answers); on a machine that stands still an answer may come late,
    and what a server says before it closes may be lost with the connection, so it is tried again for a while.
    """
    end, seconds = time.monotonic() + PATIENCE, 0.25
    while True:
        answers = [conversation(s, data, seconds, pieces) for s in servers]
        if fits(*answers) or time.monotonic() > end:
            return answers
        seconds = min(4.0, seconds * 2)


def conversation(server, data, seconds, pieces=None):
    """What the server sends back to these bytes until it is silent for so long, and whether it closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as s:
        for piece in pieces or [data]:
            s.sendall(piece)
            if pieces:
                time.sleep(0.005)
        s.settimeout(seconds)
        got, closed = b"", False
        try:
            while True:
                more = s.recv(65536)
                if not more:
                    closed = True
                    break
                got += more
        except socket.timeout:
            pass
        except ConnectionResetError:
            closed = True
    return got, closed


CASES = [
    ("an inline command", b"PING\r\n"),
    ("an inline command that ends with a bare newline", b"PING\n"),
    ("inline words in quotes", b"SET inline \"a b\\n\\x41\"\r\nGET inline\r\n"),
    ("inline words in single quotes", b"SET inline 'a \"b'\r\nGET inline\r\n"),
    ("an inline command with unbalanced quotes", b"SET inline \"abc\r\nPING\r\n"),
    ("empty lines before a command", b"\r\n\r\n\nPING\r\n"),
    ("empty arrays before a command", b"*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n"),
    ("an array length that is no number", b"*abc\r\nPING\r\n"),
    ("an array length that is too large", b"*2147483648\r\nPING\r\n"),
    ("a bulk length that is no number", b"*1\r\n$abc\r\nPING\r\n"),
    ("a negative bulk length", b"*1\r\n$-5\r\nPING\r\n"),
    ("a bulk length above proto-max-bulk-len", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000000\r\n"),
    ("something else where a bulk string is due", b"*1\r\n+PING\r\n"),
    ("other bytes in place of the line end after a bulk string", b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n"),
    ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("an HTTP POST", b"POST / HTTP/1.1\r\n\r\n"),
    ("QUIT, and nothing after it", b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n"),
    ("a too long inline command", b"A" * 70000),
    ("a too long array header", b"*" + b"1" * 70000),
    ("a null byte in a name", b"*1\r\n$5\r\nPI\x00NG\r\n"),
    ("a command with an empty name", b"*1\r\n$0\r\n\r\n"),
    ("commands after a protocol error", b"*1\r\n$4\r\nPING\r\n*x\r\n*1\r\n$4\r\nPING\r\n"),
    ("HELLO 3 and the replies after it", b"HELLO 3 SETNAME x\r\nGET nokey\r\nHGETALL nokey\r\n"),
]


def _register(name, data):
    @test(f"the answer to {name} is Redis'")
    def _():
        subject, reference = pair()
        if data.startswith(b"HELLO"):
            def fits(got, wanted):
                return got[0].startswith(b"%7\r\n") and got[0].endswith(b"\r\n_\r\n%0\r\n") and wanted[0].endswith(got[0][-9:])
            got, wanted = converse(data, fits, (subject, reference))
            true(fits(got, wanted), f"got {got[0][-200:]!r}, Redis {wanted[0][-200:]!r}")
            return
        got, wanted = converse(data, lambda got, wanted: got == wanted, (subject, reference))
        equal(got, wanted)


for _name, _data in CASES:
    _register(_name, _data)


@test("a command that comes byte by byte is understood")
def _():
    subject, _ = pair()
    data = encode(("SET", "slow", "va\r\nlue")) + encode(("GET", "slow")) + b"PING\r\n"
    said = b"+OK\r\n$7\r\nva\r\nlue\r\n+PONG\r\n"
    [(got, _)] = converse(None, lambda got: got[0] == said, (subject,), [data[i:i + 1] for i in range(len(data))])
    equal(got, said)


@test("a pipeline of 100,000 commands is answered in order")
def _():
    subject, _ = pair()
    with subject.connect(timeout=60) as c:
        c.must("DEL", "n")
        replies = []
        count = 100000
        data = b"".join(encode(("INCR", "n")) for _ in range(count))
        sender = threading.Thread(target=c.send_raw, args=(data,))
        sender.start()
        replies = [c.read() for _ in range(count)]
        sender.join()
        equal([r[1] for r in replies], list(range(1, count + 1)))


@test("a client that sends a long pipeline and never reads does not stop the others")
def _():
    subject, _ = pair()
    with subject.connect() as c:
        c.must("SET", "blob", "x" * 100000)
        greedy = socket.create_connection(("127.0.0.1", subject.port))
        greedy.setblocking(False)
        try:
            greedy.send(encode(("GET", "blob")) * 2000)
        except BlockingIOError:
            pass
        started = time.monotonic()
        for _ in range(200):
            c.must("PING")
        true(time.monotonic() - started < 20, "the others waited")
        greedy.close()


@test("others are served between the commands of a long pipeline")
def _():
    rounds = 100 # of some milliseconds each, in what the server reads at once
    with Server(workers=1) as server, server.connect(timeout=60) as busy, server.connect(timeout=60) as other:
        busy.must("MSET", "a", "ab" * 1000, "b", "ba" * 1000)
        seen = set()
        busy.send_raw((encode(("LCS", "a", "b", "LEN")) + encode(("INCR", "steps"))) * rounds)
        while rounds not in seen:
            seen.add(int(other.must("GET", "steps") or 0))
        equal([busy.read()[1] for _ in range(2 * rounds)], [n for i in range(rounds) for n in (1999, i + 1)])
        true(seen - {0, rounds}, f"the other client saw only {sorted(seen)}")


@test("values of 64 MB are kept byte for byte, also after kill -9", seconds=180)
def _():
    with Server() as server:
        value = os.urandom(1 << 20) * 64
        with server.connect(timeout=120) as c:
            c.must("SET", "big", value)
            true(c.must("GET", "big") == value, "GET gives other bytes")
            equal(c.must("APPEND", "big", "tail"), len(value) + 4)
            c.must("SETRANGE", "big", str(1 << 25), "middle")
            equal(c.must("GETRANGE", "big", str((1 << 25) - 1), str((1 << 25) + 6))[1:7], b"middle")
            c.must("HSET", "h", "f", value[:1 << 24])
            c.must("RPUSH", "l", value[:1 << 24], "small")
        server.restart(kill=True)
        with server.connect(timeout=120) as c:
            got = c.must("GET", "big")
            true(got[:1 << 25] == value[:1 << 25] and got[(1 << 25) + 6:-4] == value[(1 << 25) + 6:], "other bytes after kill -9")
            true(c.must("HGET", "h", "f") == value[:1 << 24], "other bytes in the hash")
            equal(c.must("LINDEX", "l", "1"), b"small")


@test("a command with 100,000 arguments works")
def _():
    subject, _ = pair()
    with subject.connect(timeout=60) as c:
        equal(c.must("DEL", "wide"), 0)
        equal(c.must("SADD", "wide", *[f"m{i}" for i in range(100000)]), 100000)
        equal(c.must("SCARD", "wide"), 100000)
        equal(len(c.must("SMEMBERS", "wide")), 100000)
        equal(c.must("DEL", "wide"), 1)


@test("MONITOR shows commands as Redis does")
def _():
    lines = []
    for server in pair():
        with server.connect() as watcher, server.connect() as c:
            equal(plain(watcher.command("MONITOR")), b"OK")
            c.must("SET", "k", "a \"b\" \x01\r\n")
            c.must("GET", "k")
            if has("scripts"):
                c.must("EVAL", "return redis.call('GET', KEYS[1])", "1", "k")
            seen = [watcher.read()[1] for _ in range(4 if has("scripts") else 2)]
            lines.append([b" ".join(line.split(b" ")[2:]) if b"lua]" in line else line.split(b"] ", 1)[1] for line in seen])
    equal(lines[0], lines[1])


@test("DUMP payloads go from Redis to the server and back, for every type", seconds=120)
def _():
    needs("streams", "hyperloglog")
    subject, reference = pair()
    with subject.connect() as a, reference.connect() as b:
        for c in (a, b):
            c.must("FLUSHALL")
        b.must("SET", "string", "hello world " * 20)
        b.must("SET", "number", "12345")
        b.must("RPUSH", "list", *[f"item-{i}" for i in range(50)])
        b.must("RPUSH", "biglist", *["x" * 100 + str(i) for i in range(500)])
        b.must("SADD", "ints", *range(100))
        b.must("SADD", "set", *[f"m{i}" for i in range(20)])
        b.must("SADD", "bigset", *[f"m{i}" for i in range(2000)])
        b.must("HSET", "hash", *[w for i in range(20) for w in (f"f{i}", f"v{i}")])
        b.must("HSET", "bighash", *[w for i in range(2000) for w in (f"f{i}", f"v{i}")])
        b.must("ZADD", "zset", *[w for i in range(20) for w in (f"{i}.5", f"m{i}")])
        b.must("ZADD", "bigzset", *[w for i in range(2000) for w in (str(i), f"m{i}")])
        for i in range(300):
            b.must("XADD", "stream", f"{i + 1}-1", "field", f"value{i}")
        b.must("XGROUP", "CREATE", "stream", "g", "0")
        b.must("XREADGROUP", "GROUP", "g", "c", "COUNT", "5", "STREAMS", "stream", ">")
        b.must("PFADD", "hll", *[f"e{i}" for i in range(500)])
        keys = sorted(b.must("KEYS", "*"))
        from harness import dump
        before = dump.dump(b, keys)
        for key in keys:
            a.must("RESTORE", key, "0", b.must("DUMP", key))
        found = dump.differences(dump.dump(a, keys), before)
        true(not found, "from Redis: " + "\n".join(found))
        equal(a.must("XPENDING", "stream", "g"), b.must("XPENDING", "stream", "g"))
        for key in keys:
            reply = b.command("RESTORE", key, "0", a.must("DUMP", key), "REPLACE")
            true(reply[0] == "+", f"Redis refuses the dump of {key}: {show(reply)}")
        found = dump.differences(dump.dump(b, keys), before)
        true(not found, "back in Redis: " + "\n".join(found))
        equal(show(a.command("RESTORE", "x", "0", a.must("DUMP", "hash")[:-1] + b"\0")),
              "-ERR DUMP payload version or checksum are wrong")
        a.must("RESTORE", "ttl", "100000", a.must("DUMP", "string"))
        true(50000 < a.must("PTTL", "ttl") <= 100000, "RESTORE with a time to live")
        equal(show(a.command("RESTORE", "ttl", "0", a.must("DUMP", "string"))), "-BUSYKEY Target key name already exists.")


@test("replies of RESP2 and RESP3 carry the same content on one server")
def _():
    subject, _ = pair()
    with subject.connect(2) as two, subject.connect(3) as three:
        two.must("FLUSHALL")
        two.must("HSET", "h", "f", "1", "g", "2")
        two.must("ZADD", "z", "1.5", "a")
        two.must("SADD", "s", "x")
        equal(plain(three.command("HGETALL", "h")), {b"f": b"1", b"g": b"2"})
        equal(three.command("SMEMBERS", "s")[0], "~")
        equal(three.command("ZSCORE", "z", "a"), (",", b"1.5"))
        equal(two.command("ZSCORE", "z", "a"), ("$", b"1.5"))
        equal(three.command("GET", "nokey"), ("_", None))
        equal(three.command("INFO", "server")[0], "=")
        hello = plain(three.command("HELLO"))
        equal(hello[b"proto"], 3)
        for field in (b"server", b"version", b"id", b"mode", b"role", b"modules"):
            true(field in hello, f"HELLO lacks {field}")
