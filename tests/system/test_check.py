"""cairn-check store: a node's database against its log."""
import os
import shutil
import signal
import subprocess

from harness.random_commands import Commands
from harness.runner import equal, skip, test, true
from harness.server import SUBJECT, Server, subject_is_redis

import random

TOOL = os.path.join(os.path.dirname(SUBJECT), "tools", "cairn-check")


def check(folder, *options):
    done = subprocess.run([TOOL, "store", *options, folder], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def need_tool():
    if subject_is_redis() or not os.path.exists(TOOL):
        skip("there is no cairn-check beside the server under test")


def fill(server, seed):
    commands = Commands(random.Random(seed), keys_per_type=20)
    with server.connect() as c:
        for _ in range(120):
            c.pipeline([commands.next_command()[0] for _ in range(60)])
        c.pipeline([("SADD", "big", *(f"m{i}" for i in range(n, n + 100))) for n in range(0, 3000, 100)])
        c.pipeline([("ZADD", "bigger", *(w for i in range(n, n + 100) for w in (str(i), f"m{i}"))) for n in range(0, 3000, 100)])
        c.pipeline([("SET", f"t{i}", "v", "EX", "1000") for i in range(500)])
        return int(c.must("DBSIZE"))


def keys_of(text, database=0):
    line = next(l for l in text.splitlines() if l.startswith(f"database_{database}:"))
    return int(dict(p.split("=") for p in line.split(":", 1)[1].split(","))["keys"])


@test("cairn-check store: database and log agree after a clean stop and after kill -9")
def _():
    need_tool()
    with Server(**{"wal-floor-bytes-max": "200kb"}) as server:
        status, _, errors = check(server.folder)
        equal(status, 1)
        true("a server uses the directory" in errors, errors)
        for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            keys = fill(server, 5 + how)
            server.stop() if how == signal.SIGTERM else server.kill()
            status, text, errors = check(server.folder, "--slots")
            equal((status, errors), (0, ""))
            true("status:ok" in text and "id_limit:" in text and "replid:" in text, text)
            equal(keys_of(text), keys, "keys of the count rows and the log together")
            server.start()


@test("cairn-check store: a log that does not go with the database is a disagreement")
def _():
    need_tool()
    with Server() as server:
        fill(server, 3)
        server.stop()
        log, kept = os.path.join(server.folder, "log"), os.path.join(server.folder, "log-kept")
        os.rename(log, kept)
        status, text, _ = check(server.folder)
        equal(status, 1, "no log at all")
        true("status:unreadable" in text, text)
        with Server() as other:
            with other.connect() as c:
                c.must("SET", "a", "b")
            other.stop()
            shutil.copytree(os.path.join(other.folder, "log"), log)
        status, text, errors = check(server.folder)
        equal(status, 1, "the log of another node")
        true("status:disagree" in text and "the log ends at" in errors, errors)
        shutil.rmtree(log)
        os.rename(kept, log)
        equal(check(server.folder)[0], 0, "its own log again")
