"""random_commands.py - seeded random commands over all types, whose replies are the same on every correct server.

`next_command` gives (words, mark): mark as in script.py ("" equal, "~" unordered, "%" unordered pairs). Names are drawn
from few keys, so that commands meet; some keys grow far beyond the packed sizes; a few commands hit the wrong type.
"""
from harness.features import has

FAR_MS = 4102444800000            # 2100: an expiry that no run reaches


class Commands:
    def __init__(self, rng, keys_per_type=6):
        self.rng = rng
        self.keys_per_type = keys_per_type
        self.stream_ms = 0
        self.kinds = [(getattr(self, name), name[2:]) for name in sorted(dir(self))
                      if name.startswith("a_") and (name != "a_stream" or has("streams"))]

    # ---- Words ----

    def key(self, kind):
        if self.rng.random() < 0.02:
            kind = self.rng.choice(["string", "hash", "list", "set", "zset", "stream"])
        return f"{kind}:{self.rng.randrange(self.keys_per_type)}"

    def member(self):
        # Mostly few names, so that they meet; at times any of many, so that collections grow.
        return f"m{self.rng.randrange(12) if self.rng.random() < 0.5 else self.rng.randrange(3000)}"

    def value(self):
        r = self.rng.random()
        if r < 0.4:
            return str(self.rng.randrange(-1000, 1000))
        if r < 0.9:
            return "v" * self.rng.randrange(1, 30) + str(self.rng.randrange(100))
        if r < 0.98:
            return bytes(self.rng.randrange(256) for _ in range(self.rng.randrange(0, 80)))
        return "L" * self.rng.randrange(500, 6000)

    def score(self):
        return self.rng.choice([str(self.rng.randrange(-50, 50)), f"{self.rng.randrange(100)}.5", "inf", "-inf", "0"])

    def index(self):
        return str(self.rng.randrange(-12, 12) if self.rng.random() < 0.8 else self.rng.randrange(-600, 600))

    def several(self, make, most=4):
        return [make() for _ in range(self.rng.randrange(1, most + 1))]

    def bulk(self, make):
        """Now and then a crowd, so that small forms become big ones."""
        return [make() for _ in range(self.rng.randrange(100, 400) if self.rng.random() < 0.03
                                      else self.rng.randrange(1, 5))]

    def choose(self, *choices):
        """choices: (weight, function)"""
        return self.rng.choices([c for _, c in choices], [w for w, _ in choices])[0]()

    # ---- Types ----

    def a_string(self):
        k = self.key("string")
        r = self.rng
        return self.choose(
            (6, lambda: (["SET", k, self.value()], "")),
            (2, lambda: (["SET", k, self.value(), r.choice(["NX", "XX", "GET", "KEEPTTL"])], "")),
            (1, lambda: (["SET", k, self.value(), "PXAT", FAR_MS + r.randrange(1000)], "")),
            (4, lambda: (["GET", k], "")),
            (2, lambda: (["APPEND", k, self.value()], "")),
            (2, lambda: (["INCRBY", k, r.randrange(-100, 100)], "")),
            (1, lambda: (["INCR", k], "")),
            (1, lambda: (["SETRANGE", k, r.randrange(0, 200), self.value()], "")),
            (1, lambda: (["SETRANGE", k, r.randrange(0, 20000), "chunk"], "")),
            (2, lambda: (["GETRANGE", k, self.index(), self.index()], "")),
            (1, lambda: (["STRLEN", k], "")),
            (1, lambda: (["GETDEL", k], "")),
            (1, lambda: (["GETEX", k, "PERSIST"], "")),
            (1, lambda: (["SETBIT", k, r.randrange(0, 2000), r.randrange(2)], "")),
            (1, lambda: (["GETBIT", k, r.randrange(0, 2000)], "")),
            (1, lambda: (["BITCOUNT", k], "")),
            (1, lambda: (["BITPOS", k, r.randrange(2), r.randrange(4)], "")),
            (1, lambda: (["BITFIELD", k, "INCRBY", "u7", r.randrange(100), r.randrange(-9, 9)], "")),
            (1, lambda: (["BITOP", r.choice(["AND", "OR", "XOR"]), self.key("string"), k, self.key("string")], "")),
            (1, lambda: (["MSET", k, self.value(), self.key("string"), self.value()], "")),
            (1, lambda: (["MSETNX", k, self.value(), self.key("string"), self.value()], "")),
            (1, lambda: (["MGET"] + self.several(lambda: self.key("string")), "")),
            (1, lambda: (["GETSET", k, self.value()], "")))

    def a_hash(self):
        k = self.key("hash")
        r = self.rng
        return self.choose(
            (6, lambda: (["HSET", k] + [w for m in self.bulk(self.member) for w in (m, self.value())], "")),
            (3, lambda: (["HGET", k, self.member()], "")),
            (2, lambda: (["HMGET", k] + self.several(self.member), "")),
            (3, lambda: (["HDEL", k] + self.bulk(self.member), "")),
            (2, lambda: (["HINCRBY", k, self.member(), r.randrange(-50, 50)], "")),
            (1, lambda: (["HSETNX", k, self.member(), self.value()], "")),
            (1, lambda: (["HLEN", k], "")),
            (1, lambda: (["HEXISTS", k, self.member()], "")),
            (1, lambda: (["HSTRLEN", k, self.member()], "")),
            (1, lambda: (["HGETALL", k], "%")),
            (1, lambda: (["HKEYS", k], "~")),
            (1, lambda: (["HVALS", k], "~")))

    def a_list(self):
        k = self.key("list")
        r = self.rng
        side = r.choice("LR")
        return self.choose(
            (6, lambda: ([side + "PUSH", k] + self.bulk(self.value), "")),
            (1, lambda: ([side + "PUSHX", k, self.value()], "")),
            (3, lambda: ([side + "POP", k], "")),
            (2, lambda: ([side + "POP", k, r.randrange(0, 60)], "")),
            (2, lambda: (["LRANGE", k, self.index(), self.index()], "")),
            (1, lambda: (["LRANGE", k, 0, -1], "")),
            (2, lambda: (["LINDEX", k, self.index()], "")),
            (2, lambda: (["LSET", k, self.index(), self.value()], "")),
            (1, lambda: (["LINSERT", k, r.choice(["BEFORE", "AFTER"]), str(r.randrange(-20, 20)), self.value()], "")),
            (1, lambda: (["LREM", k, r.randrange(-3, 4), str(r.randrange(-20, 20))], "")),
            (1, lambda: (["LTRIM", k, r.randrange(0, 3), r.randrange(-3, -1)], "")),
            (1, lambda: (["LLEN", k], "")),
            (1, lambda: (["LPOS", k, str(r.randrange(-20, 20)), "COUNT", 0], "")),
            (1, lambda: (["LMOVE", k, self.key("list"), r.choice(["LEFT", "RIGHT"]), r.choice(["LEFT", "RIGHT"])], "")),
            (1, lambda: (["LMPOP", 2, k, self.key("list"), "LEFT", "COUNT", r.randrange(1, 5)], "")))

    def a_set(self):
        k = self.key("set")
        r = self.rng
        member = self.member if r.random() < 0.6 else lambda: str(r.randrange(2000))
        return self.choose(
            (6, lambda: (["SADD", k] + self.bulk(member), "")),
            (3, lambda: (["SREM", k] + self.bulk(member), "")),
            (2, lambda: (["SISMEMBER", k, member()], "")),
            (1, lambda: (["SMISMEMBER", k] + self.several(member), "")),
            (1, lambda: (["SCARD", k], "")),
            (1, lambda: (["SMEMBERS", k], "~")),
            (1, lambda: (["SMOVE", k, self.key("set"), member()], "")),
            (1, lambda: ([r.choice(["SUNION", "SINTER", "SDIFF"]), k, self.key("set")], "~")),
            (1, lambda: ([r.choice(["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"]), self.key("set"), k,
                          self.key("set")], "")),
            (1, lambda: (["SINTERCARD", 2, k, self.key("set")], "")),
            (0.3, lambda: (["SPOP", k, 100000], "~")))

    def a_zset(self):
        k = self.key("zset")
        r = self.rng
        limit = lambda: r.choice(["-inf", "+inf", str(r.randrange(-50, 50)), f"({r.randrange(-50, 50)}"])
        return self.choose(
            (6, lambda: (["ZADD", k] + [w for m in self.bulk(self.member) for w in (self.score(), m)], "")),
            (1, lambda: (["ZADD", k, r.choice(["NX", "XX", "GT", "LT", "CH"]), self.score(), self.member()], "")),
            (2, lambda: (["ZINCRBY", k, r.randrange(-9, 9), self.member()], "")),
            (3, lambda: (["ZREM", k] + self.bulk(self.member), "")),
            (2, lambda: (["ZSCORE", k, self.member()], "")),
            (1, lambda: (["ZMSCORE", k] + self.several(self.member), "")),
            (1, lambda: (["ZRANK", k, self.member()], "")),
            (1, lambda: (["ZREVRANK", k, self.member()], "")),
            (1, lambda: (["ZCARD", k], "")),
            (1, lambda: (["ZCOUNT", k, limit(), limit()], "")),
            (2, lambda: (["ZRANGE", k, self.index(), self.index(), "WITHSCORES"], "")),
            (1, lambda: (["ZREVRANGE", k, self.index(), self.index()], "")),
            (1, lambda: (["ZRANGEBYSCORE", k, limit(), limit(), "LIMIT", 0, 20], "")),
            (1, lambda: (["ZREVRANGEBYSCORE", k, limit(), limit()], "")),
            (1, lambda: (["ZPOPMIN", k, r.randrange(3)], "")),
            (1, lambda: (["ZPOPMAX", k], "")),
            (0.5, lambda: (["ZREMRANGEBYRANK", k, r.randrange(3), r.randrange(3, 9)], "")),
            (0.5, lambda: (["ZREMRANGEBYSCORE", k, r.randrange(-50, 50), r.randrange(-50, 50)], "")),
            (0.5, lambda: (["ZUNIONSTORE", self.key("zset"), 2, k, self.key("zset"), "AGGREGATE", "MAX"], "")),
            (0.5, lambda: (["ZINTERSTORE", self.key("zset"), 2, k, self.key("zset"), "AGGREGATE", "MIN"], "")),
            (0.5, lambda: (["ZRANGESTORE", self.key("zset"), k, 0, 50], "")))

    def a_stream(self):
        k = self.key("stream")
        r = self.rng
        self.stream_ms += 1
        return self.choose(
            (6, lambda: (["XADD", k, f"{self.stream_ms}-1", "f", self.value()], "")),
            (1, lambda: (["XADD", k, "MAXLEN", "100", f"{self.stream_ms}-1", "f", self.value(), "g", "w"], "")),
            (1, lambda: (["XLEN", k], "")),
            (1, lambda: (["XRANGE", k, r.randrange(self.stream_ms), "+", "COUNT", 5], "")),
            (1, lambda: (["XREVRANGE", k, "+", "-", "COUNT", 5], "")),
            (1, lambda: (["XDEL", k, f"{r.randrange(self.stream_ms)}-1"], "")),
            (0.5, lambda: (["XTRIM", k, "MAXLEN", r.randrange(50, 200)], "")),
            (1, lambda: (["XREAD", "COUNT", 3, "STREAMS", k, r.randrange(self.stream_ms)], "")))

    def a_key(self):
        kind = self.rng.choice(["string", "hash", "list", "set", "zset", "stream"])
        k = self.key(kind)
        r = self.rng
        return self.choose(
            (2, lambda: (["DEL", k], "")),
            (1, lambda: (["UNLINK", k, self.key(kind)], "")),
            (2, lambda: (["EXISTS", k, self.key(kind)], "")),
            (2, lambda: (["TYPE", k], "")),
            (2, lambda: (["PEXPIREAT", k, FAR_MS + r.randrange(100000)], "")),
            (1, lambda: (["PEXPIREAT", k, FAR_MS + r.randrange(100000), r.choice(["NX", "XX", "GT", "LT"])], "")),
            (0.3, lambda: (["PEXPIREAT", k, 1], "")),
            (2, lambda: (["PEXPIRETIME", k], "")),
            (1, lambda: (["PERSIST", k], "")),
            (1, lambda: (["RENAME", k, self.key(kind)], "")),
            (1, lambda: (["RENAMENX", k, self.key(kind)], "")),
            (1, lambda: (["COPY", k, self.key(kind), "REPLACE"], "")),
            (0.5, lambda: (["DBSIZE"], "")))

    def next_command(self):
        kinds = [k for k, _ in self.kinds]
        words, mark = self.rng.choice(kinds)()
        return words, mark
