"""script.py - command scripts: the same lines sent to two servers, reply by reply.

A script is a text file of sections:

    [a sentence that names the test]
    SET k v                    replies must be equal
    ~SMEMBERS s                equal when the elements are sorted
    %HGETALL h                 equal when the pairs are sorted
    ?RANDOMKEY                 only the kind of the reply is compared
    ^PTTL k                    integers may differ a little (time passes)
    !OBJECT ENCODING l         not compared: Redis 7.0 and 7.2 differ here. The next line says what 7.2 answers, and why:
    => "listpack" ; 7.2 packs small lists
    2: GET k                   on a second connection (up to 9)
    2&: BLPOP l 5              sends only
    2<                         reads one more reply on that connection
    times 200 RPUSH big i{i}   the line 200 times, {i} counts from 0
    sleep 0.1

Words are quoted as in redis-cli; {x*5000} stands for 5000 times x. At the end of a section the two data sets must be equal.
"""
import re
import select
import time

from harness import dump
from harness.resp import Connection, ConnectionLost, show
from harness.server import wait_until


class Line:
    def __init__(self, number, text, mark, connection, mode, words):
        self.number, self.text, self.mark, self.connection = number, text, mark, connection
        self.mode, self.words = mode, words
        self.wanted = None


def split_words(text):
    """As redis-cli splits a line: double quotes with escapes, single quotes without."""
    words, at = [], 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at >= len(text):
            return words
        word, quote = b"", None
        while at < len(text):
            c = text[at]
            if quote is None and c.isspace():
                break
            if quote is None and c in "'\"":
                quote = c
            elif c == quote:
                quote = None
            elif c == "\\" and quote == '"' and at + 1 < len(text):
                at += 1
                c = text[at]
                if c == "x":
                    word += bytes([int(text[at + 1:at + 3], 16)])
                    at += 2
                else:
                    word += {"n": b"\n", "r": b"\r", "t": b"\t", "a": b"\a", "b": b"\b"}.get(c, c.encode())
            else:
                word += c.encode()
            at += 1
        words.append(re.sub(rb"\{(.)\*(\d+)\}", lambda m: m.group(1) * int(m.group(2)), word))


def parse(path):
    """[(name, [Line or ("sleep", seconds)])]"""
    sections, last = [], None
    with open(path) as f:
        for number, raw in enumerate(f, 1):
            text = raw.strip()
            if not text or text.startswith("#"):
                continue
            if text.startswith("[") and text.endswith("]"):
                sections.append((text[1:-1], []))
                continue
            lines = sections[-1][1]
            if text.startswith("=>"):
                last.wanted = text[2:].rsplit(" ; ", 1)[0].strip()
                continue
            if text.startswith("sleep "):
                lines.append(("sleep", float(text[6:])))
                continue
            count, body = 1, text
            m = re.match(r"times (\d+) (.*)", text)
            if m:
                count, body = int(m.group(1)), m.group(2)
            m = re.match(r"(\d)([&<]?):?\s*(.*)", body)
            connection, mode = 1, ""
            if m:
                connection, mode, body = int(m.group(1)), m.group(2), m.group(3)
            mark = ""
            if body and body[0] in "~%?^!":
                mark, body = body[0], body[1:]
            for i in range(count):
                words = split_words(body.replace("{i}", str(i)))
                last = Line(number, text, mark, connection, mode, words)
                lines.append(last)
    return sections


def shortest(text):
    """7.0 prints doubles with 17 digits, 7.2 with as few as give the same number back."""
    if re.fullmatch(rb"-?\d+\.\d{12,}(e[-+]?\d+)?|-?\d(\.\d+)?e[-+]?\d+", text):
        return repr(float(text)).encode()
    return text


def neutral(reply):
    kind, value = reply
    if isinstance(value, list):
        return kind, [neutral(v) for v in value]
    if kind in "$," and value is not None:
        return kind, shortest(value)
    return reply


