"""Habits of Redis that no single reply shows: what expiry, pauses, blocking and monitoring leave behind."""
import time

from harness.resp import Connection, show
from harness.runner import equal, skip, test, true
from harness.server import Server, subject_is_redis, wait_until


def _info(c, field):
    for line in c.must("INFO", "everything").decode().splitlines():
        if line.startswith(field + ":"):
            return line.split(":", 1)[1]
    return None


@test("an expired key is gone for good by the look that finds it")
def _():
    with Server(**{"enable-debug-command": "yes"}) as server, server.connect() as c:
        c.must("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        for i in range(6):
            c.must("SET", f"k{i}", "v", "PX", "30")
        time.sleep(0.05)
        equal(show(c.command("DBSIZE")), ":6")
        equal(show(c.command("GET", "k0")), "nil")
        equal(show(c.command("EXISTS", "k1")), ":0")
        equal(show(c.command("TTL", "k2")), ":-2")
        equal(show(c.command("DBSIZE")), ":3")
        cursor = "0"
        while True:
            cursor, page = c.must("SCAN", cursor)
            equal(page, [])
            if cursor in (b"0", "0"):
                break
        equal(show(c.command("DBSIZE")), ":0")
        equal(_info(c, "expired_keys"), "6")
        for i in range(3):
            c.must("SET", f"r{i}", "v", "PX", "10")
        time.sleep(0.05)
        equal(show(c.command("RANDOMKEY")), "nil")
        equal(show(c.command("DBSIZE")), ":0")


@test("nothing expires while writes are paused, and paused clients count as blocked")
def _():
    with Server() as server, server.connect() as c, Connection(server.port) as other:
        c.pipeline([("SET", "k", "v", "PX", "1000"), ("CLIENT", "PAUSE", "600000", "WRITE")])
        wait_until(lambda: show(c.command("GET", "k")) == "nil", 5, "the key has expired")
        time.sleep(0.2)
        equal(_info(c, "expired_keys"), "0")
        other.send("SET", "a", "b")
        wait_until(lambda: _info(c, "blocked_clients") == "1", 5, "the paused client is counted")
        c.must("CLIENT", "UNPAUSE")
        equal(show(other.read()), "+OK")
        wait_until(lambda: _info(c, "blocked_clients") == "0", 5, "nobody is blocked any more")
        wait_until(lambda: _info(c, "expired_keys") == "1", 5, "the key expires after the pause")


@test("SWAPDB wakes those who wait for a key, also inside EXEC")
def _():
    with Server() as server, server.connect() as c, Connection(server.port) as one, Connection(server.port) as two:
        two.must("SELECT", "2")
        one.send("BLPOP", "k", "60")
        two.send("BLPOP", "k", "60")
        wait_until(lambda: _info(c, "blocked_clients") == "2", 5, "both are blocked")
        c.must("SELECT", "1")
        c.must("RPUSH", "k", "v")
        c.must("SWAPDB", "0", "1")
        equal(show(one.read()), '["k", "v"]')
        c.must("RPUSH", "k", "w")
        c.must("MULTI")
        c.must("SWAPDB", "1", "2")
        c.must("SET", "other", "1")
        c.must("EXEC")
        equal(show(two.read()), '["k", "w"]')


@test("a blocking command is one call in the statistics, however it ends")
def _():
    with Server() as server, server.connect() as c, Connection(server.port) as other:
        number = other.must("CLIENT", "ID")
        for reason in ("TIMEOUT", "ERROR"):
            other.send("BLPOP", "none", "0")
            wait_until(lambda: _info(c, "blocked_clients") == "1", 5, "blocked")
            equal(show(c.command("CLIENT", "UNBLOCK", str(number), reason)), ":1")
            other.read()
        true(_info(c, "cmdstat_blpop").startswith("calls=2,"), _info(c, "cmdstat_blpop"))
        if not subject_is_redis():  # Redis 7.0 still counts the timeout as a failure
            true(_info(c, "cmdstat_blpop").endswith("failed_calls=1"), _info(c, "cmdstat_blpop"))
        equal(_info(c, "errorstat_UNBLOCKED"), "count=1")


@test("MONITOR shows a blocking command when it is called, and once")
def _():
    with Server() as server, server.connect() as c, Connection(server.port) as eye, Connection(server.port) as other:
        eye.must("MONITOR")
        other.send("BLPOP", "k", "0")
        true(b'"BLPOP"' in eye.read()[1], "the blocked command comes first")
        c.must("RPUSH", "k", "v")
        other.read()
        c.must("PING")
        true(b'"RPUSH"' in eye.read()[1], "then what served it")
        true(b'"PING"' in eye.read()[1], "and the blocked command not again")


@test("a client that does not touch leaves the idle time alone")
def _():
    with Server() as server, server.connect() as c:
        if subject_is_redis() and c.command("CLIENT", "NO-TOUCH", "OFF")[0] == "-":
            skip("Redis 7.0 does not know CLIENT NO-TOUCH")
        c.must("SET", "k", "v")
        time.sleep(1.2)
        c.must("CLIENT", "NO-TOUCH", "ON")
        c.must("GET", "k")
        true(c.must("OBJECT", "IDLETIME", "k") >= 1, "GET was no use of the key")
        wait_until(lambda: c.must("TOUCH", "k") == 1 and c.must("OBJECT", "IDLETIME", "k") == 0, 5, "TOUCH is a use")


@test("INFO counts loop turns, the command threads' time, and who waits with a limit")
def _():
    with Server() as server, server.connect() as c, Connection(server.port) as other:
        other.send("BLPOP", "none", "60")
        wait_until(lambda: _info(c, "clients_in_timeout_table") == "1", 5, "one waits with a limit")
        c.must("RPUSH", "none", "v")
        other.read()
        wait_until(lambda: _info(c, "clients_in_timeout_table") == "0", 5, "nobody waits any more")
        other.send("BLPOP", "none", "0")
        wait_until(lambda: _info(c, "blocked_clients") == "1", 5, "one waits for ever")
        equal(_info(c, "clients_in_timeout_table"), "0")
        true(float(_info(c, "used_cpu_user_main_thread")) >= 0, "time of the threads that run commands")
        if not subject_is_redis():  # Redis 7.0 does not have them
            before = int(_info(c, "eventloop_cycles"))
            c.must("PING")
            true(int(_info(c, "eventloop_cycles")) > before, "turns are counted")
            wait_until(lambda: int(_info(c, "instantaneous_eventloop_cycles_per_sec")) > 0, 5, "and their rate")
            wait_until(lambda: int(_info(c, "instantaneous_eventloop_duration_usec")) > 0, 5, "and what one takes")
            true(int(_info(c, "eventloop_duration_sum")) > 0, "the time of turns")
            true(int(_info(c, "eventloop_duration_cmd_sum")) > 0, "the time of commands")


@test("CLIENT LIST counts the request that asks; some options are told by their whole name only")
def _():
    with Server() as server, server.connect() as c:
        line = c.must("CLIENT", "LIST").decode()
        true(" qbuf=26 " in line and " argv-mem=10 " in line and " multi-mem=0 " in line, line)
        every = c.must("CONFIG", "GET", "*")
        true(b"key-load-delay" not in every and b"maxmemory" in every, "key-load-delay is not listed")
        equal(c.must("CONFIG", "GET", "key-load-delay"), [b"key-load-delay", b"0"])


@test("MONITOR shows no passwords")
def _():
    with Server() as server, server.connect() as c, Connection(server.port) as eye:
        eye.must("MONITOR")
        for words in (("AUTH", "secret1"), ("AUTH", "someone", "secret2"), ("HELLO", "2", "AUTH", "someone", "secret3"),
                      ("MIGRATE", "127.0.0.1", "1", "none", "0", "100", "AUTH", "secret4"),
                      ("MIGRATE", "127.0.0.1", "1", "none", "0", "100", "AUTH2", "someone", "secret5"), ("PING",)):
            c.command(*words)
        text = b""
        while b"PING" not in text:
            text += eye.read()[1] + b"\n"
        true(b"secret" not in text and text.count(b"(redacted)") >= 5, text.decode())
