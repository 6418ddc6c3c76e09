"""What a cluster does about shards that lose nodes: WAIT, replicas that move to masters without one, and the options that say
what goes on while slots are not served."""
import time

from harness.cluster import Cluster, cli
from harness.resp import show
from harness.runner import equal, test, true
from harness.server import wait_until
from harness.shards import TIMEOUT_MS, Confirmed, nothing_lost, pairs, ready, role, settled, six, stop_all

T = TIMEOUT_MS / 1000


def set_all(nodes, name, value):
    for node in nodes:
        with node.connect() as c:
            c.must("CONFIG", "SET", name, value)


def stays(condition, seconds, what):
    """The condition holds all the time. What must not happen can only be waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        true(condition(), what)
        time.sleep(0.1)


def kill(c, node):
    """kill -9; returns when all others hold it as failing."""
    name = c.id_of(node)
    node.kill()
    wait_until(lambda: all("fail" in c.table(n)[name]["flags"] for n in c.nodes if n.process.poll() is None), 60,
               f"{node.address} fails")


@test("with WAIT 1 and a master killed with kill -9 nothing acknowledged is lost", seconds=240)
def _():
    with six() as c:
        ready(c)
        writers = [Confirmed(c.nodes, tag) for master, _ in pairs(c) for tag in c.tags_of(master, 2)]
        for w in writers:
            w.start()
        try:
            for turn in range(4):
                counts = [len(w.confirmed) for w in writers]
                master, replica = pairs(c)[turn % 3]
                wait_until(lambda: all(len(w.confirmed) > n + 20 for w, n in zip(writers, counts)), 60, "everybody writes")
                master.kill()
                wait_until(lambda: role(replica) == "master", 60, "the replica leads")
                counts = [w.next for w in writers]
                c.wait_ok()
                master.start()
                wait_until(lambda: settled(c), 60, "every replica streams")
                wait_until(lambda: all(w.next > n + 20 for w, n in zip(writers, counts)), 60, "everybody writes")
        finally:
            stop_all(writers)
        wait_until(lambda: settled(c), 60, "every replica streams")
        print(f"      {sum(len(w.confirmed) for w in writers)} confirmed of {sum(w.next for w in writers)} writes")
        nothing_lost(c, writers)


@test("a master that lost its replica gets one of another master's, as barrier and switch allow", seconds=300)
def _():
    with six() as c:
        spare = c.add_server(cluster_node_timeout=str(TIMEOUT_MS))
        wait_until(lambda: len(pairs(c)) == 3, 60, "three pairs")
        (rich, _), (poor, only), _ = pairs(c)
        cli("--cluster", "add-node", spare.address, c.nodes[0].address, "--cluster-slave", "--cluster-master-id", c.id_of(rich))
        wait_until(lambda: len(pairs(c)) == 4, 60, "four replicas")
        wait_until(lambda: all(len(c.table(n)) == 7 for n in c.nodes), 60, "seven nodes known everywhere")
        c.wait_ok()
        with rich.connect() as x:
            wait_until(lambda: b"connected_slaves:2\r" in x.must("INFO", "replication"), 60, "two replicas")
        set_all(c.nodes, "cluster-migration-barrier", "2")
        first = {r.port for m, r in pairs(c) if m is rich}
        equal(len(first), 2)
        kill(c, only)

        def moved():
            return [n for n in c.nodes if n.port in first and c.table(n)[c.id_of(n)]["master"] == c.id_of(poor)]
        stays(lambda: not moved(), 8, "a replica moved although its master would keep only one of two")
        set_all([n for n in c.nodes if n is not only], "cluster-allow-replica-migration", "no")
        set_all([n for n in c.nodes if n is not only], "cluster-migration-barrier", "1")
        stays(lambda: not moved(), 8, "a replica moved although that is switched off")
        set_all([n for n in c.nodes if n is not only], "cluster-allow-replica-migration", "yes")
        wait_until(moved, 60, "a replica moves to the master without one")
        mover = moved()[0]
        wait_until(lambda: b"master_link_status:up" in _replication(mover), 60, "it streams from there")
        stays(lambda: len(moved()) == 1, 7, "both moved")
        # It is a replica in full: the master dies, and it takes over.
        kill(c, poor)
        wait_until(lambda: role(mover) == "master", 60, "the one that moved leads")
        c.wait_ok()


def _replication(node):
    with node.connect() as x:
        return x.must("INFO", "replication")


@test("cluster-require-full-coverage no: slots of living masters are served while others are not", seconds=180)
def _():
    with Cluster(3, cluster_node_timeout=str(TIMEOUT_MS)) as c:
        dead = c.nodes[2]
        here, away = c.tags_of(c.nodes[0])[0], c.tags_of(dead)[0]
        with c.nodes[0].connect() as x:
            x.must("SET", here, "1")
            kill(c, dead)
            wait_until(lambda: show(x.command("GET", here)) == "-CLUSTERDOWN The cluster is down", 30, "nothing is served")
            set_all(c.nodes[:2], "cluster-require-full-coverage", "no")
            wait_until(lambda: show(x.command("GET", here)) == '"1"', 60, "the living master's slots are served")
            equal(show(x.command("SET", here, "2")), "+OK")
            equal(c.info(c.nodes[0])["cluster_state"], "ok")
            answer = show(x.command("SET", away, "1"))
            true(answer.startswith(("-MOVED ", "-CLUSTERDOWN ")), f"a slot of the dead one: {answer}")
            set_all(c.nodes[:2], "cluster-require-full-coverage", "yes")
            wait_until(lambda: show(x.command("SET", here, "3")) == "-CLUSTERDOWN The cluster is down", 60, "nothing is served")
        dead.start()
        c.wait_ok()
        with c.nodes[0].connect() as x:
            wait_until(lambda: show(x.command("GET", here)) == '"2"', 60, "all is served again")


@test("cluster-allow-reads-when-down yes: reads go on where the slots are, writes do not", seconds=180)
def _():
    with Cluster(3, cluster_node_timeout=str(TIMEOUT_MS)) as c:
        here = c.tags_of(c.nodes[0])[0]
        with c.nodes[0].connect() as x:
            x.must("SET", here, "1")
            kill(c, c.nodes[2])
            wait_until(lambda: show(x.command("GET", here)) == "-CLUSTERDOWN The cluster is down", 30, "nothing is served")
            set_all(c.nodes[:2], "cluster-allow-reads-when-down", "yes")
            wait_until(lambda: show(x.command("GET", here)) == '"1"', 30, "reads are served")
            equal(show(x.command("SET", here, "2")), "-CLUSTERDOWN The cluster is down and only accepts read commands")
            x.must("MULTI")
            x.must("GET", here)
            equal(show(x.command("EXEC")), '["1"]')
            set_all(c.nodes[:2], "cluster-allow-reads-when-down", "no")
            equal(show(x.command("GET", here)), "-CLUSTERDOWN The cluster is down")
        c.nodes[2].start()
        c.wait_ok()


@test("cluster-replica-no-failover yes: the replica waits until it may", seconds=180)
def _():
    with six(cluster_replica_no_failover="yes") as c:
        ready(c)
        master, replica = pairs(c)[0]
        kill(c, master)
        with replica.connect() as r:
            stays(lambda: r.must("ROLE")[0] == b"slave", 4 * T, "it took over although it may not")
            r.must("CONFIG", "SET", "cluster-replica-no-failover", "no")
            wait_until(lambda: r.must("ROLE")[0] == b"master", 60, "it leads")
        c.wait_ok()
