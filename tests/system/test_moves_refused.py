"""What is not done while slots move as a whole, and who says so: a CANCELSLOTMIGRATIONS that comes too late, other commands about the
slots and the nodes of a job, commands that empty a node. Behind a cancel all of it works."""
import time

from harness.cluster import Cluster, cli
from harness.moving import ENDED, as_text, dropped, fill, finished, moves, rows_of, same, start, state, text, whole
from harness.moving_load import settled, step
from harness.runner import equal, test, true
from harness.server import wait_until

TOO_LATE = "-ERR Too late to cancel"
CANCEL = "CLUSTER CANCELSLOTMIGRATIONS at"


def cancel(node):
    return text(node, "CLUSTER", "CANCELSLOTMIGRATIONS")


def held(c, source, target, *ranges):
    """A migration that has marked the slots at the target, and stays as it is until step(source, 0)."""
    step(source, 500)                          # each step takes so long
    start(c, source, target, *ranges)
    wait_until(lambda: state(source) not in (None, "starting"), 30, "the target takes part")
    step(source, 60000)
    true(state(source) in ("snapshot", "streaming"), str(moves(source)[0]))


def cancelled(source, target):
    equal(cancel(source), "OK")
    equal(finished(source)["state"], "cancelled")
    step(source, 0)
    wait_until(lambda: state(target) in (None, "failed"), 30, "the target knows")


@test("CANCELSLOTMIGRATIONS answers OK if the migration will not succeed, and an error if the target decides")
def _():
    with Cluster(3, enable_debug_command="yes") as c:
        fill(c, 100)
        a, b, _ = c.nodes
        before, said = whole(c), set()
        for number in range(20):
            step(b, 1500)                      # FINISH takes so long there
            start(c, a, b, (200 * number, 200 * number + 9))
            wait_until(lambda: state(a) == "handing-over", 30, "the end of it", step=0.001)
            if number % 3 > 0:
                time.sleep(0.3)                # FINISH has left, most likely; the answer is true in any case
            if number % 3 == 2:                # another one beside it, which has not begun
                step(a, 60000)
                start(c, a, b, (200 * number + 20, 200 * number + 29))
            reply, told = cancel(a), {}
            step(a, 0)
            wait_until(lambda: all(m["state"] in ENDED for m in moves(a)), 30, "all end")
            told = [m["state"] for m in moves(a)[:1 + (number % 3 == 2)]]
            if reply == "OK":
                true("cancelled" in told and told[0] == "cancelled", f"{number}: {told}")
            elif reply == "-ERR No migrations ongoing":
                equal(told, ["success"], str(number))
            else:
                true(reply.startswith(TOO_LATE) and told[-1] == "success", f"{number}: {reply} {told}")
                equal(f"Cancelled: {len(told) - 1}" in reply and told[:-1] == ["cancelled"] * (len(told) - 1), True, f"{reply} {told}")
            said.add((reply.split(" migrations")[0], len(told)))
            if said >= {(TOO_LATE + " 1 of 1", 1), (TOO_LATE + " 1 of 2", 2)}:
                break
        true(said >= {(TOO_LATE + " 1 of 1", 1), (TOO_LATE + " 1 of 2", 2)}, str(said))
        step(b, 0)
        settled(c)
        same(before, whole(c), expiry_tolerance_ms=0)


@test("slots that move as a whole are not moved, given away or forgotten otherwise; redis-cli says why, and behind a cancel it works")
def _():
    with Cluster(3, enable_debug_command="yes") as c:
        fill(c, 200)
        a, b, d = c.nodes
        before, ids = whole(c), [c.id_of(n) for n in c.nodes]
        held(c, a, b, (0, 9), (20, 29))
        for node in (a, b):
            for words in (("SETSLOT", 5, "MIGRATING", ids[1]), ("SETSLOT", 5, "IMPORTING", ids[2]), ("SETSLOT", 25, "NODE", ids[2]),
                          ("SETSLOT", 0, "STABLE"), ("DELSLOTS", 4000, 9), ("DELSLOTSRANGE", 10, 20), ("FLUSHSLOTS",), ("RESET",),
                          ("RESET", "HARD"), ("REPLICATE", ids[2])):
                true(CANCEL in text(node, "CLUSTER", *words), f"{words}: {text(node, 'CLUSTER', *words)}")
            true(text(node, "CLUSTER", "ADDSLOTS", 5).startswith("-ERR Slot 5 is already busy"), "ADDSLOTS")
            equal(text(node, "CLUSTER", "SETSLOT", 16384, "STABLE"), "-ERR Invalid or out of range slot")
        true(CANCEL in text(a, "CLUSTER", "FORGET", ids[1]), "the target")
        true(CANCEL in text(b, "CLUSTER", "FORGET", ids[0]), "the source")
        with a.connect() as x:
            x.pipeline([("MULTI",), ("CLUSTER", "SETSLOT", 5, "MIGRATING", ids[1])])
            true(CANCEL in as_text(x.command("EXEC"))[0], "in a transaction")
        equal(text(a, "CLUSTER", "SETSLOT", 10, "MIGRATING", ids[1]), "OK")   # others are free
        equal(text(a, "CLUSTER", "SETSLOT", 10, "STABLE"), "OK")
        out = cli("--cluster", "reshard", d.address, "--cluster-from", ids[0], "--cluster-to", ids[2], "--cluster-slots", "3",
                  "--cluster-yes", check=False)
        true(CANCEL in out, out[-1500:])
        cli("--cluster", "fix", d.address, "--cluster-yes", check=False)      # of what reshard left open
        wait_until(lambda: not any("[" in r for n in c.nodes for r in rows_of(c, n)), 30, "nothing is open")
        true(state(a) in ("snapshot", "streaming"), str(moves(a)[0]))
        cancelled(a, b)
        dropped(c, b, (0, 29))
        c.wait_ok()
        cli("--cluster", "reshard", d.address, "--cluster-from", ids[0], "--cluster-to", ids[2], "--cluster-slots", "3", "--cluster-yes")
        wait_until(lambda: c.agree() and c.owner(2) is d and c.owner(3) is a, 30, "it is done")
        settled(c)
        same(before, whole(c))
        held(c, a, b, (20, 29))
        cancelled(a, b)
        equal(text(a, "CLUSTER", "FORGET", ids[1]), "OK")


@test("FLUSHALL at the source of a migration ends it while the log is sent, and waits while the target is asked to take the slots")
def _():
    with Cluster(3, enable_debug_command="yes") as c:
        a, b, _ = c.nodes
        for at, held_by in (("streaming", a), ("handing-over", b)):
            with a.connect() as x:
                for i in range(2000):
                    x.command("SET", f"k{i}", "1")
                true(x.must("DBSIZE") > 500, "keys")
            step(held_by, 700)
            start(c, a, b, (0, 999))
            wait_until(lambda: state(a) == at, 30, at, step=0.01)
            time.sleep(0.1)                    # writes wait, most likely
            equal(text(a, "FLUSHALL"), "OK")
            told = finished(a)
            step(held_by, 0)
            equal(text(a, "DBSIZE"), 0)
            if at == "streaming" or told["state"] != "success":
                equal((told["state"], told["message"]), ("failed", "the database was emptied here meanwhile"))
                dropped(c, b, (0, 999))
        settled(c)
        true(c.owner(0) is (b if told["state"] == "success" else a), str(told))
        equal(text(b, "DBSIZE"), told["keys"] if told["state"] == "success" else 0)
