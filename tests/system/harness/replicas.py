"""replicas.py - what tests of replication share: following, catching up, comparing, and a writer of random commands."""
import os
import random
import threading
import time

from harness import dump
from harness.random_commands import Commands
from harness.resp import ConnectionLost
from harness.runner import true
from harness.server import wait_until

DATABASES = (0, 3)


def seed_of(default):
    seed = int(os.environ.get("CAIRN_SEED", default))
    print(f"      CAIRN_SEED={seed}")
    return seed


def follow(replica, primary):
    with replica.connect() as c:
        c.must("REPLICAOF", "127.0.0.1", primary.port)
    wait_linked(replica)


def wait_linked(replica, seconds=60):
    wait_until(lambda: replica.info("replication").get("master_link_status") == "up", seconds, "the replication link")


def offset(server):
    return int(server.info("replication")["master_repl_offset"])


def wait_caught_up(replica, primary, seconds=60):
    """The primary is quiet: the replica has every byte. It may take as long as it goes on: so many seconds without a step are too many."""
    def step():
        here, there = offset(replica), offset(primary)
        if here != there and here == last[0]:
            return False
        last[0] = here
        return True
    last = [-1]
    while offset(replica) != offset(primary):
        wait_until(step, seconds, f"a step of the replica's offset from {last[0]} to its primary's {offset(primary)}")


def same_data(replica, primary):
    time.sleep(0.1)                           # keys that live for less than that are gone, here and there
    wait_caught_up(replica, primary)
    with replica.connect() as a, primary.connect() as b:
        for db in DATABASES:
            a.must("SELECT", db)
            b.must("SELECT", db)
            found = dump.differences(dump.dump(a), dump.dump(b))
            if found:
                raise AssertionError(f"database {db}:\n" + "\n".join(found))


class Writer(threading.Thread):
    """
    Random commands of all types, MULTI/EXEC, several databases, expiries, until told to stop. most: or so many are written: where
    a slow replica is killed under them, the primary's backlog has to last, and the replica has to come to an end.
    """

    def __init__(self, server, seed, flushes=True, most=10**9):
        super().__init__(daemon=True)
        self.server, self.rng, self.flushes, self.most = server, random.Random(seed), flushes, most
        self.done, self.count, self.error = threading.Event(), 0, None

    def batch(self, commands):
        words = [commands.next_command()[0] for _ in range(self.rng.randrange(1, 40))]
        r = self.rng.random()
        if r < 0.2:
            words = [["MULTI"]] + words + [["EXEC"]]
        elif r < 0.25:
            words = [["SELECT", self.rng.choice(DATABASES)]] + words
        elif r < 0.26 and self.flushes:
            words.append(["FLUSHDB"] if self.rng.random() < 0.8 else ["FLUSHALL"])
        elif r < 0.27 and self.flushes:
            words.append(["SWAPDB", *DATABASES])
        elif r < 0.35:
            words.append(["SET", f"soon:{self.rng.randrange(20)}", "v", "PX", self.rng.randrange(1, 60)])
        return words

    def run(self):
        commands = Commands(self.rng)
        try:
            with self.server.connect() as c:
                while not self.done.is_set() and self.count < self.most:
                    words = self.batch(commands)
                    c.pipeline(words)
                    self.count += len(words)
        except (OSError, ConnectionLost):
            pass                              # the server was killed
        except Exception as e:                # pylint: disable=broad-except
            self.error = e

    def stop(self):
        self.done.set()
        self.join()
        if self.error:
            raise self.error


def write_for(server, seconds, seed):
    w = Writer(server, seed)
    w.start()
    time.sleep(seconds)
    try:
        wait_until(lambda: w.count > 100 or not w.is_alive(), 30, "something is written")
    finally:
        w.stop()
    true(w.count > 100, "something was written")


def syncs(server):
    stats = server.info("stats")
    return int(stats["sync_full"]), int(stats["sync_partial_ok"])
