"""ledger.py - writers that remember what the server acknowledged, and the check of what is there after a crash.

Each writer has a connection and keys of its own and keeps at most one command unanswered (a transaction counts as one).
Its history is the list of (words, reply, time of the answer). `verify` applies the history step by step to the content
that was known before and compares with what the server holds: the content must be that after k steps, where

    after kill -9, or a power cut with appendfsync always:  k is all acknowledged steps, or one more (the unanswered one)
    after a power cut with appendfsync everysec:            k is any number that loses at most some seconds

so nothing acknowledged is missing, at most one unacknowledged command per connection is there, transactions are whole.
"""
import copy
import random
import threading
import time

from harness import dump
from harness.features import has
from harness.resp import ConnectionLost

FAR_MS = 4102444800000
HARMLESS = (b"ERR no such key", b"ERR index out of range", b"ERR source and destination objects are the same")


class Writer(threading.Thread):
    def __init__(self, number, server, seed, slot_tag=""):
        super().__init__(daemon=True)
        self.number = number
        self.server = server
        self.rng = random.Random(seed * 1000 + number)
        self.prefix = f"{{w{number}}}:" if slot_tag else f"w{number}:"
        self.content = {}            # as the server held it when the last verify ended
        self.history = []            # since then: (words or list of words, reply, time)
        self.pending = None          # sent, not answered
        self.short = {}              # key -> (value, deadline in ms), for keys that expire soon
        self.next_short = 0
        self.stream_ms = 0
        self.stopping = False
        self.errors = []

    # ---- What it sends ----

    def key(self, kind, many=8):
        return f"{self.prefix}{kind}:{self.rng.randrange(many)}"

    def member(self):
        return f"m{self.rng.randrange(400)}"

    def value(self):
        r = self.rng.random()
        return ("v" * self.rng.randrange(1, 40) + str(self.rng.randrange(1000)) if r < 0.95
                else "L" * self.rng.randrange(1000, 9000))

    def crowd(self, make):
        return [make() for _ in range(self.rng.randrange(60, 200) if self.rng.random() < 0.03
                                      else self.rng.randrange(1, 4))]

    def one(self):
        r = self.rng
        kind = r.choice(["string", "number", "hash", "list", "set", "zset", "stream", "key"])
        if kind == "stream" and not has("streams"):
            kind = "list"
        k = self.key(kind)
        if kind == "string":
            return r.choice([["SET", k, self.value()], ["SET", k, self.value()], ["APPEND", k, self.value()],
                             ["SET", k, self.value(), "PXAT", str(FAR_MS + r.randrange(1000))],
                             ["SETRANGE", k, str(r.randrange(100)), "range"],
                             ["MSET", k, self.value(), self.key(kind), self.value()]])
        if kind == "number":
            return ["INCRBY", k, str(r.randrange(-9, 10))]
        if kind == "hash":
            return r.choice([["HSET", k] + [w for m in self.crowd(self.member) for w in (m, self.value())],
                             ["HSET", k, self.member(), self.value()],
                             ["HDEL", k] + self.crowd(self.member), ["HINCRBY", k, f"n{r.randrange(4)}", "3"]])
        if kind == "list":
            return r.choice([["RPUSH", k] + self.crowd(self.value), ["LPUSH", k] + self.crowd(self.value), ["LPOP", k],
                             ["RPOP", k, "3"], ["LSET", k, str(r.randrange(-5, 5)), self.value()],
                             ["LTRIM", k, "0", "300"]])
        if kind == "set":
            return r.choice([["SADD", k] + self.crowd(self.member), ["SREM", k] + self.crowd(self.member), ["SPOP", k],
                             ["SUNIONSTORE", k, self.key(kind), self.key(kind)]])
        if kind == "zset":
            return r.choice([["ZADD", k] + [w for m in self.crowd(self.member) for w in (str(r.randrange(99)), m)],
                             ["ZINCRBY", k, str(r.randrange(-5, 6)), self.member()],
                             ["ZREM", k] + self.crowd(self.member)])
        if kind == "stream":
            self.stream_ms += 1
            return ["XADD", k, f"{self.stream_ms}-1", "f", self.value()]
        other = r.choice(["string", "hash", "list", "set", "zset"])
        k = self.key(other)
        return r.choice([["DEL", k], ["PEXPIREAT", k, str(FAR_MS + r.randrange(1000))], ["PERSIST", k],
                         ["RENAME", k, self.key(other)], ["COPY", k, self.key(other), "REPLACE"]])

    def short_lived(self):
        name = f"{self.prefix}short:{self.next_short}"
        self.next_short += 1
        deadline = int(time.time() * 1000) + self.rng.randrange(30, 1500)
        return ["SET", name, "x" * self.rng.randrange(1, 50), "PXAT", str(deadline)]

    # ---- The loop ----

    def run(self):
        try:
            with self.server.connect(timeout=60.0) as c:
                while not self.stopping:
                    r = self.rng.random()
                    if r < 0.15:
                        step = [self.one() for _ in range(self.rng.randrange(2, 6))]
                        self.pending = step
                        replies = c.pipeline([["MULTI"], *step, ["EXEC"]])
                        reply = replies[-1]
                    else:
                        step = self.short_lived() if r < 0.2 else self.one()
                        self.pending = step
                        reply = c.command(*step)
                    if reply[0] == "-" and not reply[1].startswith(HARMLESS):
                        self.errors.append((step, reply))
                        return
                    self.history.append((step, reply, time.time()))
                    self.pending = None
        except (ConnectionLost, OSError):
            pass
        except Exception as e:                                     # pragma: no cover
            self.errors.append((self.pending, repr(e)))


