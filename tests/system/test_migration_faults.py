"""Moves that are broken off: by kill -9 of a node in the middle of a MIGRATE, by a redis-cli that ends after any step, by an operator's
mistake. Nothing is lost, and what redis-cli --cluster fix or the same MIGRATE again finds is put right. Nodes are Cairn, Redis, or one
of each."""
import os
import random
import socket
import threading

from harness.cluster import Cluster, cli
from harness.moving import SLOT, healthy, move_keys, open_slot, rows_of, same, text, whole
from harness.runner import test, true
from harness.server import REDIS, subject_is_redis, wait_until

OTHERS = "{foo}"


class Relay(threading.Thread):
    """Stands between a source and its target, and cuts: what goes there is passed on until `cut` says so of what has gone."""

    def __init__(self, target, cut, answers):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target, self.cut, self.answers, self.reached = target, cut, answers, threading.Event()

    def run(self):
        here, _ = self.listener.accept()
        there = socket.create_connection(("127.0.0.1", self.target.port))
        passed = 0
        while passed < self.cut:
            data = here.recv(min(65536, self.cut - passed))
            if not data:
                break
            there.sendall(data)
            passed += len(data)
        if self.answers: # the target has all, and what it says is not passed on
            while data := here.recv(65536):
                there.sendall(data)
                there.settimeout(20)
                there.recv(65536)
                break
            else:
                there.recv(65536)
        self.reached.set()
        self.ends = (here, there)


def restore(large):
    """Something to move: two small keys, and one that is sent in pieces."""
    yield ("SET", OTHERS + "a", "1")
    yield ("RPUSH", OTHERS + "b", *range(200))
    for at in range(0, 40000 if large else 400, 400):
        yield ("HSET", OTHERS + "h", *[w for i in range(at, at + 400) for w in (f"f{i}", "v" * 100)])


def broken_migrate(binaries, large, cut, answers, victim):
    options = {"enable_debug_command": "yes"}
    with Cluster(3, binaries=binaries, **options) as c:
        target, _, source = c.nodes
        with source.connect() as s:
            s.pipeline(list(restore(large)))
        before = whole(c)
        open_slot(c, source, target)
        relay = Relay(target, cut, answers)
        relay.start()
        told = []

        def migrate():
            try:
                told.append(text(source, "MIGRATE", "127.0.0.1", relay.port, "", 0, 20000, "KEYS", OTHERS + "h", OTHERS + "a",
                                 OTHERS + "b"))
            except Exception as e: # the source is the victim
                told.append(e)

        mover = threading.Thread(target=migrate)
        mover.start()
        true(relay.reached.wait(30), "the relay has passed what it should")
        (source if victim == "source" else target).kill()
        for end in relay.ends:
            end.close()
        mover.join(40)
        (source if victim == "source" else target).start()
        wait_until(lambda: all(n.connect().must("PING") == b"PONG" for n in c.nodes), 20, "all answer")
        c.wait_ok(60)
        move_keys(source, target, SLOT, "REPLACE") # the same again
        cli("--cluster", "fix", c.nodes[1].address)
        wait_until(c.agree, 60, "one map")
        healthy(c)
        true(not any("[" in row for n in c.nodes for row in rows_of(c, n)), "open slots")
        same(whole(c), before)
        return told


@test("kill -9 of source or target in the middle of a MIGRATE: before the target has all, and before the source hears of it", seconds=300)
def _():
    if subject_is_redis():
        return
    seed = random.SystemRandom().randrange(1 << 30)
    rng = random.Random(int(os.environ.get("CAIRN_SEED", seed)))
    cases = [([None] * 3, large, cut, answers, victim)
             for large in (False, True) for cut, answers in ((500, False), (2000, True)) for victim in ("source", "target")]
    cases += [([REDIS, None, None], True, 2000, True, "source"), ([None, None, REDIS], True, 2000, True, "target")]
    if "CAIRN_ALL" not in os.environ:
        cases = rng.sample(cases[:8], 2) + [rng.choice(cases[8:])]
    for case in cases:
        try:
            broken_migrate(*case)
        except Exception as e:
            raise AssertionError(f"seed {seed}, {case}: {e}") from e
