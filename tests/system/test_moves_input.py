"""
What a target of CLUSTER MIGRATESLOTS may be sent, or have: frames of rows that a node in between alters, cuts, repeats, swaps or
loses, and keys in the slots. The job ends with a reason, each side keeps what is its own, and the next job succeeds.
"""
from harness.cluster import Cluster
from harness.moving import dropped, finished, moves, same, start, text, whole
from harness.moving_load import ranges_of
from harness.proxy import Proxy
from harness.resp import encode
from harness.runner import equal, test, true
from harness.server import wait_until
from test_migration_fix import Slot, by_hand
from test_moves_rows import digest, many

ROWS = encode(("CLUSTER", "SYNCSLOTS", "ROWS", ""))[:-6]   # up to the size of the frame
AT = 5                    # the frame that it happens to: four have landed
MOVED = (70, 80)
LOST = b""                # goes nowhere, and is answered on the way


def request_end(data):
    """Where the first request ends; 0: it is not whole."""
    at = data.find(b"\r\n")
    for _ in range(int(data[1:at]) if at > 0 else 0):
        line = data.find(b"\r\n", at + 2)
        if line < 0 or len(data) < (at := line + 2 + int(data[at + 3:line])) + 2:
            return 0
    return at + 2 if at > 0 else 0


class Between(Proxy):
    """In front of a target. spoil(frames of rows so far) gives what goes on in place of the last; None: half of it, and the link ends."""

    def __init__(self, port):
        self.spoil, self.rest, self.frames = None, {}, []
        super().__init__(port)

    def next(self, spoil):
        self.spoil, self.frames = spoil, []

    def from_client(self, so_far, data, sink):
        rest, out = self.rest.pop(sink, b"") + bytes(data), []
        while end := request_end(rest):
            request, rest = rest[:end], rest[end:]
            if self.spoil is not None and request.startswith(ROWS):
                self.frames.append(request[request.index(b"\r\n", len(ROWS)) + 2:-2])
                if (requests := self.spoil(self.frames)) is None:
                    sink.sendall(b"".join(out) + request[:end // 2])
                    return None
                if LOST in requests:
                    self.open[self.open.index(sink) - 1].sendall(b"+OK\r\n")
                request = b"".join(requests)
            out.append(request)
        self.rest[sink] = rest
        return super().from_client(so_far, bytearray(b"".join(out)), sink)


def frame(data):
    return encode(("CLUSTER", "SYNCSLOTS", "ROWS", data))


def at_frame(number, change):
    """change(frames) where the frame of that number comes; the others pass."""
    return lambda frames: change(frames) if len(frames) == number else [frame(frames[-1])]


def flipped(where):
    def change(frames):
        data = bytearray(frames[-1])
        data[where] ^= 0x10
        return [frame(bytes(data))]
    return at_frame(AT, change)


def swapped(frames):
    if len(frames) == AT + 1:
        return [frame(frames[-1]), frame(frames[-2])]
    return [] if len(frames) == AT else [frame(frames[-1])]


SPOILT = (
    ("a bit of the sum", flipped(3), "altered on its way"),
    ("a bit of the magic", flipped(9), "no frame of rows"),
    ("a bit of the number of rows", flipped(16), "altered on its way"),
    ("a bit of the number of bytes", flipped(21), "a frame of"),
    ("a bit of a row", flipped(-7), "altered on its way"),
    ("cut short", at_frame(AT, lambda frames: [frame(frames[-1][:-100])]), "a frame of"),
    ("nothing but a head", at_frame(AT, lambda frames: [frame(frames[-1][:24])]), "a frame of"),
    ("repeated", at_frame(AT, lambda frames: [frame(frames[-1])] * 2), "rows out of order"),
    ("the one before in its place", at_frame(AT, lambda frames: [frame(frames[-2])]), "rows out of order"),
    ("swapped with the next", swapped, "rows out of order"),
    ("lost, and answered all the same", at_frame(AT, lambda frames: [LOST]), "keys here and"),
    ("the connection ends amid it", at_frame(AT, lambda frames: None), ""),
)


def has(c, node):
    return any(first <= MOVED[0] and MOVED[1] <= last for first, last in ranges_of(c, node))


def moved(c, source, target, what):
    start(c, source, target, MOVED)
    told = finished(source)
    equal(told["state"], "success", f"{what}: {told}")
    wait_until(lambda: has(c, target) and c.agree(), 60, "all know the new owner")
    dropped(c, source, MOVED)


@test("frames of rows that are altered, cut, repeated, swapped or lost on their way end a migration, and the next one succeeds", seconds=240)
def _():
    with Cluster(3, create=False, enable_debug_command="yes") as c:
        by_hand(c)
        source, target, _ = c.nodes
        with source.connect() as x:
            many(x, 77, 6000, 500)
            many(x, 78, 1000, 40)
        before = digest(source)
        with Between(source.port) as one, Between(target.port) as other:
            front = {source: one, target: other}
            for node, between in front.items():
                equal(text(node, "CONFIG", "SET", "cluster-announce-port", between.port), "OK")
            ways = {f"127.0.0.1:{between.port}" for between in front.values()}
            wait_until(lambda: all(ways <= {row["address"] for row in c.table(n).values()} for n in c.nodes), 60, "all know the ways")
            for what, spoil, why in SPOILT:
                between = front[target]
                between.next(spoil)
                start(c, source, target, MOVED)
                told = finished(source)
                equal(told["state"], "failed", f"{what}: {told}")
                true(told["message"] != "" and why in told["message"], f"{what}: {told['message']}")
                true(len(between.frames) >= AT, what)
                wait_until(lambda: (moves(target)[0]["name"], moves(target)[0]["state"]) == (told["name"], "failed"), 60,
                           f"{what}: the target knows")
                dropped(c, target, MOVED)
                wait_until(lambda: has(c, source) and c.agree(), 60, f"{what}: the source has the slots")
                equal(digest(source), before, what)
                between.next(None)
                moved(c, source, target, what)
                equal(digest(target), before, what)
                source, target = target, source


@test("MIGRATESLOTS to a target that has keys of the slots says so, and neither side loses one")
def _():
    with Cluster(3, create=False, enable_debug_command="yes") as c:
        by_hand(c)
        slot = Slot(c, 7)
        a, b = slot.owner, slot.target
        before = whole(c)

        def at_target(*words):
            slot.importing(b)
            with b.connect() as y:
                y.must("ASKING")
                return y.must(*words)

        def refused(why):
            start(c, a, b, (0, 20))
            told = finished(a)
            equal(told["state"], "failed", str(told))
            true(why in told["message"], told["message"])
            equal([text(n, "CLUSTER", "COUNTKEYSINSLOT", 7) for n in (a, b)], [6, 2])
            with a.connect() as x:
                equal(x.must("GET", slot.key("a")), b"1")

        at_target("SET", slot.key("a"), "other")
        at_target("SET", slot.key("stranger"), "theirs")
        refused("slot 7 is being moved key by key")
        slot.set(b, "STABLE")
        refused("there are keys in slot 7")
        equal(at_target("MGET", slot.key("a"), slot.key("stranger")), [b"other", b"theirs"])
        equal(at_target("DEL", slot.key("a"), slot.key("stranger")), 2)
        slot.set(b, "STABLE")
        start(c, a, b, (0, 20))
        equal(finished(a)["state"], "success")
        wait_until(lambda: c.owner(7) is b and c.agree(), 60, "all know the new owner")
        dropped(c, a, (0, 20))
        same(whole(c), before, expiry_tolerance_ms=0)
