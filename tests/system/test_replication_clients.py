"""What clients and operators see of replication: ROLE, INFO, gates, WAIT, WAITAOF, the link as a client, FAILOVER, redis-cli,
passwords and TLS."""
import os
import signal
import subprocess
import time

from harness.certificates import certificate
from harness.features import needs
from harness.replicas import follow, same_data, wait_caught_up, wait_linked
from harness.resp import ConnectionLost, plain, show
from harness.runner import equal, test, true
from harness.server import REDIS_CLI, Server, free_port, redis, subject_is_redis, temporary_folder, wait_until


def clients_of(connection):
    """CLIENT LIST as dictionaries."""
    lines = connection.must("CLIENT", "LIST").decode().split("\n")
    return [dict(word.split("=", 1) for word in line.split(" ")) for line in lines if line]


def blocked(server):
    return int(server.info("clients")["blocked_clients"])


@test("ROLE, INFO, READONLY, MASTERDOWN, NOREPLICAS and CLIENT LIST tell about replication", seconds=90)
def _():
    needs("replication")
    file_says = {} if subject_is_redis() else {"replica_read_only": "no"}
    with Server(**file_says) as primary, Server() as replica:
        follow(replica, primary)
        wait_until(lambda: primary.info("replication").get("slave0", "").count("state=online"), 10, "an online replica")
        with primary.connect() as p, replica.connect() as r:
            p.must("SET", "a", 1)
            equal(p.must("WAIT", 1, 20000), 1)
            equal(plain(r.command("GET", "a")), b"1")
            equal(r.command("SET", "a", 2)[1], b"READONLY You can't write against a read only replica.")
            if not subject_is_redis():
                refusal = r.command("CONFIG", "SET", "replica-read-only", "no")
                true(refusal[0] == "-" and b"a replica cannot be written to" in refusal[1], str(refusal))
                equal(plain(r.command("CONFIG", "GET", "replica-read-only")), [b"replica-read-only", b"yes"])
                equal(plain(p.command("CONFIG", "GET", "replica-read-only")), [b"replica-read-only", b"yes"])
            role = plain(p.command("ROLE"))
            equal([role[0], role[2][0][:2]], [b"master", [b"127.0.0.1", str(replica.port).encode()]])
            role = plain(r.command("ROLE"))
            equal(role[:4], [b"slave", b"127.0.0.1", primary.port, b"connected"])
            equal(plain(r.command("CONFIG", "GET", "replicaof")), [b"replicaof", f"127.0.0.1 {primary.port}".encode()])
            equal(plain(p.command("CONFIG", "GET", "replicaof")), [b"replicaof", b""])
            true(b" flags=S " in p.must("CLIENT", "LIST"), "the replica's flag in CLIENT LIST")
            equal(p.must("REPLICAOF", "NO", "ONE"), b"OK")
            equal(plain(r.command("REPLICAOF", "127.0.0.1", primary.port)), b"OK Already connected to specified master")
            equal(r.command("REPLICAOF", "127.0.0.1", "99999")[1], b"ERR Invalid master port")
            true(r.command("WAIT", 0, 0)[1].startswith(b"ERR WAIT cannot be used with replica instances."), "WAIT")
            p.must("CONFIG", "SET", "min-replicas-to-write", 2)
            equal(p.command("SET", "a", 2)[1], b"NOREPLICAS Not enough good replicas to write.")
            p.must("CONFIG", "SET", "min-replicas-max-lag", 0)
            p.must("SET", "a", 2)
            true("min_slaves_good_slaves" not in primary.info("replication"), "a line about good replicas")
            p.must("CONFIG", "SET", "min-replicas-max-lag", 10)
            p.must("CONFIG", "SET", "min-replicas-to-write", 1)
            wait_until(lambda: p.command("SET", "a", 2)[0] == "+", 10, "a good replica")
            r.must("CONFIG", "SET", "replica-serve-stale-data", "no")
            primary.kill()
            wait_until(lambda: r.command("GET", "a")[1] == b"MASTERDOWN Link with MASTER is down and "
                       b"replica-serve-stale-data is set to 'no'.", 10, "MASTERDOWN")
            equal(replica.info("replication")["master_link_status"], "down")


