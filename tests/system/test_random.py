"""Random commands of all types, the same to the server under test and to a real Redis; every reply compared."""
import os
import random
import time

from harness import dump, script
from harness.random_commands import Commands
from harness.resp import short, show
from harness.runner import equal, test
from harness.server import Server, redis, subject_is_redis

SEED = int(os.environ.get("CAIRN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
ROUNDS = int(os.environ.get("CAIRN_ROUNDS", "1200"))
BATCH = 60


def compare(connections, batch, seed):
    replies = [c.pipeline([words for words, _ in batch]) for c in connections]
    for (words, mark), got, wanted in zip(batch, *replies):
        marks = ("", "~", "%") if words[0] == "EXEC" else (mark,)
        if words[0] == "EXEC" and got[1] and wanted[1] and len(got[1]) == len(wanted[1]):
            fine = all(any(script.same(m, a, b) for m in marks) for a, b in zip(got[1], wanted[1]))
        else:
            fine = script.same(mark, got, wanted)
        if not fine:
            raise AssertionError(f"CAIRN_SEED={seed}: {short(words)}\n  Redis    {show(wanted)}\n  got      {show(got)}")


def next_batch(commands, rng):
    """Commands one by one, or inside MULTI and EXEC."""
    batch = [commands.next_command() for _ in range(BATCH)]
    if rng.random() < 0.25:
        return [(["MULTI"], "")] + batch[:rng.randrange(1, 12)] + [(["EXEC"], "")]
    return batch


def compare_content(connections, seed):
    contents = [dump.dump(c) for c in connections]
    found = dump.differences(contents[0], contents[1])
    if found:
        raise AssertionError(f"CAIRN_SEED={seed}: the data differ\n" + "\n".join(found))
    equal(connections[0].must("DBSIZE"), len(contents[0]), "DBSIZE against a full SCAN")


def play(seed, protocol, subject, restarts=()):
    print(f"      seed {seed}")
    rng = random.Random(seed)
    commands = Commands(rng)
    with subject, redis() as reference:
        connections = [s.connect(protocol=protocol) for s in (subject, reference)]
        for number in range(ROUNDS):
            compare(connections, next_batch(commands, rng), seed)
            if number % 200 == 199:
                compare_content(connections, seed)
            if number in restarts:
                subject.restart(kill=restarts[number])
                connections[0] = subject.connect(protocol=protocol)
                compare_content(connections, seed)
        compare_content(connections, seed)


@test("random commands give Redis' replies in RESP2", seconds=180)
def _():
    play(SEED, 2, Server())


@test("random commands give Redis' replies in RESP3", seconds=180)
def _():
    play(SEED + 1, 3, Server())


@test("random commands with restarts and kill -9 between them give Redis' replies", seconds=240)
def _():
    # A small memory, so that objects come and go between it and the disk.
    subject = Server() if subject_is_redis() else Server(maxmemory="64mb")
    play(SEED + 2, 2, subject, restarts={ROUNDS // 5: True, 2 * ROUNDS // 5: False, 3 * ROUNDS // 5: True,
                                         4 * ROUNDS // 5: True})


@test("a full SCAN returns every key that stays, whatever happens to others", seconds=120)
def _():
    rng = random.Random(SEED + 3)
    with Server() as subject, subject.connect() as c, subject.connect() as other:
        stable = {f"stable:{i}".encode() for i in range(3000)}
        c.pipeline([("SET", k, "v") for k in stable])
        seen, cursor, number = [], b"0", 0
        while True:
            cursor, page = c.must("SCAN", cursor, "COUNT", "50")
            seen += page
            passing = [f"passing:{rng.randrange(2000)}" for _ in range(30)]
            other.pipeline([("SET", k, "v") if rng.random() < 0.6 else ("DEL", k) for k in passing])
            number += 1
            if cursor == b"0" or number > 5000:
                break
        missing = stable - set(seen)
        if missing:
            raise AssertionError(f"CAIRN_SEED={SEED}: SCAN left out {len(missing)} keys, as {sorted(missing)[:3]}")
        count = int(c.must("DBSIZE"))
        equal(count, len(set(dump.scan_all(c))), "DBSIZE against a full SCAN")


@test("expiring keys vanish from reads, SCAN and DBSIZE")
def _():
    with Server() as subject, subject.connect() as c:
        c.pipeline([("SET", f"short:{i}", "v", "PX", str(30 + i % 400)) for i in range(2000)])
        c.pipeline([("SET", f"long:{i}", "v", "EX", "1000") for i in range(500)])
        time.sleep(0.5)
        equal([r for r in c.pipeline([("GET", f"short:{i}") for i in range(2000)]) if r[1] is not None], [],
              "reads of expired keys")
        equal({k[:4] for k in dump.scan_all(c)}, {b"long"}, "keys that SCAN returns")
        equal(c.must("DBSIZE"), 500, "DBSIZE")
        equal(int(subject.info("stats")["expired_keys"]), 2000, "expired_keys")