# ---- What the commands mean ----

def kind_of(key):
    return {"string": b"string", "number": b"string", "short": b"string", "hash": b"hash", "list": b"list",
            "set": b"set", "zset": b"zset", "stream": b"stream"}[key.split(":")[1]]


def put(state, key, content, expiry=-1):
    if content or kind_of(key) in (b"string", b"stream"):
        state[key] = (content, expiry)
    else:
        state.pop(key, None)


def apply(state, words, reply, seen):
    """Changes state as the command does; returns the keys it may have touched. seen: what the server holds (SPOP)."""
    name, key, rest = words[0], words[1], words[2:]
    old, expiry = state.get(key, (None, -1))
    if name == "SET":
        put(state, key, rest[0].encode(), int(rest[2]) if len(rest) > 1 else -1)
    elif name == "APPEND":
        put(state, key, (old or b"") + rest[0].encode(), expiry)
    elif name == "SETRANGE":
        at, text, now = int(rest[0]), rest[1].encode(), old or b""
        now = now.ljust(at, b"\0")
        put(state, key, now[:at] + text + now[at + len(text):], expiry)
    elif name == "MSET":
        put(state, key, rest[0].encode())
        put(state, rest[1], rest[2].encode())
        return [key, rest[1]]
    elif name == "INCRBY":
        put(state, key, b"%d" % (int(old or 0) + int(rest[0])), expiry)
    elif name == "HSET":
        now = dict(old or {})
        now.update({f.encode(): v.encode() for f, v in zip(rest[::2], rest[1::2])})
        put(state, key, now, expiry)
    elif name == "HDEL":
        now = dict(old or {})
        for f in rest:
            now.pop(f.encode(), None)
        put(state, key, now, expiry)
    elif name == "HINCRBY":
        now = dict(old or {})
        now[rest[0].encode()] = b"%d" % (int(now.get(rest[0].encode(), 0)) + int(rest[1]))
        put(state, key, now, expiry)
    elif name == "RPUSH":
        put(state, key, (old or []) + [v.encode() for v in rest], expiry)
    elif name == "LPUSH":
        put(state, key, [v.encode() for v in reversed(rest)] + (old or []), expiry)
    elif name == "LPOP":
        put(state, key, (old or [])[1:], expiry)
    elif name == "RPOP":
        put(state, key, (old or [])[:-int(rest[0])], expiry)
    elif name == "LSET":
        at = int(rest[0])
        if old and -len(old) <= at < len(old):
            now = list(old)
            now[at] = rest[1].encode()
            put(state, key, now, expiry)
    elif name == "LTRIM":
        put(state, key, (old or [])[:int(rest[1]) + 1], expiry)
    elif name == "SADD":
        put(state, key, (old or frozenset()) | {m.encode() for m in rest}, expiry)
    elif name == "SREM":
        put(state, key, (old or frozenset()) - {m.encode() for m in rest}, expiry)
    elif name == "SPOP":
        popped = reply[1] if reply is not None else None
        if reply is None and old:                       # unanswered: whichever is gone, if exactly one is
            gone = old - seen.get(key, (frozenset(), -1))[0]
            popped = next(iter(gone)) if len(gone) == 1 else next(iter(old))
        put(state, key, (old or frozenset()) - {popped}, expiry)
    elif name == "SUNIONSTORE":
        union = frozenset().union(*(state.get(k, (frozenset(), -1))[0] for k in rest))
        put(state, key, union)
    elif name == "ZADD":
        now = dict(old or {})
        now.update({m.encode(): float(s) for s, m in zip(rest[::2], rest[1::2])})
        put(state, key, now, expiry)
    elif name == "ZINCRBY":
        now = dict(old or {})
        now[rest[1].encode()] = now.get(rest[1].encode(), 0.0) + float(rest[0])
        put(state, key, now, expiry)
    elif name == "ZREM":
        now = dict(old or {})
        for m in rest:
            now.pop(m.encode(), None)
        put(state, key, now, expiry)
    elif name == "XADD":
        put(state, key, (old or []) + [(rest[0].encode(), [w.encode() for w in rest[1:]])], expiry)
    elif name == "DEL":
        state.pop(key, None)
    elif name == "PEXPIREAT":
        if key in state:
            state[key] = (old, int(rest[0]))
    elif name == "PERSIST":
        if key in state:
            state[key] = (old, -1)
    elif name in ("RENAME", "COPY"):
        if key in state and rest[0] != key:
            state[rest[0]] = state[key]
            if name == "RENAME":
                del state[key]
        return [key, rest[0]]
    else:
        raise AssertionError(f"the ledger does not know {name}")
    return [key]


