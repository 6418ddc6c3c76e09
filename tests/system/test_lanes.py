"""A replica that applies its master's stream by several threads: the same data, the same log, through kill -9 and failovers."""
import os
import random
import signal
import time

from harness.features import needs
from harness.replicas import Writer, follow, same_data, wait_caught_up, wait_linked
from harness.runner import equal, test, true
from harness.server import Server, subject_is_redis

SEED = int(os.environ.get("CAIRN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
DEBUG = {"enable_debug_command": "yes"}


def apply_info(replica):
    fields = replica.info("replication")
    return {name: int(fields["slave_apply_" + name]) for name in ("threads", "waves", "wave_commands")}


def crowd(primary, rng, count=4000):
    """Commands about one key each, of many slots: a pipeline that a replica finds in one piece."""
    words = []
    for _ in range(count):
        key = rng.randrange(3000)
        words.append(rng.choice([["SET", f"s{key}", "v" * rng.randrange(200)], ["HSET", f"h{key}", rng.randrange(50), "v"],
                                 ["LPUSH", f"l{key}", "v"], ["RPOP", f"l{key}"], ["INCRBYFLOAT", f"f{key}", "0.25"],
                                 ["ZADD", f"z{key}", rng.randrange(9), "m"], ["DEL", f"s{key}"], ["EXPIRE", f"s{key}", 9000],
                                 ["SPOP", f"a{key}"], ["SADD", f"a{key}", rng.randrange(9)], ["APPEND", f"s{key}", "x" * 400]]))
    with primary.connect() as c:
        c.pipeline(words)


def digest(server):
    with server.connect() as c:
        return c.must("DEBUG", "DIGEST")


def stream(server):
    """All bytes of the log from where it begins, as a replica gets them."""
    fields = server.info("replication")
    first, end = int(fields["repl_backlog_first_byte_offset"]), int(fields["master_repl_offset"])
    with server.connect() as c:
        c.must("REPLCONF", "capa", "psync2")
        c.send("PSYNC", fields["master_replid"], str(first))
        true(c.line().startswith(b"+CONTINUE"), "the log is sent")
        return first, c.exactly(end - first + 1)


@test("a replica with four lanes and one with one thread have their master's data and log, through kill -9 of each", seconds=180)
def _():
    needs("replication")
    if subject_is_redis():
        return
    print(f"      seed {SEED}")
    rng = random.Random(SEED)
    with Server(**DEBUG) as primary, Server(repl_apply_threads="4", **DEBUG) as many, Server(repl_apply_threads="1", **DEBUG) as one:
        crowd(primary, rng)                       # there is something to copy
        for replica in (many, one):
            follow(replica, primary)
        equal(apply_info(many)["threads"], 4, "lanes")
        for turn in range(4):
            many.process.send_signal(signal.SIGSTOP)       # a backlog, which it then applies in waves
            w = Writer(primary, SEED + turn, most=4000)
            w.start()
            crowd(primary, rng)
            many.process.send_signal(signal.SIGCONT)
            crowd(primary, rng)
            if turn < 3:
                victim = one if turn == 1 else many
                time.sleep(rng.random() * 0.2)
                victim.restart(kill=True, replicaof=["127.0.0.1", primary.port])
                wait_linked(victim)
            else:
                with many.connect() as c:
                    for lanes in ("2", "1", "3", "4"):     # while the stream goes on
                        c.must("CONFIG", "SET", "repl-apply-threads", lanes)
                        crowd(primary, rng, 2000)
            w.stop()
            for replica in (many, one):
                same_data(replica, primary)
        true(apply_info(many)["waves"] > 0 and apply_info(many)["wave_commands"] > 1000, "waves were applied")
        equal(apply_info(one)["waves"], 0, "waves of one thread")
        equal({digest(many), digest(one)}, {digest(primary)}, "digests")
        sent = stream(primary)
        equal([stream(replica)[1][-len(sent[1]):] == sent[1][-len(stream(replica)[1]):] for replica in (many, one)], [True, True],
              "logs")
        for replica in (many, one):
            replica.restart(kill=True)
            equal(digest(replica), digest(primary), "the digest after a recovery")


@test("a promoted replica with four lanes has everything that WAIT promised, through kill -9 of its master", seconds=120)
def _():
    needs("replication")
    if subject_is_redis():
        return
    with Server() as primary, Server(repl_apply_threads="4") as replica:
        follow(replica, primary)
        rng = random.Random(SEED)
        for turn in range(3):
            for _ in range(4):
                crowd(primary, rng, 1500)
            with primary.connect() as c:
                promised = [f"promised:{turn}:{i}" for i in range(2000)]
                c.pipeline([["SET", key, "v"] for key in promised])
                equal(c.must("WAIT", "1", "30000"), 1, "replicas that have it")
            primary.kill()
            with replica.connect() as c:
                c.must("REPLICAOF", "NO", "ONE")
                equal(c.must("EXISTS", *promised), len(promised), "keys that WAIT promised")
                c.must("SET", "written", str(turn))
            primary.start()
            primary, replica = replica, primary           # the old one follows, with its own setting
            with replica.connect() as c:
                c.must("CONFIG", "SET", "repl-apply-threads", "4")
            follow(replica, primary)
            same_data(replica, primary)
        wait_caught_up(replica, primary)