@test("clients in WAIT hold nothing: they are listed, unblocked, time out and disconnect like those in BLPOP", seconds=90)
def _():
    needs("replication")
    with Server() as primary:
        waiting = [primary.connect() for _ in range(300)]
        identities = [w.must("CLIENT", "ID") for w in waiting[:2]]
        with primary.connect() as c:
            for w in waiting:
                w.send("SET", "a", 1)
                w.send("WAIT", 1, 0)
            for w in waiting:
                equal(w.read()[1], b"OK")
            wait_until(lambda: blocked(primary) == len(waiting), 20, "all of them to wait")
            # What needs threads that may wait goes on.
            c.pipeline([("SET", f"k:{i}", i) for i in range(100)])
            equal(len(c.must("KEYS", "k:*")), 100)
            equal(sum(l["flags"] == "b" and l["cmd"] == "wait" for l in clients_of(c)), len(waiting))
            equal(c.must("CLIENT", "UNBLOCK", identities[0]), 1)
            equal(c.must("CLIENT", "UNBLOCK", identities[1], "ERROR"), 1)
            equal(waiting[0].read(), (":", 0))
            equal(waiting[1].read()[1], b"UNBLOCKED client unblocked via CLIENT UNBLOCK")
            equal(c.must("CLIENT", "UNBLOCK", identities[0]), 0)
            waiting[0].must("SET", "a", 2)                    # the connection goes on
            for w in waiting[2:]:
                w.close()
            wait_until(lambda: blocked(primary) == 0, 20, "the clients that have gone")
            equal(c.must("WAIT", 1, 50), 0)
            stats = primary.info("commandstats")["cmdstat_wait"]
            calls, failed = (dict(f.split("=") for f in stats.split(","))[name] for name in ("calls", "failed_calls"))
            if not subject_is_redis():                        # Redis 7.0 also counts those that have gone
                equal([calls, failed], ["3", "1"], "calls that ended with an answer")
            # Where nothing may block it answers at once.
            equal(c.pipeline([("MULTI",), ("WAIT", 1, 0), ("EXEC",)])[2][1], [(":", 0)])
            equal(c.command("WAIT", 1, -1)[1], b"ERR timeout is negative")


@test("WAIT ends when the replica has the write, with the master's demotion, and sees only its own client's writes", seconds=90)
def _():
    needs("replication")
    with Server() as primary, Server() as replica:
        follow(replica, primary)
        wait_until(lambda: primary.info("replication").get("slave0", "").count("state=online"), 20, "an online replica")
        with primary.connect() as p, primary.connect() as other:
            replica.pause()
            try:
                p.must("SET", "a", 1)
                p.send("WAIT", 1, 0)
                wait_until(lambda: blocked(primary) == 1, 20, "WAIT")
                equal(other.must("WAIT", 1, 0), 1, "a client that wrote nothing")
            finally:
                os.kill(replica.process.pid, signal.SIGCONT)
            equal(p.read(), (":", 1))
            wait_until(lambda: blocked(primary) == 0, 20, "nobody waits")
            p.send("WAIT", 5, 0)
            wait_until(lambda: blocked(primary) == 1, 20, "WAIT")
            other.must("REPLICAOF", "127.0.0.1", replica.port)
            equal(p.read()[1], b"UNBLOCKED force unblock from blocking operation, instance state changed "
                               b"(master -> replica?)")
            try:
                p.command("PING")
                raise AssertionError("who waited for what a master does is disconnected")
            except (ConnectionLost, OSError):
                pass


@test("the link to the primary is a client with the flag M, and CLIENT KILL TYPE MASTER cuts it", seconds=60)
def _():
    needs("replication")
    with Server() as primary, Server() as replica:
        follow(replica, primary)
        with replica.connect() as r, primary.connect() as p:
            p.must("SET", "a", 1)
            p.must("WAIT", 1, 30000)
            link, = [l for l in clients_of(r) if l["flags"] == "M"]
            equal([link["addr"], link["user"]], [f"127.0.0.1:{primary.port}", "(superuser)"])
            equal(len([l for l in clients_of(p) if l["flags"] == "S" and l["cmd"] == "replconf"]), 1)
            listed = r.must("CLIENT", "LIST", "TYPE", "master").decode()
            equal(listed.count("flags=M"), 1)
            equal(r.must("CLIENT", "KILL", "TYPE", "master"), 1)
            if not subject_is_redis():                        # which gives the next link the same id
                wait_until(lambda: [l["id"] for l in clients_of(r) if l["flags"] == "M"] not in ([], [link["id"]]), 20,
                           "another link")
            p.must("SET", "a", 2)
            equal(p.must("WAIT", 1, 30000), 1)


@test("WAITAOF counts replicas that have the write on stable storage", seconds=60)
def _():
    needs("replication")
    with Server() as primary, Server(appendfsync="always") as replica:
        follow(replica, primary)
        with primary.connect() as p:
            p.must("SET", "a", 1)
            equal(plain(p.command("WAITAOF", 1, 1, 30000)), [1, 1])
            equal(plain(p.command("WAITAOF", 0, 2, 50))[1], 1)
            p.must("CONFIG", "SET", "appendfsync", "no")
            equal(plain(p.pipeline([("SET", "a", 2), ("WAITAOF", 1, 0, 0)])[1])[0], 1, "the own disk")


