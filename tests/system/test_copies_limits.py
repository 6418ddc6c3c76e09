"""What half a copy may not do, and what a copy needs: a replica that is half full does not lead; no room, no copy."""
import os
import subprocess
import time

from harness.cluster import Cluster
from harness.features import needs
from harness.proxy import Proxy
from harness.replicas import same_data, wait_linked
from harness.resp import plain
from harness.runner import equal, skip, test, true
from harness.server import Server, subject_is_redis, wait_until
from harness.shards import TIMEOUT_MS, role
from test_copies import attach, bulk, figure, received
from test_faults import small_disk

SLOW = 3000000                                # bytes a second


def votes_asked(c, node):
    return int(c.info(node).get("cluster_stats_messages_auth-req_sent", 0))


def reached(c, node, master, port):
    """Node knows the master under this port."""
    return c.table(node).get(c.id_of(master), {}).get("address") == f"127.0.0.1:{port}"


def joins(c, master, proxy):
    """A new replica of a master, through the proxy, as the others know it too."""
    node = c.add_server(cluster_node_timeout=str(TIMEOUT_MS))
    with c.nodes[0].connect() as x:
        x.must("CLUSTER", "MEET", "127.0.0.1", node.port)
    name = c.id_of(master)
    wait_until(lambda: reached(c, node, master, proxy.port) and c.id_of(node) in c.table(c.nodes[0]) and
               len(c.table(node)) == len(c.nodes), 60, "the new node knows the others")
    with node.connect() as x:
        x.must("CLUSTER", "REPLICATE", name)
    wait_until(lambda: all(c.table(n).get(c.id_of(node), {}).get("master") == name for n in c.nodes[:3]), 60,
               "everybody knows whose replica it is")
    return node


def through(c, master):
    """A proxy that replicas are sent to."""
    proxy = Proxy(master.port)
    with master.connect() as x:
        x.must("CONFIG", "SET", "cluster-announce-port", proxy.port)
    wait_until(lambda: all(reached(c, n, master, proxy.port) for n in c.nodes), 60, "everybody knows the proxy")
    return proxy


def half(node):
    wait_until(lambda: received(node) > SLOW, 60, "a part of the copy", step=0.01)
    info = node.info("replication")
    equal([info["master_sync_in_progress"], info["role"]], ["1", "slave"])


@test("a replica in the middle of its first copy is not elected: its shard stays down, or another replica wins", seconds=240)
def _():
    needs("replication")
    if subject_is_redis():
        return
    with Cluster(3, cluster_node_timeout=str(TIMEOUT_MS)) as c:
        master = c.nodes[1]
        tag = c.tags_of(master)[0]
        with master.connect() as x:
            for i in range(24):
                x.pipeline([("SET", f"{{{tag}}}{i}:{j}", os.urandom(8192)) for j in range(128)])
        count = 24 * 128

        def keys(node):
            with node.connect() as x:
                x.must("READONLY")
                return x.must("DBSIZE")
        with through(c, master) as proxy:
            proxy.rate = SLOW
            first = joins(c, master, proxy)
            half(first)
            master.kill()
        wait_until(lambda: "fail" in c.table(c.nodes[0])[c.table(first)[c.id_of(first)]["master"]]["flags"], 60, "the master failed")
        time.sleep(3 * TIMEOUT_MS / 1000)
        equal([role(first), votes_asked(c, first), c.info(c.nodes[0])["cluster_state"]], ["slave", 0, "fail"])
        master.start()
        c.wait_ok()
        wait_linked(first)
        equal(keys(first), count)
        with through(c, master) as proxy:
            proxy.rate = SLOW
            second = joins(c, master, proxy)
            half(second)
            second.restart(kill=True)
            wait_until(lambda: figure(second, "master_sync_resumed") == 1, 60, "it goes on with what it has")
            half(second)
            master.kill()
        wait_until(lambda: role(first) == "master", 60, "the whole one leads")
        wait_until(lambda: second.info("replication").get("master_port") == str(first.port), 60, "the other one follows it")
        wait_linked(second)
        equal([keys(first), keys(second), votes_asked(c, second)], [count, count, 0])
        equal(os.path.exists(os.path.join(second.folder, "receive")), False, "the half copy of the old master")


class Disk:
    """A server's folder on a small disk, of which a part can be taken away."""

    def __init__(self, megabytes):
        self.folder = small_disk(megabytes)

    def leave(self, megabytes):
        """So much is free, from here on."""
        status = os.statvfs(self.folder)
        free = status.f_bavail * status.f_frsize
        with open(os.path.join(self.folder, "filler"), "ab") as f:
            os.posix_fallocate(f.fileno(), f.tell(), max(1, free - (megabytes << 20)))

    def free(self):
        os.unlink(os.path.join(self.folder, "filler"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.folder], check=False)


@test("a master with little disk makes no checkpoint, gives up what it holds, and copies when there is room again", seconds=180)
def _():
    needs("replication")
    if subject_is_redis():
        skip("Redis needs no room for a copy")
    with Disk(384) as disk, Server(folder=disk.folder, maxmemory="64mb", disk_free_min="64mb") as primary, Server() as replica, \
            Proxy(primary.port) as proxy:
        bulk(primary, 24)
        disk.leave(32)
        wait_until(lambda: "log_space_low=1" in primary.log_tail(100), 60, "it notices")
        began = time.monotonic()
        attach(replica, proxy.port)
        wait_until(lambda: figure(primary, "copies_refused") >= 3, 60, "it refuses")
        seconds = time.monotonic() - began
        true(figure(primary, "copies_refused") <= seconds + 2, "once a second at most")
        equal([figure(primary, n) for n in ("copies_by_files", "copy_checkpoints", "copies_waiting")], [0, 0, 1])
        true("wait_bgsave" in primary.info("replication")["slave0"], "the replica waits")
        equal(proxy.links, 1, "on one link")
        proxy.rate = SLOW
        disk.free()
        wait_until(lambda: received(replica) > SLOW, 60, "the copy")
        disk.leave(32)
        wait_until(lambda: figure(primary, "copy_checkpoints") == 0, 60, "what it held is given up")
        with primary.connect() as c:
            equal(len(plain(c.command("GET", "bulk:3:3"))), 8192, "reads go on")
        proxy.rate = 0
        disk.free()
        wait_linked(replica, 120)
        same_data(replica, primary)


@test("a replica without room begins no copy, serves what it has, and asks less and less often", seconds=180)
def _():
    needs("replication")
    if subject_is_redis():
        skip("Redis needs no room for a copy")
    with Disk(256) as disk, Server() as primary, Server(folder=disk.folder, maxmemory="64mb", disk_free_min="64mb") as replica:
        bulk(primary, 24)
        with replica.connect() as c:
            c.must("SET", "old", "data")
        disk.leave(80)                                    # enough to write, too little for 24 MB more
        began = time.monotonic()
        attach(replica, primary.port)
        wait_until(lambda: replica.log_tail(100).count("the copy has ") >= 3, 60, "it refuses")
        equal(os.path.exists(os.path.join(replica.folder, "receive")), False, "files of a copy")
        time.sleep(max(0, 8 - (time.monotonic() - began)))
        with open(replica.log_path) as f:
            asked = f.read().count("the copy has ")
        true(asked <= 3 + (time.monotonic() - began) / 4, f"{asked} times in {time.monotonic() - began:.0f} s")
        with replica.connect() as c:
            equal(plain(c.command("GET", "old")), b"data")
        disk.free()
        wait_linked(replica, 120)
        same_data(replica, primary)
