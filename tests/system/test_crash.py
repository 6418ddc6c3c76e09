"""kill -9 under concurrent writers, with a ledger of what was acknowledged."""
import os
import random
import time

from harness import dump
from harness.ledger import Ledger
from harness.runner import equal, test, true
from harness.server import Server, subject_is_redis, wait_until

SEED = int(os.environ.get("CAIRN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
KILLS = int(os.environ.get("CAIRN_KILLS", "8"))


def counts_agree(server):
    """DBSIZE is exact: it equals a full SCAN once what has expired is gone."""
    with server.connect() as c:
        wait_until(lambda: c.must("DBSIZE") == len(dump.scan_all(c)), 20, "DBSIZE equal to a full SCAN", 0.2)


def kill_loop(kills, **options):
    print(f"      seed {SEED}")
    rng = random.Random(SEED)
    if subject_is_redis():
        options.pop("maxmemory", None)
    with Server(**options) as server:
        ledger = Ledger(server, SEED)
        for _ in range(kills):
            ledger.run(rng.uniform(0.2, 1.2), server.kill)
            server.start()
            ledger.check()
        time.sleep(1.6)
        counts_agree(server)
        print(f"      {kills} kills, {ledger.acknowledged} acknowledged, {ledger.missing} missing, "
              f"{ledger.extra} unanswered ones present")
        true(ledger.acknowledged > 10 * kills, "the writers wrote too little to show anything")
        equal(ledger.missing, 0, "missing")


@test("kill -9 loses nothing acknowledged with appendfsync everysec", seconds=240)
def _():
    kill_loop(KILLS)


@test("kill -9 loses nothing acknowledged with appendfsync always", seconds=240)
def _():
    kill_loop(KILLS, appendfsync="always")


@test("kill -9 loses nothing acknowledged with appendfsync no", seconds=240)
def _():
    kill_loop(max(2, KILLS // 2), appendfsync="no")


@test("kill -9 loses nothing acknowledged when the memory is far too small for the data", seconds=300)
def _():
    kill_loop(KILLS, maxmemory="32mb")


@test("a second kill -9 during recovery loses nothing", seconds=240)
def _():
    rng = random.Random(SEED + 1)
    with Server() as server:
        ledger = Ledger(server, SEED + 1)
        for _ in range(max(2, KILLS // 2)):
            ledger.run(rng.uniform(0.5, 1.0), server.kill)
            for _ in range(3):
                server.spawn()
                time.sleep(rng.uniform(0.005, 0.15))
                server.kill()
            server.start()
            ledger.check()


@test("a clean stop under writers loses nothing acknowledged", seconds=120)
def _():
    rng = random.Random(SEED + 2)
    with Server() as server:
        ledger = Ledger(server, SEED + 2)
        for _ in range(3):
            ledger.run(rng.uniform(0.3, 0.8), lambda: equal(server.stop(), 0, "exit code"))
            server.start()
            ledger.check()
