"""dump.py - the whole content of a database as a Python value, and how two of them differ."""
from harness.resp import plain

READ = {
    b"string": lambda k: ("GET", k),
    b"list": lambda k: ("LRANGE", k, "0", "-1"),
    b"set": lambda k: ("SMEMBERS", k),
    b"hash": lambda k: ("HGETALL", k),
    b"zset": lambda k: ("ZRANGE", k, "0", "-1", "WITHSCORES"),
    b"stream": lambda k: ("XRANGE", k, "-", "+"),
}


def scan_all(connection, *options):
    """Every key that a full SCAN returns, duplicates included."""
    keys, cursor = [], b"0"
    while True:
        cursor, page = plain(connection.command("SCAN", cursor, "COUNT", "500", *options))
        keys += page
        if cursor == b"0":
            return keys


def canonical(kind, value):
    if kind == b"set":
        return sorted(value)
    if kind == b"hash":
        pairs = list(value.items()) if isinstance(value, dict) else list(zip(value[::2], value[1::2]))
        return sorted(pairs)
    if kind == b"zset":
        if value and isinstance(value[0], list):
            value = [item for pair in value for item in pair]
        return [(member, float(score)) for member, score in zip(value[::2], value[1::2])]
    if kind == b"stream":
        return [(i, list(f.items()) if isinstance(f, dict) else f) for i, f in value]
    return value


def dump(connection, keys=None, batch=200):
    """{key: (type, content, expiry in ms or -1)} of all keys, or of the given ones that exist."""
    keys = list(dict.fromkeys(scan_all(connection) if keys is None else keys))
    content = {}
    for at in range(0, len(keys), batch):
        some = keys[at:at + batch]
        kinds = [plain(r) for r in connection.pipeline([("TYPE", k) for k in some])]
        there = [(k, t) for k, t in zip(some, kinds) if t != b"none"]
        values = connection.pipeline([READ[t](k) for k, t in there])
        expiries = connection.pipeline([("PEXPIRETIME", k) for k, _ in there])
        for (key, kind), value, expiry in zip(there, values, expiries):
            value = plain(value)
            if expiry[1] == -2 or value is None:
                continue                      # it expired between the questions
            content[key] = (kind, canonical(kind, value), expiry[1])
    return content


def differences(left, right, limit=5, expiry_tolerance_ms=0):
    """Lines that say how two dumps differ; empty when they do not."""
    lines = []
    for key in sorted(set(left) | set(right)):
        a, b = left.get(key), right.get(key)
        if a == b:
            continue
        if a and b and a[:2] == b[:2] and a[2] > 0 and b[2] > 0 and abs(a[2] - b[2]) <= expiry_tolerance_ms:
            continue
        lines.append(f"{key!r}: {str(a)[:300]} against {str(b)[:300]}")
    return lines[:limit] + ([f"... {len(lines) - limit} more"] if len(lines) > limit else [])
