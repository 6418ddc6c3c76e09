"""
Who moves slots is killed: source or target at each SETSLOT; a real redis-cli --cluster reshard in front of and behind each of its commands, and tools/cairn-cluster. To
stop redis-cli exactly there it speaks to the nodes through gates, whose ports the nodes announce.
"""
import socket
import subprocess
import threading

from harness import dump
from harness.cluster import Cluster, cli
from harness.moving import finished, healthy, moves, rows_of, same, state, text, whole
from harness.moving_load import settled, step
from harness.proxy import Proxy
from harness.runner import equal, test, true
from harness.server import REDIS_CLI, wait_until
from test_migration_fix import Slot, by_hand, fixes
from test_moves import TOOL

STEPS_MAX = 20


class Gates:
    """One in front of each node. Counts the commands that change something, and stops who sends the one that is `wanted`."""

    def __init__(self, nodes):
        self.lock, self.stopped, self.wanted, self.seen = threading.Lock(), threading.Event(), None, []
        self.list = [Gate(self, node.port) for node in nodes]

    def next(self, wanted, answered):
        with self.lock:
            self.stopped.clear()
            self.wanted, self.answered, self.seen = wanted, answered, []

    def passes(self, data):
        """Whether the command goes on to the node, and its answer back."""
        words = data.split(b"\r\n")[2::2]
        if not words or words[0].upper() not in (b"CLUSTER", b"MIGRATE") or b"GETKEYSINSLOT" in words:
            return True, True
        if words[0].upper() == b"CLUSTER" and b"SETSLOT" not in words:
            return True, True
        with self.lock:
            self.seen.append(b" ".join(words[:4]).decode())
            return (True, True) if len(self.seen) != self.wanted else (self.answered, False)

    def close(self):
        for gate in self.list:
            gate.close()


class Gate(Proxy):
    def __init__(self, gates, port):
        self.gates, self.silent = gates, set()
        super().__init__(port)

    def from_client(self, so_far, data, sink):
        goes, answer = self.gates.passes(bytes(data))
        if not answer:
            self.silent.add(sink)
            if not goes:
                self.gates.stopped.set()
                return b""
        return super().from_client(so_far, data, sink)

    def carry(self, source, sink, filtered):
        if filtered == self.from_server:           # the links of one client: what comes from `far` answers what went to it
            def filtered(so_far, data, to, far=source):
                if far in self.silent:
                    self.gates.stopped.set()
                    return b""
                return self.from_server(so_far, data, to)
        super().carry(source, sink, filtered)


