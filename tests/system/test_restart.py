"""A restart, clean or not, changes nothing."""
import signal
import time

from harness import dump
from harness.features import has, needs
from harness.random_commands import Commands
from harness.runner import equal, test, true
from harness.resp import Connection, show
from harness.server import Server, subject_is_redis, wait_until

import random


def fill(c, seed=1, rounds=150):
    commands = Commands(random.Random(seed), keys_per_type=20)
    for _ in range(rounds):
        c.pipeline([commands.next_command()[0] for _ in range(60)])


def content(server):
    with server.connect() as c:
        return dump.dump(c)


def same_after(server, kill):
    before = content(server)
    true(len(before) > 50, "there is too little to compare")
    server.restart(kill=kill)
    after = content(server)
    found = dump.differences(after, before)
    if found:
        raise AssertionError("\n".join(found))
    with server.connect() as c:
        equal(c.must("DBSIZE"), len(after), "DBSIZE against a full SCAN")


@test("a clean stop and start keeps every type, every TTL and the counts")
def _():
    with Server() as server:
        with server.connect() as c:
            fill(c)
        same_after(server, kill=False)
        same_after(server, kill=False)


@test("kill -9 and start keeps every type, every TTL and the counts")
def _():
    with Server() as server:
        with server.connect() as c:
            fill(c, 2)
        same_after(server, kill=True)
        same_after(server, kill=True)


@test("SHUTDOWN and SIGTERM end with status 0 and close the listening port")
def _():
    with Server() as server:
        with server.connect() as c:
            c.must("SET", "k", "v")
            c.send("SHUTDOWN")
            true(c.closed_by_server(10), "SHUTDOWN did not close the connection")
        equal(server.wait_end(), 0, "exit code after SHUTDOWN")
        server.start()
        with server.connect() as c:
            equal(c.must("GET", "k"), b"v")
        server.process.send_signal(signal.SIGTERM)
        equal(server.wait_end(), 0, "exit code after SIGTERM")
        server.start()


@test("keys that expire while the server is down are gone when it is back")
def _():
    with Server() as server:
        with server.connect() as c:
            c.pipeline([("SET", f"short:{i}", "v", "PX", "300") for i in range(200)])
            c.pipeline([("SET", f"long:{i}", "v", "EX", "1000") for i in range(200)])
            c.must("HSET", "h", "f", "v")
            c.must("PEXPIRE", "h", "300")
        server.kill()
        time.sleep(0.5)
        server.start()
        with server.connect() as c:
            equal(c.must("EXISTS", "h", "short:1", "short:199", "long:1"), 1)
            equal(len(dump.scan_all(c)), 200, "keys in a full SCAN")
            wait_until(lambda: c.must("DBSIZE") == 200, 10, "DBSIZE without those that expired")
            ttl = c.must("TTL", "long:5")
            true(800 < ttl <= 1000, f"TTL is {ttl}")


@test("FLUSHALL FLUSHDB and SWAPDB survive kill -9")
def _():
    with Server() as server:
        with server.connect() as c:
            c.must("MSET", "a", "1", "b", "2")
            c.must("HSET", "big", *[w for i in range(1000) for w in (f"f{i}", "v")])
            c.must("FLUSHALL")
            c.must("SET", "after", "flush")
        server.restart(kill=True)
        with server.connect() as c:
            equal(sorted(dump.scan_all(c)), [b"after"])
            c.must("SELECT", "3")
            c.must("SET", "three", "3")
            c.must("SELECT", "0")
            c.must("SWAPDB", "0", "3")
            c.must("SET", "zero", "0")
        server.restart(kill=True)
        with server.connect() as c:
            equal(sorted(dump.scan_all(c)), [b"three", b"zero"])
            c.must("SELECT", "3")
            equal(sorted(dump.scan_all(c)), [b"after"])
            c.must("FLUSHDB")
            equal(c.must("DBSIZE"), 0)
        server.restart(kill=True)
        with server.connect() as c:
            equal(c.must("DBSIZE"), 2)
            c.must("SELECT", "3")
            equal(c.must("DBSIZE"), 0)


@test("many restarts in a row keep a stream's ids and a counter's value")
def _():
    with Server() as server:
        for number in range(6):
            with server.connect() as c:
                equal(c.must("INCR", "counter"), number + 1)
                if has("streams"):
                    c.must("XADD", "s", f"{number + 1}-1", "n", str(number))
                    equal(c.must("XLEN", "s"), number + 1)
                    refused = c.command("XADD", "s", f"{number + 1}-1", "n", "again")
                    equal(refused[0], "-")
            server.restart(kill=number % 2 == 0)


