"""A full disk, damaged files, a folder that is not ours: refuse loudly, lose nothing."""
import os
import random
import shutil
import signal
import subprocess
import time

from harness import dump
from harness.resp import ConnectionLost, show
from harness.runner import equal, skip, test, true
from harness.server import SUBJECT, DidNotStart, Server, free_port, subject_is_redis, temporary_folder


def small_disk(megabytes):
    """A folder on a small file system of its own."""
    folder = temporary_folder("cairn-small-disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], capture_output=True)
    if done.returncode != 0:
        skip("mounting a small tmpfs is not permitted here: " + done.stderr.decode().strip()[:100])
    return folder


def log_files(folder):
    """The log's segments, oldest first: the largest set of *.wal, *.log or *.aof files under the folder."""
    found = []
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            inside = os.path.relpath(path, folder)
            if ("wal" in inside or "log/" in inside or ".aof" in inside) and "MANIFEST" not in name \
                    and not name.endswith((".manifest", ".rdb", ".sst")) and os.path.getsize(path) > 1000:
                found.append(path)
    return sorted(found)


def write_until_refused(c, most=400000):
    """Writes 1 kB values; returns how many were acknowledged and the refusal (None: the connection broke)."""
    acknowledged = 0
    try:
        while acknowledged < most:
            for reply in c.pipeline([("SET", f"key:{i}", os.urandom(1000))
                                     for i in range(acknowledged, acknowledged + 100)]):
                if reply[0] == "-":
                    return acknowledged, reply
                acknowledged += 1
    except (ConnectionLost, OSError, TimeoutError):
        return acknowledged, None
    raise AssertionError("the disk never filled")


def full_disk(megabytes, free_min, look):
    """Fills a small disk, looks, gives it room, and finds everything that was acknowledged."""
    if subject_is_redis():
        skip("a real Redis keeps other rules about a full disk")
    folder = small_disk(megabytes)
    server = Server(folder=folder, maxmemory="64mb", disk_free_min=free_min)
    try:
        server.start()
        with server.connect(timeout=30) as c:
            acknowledged, refused = write_until_refused(c)
            print(f"      {acknowledged} writes acknowledged, then: {show(refused)[:100] if refused else 'the process ended'}")
            true(acknowledged > 10000, "hardly anything was written")
            look(server, c, refused)
        server.kill()
        subprocess.run(["mount", "-o", "remount,size=2g", folder], check=True)
        server.start(60)
        with server.connect(timeout=60) as c:
            for base in range(0, acknowledged, 1000):
                names = [("EXISTS", f"key:{i}") for i in range(base, min(base + 1000, acknowledged))]
                true(all(r == (":", 1) for r in c.pipeline(names)), f"a key near {base} is missing")
            equal(c.must("SET", "after", "x"), b"OK")
    finally:
        server.kill()
        subprocess.run(["umount", "-l", folder])


@test("below disk-free-min writes are refused, reads go on, nothing acknowledged is lost", seconds=240)
def _():
    def look(server, c, refused):
        true(refused is not None and refused[1].startswith(b"MISCONF"), f"the refusal is {refused}")
        true(c.must("GET", "key:5") is not None, "reads do not go on")
        equal(server.process.poll(), None, "the server's end")
    full_disk(512, "256mb", look)


@test("a disk that is full to the last byte ends the server loudly; nothing acknowledged is lost", seconds=240)
def _():
    def look(server, _, refused):
        if refused is None:
            server.wait_end(20)
            true("No space left on device" in server.log_tail(), server.log_tail(5))
        else:
            true(refused[1].startswith(b"MISCONF"), f"the refusal is {refused}")
    full_disk(192, "0", look)


def filled(server, count=3000):
    with server.connect() as c:
        c.pipeline([("SET", f"key:{i}", f"value-{i}-" + "x" * 50) for i in range(count)])


@test("a torn tail of the log is cut: the start succeeds and loses only what is torn")
def _():
    with Server() as server:
        filled(server)
        server.kill()
        files = log_files(server.folder)
        true(files, "no log file found")
        with open(files[-1], "r+b") as f:
            f.truncate(os.path.getsize(files[-1]) - 7)
        server.start()
        with server.connect() as c:
            count = c.must("DBSIZE")
            true(2999 <= count <= 3000, f"{count} keys")
            equal(len(dump.scan_all(c)), count)
            c.must("SET", "more", "x")
        server.restart(kill=True)
        with server.connect() as c:
            equal(c.must("DBSIZE"), count + 1)


@test("rubbish behind the log's last record is cut")
def _():
    if subject_is_redis():
        skip("a real Redis refuses it")
    with Server() as server:
        filled(server)
        server.kill()
        with open(log_files(server.folder)[-1], "ab") as f:
            f.write(random.Random(1).randbytes(100))
        server.start()
        with server.connect() as c:
            equal(c.must("DBSIZE"), 3000)


@test("damage in the middle of the log refuses the start, and the message names file and offset")
def _():
    with Server() as server:
        filled(server)
        server.kill()
        path = log_files(server.folder)[-1]
        at = os.path.getsize(path) // 2
        with open(path, "r+b") as f:
            f.seek(at)
            old = f.read(64)
            f.seek(at)
            f.write(bytes(b ^ 0xFF for b in old))
        try:
            server.start(20)
        except DidNotStart as e:
            if not subject_is_redis():
                true(os.path.basename(path) in str(e), f"the message does not name {os.path.basename(path)}:\n{e}")
                numbers = [int(w) for w in "".join(c if c.isdigit() else " " for c in str(e)).split()]
                true(any(abs(n - at) < 4096 for n in numbers), f"no offset near {at} in:\n{e}")
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(old)
            server.start()
            with server.connect() as c:
                equal(c.must("DBSIZE"), 3000)
            return
        if subject_is_redis():
            skip("the flipped bytes happened to be inside a value, which a real Redis does not check")
        with server.connect() as c:
            raise AssertionError(f"it started, with {c.must('DBSIZE')} of 3000 keys")


@test("any flipped byte of the log is noticed or harmless, at many places", seconds=180)
def _():
    if subject_is_redis():
        skip("a real Redis does not check its AOF's bytes")
    rng = random.Random(5)
    with Server() as server:
        filled(server, 500)
        server.kill()
        path = log_files(server.folder)[-1]
        size = os.path.getsize(path)
        backup = temporary_folder() + "/copy"
        shutil.copytree(server.folder, backup)
        refused = 0
        for _ in range(12):
            at = rng.randrange(size - 200)
            with open(path, "r+b") as f:
                f.seek(at)
                byte = f.read(1)
                f.seek(at)
                f.write(bytes([byte[0] ^ (1 << rng.randrange(8))]))
            try:
                server.start(20)
                with server.connect() as c:
                    found = {k: c.must("GET", k) for k in dump.scan_all(c)}
                wrong = [k for k, v in found.items() if v != b"value-" + k[4:] + b"-" + b"x" * 50]
                true(not wrong, f"after a flip at {at}: {wrong[:3]} changed")
                equal(len(found), 500, f"keys after a flip at {at}, which was not reported")
            except DidNotStart:
                refused += 1
            server.kill()
            shutil.rmtree(server.folder)
            shutil.copytree(backup, server.folder)
        print(f"      {refused} of 12 refused the start, the others lost nothing")


@test("a second server in the same folder is refused")
def _():
    if subject_is_redis():
        skip("a real Redis allows it")
    with Server() as server:
        filled(server, 10)
        port = free_port()
        done = subprocess.run([SUBJECT, "--port", str(port), "--dir", server.folder, "--bind", "127.0.0.1"],
                              capture_output=True, timeout=20, stdin=subprocess.DEVNULL)
        true(done.returncode != 0, "it started")
        with server.connect() as c:
            equal(c.must("DBSIZE"), 10)


@test("a folder that cannot be written refuses the start with a message")
def _():
    folder = temporary_folder()
    path = os.path.join(folder, "not-a-folder")
    open(path, "w").close()
    done = subprocess.run([SUBJECT, "--port", str(free_port()), "--dir", path], capture_output=True, timeout=20,
                          stdin=subprocess.DEVNULL)
    true(done.returncode != 0, "it started")
    true(b"not-a-folder" in done.stdout + done.stderr, (done.stdout + done.stderr)[-300:].decode("utf-8", "replace"))


@test("a port that is taken refuses the start with a message")
def _():
    with Server() as server:
        done = subprocess.run([SUBJECT, "--port", str(server.port), "--dir", temporary_folder(), "--bind", "127.0.0.1"],
                              capture_output=True, timeout=20, stdin=subprocess.DEVNULL)
        true(done.returncode != 0, "it started")
        true(b"in use" in done.stdout + done.stderr, (done.stdout + done.stderr)[-300:].decode("utf-8", "replace"))
        with server.connect() as c:
            equal(c.command("PING"), ("+", b"PONG"))


@test("a store whose files cannot be written ends the server, soon and also at a stop; nothing acknowledged is lost")
def _():
    if subject_is_redis():
        skip("it has no store")
    for stop in (False, True):
        with Server(enable_debug_command="yes") as server:
            store, away = os.path.join(server.folder, "store"), os.path.join(server.folder, "away")
            with server.connect() as c:
                c.pipeline([("SET", f"k:{i}", f"v:{i}") for i in range(2000)])
                os.rename(store, away)                   # a disk that went away, or is mounted read-only now
                equal(c.must("GET", "k:1"), b"v:1", "reads go on")
                if stop:
                    server.process.send_signal(signal.SIGTERM)
                else:
                    try:
                        c.command("DEBUG", "DRAIN")
                        raise AssertionError("the drain ended well")
                    except ConnectionLost:
                        pass
            true(server.wait_end() != 0, "it ended as if all were well")
            true("cannot drain to the store" in server.log_tail(200), server.log_tail())
            os.rename(away, store)
            server.start()
            with server.connect() as c:
                equal([r[1] for r in c.pipeline([("GET", f"k:{i}") for i in range(2000)])],
                      [f"v:{i}".encode() for i in range(2000)], "values after the start")
