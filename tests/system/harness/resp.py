"""resp.py - a RESP2/RESP3 client that keeps every reply as it was on the wire.

A reply is a tuple (kind, value): kind is RESP's type byte, value is bytes, int, a list of replies, or None for the null
of that type. Nothing is converted, so that two servers can be compared byte by byte. `show` prints one in a readable
form; `plain` gives ordinary Python values for tests that only want the content.
"""
import socket


class ConnectionLost(Exception):
    """The server closed the connection, or it broke, before the whole reply was there."""


class Connection:
    def __init__(self, port, host="127.0.0.1", timeout=30.0, protocol=2, password=None):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.at = 0
        self.port = port
        if password is not None:
            self.must("AUTH", password)
        if protocol == 3:
            self.command("HELLO", "3")

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- Sending ----

    def send_raw(self, data):
        try:
            self.socket.sendall(data)
        except OSError as e:
            raise ConnectionLost(str(e)) from e

    def send(self, *words):
        self.send_raw(encode(words))

    def command(self, *words):
        """Sends one command and returns its reply."""
        self.send_raw(encode(words))
        return self.read()

    def pipeline(self, commands):
        """Sends all commands in one go and returns their replies in order."""
        self.send_raw(b"".join(encode(words) for words in commands))
        return [self.read() for _ in commands]

    def must(self, *words):
        """The plain value of the reply; an error reply raises."""
        reply = self.command(*words)
        if reply[0] == "-":
            raise AssertionError(f"{short(words)} said {reply[1].decode('utf-8', 'replace')}")
        return plain(reply)

    # ---- Receiving ----

    def fill(self):
        try:
            data = self.socket.recv(1 << 18)
        except socket.timeout as e:
            raise TimeoutError(f"no reply from port {self.port}") from e
        except OSError as e:
            raise ConnectionLost(str(e)) from e
        if not data:
            raise ConnectionLost("closed by the server")
        self.buffer = self.buffer[self.at:] + data
        self.at = 0

    def line(self):
        while True:
            end = self.buffer.find(b"\r\n", self.at)
            if end >= 0:
                line = self.buffer[self.at:end]
                self.at = end + 2
                return line
            self.fill()

    def exactly(self, count):
        if count > 1 << 20 and len(self.buffer) - self.at < count:
            return self.large(count)
        while len(self.buffer) - self.at < count:
            self.fill()
        data = self.buffer[self.at:self.at + count]
        self.at += count
        return data

    def large(self, count):
        """Without copying what is there already at each piece that comes."""
        data = bytearray(self.buffer[self.at:])
        self.buffer, self.at = b"", 0
        while len(data) < count:
            self.fill()
            data += self.buffer
            self.buffer = b""
        self.buffer = bytes(data[count:])
        return bytes(data[:count])

    def read(self):
        line = self.line()
        kind, rest = chr(line[0]), line[1:]
        if kind in "+-,#(":
            return kind, rest
        if kind == ":":
            return kind, int(rest)
        if kind == "_":
            return kind, None
        if kind in "$=!":
            count = int(rest)
            return (kind, None) if count < 0 else (kind, self.exactly(count + 2)[:-2])
        if kind in "*~>":
            count = int(rest)
            return (kind, None) if count < 0 else (kind, [self.read() for _ in range(count)])
        if kind in "%|":
            return kind, [self.read() for _ in range(2 * int(rest))]
        raise AssertionError(f"not a reply: {line!r}")

    def closed_by_server(self, seconds=5.0):
        """True when the server closes the connection within the time; what it still sends is read away."""
        self.socket.settimeout(seconds)
        try:
            while True:
                if not self.socket.recv(65536):
                    return True
        except socket.timeout:
            return False
        except OSError:
            return True


def to_bytes(word):
    if isinstance(word, bytes):
        return word
    if isinstance(word, float):
        return repr(word).encode()
    return str(word).encode()


def encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = to_bytes(word)
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def plain(reply):
    """Bytes, numbers, lists and dictionaries; an error reply stays a tuple."""
    kind, value = reply
    if kind == "-":
        return reply
    if kind == "%":
        return {key[1]: plain(item) for key, item in zip(value[::2], value[1::2])}
    if kind in "*~>":
        return None if value is None else [plain(item) for item in value]
    if kind == ",":
        return float(value)
    if kind == "#":
        return value == b"t"
    if kind == "=":
        return value[4:]
    return value


def show(reply, limit=400):
    """One line of text: +OK -ERR... :5 "bulk" nil [..] {..}"""
    text = _show(reply)
    return text if limit is None or len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _show(reply):
    kind, value = reply
    if value is None:
        return "nil" if kind in "$_" else "nil-array"
    if kind == "$":
        return '"' + "".join(chr(b) if 32 <= b < 127 and b not in (34, 92) else f"\\x{b:02x}" for b in value) + '"'
    if kind == ":":
        return f":{value}"
    if kind in "*~>":
        return {"*": "[", "~": "~[", ">": ">["}[kind] + ", ".join(_show(item) for item in value) + "]"
    if kind in "%|":
        pairs = zip(value[::2], value[1::2])
        return "{" + ", ".join(f"{_show(k)}: {_show(v)}" for k, v in pairs) + "}"
    return kind + value.decode("utf-8", "backslashreplace")


def short(words, limit=120):
    text = " ".join(to_bytes(w)[:60].decode("utf-8", "backslashreplace") for w in words)
    return text if len(text) <= limit else text[:limit] + "..."