@test("functions and consumer groups survive a restart")
def _():
    needs("scripts", "streams")
    with Server() as server:
        with server.connect() as c:
            c.must("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function(k, a) return 7 end)")
            c.must("XADD", "s", "1-1", "a", "1")
            c.must("XADD", "s", "1-2", "a", "2")
            c.must("XGROUP", "CREATE", "s", "g", "0")
            c.must("XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "s", ">")
        for kill in (True, False):
            server.restart(kill=kill)
            with server.connect() as c:
                equal(c.must("FCALL", "f", "0"), 7)
                equal(c.must("XPENDING", "s", "g")[0], 1)
                equal(c.must("XINFO", "GROUPS", "s")[0][9 - 2], b"1-1")


@test("CONFIG REWRITE is read back at the next start")
def _():
    import os
    from harness.server import temporary_folder
    folder = temporary_folder()
    path = os.path.join(folder, "node.conf")
    with open(path, "w") as f:
        f.write("# a comment that stays\ntimeout 0\n")
    with Server(folder=folder, arguments=[path]) as server:
        with server.connect() as c:
            c.must("CONFIG", "SET", "timeout", "77")
            c.must("CONFIG", "REWRITE")
        text = open(path).read()
        true("timeout 77" in text and "# a comment that stays" in text, f"the file is:\n{text}")
        server.restart()
        with server.connect() as c:
            equal(c.must("CONFIG", "GET", "timeout")[1], b"77")


@test("a restart with 200,000 writes behind it takes seconds", seconds=180)
def _():
    with Server() as server:
        with server.connect() as c:
            for base in range(0, 200000, 2000):
                c.pipeline([("SET", f"key:{i % 20000}", f"value-{i}") for i in range(base, base + 2000)])
        started = time.monotonic()
        server.restart(kill=True)
        seconds = time.monotonic() - started
        with server.connect() as c:
            equal(c.must("DBSIZE"), 20000)
            equal(c.must("GET", "key:19999"), b"value-199999")
        print(f"      back after {seconds:.2f} s")
        true(seconds < (60 if subject_is_redis() else 20), f"the restart took {seconds:.1f} s")


def _persistence(c):
    text = c.must("INFO", "persistence").decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _look_while_loading(server, seen, refused):
    """Adds what INFO tells of the progress, and the replies to GET."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with Connection(server.port) as c:
                while True:
                    refused.add(show(c.command("GET", "k1"), 60))
                    for words in (("MULTI",), ("PING",), ("WATCH", "k1"), ("DEBUG", "SLEEP", "0"), ("DISCARD",)):
                        c.command(*words)
                    fields = _persistence(c)
                    if fields["loading"] == "0":
                        return
                    seen.append((int(fields["loading_loaded_bytes"]), int(fields["loading_total_bytes"])))
                    equal(c.command("CONFIG", "GET", "port")[0], "*")
        except OSError:
            time.sleep(0.002)
    raise AssertionError("the log was not redone in a minute")


@test("while the log is redone the port is open, data is refused with LOADING, INFO tells how far it is")
def _():
    if subject_is_redis():
        return
    with Server(**{"wal-floor-bytes-max": "1gb", "maxmemory": "2gb"}) as server:
        with server.connect() as c:
            value = "x" * 200
            for block in range(0, 200000, 1000):
                c.pipeline([("SET", f"k{i}", value) for i in range(block, block + 1000)])
        seen, refused = [], set()
        for _ in range(10):                       # this process may be kept from looking while it lasts
            server.kill()
            server.spawn()
            _look_while_loading(server, seen, refused)
            if seen and any(r.startswith("-LOADING") for r in refused):
                break
            seen, refused = [], set()
        true(seen, "INFO was never answered while the log was redone")
        true(all(0 <= done <= total for done, total in seen), f"progress: {seen}")
        equal(seen, sorted(seen), "progress never goes back")
        true("-LOADING Redis is loading the dataset in memory" in refused, str(refused))
        with server.connect() as c:
            equal(c.must("DBSIZE"), 200000)


@test("a stop while the log is redone is quick and loses nothing")
def _():
    if subject_is_redis():
        return
    with Server(**{"wal-floor-bytes-max": "1gb", "maxmemory": "2gb"}) as server:
        with server.connect() as c:
            for block in range(0, 100000, 1000):
                c.pipeline([("SET", f"k{i}", "x" * 200) for i in range(block, block + 1000)])
        server.kill()
        for wait in (0.02, 0.05, 0.1, 0.2):
            server.spawn()
            time.sleep(wait)
            server.stop(10)
        server.start()
        with server.connect() as c:
            equal(c.must("DBSIZE"), 100000)


@test("lanes redo the log of several databases, with FLUSHDB and SWAPDB in between, as one thread does")
def _():
    if subject_is_redis():
        return
    with Server(**{"wal-floor-bytes-max": "1gb", "workers": "4"}) as server:
        def everything():
            found = []
            with server.connect() as c:
                for db in range(4):
                    c.must("SELECT", str(db))
                    found.append(dump.dump(c))
                    equal(c.must("DBSIZE"), len(found[-1]), f"DBSIZE of database {db}")
            return found

        rng = random.Random(11)
        for round_number in range(3):
            with server.connect() as c:
                for step in range(40):
                    c.must("SELECT", str(rng.randrange(4)))
                    commands = Commands(random.Random(rng.random()), keys_per_type=30)
                    c.pipeline([commands.next_command()[0] for _ in range(150)])
                    if step % 7 == 3:
                        c.must("SWAPDB", str(rng.randrange(4)), str(rng.randrange(4)))
                    if step % 13 == 5:
                        c.must("FLUSHDB")
            before = everything()
            true(sum(map(len, before)) > 100, "there is too little to compare")
            for workers in ("4", "1", "3"):
                server.restart(kill=True, workers=workers)
                for db, (now, then) in enumerate(zip(everything(), before)):
                    found = dump.differences(now, then)
                    true(not found, f"workers {workers}, database {db}:\n" + "\n".join(found))