def from_dump(content):
    """What dump.dump gives, in the form that apply works on."""
    state = {}
    for key, (kind, value, expiry) in content.items():
        if kind == b"hash":
            value = dict(value)
        elif kind == b"set":
            value = frozenset(value)
        elif kind == b"zset":
            value = dict(value)
        elif kind == b"stream":
            value = [(i, list(f)) for i, f in value]
        state[key.decode()] = (value, expiry)
    return state


# ---- The check ----

def steps_of(writer):
    steps = list(writer.history)
    if writer.pending is not None:
        steps.append((writer.pending, None, None))
    return steps


def verify(writer, seen_all, checked_from_ms, checked_to_ms, lose_after=None):
    """
    Raises when what the server holds of this writer's keys is no state its history allows; else takes it over.
    lose_after: steps answered at or after this time may be missing (None: none may).
    Returns how many acknowledged steps are missing, and whether the unanswered one is there.
    """
    seen = {k: v for k, v in seen_all.items() if k.startswith(writer.prefix)}
    shorts_seen = {k: seen.pop(k) for k in list(seen) if ":short:" in k}
    steps = steps_of(writer)
    acknowledged = len(writer.history)
    least = acknowledged
    if lose_after is not None:
        least = next((i for i, s in enumerate(writer.history) if s[2] >= lose_after), acknowledged)
    state = dict(writer.content)
    wrong = {k for k in set(state) | set(seen) if state.get(k) != seen.get(k)}
    fits, closest = [], (len(wrong), 0, set(wrong))
    if not wrong and least == 0:
        fits.append(0)
    for number, (step, reply, _) in enumerate(steps, 1):
        if isinstance(step[0], list):
            replies = reply[1] if reply is not None else [None] * len(step)
            touched = [k for words, one in zip(step, replies) for k in apply(state, words, one, seen)]
        else:
            touched = apply(state, step, reply, seen)
        for k in touched:
            if ":short:" in k:
                state.pop(k, None)
            elif state.get(k) != seen.get(k):
                wrong.add(k)
            else:
                wrong.discard(k)
        if number >= least and not wrong:
            fits.append(number)
        if len(wrong) <= closest[0]:
            closest = (len(wrong), number, set(wrong))
    if not fits and closest[0] == 0:
        ago = writer.history[-1][2] - writer.history[closest[1] - 1][2] if 0 < closest[1] <= acknowledged else 0
        raise AssertionError(f"writer {writer.number}: {acknowledged - closest[1]} acknowledged steps are missing, the oldest "
                             f"{ago:.1f} s older than its last; {acknowledged - least} may be. {str(writer.history[closest[1]])[:300]}")
    if not fits:
        lines = [f"writer {writer.number}: no point of its history ({acknowledged} acknowledged, "
                 f"{len(steps) - acknowledged} unanswered) fits; nearest {closest[1]}, where {closest[0]} keys differ"]
        replay = dict(writer.content)
        for step, reply, _ in steps[:closest[1]]:
            for words, one in zip(step, reply[1] if reply else [None] * len(step)) if isinstance(step[0], list) \
                    else [(step, reply)]:
                apply(replay, words, one, seen)
        for k in sorted(closest[2])[:3]:
            lines.append(f"  {k}: expected {str(replay.get(k))[:200]}\n  {' ' * len(k)}  got      {str(seen.get(k))[:200]}")
            last = [str(s[0])[:160] for s in steps if k in str(s[0])][-3:]
            lines.append("  last steps: " + " | ".join(last))
        lines.append(f"  unanswered: {str(writer.pending)[:300]}")
        raise AssertionError("\n".join(lines))
    point = fits[-1]
    for step, reply, answered in writer.history[:point if lose_after is not None else acknowledged]:
        if not isinstance(step[0], list) and ":short:" in step[1]:
            writer.short[step[1]] = (step[2].encode(), int(step[4]))
    for key, (value, deadline) in writer.short.items():
        there = shorts_seen.get(key)
        if there is None and deadline > checked_to_ms and lose_after is None:
            raise AssertionError(f"{key} is missing {deadline - checked_to_ms} ms before it expires")
        if there is not None and (there[0] != value or there[1] != deadline):
            raise AssertionError(f"{key}: expected {value}, expiring at {deadline}, got {there}")
    for key, (_, deadline) in shorts_seen.items():
        if deadline <= checked_from_ms - 1:
            raise AssertionError(f"{key} is there {checked_from_ms - deadline} ms after it expired")
    writer.short = {k: v for k, v in writer.short.items() if v[1] > checked_from_ms}
    missing, extra = max(0, acknowledged - point), point > acknowledged
    writer.content = seen
    writer.history, writer.pending = [], None
    return missing, extra


