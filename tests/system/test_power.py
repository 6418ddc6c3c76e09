"""Power cuts: what no fsync made durable is gone (tests/power), and a ledger says what must not be."""
import os
import random
import shutil
import subprocess
import uuid

from harness.ledger import Ledger
from harness.runner import equal, skip, test, true
from harness.server import ROOT, Server, subject_is_redis, temporary_folder

SEED = int(os.environ.get("CAIRN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
CUTS = int(os.environ.get("CAIRN_CUTS", "6"))
_shim = []


def shim():
    if not _shim:
        if shutil.which("gcc") is None:
            skip("gcc is not there to build the shim")
        out = os.path.join(temporary_folder("cairn-powercut"), "powercut.so")
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-D_GNU_SOURCE", "-fPIC", "-shared", "-o", out,
                        *[os.path.join(ROOT, "tests", "power", n) for n in ("powercut.c", "disk.c")], "-ldl", "-lpthread"], check=True, timeout=60)
        _shim.append(out)
    return _shim[0]


class PoweredServer(Server):
    """A server on a disk that forgets; cut() pulls the plug."""

    def __init__(self, keep=0, **options):
        super().__init__(**options)
        self.fifo = os.path.join(temporary_folder(), "cut")
        os.mkfifo(self.fifo)
        self.keep = keep
        self.boots = 1

    def spawn(self):
        self.env = {"LD_PRELOAD": shim(), "POWERCUT_DIR": self.folder, "POWERCUT_FIFO": self.fifo,
                    "POWERCUT_KEEP": str(self.keep), "POWERCUT_BOOT": str(uuid.UUID(int=self.boots))}
        super().spawn()

    def cut(self):
        with open(self.fifo, "wb", buffering=0) as f:
            f.write(b"!")
        self.boots += 1
        equal(self.wait_end(), 99, "the status of a process whose power was cut")
        shutil.rmtree(os.path.join(self.folder, ".powercut"), ignore_errors=True)


def cut_loop(policy, seed, partly=False, lose_seconds=None, **options):
    print(f"      seed {seed}")
    rng = random.Random(seed)
    if subject_is_redis():
        options.pop("maxmemory", None)
    with PoweredServer(appendfsync=policy, **options) as server:
        ledger = Ledger(server, seed)
        for _ in range(CUTS):
            when = ledger.run(rng.uniform(0.3, 1.5), server.cut)
            server.keep = rng.randrange(1, 1 << 32) if partly else 0
            server.start()
            ledger.check(None if lose_seconds is None else when - lose_seconds)
        print(f"      {CUTS} cuts, {ledger.acknowledged} acknowledged, {ledger.missing} missing, "
              f"{ledger.extra} unanswered ones present")
        true(ledger.acknowledged > 5 * CUTS, "the writers wrote too little to show anything")
        if lose_seconds is None:
            equal(ledger.missing, 0, "missing")


@test("a power cut loses nothing acknowledged with appendfsync always", seconds=240)
def _():
    cut_loop("always", SEED)


@test("a power cut that leaves torn tails loses nothing acknowledged with appendfsync always", seconds=240)
def _():
    cut_loop("always", SEED + 1, partly=True)


@test("a power cut loses nothing acknowledged with appendfsync always and a memory far too small", seconds=240)
def _():
    cut_loop("always", SEED + 2, partly=True, maxmemory="32mb")


@test("a power cut with appendfsync everysec loses at most the last seconds, and of each client only the newest", seconds=240)
def _():
    cut_loop("everysec", SEED + 3, lose_seconds=5)


@test("a power cut with appendfsync everysec and torn tails leaves a prefix of each client's writes", seconds=240)
def _():
    cut_loop("everysec", SEED + 4, partly=True, lose_seconds=5, maxmemory="32mb")


@test("the power cut itself is real: with appendfsync no something is lost", seconds=120)
def _():
    with PoweredServer(appendfsync="no") as server:
        ledger = Ledger(server, SEED + 5)
        when = ledger.run(1.0, server.cut)
        server.start()
        ledger.check(when - 3600)
        true(ledger.missing > 0, "a cut without any fsync lost nothing: the shim does not see the writes")