def reshard(c, gates, target):
    return subprocess.Popen([REDIS_CLI, "--cluster", "reshard", f"127.0.0.1:{gates.list[0].port}", "--cluster-from", c.id_of(c.nodes[0]),
                             "--cluster-to", c.id_of(target), "--cluster-slots", "1", "--cluster-pipeline", "3", "--cluster-yes"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_at(c, gates, target, number, answered):
    """The command that it was killed at, or None: it came to its end before."""
    gates.next(number, answered)
    tool = reshard(c, gates, target)
    wait_until(lambda: gates.stopped.is_set() or tool.poll() is not None, 60, "redis-cli is there, or has ended")
    ended = not gates.stopped.is_set()
    tool.kill()
    code = tool.wait(30)
    for gate in gates.list:
        gate.cut()
    true(not ended or code == 0, f"redis-cli ended with {code} behind {gates.seen}")
    return None if ended else gates.seen[number - 1]


@test("kill -9 of redis-cli --cluster reshard in front of and behind each of its commands: one fix, nothing is lost", seconds=240)
def _():
    with Cluster(3, create=False, enable_debug_command="yes") as c:
        by_hand(c)
        source, target, _ = c.nodes
        gates = Gates(c.nodes)
        try:
            for node, gate in zip(c.nodes, gates.list):
                equal(text(node, "CONFIG", "SET", "cluster-announce-port", gate.port), "OK")
            ports = {f"127.0.0.1:{g.port}" for g in gates.list}
            wait_until(lambda: all({r["address"] for r in c.table(n).values()} == ports for n in c.nodes), 60, "the gates are known")
            places, before = [], {}
            for number in range(1, STEPS_MAX):
                for answered in (False, True):
                    c.wait_ok()
                    slot = int(rows_of(c, source)[0].split("-")[0])   # the one that redis-cli will take
                    if text(source, "CLUSTER", "COUNTKEYSINSLOT", slot) == 0:
                        before.update(keys_of(c, slot))
                    where = killed_at(c, gates, target, number, answered)
                    gates.next(None, False)
                    if where is None:
                        break
                    places.append(where.split()[0 if "MIGRATE" in where else 3])
                    out = cli("--cluster", "fix", f"127.0.0.1:{gates.list[2].port}", "--cluster-yes", stdin=b"yes\n" * 20, check=False)
                    wait_until(lambda: c.agree() and not any("[" in r for n in c.nodes for r in rows_of(c, n)), 20,
                               f"nothing is open behind {where}: {out[-1500:]}")
                    equal(sum(text(n, "CLUSTER", "COUNTKEYSINSLOT", slot) for n in c.nodes), 6, f"keys behind {where}")
                if where is None:
                    break
            true(where is None, "it came to its end")
            same(whole(c), before)
            print(f"      killed at {' '.join(places)}")
            true({"IMPORTING", "MIGRATING", "MIGRATE", "NODE"} <= {p.upper() for p in places}, str(places))
        finally:
            gates.close()


def keys_of(c, number):
    return contents(Slot(c, number))


def contents(slot):
    with slot.owner.connect() as x:
        return dump.dump(x, [n.encode() for n in slot.names])


# ---- Source or target, at each SETSLOT ----

def at_each_setslot(c, first, everything):
    """Four new slots, each in front of one SETSLOT of a move, and what it is: [(slot, node, words)]."""
    slots = [Slot(c, first + i) for i in range(4)]
    for slot in slots:
        everything.update(contents(slot))
    importing, migrating, told, done = slots
    source, target = importing.owner, importing.target
    migrating.importing(target)
    for slot in (told, done):
        slot.open()
        slot.move(slot.names)
    done.set(target, "NODE", c.id_of(target))
    return [(importing, target, ("IMPORTING", c.id_of(source))), (migrating, source, ("MIGRATING", c.id_of(target))),
            (told, target, ("NODE", c.id_of(target))), (done, source, ("NODE", c.id_of(target)))]


def behind(steps, victim):
    """All four are acknowledged, and then it is killed."""
    by_node = {}
    for slot, node, words in steps:
        by_node.setdefault(node, []).append(("CLUSTER", "SETSLOT", slot.number, *words))
    for node in sorted(by_node, key=lambda n: n is victim):                  # the victim's last
        with node.connect() as x:
            equal(x.pipeline(by_node[node]), [("+", b"OK")] * 2)
    victim.kill()


def in_front(steps, victim):
    """It is killed when the commands to it have been sent and not been read; those to the other side find it dead."""
    victim.pause()
    lost = socket.create_connection(("127.0.0.1", victim.port))
    for slot, node, words in steps:
        if node is victim:
            lost.sendall(f"CLUSTER SETSLOT {slot.number} {' '.join(words)}\r\n".encode())
    victim.kill()
    lost.close()
    for slot, node, words in steps:
        if node is not victim:
            slot.set(node, *words)


@test("kill -9 of source and target in front of and behind each SETSLOT of a move: one fix, all keys on one node", seconds=240)
def _():
    with Cluster(3, create=False, enable_debug_command="yes") as c:
        by_hand(c)
        everything, first = {}, 0
        for moment in (behind, in_front):
            for victim in c.nodes[:2]:
                where = f"{moment.__name__}, {'source' if victim is c.nodes[0] else 'target'}"
                steps = at_each_setslot(c, first, everything)
                moment(steps, victim)
                victim.start()
                wait_until(lambda: c.agree() and all(c.info(n)["cluster_state"] == "ok" for n in c.nodes), 60, f"it is back ({where})")
                equal(fixes(c), 1, f"runs of fix ({where})")
                c.wait_ok(60)
                for slot, _, _ in steps:
                    counts = sorted(text(n, "CLUSTER", "COUNTKEYSINSLOT", slot.number) for n in c.nodes)
                    equal(counts, [0, 0, 6], f"keys of slot {slot.number - first} ({where})")
                equal([c.owner(slot.number) is slot.target for slot, _, _ in steps[2:]], [True, True], f"who has what had been moved ({where})")
                first += 4
        healthy(c)
        same(whole(c), everything)


@test("kill -9 of tools/cairn-cluster in the middle of a move: the source goes on and ends it")
def _():
    with Cluster(3, create=False, enable_debug_command="yes") as c:
        by_hand(c)
        source, target, _ = c.nodes
        for number in range(5):
            Slot(c, number)
        before = whole(c)
        for at in ("snapshot", "handing-over"):
            held = target if at == "handing-over" else source
            step(held, 1000)
            first = 20 * len(moves(source))
            tool = subprocess.Popen([TOOL, "move", source.address, "--to", target.address, "--range", f"{first}-{first + 19}"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_until(lambda: state(source) == at, 60, at)
            tool.kill()
            tool.wait(30)
            step(held, 0)
            equal(finished(source)["state"], "success")
            wait_until(lambda: c.agree() and c.owner(first) is target, 60, "all know the new owner")
        settled(c)
        same(whole(c), before)