@test("FAILOVER exchanges the roles without losing a write", seconds=60)
def _():
    needs("replication")
    with Server() as first, Server() as second:
        follow(second, first)
        with first.connect() as c:
            equal(c.command("FAILOVER", "TO", "127.0.0.1", 1)[1], b"ERR FAILOVER target HOST and PORT is not a replica.")
            equal(c.command("FAILOVER", "ABORT")[1], b"ERR No failover in progress.")
            c.must("SET", "before", 1)
            c.must("FAILOVER", "TO", "127.0.0.1", second.port, "TIMEOUT", 60000)
        wait_until(lambda: second.info("replication")["role"] == "master", 10, "the new primary")
        wait_until(lambda: first.info("replication")["master_failover_state"] == "no-failover", 10, "the failover's end")
        wait_linked(first)
        with second.connect() as c:
            c.must("SET", "after", 1)
        same_data(first, second)
        equal(second.info("stats")["sync_full"], "0", "whole copies")


@test("redis-cli --rdb and --replica work against a Cairn primary", seconds=60)
def _():
    needs("replication")
    folder = temporary_folder()
    with Server() as primary:
        with primary.connect() as c:
            c.pipeline([("SET", f"k:{i}", i) for i in range(1000)])
        path = os.path.join(folder, "copy.rdb")
        done = subprocess.run([REDIS_CLI, "-p", str(primary.port), "--rdb", path], capture_output=True, timeout=30, check=False)
        equal(done.returncode, 0, done.stderr.decode())
        with open(path, "rb") as f:
            equal(f.read(5), b"REDIS")
        with open(path, "rb") as f:
            equal(f.read().count(b"k:"), 1000, "keys in the file")
        done = subprocess.run([REDIS_CLI, "-p", str(primary.port), "--functions-rdb", path], capture_output=True, timeout=30,
                              check=False)
        with open(path, "rb") as f:
            equal((done.returncode, f.read().count(b"k:")), (0, 0), done.stderr.decode())
        with primary.connect() as c:
            equal(show(c.command("REPLCONF", "rdb-filter-only", "keys")), "-ERR Unsupported rdb-filter-only option: keys")
            equal(show(c.command("REPLCONF", "rdb-only", "x")), "-ERR value is not an integer or out of range")
            c.must("REPLCONF", "rdb-filter-only", "")
            equal(show(c.command("PSYNC", "?", "-1")), "-ERR Filtered replica requires EOF capability")
        heard = os.path.join(folder, "heard")
        with open(heard, "wb") as said, open(heard, "rb") as hearing:
            listener = subprocess.Popen([REDIS_CLI, "-p", str(primary.port), "--replica"], stdout=said,
                                        stderr=subprocess.DEVNULL)
            try:
                wait_until(lambda: "state=online" in primary.info("replication").get("slave0", ""), 20, "the listener")
                with primary.connect() as c:
                    c.must("SET", "heard", "yes")
                wait_until(lambda: hearing.seek(0) == 0 and b"heard" in hearing.read(), 20, "the write in the listener's output")
            finally:
                listener.kill()
                listener.wait()


@test("a replica logs in with masteruser and masterauth", seconds=60)
def _():
    needs("replication")
    with Server(requirepass="secret") as primary, Server(masterauth="secret") as replica:
        follow(replica, primary)
        with primary.connect() as p:
            p.must("SET", "a", 1)
        wait_caught_up(replica, primary)
        with replica.connect() as r:
            equal(plain(r.command("GET", "a")), b"1")


@test("tls-replication: the link speaks TLS, to and from Redis too, and what is plain or unknown is refused", seconds=180)
def _():
    needs("replication")
    tls, other = certificate(tls_replication="yes"), certificate()
    kinds = [(Server, Server)] if subject_is_redis() else [(Server, Server), (redis, Server), (Server, redis)]
    for make_primary, make_replica in kinds:
        with make_primary(tls_port=free_port(), repl_diskless_sync_delay=0, **tls) as primary, \
                make_replica(tls_port=free_port(), **tls) as replica:
            tls_port = primary.options["tls_port"]
            with replica.connect() as c, primary.connect() as p:
                p.pipeline([("SET", f"k:{i}", "x" * 2000) for i in range(2000)])
                c.must("REPLICAOF", "127.0.0.1", tls_port)
                wait_linked(replica)
                p.pipeline([("SET", f"l:{i}", "y" * 20000) for i in range(200)])
                wait_caught_up(replica, primary)
                equal(c.must("DBSIZE"), 2200)
                line = primary.info("replication")["slave0"]
                true(f"port={replica.options['tls_port']}," in line, line)
                if replica.is_redis:
                    continue
                # A plain port does not answer TLS, and a certificate of somebody else is not believed.
                c.must("REPLICAOF", "127.0.0.1", primary.port)
                time.sleep(1.5)
                equal(replica.info("replication")["master_link_status"], "down")
                c.must("CONFIG", "SET", "tls-ca-cert-file", other["tls_ca_cert_file"])
                c.must("REPLICAOF", "127.0.0.1", tls_port)
                time.sleep(1.5)
                equal(replica.info("replication")["master_link_status"], "down")
                c.must("CONFIG", "SET", "tls-ca-cert-file", tls["tls_ca_cert_file"])
                wait_linked(replica)
                equal(c.must("DBSIZE"), 2200)
