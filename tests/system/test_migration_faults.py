"""Moves that are broken off: by kill -9 of a node in the middle of a MIGRATE, by a redis-cli that ends after any step, by an operator's
mistake. Nothing is lost, and what redis-cli --cluster fix or the same MIGRATE again finds is put right. Nodes are Cairn, Redis, or one
of each."""
import os
import random
import threading

from harness.cluster import Cluster, cli
from harness.moving import SLOT, healthy, move_keys, open_slot, rows_of, same, text, whole
from harness.proxy import Proxy
from harness.runner import test, true
from harness.server import REDIS, subject_is_redis, wait_until

OTHERS = "{foo}"


def restore(large):
    """Something to move: two small keys, and one that is sent in pieces."""
    yield ("SET", OTHERS + "a", "1")
    yield ("RPUSH", OTHERS + "b", *range(200))
    for at in range(0, 40000 if large else 400, 400):
        yield ("HSET", OTHERS + "h", *[w for i in range(at, at + 400) for w in (f"f{i}", "v" * 100)])


def broken_migrate(binaries, large, arrives, victim):
    """arrives: the target has what was sent first, and the source does not hear of it."""
    with Cluster(3, binaries=binaries, enable_debug_command="yes", cluster_node_timeout=15000) as c, Proxy(c.nodes[0].port) as proxy:
        target, _, source = c.nodes
        with source.connect() as s:
            s.pipeline(list(restore(large)))
        before = whole(c)
        open_slot(c, source, target)
        proxy.mute, proxy.hold_after = arrives, None if arrives else 500
        told = []

        def migrate():
            try:
                told.append(text(source, "MIGRATE", "127.0.0.1", proxy.port, "", 0, 60000, "KEYS", OTHERS + "h", OTHERS + "a",
                                 OTHERS + "b"))
            except Exception as e: # the source is the victim
                told.append(e)

        mover = threading.Thread(target=migrate)
        mover.start()
        if arrives:
            wait_until(lambda: text(target, "CLUSTER", "COUNTKEYSINSLOT", SLOT) > 0, 30, "the target has what was sent first")
        else:
            wait_until(lambda: proxy.given == 500, 30, "something is on its way")
        (source if victim == "source" else target).kill()
        proxy.close()
        mover.join(70)
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


@test("kill -9 of source or target in the middle of a MIGRATE: before the target has a key, and before the source hears of it", seconds=300)
def _():
    if subject_is_redis():
        return
    seed = random.SystemRandom().randrange(1 << 30)
    rng = random.Random(int(os.environ.get("CAIRN_SEED", seed)))
    cases = [([None] * 3, large, arrives, victim)
             for large in (False, True) for arrives in (False, True) for victim in ("source", "target")]
    cases += [([REDIS, None, None], True, True, "source"), ([None, None, REDIS], True, True, "target")]
    if "CAIRN_ALL" not in os.environ:
        cases = rng.sample(cases[:8], 2) + [rng.choice(cases[8:])]
    for case in cases:
        try:
            broken_migrate(*case)
        except Exception as e:
            raise AssertionError(f"seed {seed}, {case}: {e}") from e
