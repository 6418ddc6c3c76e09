"""tls-cluster: MIGRATE and CLUSTER MIGRATESLOTS speak TLS, to and from Redis where Redis has them."""
from harness import dump
from harness.certificates import certificate, cli_words
from harness.cluster import Cluster, cli
from harness.moving import as_text, fill, same, text, whole
from harness.runner import equal, test, true
from harness.server import REDIS, Server, free_port, redis, subject_is_redis, wait_until

CONNECTING = "-IOERR error or timeout connecting to the client"


def some_of_each(server):
    with server.connect() as c:
        c.pipeline([("FLUSHALL",), ("SET", "string", "x" * 3000), ("SET", "expiring", "1", "PX", 3600000),
                    ("RPUSH", "list", *range(500)), ("SADD", "set", *[f"m{i}" for i in range(500)]),
                    ("ZADD", "zset", *[w for i in range(500) for w in (i / 2, f"m{i}")])])
        for at in range(0, 10000, 400):
            c.must("HSET", "hash", *[w for i in range(at, at + 400) for w in (f"f{i}", "v" * 100)])
        return dump.dump(c)


def migrate(source, port, *keys, host="127.0.0.1", timeout_ms=20000):
    return text(source, "MIGRATE", host, port, "", 0, timeout_ms, "REPLACE", "KEYS", *keys)


@test("tls-cluster: MIGRATE speaks TLS, to and from Redis too, and what is plain or unknown is refused", seconds=120)
def _():
    tls, other = certificate(tls_cluster="yes"), certificate()
    kinds = [(Server, Server)] if subject_is_redis() else [(Server, Server), (redis, Server), (Server, redis)]
    for make_source, make_target in kinds:
        with make_source(tls_port=free_port(), **tls) as source, make_target(tls_port=free_port(), **tls) as target:
            port, before = target.options["tls_port"], some_of_each(source)
            for _ in range(2): # the second time on a connection that was kept
                keys = [k.decode() for k in before]
                equal(migrate(source, port, *keys), "OK")
                with source.connect() as s, target.connect() as t:
                    equal(s.must("DBSIZE"), 0)
                    same(dump.dump(t), before)
                some_of_each(source)
            equal(migrate(source, target.port, "list", timeout_ms=500), CONNECTING, "a plain port, which may wait for more")
            equal(migrate(source, 1, "list"), CONNECTING, "a port where nobody is")
            if source.is_redis:
                continue
            with source.connect() as s:
                s.must("CONFIG", "SET", "tls-ca-cert-file", other["tls_ca_cert_file"])
                s.must("CONFIG", "SET", "tls-cluster", "no") # and what is kept is not used for plain text
                equal(migrate(source, target.port, "list"), "OK")
                said = migrate(source, port, "set")
                true(said.startswith("-IOERR"), f"plain text to a TLS port: {said}")
                s.must("CONFIG", "SET", "tls-cluster", "yes")
                equal(migrate(source, port, "set", host="localhost"), CONNECTING, "a connection of its own, not believed")
                s.must("CONFIG", "SET", "tls-ca-cert-file", tls["tls_ca_cert_file"])
                equal(migrate(source, port, "set", "zset", host="localhost"), "OK")



@test("tls-cluster: redis-cli --tls reshards from a Redis, and slots that move as a whole speak TLS", seconds=120)
def _():
    if subject_is_redis():
        return
    tls = certificate(tls_cluster="yes")
    words = cli_words(tls)
    c = Cluster(3, binaries=[REDIS, None, None], create=False)
    for node in c.nodes:
        node.options.update(tls, tls_port=free_port())
    with c:
        addresses = [f"127.0.0.1:{n.options['tls_port']}" for n in c.nodes]
        out = cli(*words, "--cluster", "create", *addresses, "--cluster-yes")
        true("[OK] All 16384 slots covered." in out, out[-1500:])
        c.wait_ok()
        fill(c, 500)
        before = whole(c)
        ids = [c.id_of(n) for n in c.nodes]
        out = cli(*words, "--cluster", "reshard", addresses[0], "--cluster-from", ids[0], "--cluster-to", ids[1], "--cluster-slots", 200,
                  "--cluster-yes")
        true("Moving slot 199 " in out, out[-1500:])
        c.wait_ok()
        same(whole(c), before)
        equal(text(c.nodes[1], "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, 199, 6000, 7000, "NODE", ids[2]), "OK")

        def state():
            with c.nodes[1].connect() as x:
                row = as_text(x.command("CLUSTER", "GETSLOTMIGRATIONS"))[0]
            told = dict(zip(row[::2], row[1::2]))
            true(told["state"] not in ("failed", "cancelled"), told)
            return told["state"] == "success"
        wait_until(state, 60, "the slots have moved")
        c.wait_ok()
        same(whole(c), before)
        out = cli(*words, "--cluster", "check", addresses[1])
        true("[OK] All 16384 slots covered." in out and "[ERR]" not in out, out[-1500:])
