"""tls-cluster and tls-replication: a cluster whose nodes speak TLS to each other, a real Redis among them."""
import socket
import ssl

from harness.certificates import certificate, cli_words
from harness.cluster import Cluster, cli, fields
from harness.resp import ConnectionLost, show
from harness.runner import equal, test, true
from harness.server import REDIS, Server, free_port, subject_is_redis, wait_until
from harness.shards import fail_over, fill, pairs, read_back, role, sync


def streams(c):
    """Each replica streams from its master's TLS port."""
    try:
        now = pairs(c)
        for master, replica in now:
            with master.connect() as m, replica.connect() as r:
                leads, follows = fields(m.must("INFO", "replication")), fields(r.must("INFO", "replication"))
            if follows.get("master_link_status") != "up" or int(follows["master_port"]) != master.options["tls_port"] or \
                    "state=online" not in leads.get("slave0", ""):
                return False
        return len(now) == 3
    except (OSError, ConnectionLost, KeyError):
        return False


def tls_nodes(count, tls, binaries=None):
    c = Cluster(count, create=False, binaries=binaries, cluster_node_timeout="4000")
    for node in c.nodes:
        node.options.update(tls, tls_port=free_port())
    return c


def over(port, seconds=20):
    """What a plain text gets on a port: b"" or a reset, when it is refused."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        s.sendall(b"RCmb" + bytes(2256))
        try:
            return s.recv(100)
        except ConnectionResetError:
            return b""


@test("tls-cluster: six nodes, one of them a Redis, form a cluster; a master dies, comes back, and leads again", seconds=240)
def _():
    tls = certificate(tls_cluster="yes", tls_replication="yes")
    words = cli_words(tls)
    with tls_nodes(6, tls, [None] * 5 + [REDIS]) as c:
        addresses = [f"127.0.0.1:{n.options['tls_port']}" for n in c.nodes]
        cli(*words, "--cluster", "create", *addresses, "--cluster-replicas", 1, "--cluster-yes", check=False)
        c.wait_ok()                               # its own look at the end may come too early for gossip on a busy machine
        wait_until(lambda: streams(c), 60, "all replicas stream")
        fill(c)
        lines = "".join(f"SET tls:{i} {i}\n" for i in range(100))
        out = cli(*words, "-c", "-p", c.nodes[0].options["tls_port"], stdin=lines.encode())
        equal(out.count("OK"), 100, "writes through redirections to TLS ports")
        if not subject_is_redis():
            true(not over(c.nodes[0].options["tls_port"] + 10000).startswith(b"RCmb"), "the bus answers no plain message")
        master, replica = next((m, r) for m, r in pairs(c) if not m.is_redis and not r.is_redis and m is not c.nodes[0])
        sync(master, replica)
        master.kill()
        wait_until(lambda: role(replica) == "master", 60, "the replica leads")
        wait_until(lambda: c.info(c.nodes[0])["cluster_state"] == "ok", 60, "the cluster's state")
        read_back(c.nodes[0].port)
        master.start()
        wait_until(lambda: role(master) == "slave", 60, "the old master follows")
        c.wait_ok()
        wait_until(lambda: streams(c), 60, "all replicas stream again")
        fail_over(master)
        c.wait_ok()
        wait_until(lambda: streams(c), 60, "all replicas stream after a planned failover")
        read_back(c.nodes[0].port)
        equal([role(n) for n in c.nodes].count("master"), 3)


@test("tls-cluster: the bus believes nobody without the right certificate, and a node that speaks plain stays outside", seconds=120)
def _():
    if subject_is_redis():
        return
    tls, other = certificate(tls_cluster="yes"), certificate(tls_cluster="yes")
    with tls_nodes(2, tls) as c, Server(cluster=True, tls_port=free_port(), **other) as stranger, Server(cluster=True) as plain:
        a, b = c.nodes
        bus = a.options["tls_port"] + 10000
        silent = socket.create_connection(("127.0.0.1", bus), timeout=60)
        with a.connect() as x:
            for node in (stranger, plain):
                port = node.options.get("tls_port", node.port)
                equal(show(x.command("CLUSTER", "MEET", "127.0.0.1", port, port + 10000)), "+OK")
            x.must("CLUSTER", "MEET", "127.0.0.1", b.options["tls_port"], b.options["tls_port"] + 10000)
        wait_until(lambda: len([r for r in c.table(a).values() if "handshake" not in r["flags"]]) == 2 and len(c.table(a)) == 2, 60,
                   "the one that is believed is a member, and the others are forgotten")
        equal([c.info(n)["cluster_known_nodes"] for n in (stranger, plain)], ["1", "1"])
        wait_until(lambda: "bus_tls_failed" in a.log_tail(100), 30, "the log tells why")
        # A client without a certificate.
        context = ssl.create_default_context(cafile=tls["tls_ca_cert_file"])
        context.check_hostname = False
        with socket.create_connection(("127.0.0.1", bus), timeout=60) as s:
            try:
                with context.wrap_socket(s) as t:
                    equal(t.recv(10), b"", "what the bus says to one without a certificate")
            except (ssl.SSLError, ConnectionError):
                pass
        context.load_cert_chain(tls["tls_cert_file"], tls["tls_key_file"])
        with socket.create_connection(("127.0.0.1", bus), timeout=60) as s, context.wrap_socket(s) as t:
            t.settimeout(0.5)
            try:
                equal(t.recv(10), "nothing", "to one with a certificate")
            except TimeoutError:
                pass
        # Certificates are read again; what cannot be changed under way says so.
        with a.connect() as x:
            equal(show(x.command("CONFIG", "SET", "tls-ca-cert-file", "/nonexistent"))[:4], "-ERR")
            equal(show(x.command("CONFIG", "SET", "tls-cluster", "no"))[:4], "-ERR")
            x.must("CONFIG", "SET", "tls-cert-file", other["tls_cert_file"], "tls-key-file", other["tls_key_file"],
                   "tls-ca-cert-file", other["tls_ca_cert_file"])
            x.must("CLUSTER", "MEET", "127.0.0.1", stranger.options["tls_port"], stranger.options["tls_port"] + 10000)
        wait_until(lambda: c.info(stranger)["cluster_known_nodes"] != "1", 60, "it is believed now")
        with silent:
            equal(silent.recv(10), b"", "the end of a handshake that did not begin")
