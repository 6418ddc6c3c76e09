"""Slots that move as a whole between Cairn masters while Redis masters and replicas are in the cluster."""
from harness import dump
from harness.cluster import Cluster, cli
from harness.moving import dropped, fill, healthy, move, moves, open_slot, same, text, whole
from harness.runner import equal, skip, test, true
from harness.server import REDIS, subject_is_redis, wait_until
from harness.shards import complaints


def links(node):
    """{(direction, peer's id): when it was made}, as CLUSTER LINKS tells."""
    with node.connect() as x:
        rows = [dict(zip(r[::2], r[1::2])) for r in x.must("CLUSTER", "LINKS")]
    return {(r[b"direction"], r[b"node"]): r[b"create-time"] for r in rows}


def quiet(nodes, made):
    for node in nodes:
        equal(links(node), made[node], f"the links of {node.address}, a Redis")
        equal(complaints(node), [], f"the log of {node.address}, a Redis")


def replica_for(c, master):
    """A Redis that follows this Cairn master."""
    node = c.add_server(binary=REDIS, repl_diskless_sync_delay="0")
    cli("--cluster", "add-node", node.address, c.nodes[0].address, "--cluster-slave", "--cluster-master-id", c.id_of(master))
    wait_until(lambda: node.info("replication").get("master_link_status") == "up", 60, "it streams")
    return node


def follows(c, master, replica):
    """The replica's data are its master's."""
    def same_now():
        with master.connect() as m, replica.connect() as r:
            r.must("READONLY")
            try:
                return not dump.differences(dump.dump(r), dump.dump(m))
            except KeyError as e:                 # it still has a key of a slot that it knows to be another's
                if "MOVED" not in str(e):
                    raise
                return False
    wait_until(same_now, 60, f"{replica.address} has what its master {master.address} has")


@test("CLUSTER MIGRATESLOTS between Cairn masters among Redis masters and replicas: Redis follows, and keeps its links")
def _():
    if subject_is_redis():
        skip("the server under test is a real Redis itself")
    with Cluster(4, binaries=[None, REDIS, None, REDIS]) as c:
        a, first, b, second = c.nodes
        fill(c, 600)
        replicas = [(a, replica_for(c, a)), (b, replica_for(c, b))]
        c.wait_ok()
        wait_until(lambda: all(len(links(n)) == 10 for n in c.nodes if n.is_redis), 30, "links to and from all")
        theirs = [n for n in c.nodes if n.is_redis]
        before, made = whole(c), {n: links(n) for n in theirs}
        start, end, *_ = c.slot_map(a)[0]
        told = move(c, a, b, (start, start + 1500))
        true(told["keys"] > 30, str(told))
        dropped(c, a, (start, start + 1500))
        same(before, whole(c), expiry_tolerance_ms=0)
        for master, replica in replicas:
            follows(c, master, replica)
        open_slot(c, a, b, end)                   # what the stream says of it is for Cairn's replicas
        equal(text(a, "CLUSTER", "SETSLOT", end, "STABLE"), "OK")
        equal(text(b, "CLUSTER", "SETSLOT", end, "STABLE"), "OK")
        quiet(theirs, made)
        # A Redis can neither send nor take slots so.
        true(text(first, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 5000, 5000, "NODE", c.id_of(b)).startswith("-ERR unknown subcommand"), "")
        equal(text(a, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", end, end, "NODE", c.id_of(second)), "OK")
        wait_until(lambda: moves(a)[0]["state"] == "failed", 60, "it ends")
        true("unknown subcommand 'SYNCSLOTS'" in moves(a)[0]["message"], moves(a)[0]["message"])
        same(before, whole(c), expiry_tolerance_ms=0)
        move(c, b, a, (start, start + 1500))
        for master, replica in replicas:
            follows(c, master, replica)
        same(before, whole(c), expiry_tolerance_ms=0)
        healthy(c)
        quiet([n for n in theirs if n is not second], made)