class Ledger:
    """A crowd of writers and the server they write to."""

    def __init__(self, server, seed, writers=4, slot_tag=""):
        self.server, self.seed = server, seed
        self.writers = [Writer(i, server, seed, slot_tag) for i in range(writers)]
        self.acknowledged = self.missing = self.extra = 0

    def run(self, seconds, end):
        """Writes for so long, then calls end() (which ends the server), then waits for the writers to notice."""
        for number, old in enumerate(self.writers):
            fresh = Writer(number, self.server, self.rng_seed(old), "tag" if old.prefix.startswith("{") else "")
            for name in ("content", "short", "next_short", "stream_ms"):
                setattr(fresh, name, copy.copy(getattr(old, name)))
            self.writers[number] = fresh
            fresh.start()
        time.sleep(seconds)
        ended = time.time()
        end()
        for writer in self.writers:
            writer.stopping = True
            writer.join(timeout=90.0)
            if writer.is_alive():
                raise AssertionError(f"seed {self.seed}: writer {writer.number} hangs in {str(writer.pending)[:200]}")
            if writer.errors:
                raise AssertionError(f"seed {self.seed}: {writer.errors[0]}")
        return ended

    def rng_seed(self, old):
        return old.rng.randrange(1 << 30)

    def check(self, lose_after=None):
        """The server runs again: compares everything."""
        with self.server.connect() as c:
            started = int(time.time() * 1000)
            seen = from_dump(dump.dump(c))
            ended = int(time.time() * 1000)
        for writer in self.writers:
            self.acknowledged += len(writer.history)
            missing, extra = verify(writer, seen, started, ended, lose_after)
            self.missing += missing
            self.extra += extra