def ordered(reply, mark):
    kind, value = reply
    if not isinstance(value, list):
        return reply
    if mark == "~":
        if len(value) == 2 and value[0][0] == "$" and isinstance(value[1][1], list):     # SCAN: cursor, page
            return kind, [value[0], ordered(value[1], "~")]
        return kind, sorted(([ordered(v, mark) for v in value]), key=repr)
    if mark == "%":
        if len(value) == 2 and value[0][0] == "$" and isinstance(value[1][1], list):
            return kind, [value[0], ordered(value[1], "%")]
        if value and isinstance(value[0][1], list):
            return kind, sorted(value, key=repr)
        return kind, sorted(zip(value[::2], value[1::2]), key=repr)
    return reply


def near(left, right):
    if left[0] != right[0]:
        return False
    if left[0] == ":":
        a, b = left[1], right[1]
        return a == b or (a >= 0 and b >= 0 and abs(a - b) <= max(5000 if a > 10000 else 5, a // 20))
    if isinstance(left[1], list) and isinstance(right[1], list) and len(left[1]) == len(right[1]):
        return all(near(a, b) for a, b in zip(left[1], right[1]))
    return left == right


def same(mark, left, right):
    if mark == "?":
        return left[0] == right[0] and (left[1] is None) == (right[1] is None)
    left, right = neutral(left), neutral(right)
    if mark == "^":
        return near(left, right)
    return ordered(left, mark) == ordered(right, mark)


def all_wait(server, connections):
    """Those of the connections that have no answer yet are blocked."""
    silent = [c for c in connections if not select.select([c.socket], [], [], 0)[0]]
    return int(server.info("clients")["blocked_clients"]) >= len(silent)


def play(lines, subject, reference, protocol, subject_is_redis):
    """Runs one section on both servers. Returns the list of differences, as text."""
    sides = []
    found, waiting = [], {}
    for server in (subject, reference):
        first = Connection(server.port, protocol=protocol)
        first.must("FLUSHALL")
        first.command("FUNCTION", "FLUSH")
        sides.append({1: first, "server": server})
    try:
        for line in lines:
            if isinstance(line, tuple):
                time.sleep(line[1])
                continue
            replies = []
            for side in sides:
                if line.connection not in side:
                    side[line.connection] = Connection(side["server"].port, protocol=protocol)
                c = side[line.connection]
                try:
                    if line.mode != "<":
                        c.send(*line.words)
                    if line.mode == "&":
                        waiting.setdefault(side["server"], []).append(c)
                        wait_until(lambda: all_wait(side["server"], waiting[side["server"]]), 30, f"line {line.number} blocks",
                                   0.005)
                    elif line.mode == "<":
                        replies.append(c.read())
                        waiting[side["server"]].remove(c)
                    else:
                        replies.append(c.read())
                except (OSError, TimeoutError, ConnectionLost) as e:
                    raise AssertionError(f"line {line.number}: {line.text}: {e}\n{side['server'].log_tail(8)}") from e
            if line.mode == "&":
                continue
            if line.mark == "!":
                if line.wanted and not subject_is_redis and not re.fullmatch(glob(line.wanted), show(replies[0], None)) \
                        and (line.wanted, protocol, show(replies[0])) != ("nil-array", 3, "nil"):
                    found.append(f"line {line.number}: {line.text}\n  expected {line.wanted}\n  got      {show(replies[0])}")
            elif not same(line.mark, replies[0], replies[1]):
                found.append(f"line {line.number}: {line.text}\n  Redis    {show(replies[1])}\n  got      {show(replies[0])}")
        contents = [dump.dump(side[1]) for side in sides]
        found += ["at the end: " + d for d in dump.differences(contents[0], contents[1], expiry_tolerance_ms=5000)]
    finally:
        for side in sides:
            for name, c in side.items():
                if name != "server":
                    c.close()
    return found


def glob(text):
    """An expectation: literal, but for <*> which stands for anything."""
    return ".*".join(re.escape(part) for part in text.split("<*>"))
