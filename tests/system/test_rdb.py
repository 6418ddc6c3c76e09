"""Redis' dump format: DUMP and RESTORE, files that SAVE writes, files that people bring from Redis."""
import os
import random
import shutil
import struct
import subprocess
import time

from harness import dump
from harness.random_commands import Commands
from harness.resp import show
from harness.runner import equal, test, true
from harness.server import DidNotStart, Server, redis, subject_is_redis, temporary_folder, wait_until


def fill(c, seed=1, rounds=150):
    commands = Commands(random.Random(seed), keys_per_type=20)
    for _ in range(rounds):
        c.pipeline([commands.next_command()[0] for _ in range(60)])


def fill_encodings(c):
    """A key for every encoding that Redis 7.0 has, and sizes on both sides of every limit."""
    rng = random.Random(7)
    numbers = ["0", "-1", "127", "128", "-129", "4095", "4096", "-4097", "32767", "32768", "8388607", "8388608",
               "2147483647", "2147483648", "-2147483649", "9223372036854775807", "-9223372036854775808", "007", "-0", "1e5"]
    for i, n in enumerate(numbers):
        c.must("SET", f"number:{i}", n)
    c.must("RPUSH", "list:numbers", *numbers)
    c.must("HSET", "hash:numbers", *[w for n in numbers for w in ("f" + n, n)])
    c.must("SADD", "set:numbers", *numbers)
    c.must("SADD", "set:16", *range(100))
    c.must("SADD", "set:32", 1, 70000)
    c.must("SADD", "set:64", 1, 1 << 40)
    c.must("SADD", "set:many", *range(5000))
    c.must("SADD", "set:words", *[f"w{i}" for i in range(3000)])
    for size in (0, 1, 20, 21, 63, 64, 100, 16383, 16384, 70000, 300000, 3000000):
        c.must("SET", f"plain:{size}", bytes(rng.randrange(256) for _ in range(min(size, 4096))) * (size // 4096 + 1)
               if size > 4096 else bytes(rng.randrange(256) for _ in range(size)))
        c.must("SET", f"packed:{size}", b"abc" * (size // 3))
        c.must("RPUSH", f"list:{size}", b"x" * size, b"y", b"z" * size)
        c.must("HSET", f"hash:{size}", "f", b"v" * size, b"n" * size, "v")
        c.must("SADD", f"set:of:{size}", b"m" * size, "other")
        c.must("ZADD", f"zset:of:{size}", "1.5", b"m" * size, "-3", "other")
    c.must("RPUSH", "list:many", *[f"element {i}" for i in range(20000)])
    c.must("HSET", "hash:many", *[w for i in range(20000) for w in (f"field {i}", i * 7)])
    c.must("ZADD", "zset:many", *[w for i in range(20000) for w in (f"{i / 7:.17g}", f"member {i}")])
    c.must("ZADD", "zset:scores", "inf", "a", "-inf", "b", "0.1", "c", "1e300", "d", "-5", "e", "3.0", "f", "1e17", "g")
    c.must("SETBIT", "bits", 5000000, 1)
    c.must("SET", "expires", "v", "PXAT", 4102444800000)
    c.must("HSET", "expires:hash", "a", "b")
    c.must("PEXPIREAT", "expires:hash", 4102444800123)


def same(a, b):
    found = dump.differences(a, b)
    if found:
        raise AssertionError("\n".join(found))


@test("DUMP and RESTORE carry every encoding from Redis and back", seconds=180)
def _():
    with Server() as server, redis() as other:
        with server.connect() as a, other.connect() as b:
            fill_encodings(b)
            fill(b, 3)
            wanted = dump.dump(b)
            for key, (_, _, expiry) in wanted.items():
                a.must("RESTORE", key, max(expiry, 0), b.must("DUMP", key), "ABSTTL")
            same(dump.dump(a), wanted)
            b.must("FLUSHALL")
            for key, (_, _, expiry) in wanted.items():
                b.must("RESTORE", key, max(expiry, 0), a.must("DUMP", key), "ABSTTL", "REPLACE")
            same(dump.dump(b), wanted)
            encodings = [(k, a.command("OBJECT", "ENCODING", k), b.command("OBJECT", "ENCODING", k)) for k in wanted]
            wrong = [e for e in encodings if e[1] != e[2] and e[1][1] != b"listpack"]  # 7.2 has more of these
            equal(wrong, [], "OBJECT ENCODING")
            back = [k for k in wanted if b.must("DUMP", k) != a.must("DUMP", k)]
            true(len(back) < len(wanted), "not one dump is byte by byte what Redis writes")
        if not subject_is_redis():
            server.restart(kill=True)
            with server.connect() as a:
                same(dump.dump(a), wanted)


@test("RESTORE says what Redis says, option by option")
def _():
    with Server() as server, redis() as other:
        with server.connect() as a, other.connect() as b:
            b.must("RPUSH", "l", 1, 2, 3)
            good = b.must("DUMP", "l")
            b.must("DEL", "l")
            cases = [("k",), ("k", "0"), ("k", "0", good), ("k", "0", good), ("k", "0", good, "REPLACE"),
                     ("k", "x", good), ("k", "x", good, "REPLACE"), ("k", "-1", good, "REPLACE"),
                     ("k", "0", good, "NONSENSE"), ("k", "0", good, "IDLETIME"), ("k", "0", good, "IDLETIME", "x"),
                     ("k", "0", good, "IDLETIME", "-1"), ("k", "0", good, "FREQ", "256"), ("k", "0", good, "FREQ", "-1"),
                     ("k", "0", good, "FREQ", "x"), ("k", "0", good, "FREQ", "5", "IDLETIME", "5"),
                     ("k", "0", good, "IDLETIME", "5", "FREQ", "5"), ("k", "0", good, "REPLACE", "IDLETIME", "1000"),
                     ("k", "0", good[:-1], "REPLACE"), ("k", "0", b"", "REPLACE"), ("k", "0", b"123456789", "REPLACE"),
                     ("k", "0", good[:-1] + b"\0", "REPLACE"), ("k", "1", good, "ABSTTL", "REPLACE"), ("k", "0", good),
                     ("k", "1000000", good, "REPLACE"), ("k2", "4102444800000", good, "ABSTTL"), ("k3", "1", good, "ABSTTL"),
                     ("new", "-5", b"bad"), ("new", "0", b"bad")]
            for case in cases:
                equal(show(a.command("RESTORE", *case)), show(b.command("RESTORE", *case)), f"RESTORE {case}")
                equal(a.must("EXISTS", "k"), b.must("EXISTS", "k"), f"EXISTS after {case}")
            for c in (a, b):
                true(999000 < c.must("PTTL", "k") <= 1000000, "time to live")
                equal(c.must("PEXPIRETIME", "k2"), 4102444800000)
                equal(c.must("EXISTS", "k3"), 0)
                equal(c.must("DUMP", "nope"), None)
            a.must("RESTORE", "idle", "0", good, "IDLETIME", "1000")
            true(1000 <= a.must("OBJECT", "IDLETIME", "idle") <= 1010, "idle time")
            a.must("RESTORE-ASKING", "asking", "0", good)
            equal(a.must("LRANGE", "asking", 0, -1), [b"1", b"2", b"3"])


def crc64(data):
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc


def footed(body, version=10):
    body += struct.pack("<H", version)
    return body + struct.pack("<Q", crc64(body))


@test("payloads with a right checksum and damaged content are refused or taken whole", seconds=180)
def _():
    rng = random.Random(int(os.environ.get("CAIRN_SEED", "11")))
    with Server() as server, redis() as other:
        with server.connect() as a, other.connect() as b:
            b.must("RPUSH", "l", "a", "-5", "300", "x" * 100)
            b.must("HSET", "h", "f1", "v1", "f2", "100")
            b.must("ZADD", "z", "-inf", "c", "1", "a", "2.5", "b")
            b.must("SADD", "s", "1", "2", "300")
            b.must("SADD", "w", "a", "b")
            b.must("SET", "str", "a" * 40)
            a.must("SET", "present", "untouched")
            for key in ("l", "h", "z", "s", "w", "str"):
                body = b.must("DUMP", key)[:-10]
                for _ in range(250):
                    changed = bytearray(body)
                    for _ in range(rng.randrange(1, 4)):
                        changed[rng.randrange(len(changed))] = rng.randrange(256)
                    if rng.random() < 0.2:
                        changed = changed[:rng.randrange(1, len(changed))]
                    reply = a.command("RESTORE", "r", "0", footed(bytes(changed)), "REPLACE")
                    if reply[0] == "+":
                        a.must("DUMP", "r")
                        true(a.must("OBJECT", "ENCODING", "r"), "an object without encoding")
                    else:
                        equal(show(reply), "-ERR Bad data format", bytes(changed).hex())
            equal(show(a.command("RESTORE", "new", "0", footed(b"\x0f\x00"))), "-ERR Bad data format")
            equal(show(a.command("RESTORE", "new", "0", footed(b"\x00\x01a", 12))),
                  "-ERR DUMP payload version or checksum are wrong")
            equal(a.must("RESTORE", "new", "0", footed(b"\x00\x01a", 11)), b"OK")
            equal(show(a.command("RESTORE", "present", "0", footed(b"\x02\x00"), "REPLACE")), "-ERR Bad data format")
            equal(a.must("GET", "present"), b"untouched")


@test("RESTORE over a key of another type, in EXEC, and in a log that is replayed")
def _():
    with Server() as server:
        with server.connect() as c:
            c.must("HSET", "h", *[w for i in range(1000) for w in (f"f{i}", i)])
            c.must("RPUSH", "l", *range(500))
            big, small = c.must("DUMP", "h"), c.must("DUMP", "l")
            c.must("SET", "a", "v", "EX", "1000")
            c.must("RESTORE", "a", "0", big, "REPLACE")
            c.must("SADD", "b", *range(5000))
            c.must("MULTI")
            c.must("RESTORE", "b", "100000", small, "REPLACE")
            c.must("RPUSH", "b", "more")
            c.must("RESTORE", "d", "0", big)
            c.must("HDEL", "d", "f0")
            equal(c.must("EXEC")[:2], [b"OK", 501])
            equal(c.must("TTL", "a"), -1)
            before = dump.dump(c)
            equal(before[b"a"][1], before[b"h"][1])
            equal(len(before[b"d"][1]), 999)
        if not subject_is_redis():
            for kill in (True, True, False):
                server.restart(kill=kill)
                with server.connect() as c:
                    same(dump.dump(c), before)
                    equal(c.must("DBSIZE"), 5)


# ---- SAVE ----

def check_rdb(path):
    if shutil.which("redis-check-rdb"):
        done = subprocess.run(["redis-check-rdb", path], capture_output=True, text=True, timeout=120)
        true(done.returncode == 0 and "RDB looks OK" in done.stdout, done.stdout[-2000:])


def redis_on(path, **options):
    """A real Redis that starts from a copy of this RDB file."""
    folder = temporary_folder()
    shutil.copy(path, os.path.join(folder, "dump.rdb"))
    return redis(folder=folder, appendonly="no", dbfilename="dump.rdb", **options)


@test("a real Redis loads what SAVE wrote, and has the same content", seconds=180)
def _():
    with Server() as server:
        with server.connect() as c:
            fill_encodings(c)
            fill(c, 5)
            c.must("SELECT", 3)
            c.must("SET", "in another database", "v")
            c.must("SELECT", 0)
            wanted = dump.dump(c)
            before = c.must("LASTSAVE")
            equal(c.must("SAVE"), b"OK")
            true(c.must("LASTSAVE") >= before, "LASTSAVE went back")
        path = os.path.join(server.folder, "dump.rdb")
        check_rdb(path)
        true(not [n for n in os.listdir(server.folder) if n.startswith("temp-")], "a temporary file is left")
        with redis_on(path) as other, other.connect() as b:
            same(dump.dump(b), wanted)
            b.must("SELECT", 3)
            equal(b.must("GET", "in another database"), b"v")
        if not subject_is_redis():
            folder = temporary_folder()
            shutil.copy(path, folder)
            imported(folder, wanted)


@test("what BGSAVE writes is one moment, while transactions go on", seconds=120)
def _():
    accounts, sum_of_all = 200, 200 * 1000
    with Server() as server:
        with server.connect() as c:
            c.pipeline([("SET", f"account:{i}", 1000) for i in range(accounts)])
            c.pipeline([("HSET", "big", f"f{i}", 0) for i in range(3000)])
            rng = random.Random(3)
            for round_ in range(4):
                equal(c.must("BGSAVE"), b"Background saving started")
                for _ in range(60):
                    words = []
                    for _ in range(40):
                        a, b, n = rng.randrange(accounts), rng.randrange(accounts), rng.randrange(100)
                        words += [("MULTI",), ("DECRBY", f"account:{a}", n), ("INCRBY", f"account:{b}", n),
                                  ("HINCRBY", "big", f"f{rng.randrange(3000)}", n),
                                  ("HINCRBY", "big", f"f{rng.randrange(3000)}", -n), ("EXEC",)]
                    c.pipeline(words)
                if not subject_is_redis():
                    wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == "0", 60, "the end of BGSAVE")
                equal(server.info("persistence")["rdb_last_bgsave_status"], "ok")
                with redis_on(os.path.join(server.folder, "dump.rdb")) as other, other.connect() as b:
                    found = b.must("MGET", *[f"account:{i}" for i in range(accounts)])
                    equal(sum(int(v) for v in found), sum_of_all, f"round {round_}")
                    equal(sum(int(v) for v in b.must("HVALS", "big")), 0, f"round {round_}: the hash")


@test("BGSAVE, SAVE and INFO tell of each other; a folder that cannot be written fails the save and nothing else")
def _():
    with Server(enable_debug_command="yes") as server:
        with server.connect() as c:
            c.must("DEBUG", "POPULATE", 300000)
            equal(c.must("BGSAVE"), b"Background saving started")
            replies = {show(c.command("BGSAVE")), show(c.command("SAVE"))}
            true(replies <= {"-ERR Background save already in progress"} or
                 server.info("persistence")["rdb_bgsave_in_progress"] == "0", replies)
            equal(show(c.command("BGSAVE", "NONSENSE")), "-ERR syntax error")
            wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == "0", 60, "the end of BGSAVE")
            equal(server.info("persistence")["rdb_changes_since_last_save"], "0")
            c.must("SET", "k", "v")
            equal(server.info("persistence")["rdb_changes_since_last_save"], "1")
            c.must("CONFIG", "SET", "rdbcompression", "no")
            before = c.must("DEBUG", "DIGEST")
            equal(c.must("DEBUG", "RELOAD"), b"OK")
            equal(c.must("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH"), b"OK")
            equal(show(c.command("DEBUG", "RELOAD", "NONSENSE")),
                  "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
            equal(c.must("DEBUG", "DIGEST"), before)
            equal(c.must("BGSAVE", "SCHEDULE"), b"Background saving started")
            wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == "0", 60, "the end of BGSAVE")
            equal(server.info("persistence")["rdb_changes_since_last_save"], "0")
            path = os.path.join(server.folder, "dump.rdb")
            check_rdb(path)
            if not subject_is_redis():
                os.mkdir(os.path.join(server.folder, "temp-dump.rdb"))  # in the way
                true(show(c.command("SAVE")).startswith("-ERR"), "SAVE into nothing said OK")
                equal(server.info("persistence")["rdb_last_bgsave_status"], "err")
                os.rmdir(os.path.join(server.folder, "temp-dump.rdb"))
                equal(c.must("SAVE"), b"OK")
                equal(server.info("persistence")["rdb_last_bgsave_status"], "ok")
            os.remove(path)
            c.send("SHUTDOWN", "SAVE")
            true(c.closed_by_server(20), "SHUTDOWN SAVE did not close the connection")
            server.wait_end()
            check_rdb(path)


# ---- The way in ----

def redis_folder(work, rewrite=True, **options):
    """What a real Redis leaves in its folder after `work(connection)`; and its content."""
    with redis(**options) as other:
        with other.connect() as b:
            work(b)
            wanted = dump.dump(b)
        other.stop()
        folder = temporary_folder()
        for name in os.listdir(other.folder):
            source = os.path.join(other.folder, name)
            if os.path.isdir(source):
                shutil.copytree(source, os.path.join(folder, name))
            elif name.endswith((".rdb", ".aof")):
                shutil.copy(source, folder)
    return folder, wanted


def imported(folder, wanted, restarts=1, loaded=None, **options):
    """A server that starts there has this content, and has it still after it was killed; the files are not read again."""
    with Server(folder=folder, **options) as server:
        begun = open(server.log_path).read().count("import: begins")
        with server.connect() as c:
            same(dump.dump(c), wanted)
            equal(c.must("DBSIZE"), len(wanted))
            equal(int(server.info("keyspace").get("db0", "keys=0,").split(",")[0][5:]), len(wanted))
            c.must("SET", "written after the import", "v")
            wanted = dump.dump(c)
        if loaded is not None:
            equal(int(server.info("persistence")["rdb_last_load_keys_loaded"]), loaded)
        true("import: done" in open(server.log_path).read(), "the log does not tell of the import")
        true(not os.path.exists(os.path.join(folder, "cairn.import")), "the mark is still there")
        for _ in range(restarts):
            server.restart(kill=True)
            with server.connect() as c:
                same(dump.dump(c), wanted)
                equal(c.must("DBSIZE"), len(wanted))
        equal(open(server.log_path).read().count("import: begins"), begun, "imports")


def everything(c):
    fill_encodings(c)
    fill(c, 9)
    c.must("SET", "past", "v", "PX", 1)
    wait_until(lambda: c.must("GET", "past") is None, 5, "it is past")


@test("a first start takes over the RDB file of a Redis", seconds=180)
def _():
    def work(c):
        everything(c)
        c.must("SAVE")
    folder, wanted = redis_folder(work, appendonly="no")
    wanted.pop(b"past", None)
    os.mkdir(os.path.join(folder, "appendonlydir"))      # of earlier days: not asked for by appendonly no
    with open(os.path.join(folder, "appendonlydir", "appendonly.aof.manifest"), "w") as f:
        f.write("file nothing seq 1 type b\n")
    refused(folder, "nothing", "missing")
    imported(folder, wanted, 2, len(wanted), appendonly="no")


@test("a first start takes over the append-only folder of a Redis 7: base and increments", seconds=180)
def _():
    def work(c):
        everything(c)
        c.must("BGREWRITEAOF")
        wait_until(lambda: b"aof_rewrite_in_progress:0" in c.must("INFO", "persistence") and
                   b"aof_rewrite_scheduled:0" in c.must("INFO", "persistence"), 60, "the rewrite")
        fill(c, 10, 60)
        c.must("MULTI")
        c.must("SET", "in a transaction", "v")
        c.must("INCR", "counter")
        c.must("EXEC")
        c.must("SET", "in a second", "v", "EX", "1000000")
        c.must("SUNIONSTORE", "union", "set:16", "set:32")
        c.must("RENAME", "union", "renamed")
        c.must("LMOVE", "list:many", "moved", "LEFT", "RIGHT")
    folder, wanted = redis_folder(work, appendonly="yes", aof_timestamp_enabled="yes")
    # What expired was deleted by a command or not at all: both is right.
    imported(folder, wanted)


@test("a first start takes over a single append-only file, with and without an RDB part, and a torn end", seconds=120)
def _():
    def work(c):
        fill(c, 4, 40)
    for preamble in ("yes", "no"):
        def rewritten(c):
            work(c)
            c.must("BGREWRITEAOF")
            wait_until(lambda: b"aof_rewrite_in_progress:0" in c.must("INFO", "persistence") and
                       b"aof_rewrite_scheduled:0" in c.must("INFO", "persistence"), 60, "the rewrite")
            c.must("SET", "at the end", "v")
        folder, wanted = redis_folder(rewritten, appendonly="yes", aof_use_rdb_preamble=preamble)
        names = sorted(os.listdir(os.path.join(folder, "appendonlydir")))
        parts = [n for n in names if ".base." in n] + [n for n in names if ".incr." in n]
        with open(os.path.join(folder, "appendonly.aof"), "wb") as out:
            for name in parts:
                out.write(open(os.path.join(folder, "appendonlydir", name), "rb").read())
            out.write(b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$1\r\nv\r\n*3\r\n$3\r\nSET\r\n$5\r\nto")
        shutil.rmtree(os.path.join(folder, "appendonlydir"))
        imported(folder, wanted)


def refused(folder, *words, **options):
    server = Server(folder=folder, **options)
    try:
        server.start()
    except DidNotStart as e:
        text = str(e)
        for word in words:
            true(word in text, f"{word!r} is not said: {text}")
        return
    finally:
        server.kill()
    raise AssertionError("it started")


@test("a damaged file refuses the start with offset and reason, and a good one in its place is taken", seconds=120)
def _():
    def work(c):
        fill(c, 6, 40)
        c.must("SAVE")
    folder, wanted = redis_folder(work, appendonly="no")
    path = os.path.join(folder, "dump.rdb")
    good = open(path, "rb").read()
    for damage in (good[:len(good) // 2], good[:-1] + bytes([good[-1] ^ 1]), good[:200] + b"\xff\xf0" + good[202:],
                   b"REDIS9999" + good[9:], b"nonsense" * 10):
        with open(path, "wb") as out:
            out.write(damage)
        refused(folder, "import of", "dump.rdb")
    with open(path, "wb") as out:
        out.write(good[:len(good) // 3])
    refused(folder, "offset")
    with open(path, "wb") as out:
        out.write(good)
    imported(folder, wanted)
    folder, wanted = redis_folder(work, appendonly="yes")
    names = os.listdir(os.path.join(folder, "appendonlydir"))
    increment = os.path.join(folder, "appendonlydir", next(n for n in names if ".incr." in n))
    with open(increment, "ab") as out:
        out.write(b"*2\r\n$9\r\nNOCOMMAND\r\n$1\r\na\r\n")
    refused(folder, "NOCOMMAND", "offset", ".incr.")
    with open(increment, "r+b") as out:
        out.truncate(os.path.getsize(increment) - len(b"*2\r\n$9\r\nNOCOMMAND\r\n$1\r\na\r\n"))
    imported(folder, wanted)


@test("the manifest's order counts: increments that are out of it are refused, a base is read first wherever it is named", seconds=120)
def _():
    if subject_is_redis():
        return
    folder, wanted = redis_folder(lambda c: fill(c, 8, 20), appendonly="yes")
    inside = os.path.join(folder, "appendonlydir")
    path = os.path.join(inside, "appendonly.aof.manifest")
    with open(path) as f:
        good = f.read()
    increment = next(n for n in os.listdir(inside) if ".incr." in n)
    for seq in (90, 91):
        shutil.copy(os.path.join(inside, increment), os.path.join(inside, f"more.{seq}"))
    more = ["file more.90 seq 90 type i\n", "file more.91 seq 91 type i\n"]
    base = next(line for line in good.splitlines(True) if line.endswith("type b\n"))
    for text, word in ((good + more[1] + more[0], "increment 90 comes behind increment 91"),
                       (good + more[0] + more[0], "increment 90 comes behind"),
                       (good + base, "two bases"), (good + "file gone seq 99 type i\n", "is missing"),
                       (good.replace(" seq 1 ", " seq x "), "not a line"), ("", "names no file")):
        with open(path, "w") as f:
            f.write(text)
        refused(folder, "appendonly.aof.manifest", word)
    with open(path, "w") as f:
        f.write("".join(reversed(good.splitlines(True))))
    imported(folder, wanted)


@test("a start that is killed during an import begins it again", seconds=120)
def _():
    def work(c):
        for at in range(0, 400000, 20000):
            c.pipeline([("SET", f"key:{i}", f"value {i}") for i in range(at, at + 20000)])
        c.must("SADD", "big", *range(100000))
        c.must("SAVE")
    with redis(appendonly="no", save="") as other:
        with other.connect() as b:
            work(b)
        folder = temporary_folder()
        shutil.copy(os.path.join(other.folder, "dump.rdb"), folder)
    server = Server(folder=folder)
    for at, kill in enumerate((True, False, True)):
        server.spawn()
        wait_until(lambda: open(server.log_path).read().count("import: begins") > at, 20, "the import's beginning", 0.002)
        time.sleep(0.02 * at)
        server.kill() if kill else equal(server.stop(), 0, "exit code of a stop during the import")
        if "import: done" in open(server.log_path).read():  # this process was kept from looking until it was over
            break
    server.start()
    with server:
        with server.connect() as c:
            equal(c.must("DBSIZE"), 400001)
            equal(c.must("SCARD", "big"), 100000)
            equal(c.must("GET", "key:399999"), b"value 399999")
        server.restart(kill=True)
        with server.connect() as c:
            equal(c.must("DBSIZE"), 400001)
            c.must("FLUSHALL")
        server.restart(kill=True)
        with server.connect() as c:
            equal(c.must("DBSIZE"), 0, "keys after FLUSHALL: the file was read again")
