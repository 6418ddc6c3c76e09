"""A cluster made and used with redis-cli, redis-benchmark, redis-py, ioredis, node-redis, and with a real Redis as a member."""
import os
import shutil
import subprocess
import time

from redis.cluster import ClusterNode, RedisCluster

from harness import dump
from harness.cluster import Cluster, cli
from harness.features import NOT_YET, has, needs
from harness.resp import show
from harness.runner import equal, skip, test, true
from harness.server import HERE, REDIS, ROOT, subject_is_redis, wait_until

SLOTS = {"foo": 12182, "user:1000": 1649, "user:2000": 7597, "user:3000": 11033, "product:5": 132, "user:123": 12893,
         "123456789": 12739, "{user:1000}.x": 1649}
_shared = []


def cluster():
    """Three masters with all slots, for the tests that leave it as it was."""
    if not _shared or any(n.process.poll() is not None for n in _shared[0].nodes):
        _shared[:] = [Cluster(3)]
        _shared[0].__enter__()
    return _shared[0]


def all_connected(c, node):
    """A link is made anew after a handshake, so that it may be down for a moment."""
    wait_until(lambda: {r["link"] for r in c.table(node).values()} == {"connected"} and
               len(c.table(node)) == len(c.nodes), 5, "links to all nodes")


@test("redis-cli --cluster create makes a cluster of three masters")
def _():
    c = cluster()
    wanted = {"cluster_state": "ok", "cluster_slots_assigned": "16384", "cluster_slots_ok": "16384", "cluster_slots_pfail": "0",
              "cluster_slots_fail": "0", "cluster_known_nodes": "3", "cluster_size": "3"}
    for node in c.nodes:
        all_connected(c, node)                    # a handshake counts as a node until it is over
        wait_until(lambda: wanted.items() <= c.info(node).items(), 5, f"CLUSTER INFO with {wanted}")
        rows = c.table(node)
        equal(sorted(r["address"] for r in rows.values()), sorted(n.address for n in c.nodes))
        equal(sum("myself" in r["flags"] for r in rows.values()), 1)
    slots = c.slot_map(c.nodes[0])
    equal([s[:2] for s in slots], [(0, 5460), (5461, 10922), (10923, 16383)])


@test("a typed yes at redis-cli --cluster create is enough")
def _():
    with Cluster(3, create=False) as c:
        text = cli("--cluster", "create", *[n.address for n in c.nodes], stdin=b"yes\n")
        true("All 16384 slots covered" in text, text[-800:])
        c.wait_ok()


@test("CLUSTER KEYSLOT knows the slots of known keys")
def _():
    with cluster().nodes[0].connect() as c:
        for key, slot in SLOTS.items():
            equal(c.must("CLUSTER", "KEYSLOT", key), slot, key)
        equal(c.must("CLUSTER", "KEYSLOT", "a{b}c{d}"), c.must("CLUSTER", "KEYSLOT", "b"))


@test("CLUSTER SLOTS, SHARDS, LINKS, MYID and COUNT-FAILURE-REPORTS describe the cluster")
def _():
    c = cluster()
    node = c.nodes[0]
    mine = c.id_of(node)
    for each in c.nodes:
        all_connected(c, each)
    with node.connect() as x, node.connect(3) as three:
        wait_until(lambda: len(three.must("CLUSTER", "LINKS")) == 4, 5, "two links to and from each")
        equal(len(x.must("CLUSTER", "SHARDS")), 3)
        for shard in three.must("CLUSTER", "SHARDS"):
            equal(sorted(shard), [b"nodes", b"slots"])
            equal(len(shard[b"slots"]), 2)
            for field in (b"id", b"port", b"ip", b"endpoint", b"role", b"replication-offset", b"health"):
                true(field in shard[b"nodes"][0], f"a node of CLUSTER SHARDS lacks {field}")
            equal(shard[b"nodes"][0][b"health"], b"online")
        links = three.must("CLUSTER", "LINKS")
        equal(len(links), 4)
        equal({link[b"direction"] for link in links}, {b"to", b"from"})
        equal(len(mine), 40)
        equal(x.must("CLUSTER", "COUNT-FAILURE-REPORTS", mine), 0)
        equal(show(x.command("CLUSTER", "COUNT-FAILURE-REPORTS", "nobody")), "-ERR Unknown node nobody")
        equal(x.must("CLUSTER", "REPLICAS", mine), [])
        first = x.must("CLUSTER", "SLOTS")[0]
        equal((first[2][0], first[2][1]), (b"127.0.0.1", first[2][1]))
        equal(len(first[2][2]), 40)


@test("MOVED, CROSSSLOT, SELECT and transactions give Redis' errors")
def _():
    c = cluster()
    node = c.nodes[0]
    other = c.owner(12182)
    with node.connect() as x:
        equal(show(x.command("GET", "foo")), f"-MOVED 12182 127.0.0.1:{other.port}")
        equal(show(x.command("SET", "foo", "v")), f"-MOVED 12182 127.0.0.1:{other.port}")
        equal(show(x.command("MGET", "user:1000", "product:5")), "-CROSSSLOT Keys in request don't hash to the same slot")
        equal(show(x.command("SELECT", "1")), "-ERR SELECT is not allowed in cluster mode")
        equal(show(x.command("SELECT", "0")), "+OK")
        equal(show(x.command("MULTI")), "+OK")
        equal(show(x.command("GET", "foo")), f"-MOVED 12182 127.0.0.1:{other.port}")
        equal(show(x.command("EXEC")), "-EXECABORT Transaction discarded because of previous errors.")
        equal(show(x.command("MULTI")), "+OK")
        equal(show(x.command("SET", "user:1000", "1")), "+QUEUED")
        equal(show(x.command("SET", "product:5", "1")), "+QUEUED")
        equal(show(x.command("EXEC")), "-CROSSSLOT Keys in request don't hash to the same slot")
        equal(show(x.command("SET", "{user:1000}a", "1")), "+OK")
        equal(show(x.command("MGET", "{user:1000}a", "user:1000")), '["1", nil]')
        if has("scripts"):
            equal(show(x.command("EVAL", "return redis.call('GET', KEYS[1])", "1", "foo")), f"-MOVED 12182 127.0.0.1:{other.port}")
        equal(show(x.command("SWAPDB", "0", "1")), "-ERR SWAPDB is not allowed in cluster mode")
        x.must("DEL", "{user:1000}a")


@test("CLUSTERDOWN is said while slots have no owner")
def _():
    with Cluster(1, create=False) as c, c.nodes[0].connect() as x:
        equal(show(x.command("GET", "foo")), "-CLUSTERDOWN Hash slot not served")
        x.must("CLUSTER", "ADDSLOTSRANGE", "0", "12000")
        wait_until(lambda: c.info(c.nodes[0])["cluster_slots_assigned"] == "12001", 5, "12001 slots")
        time.sleep(0.3)
        reply = show(x.command("GET", "user:1000"))
        true(reply in ("-CLUSTERDOWN The cluster is down", "-CLUSTERDOWN Hash slot not served"), reply)
        x.must("CONFIG", "SET", "cluster-require-full-coverage", "no")
        wait_until(lambda: c.info(c.nodes[0])["cluster_state"] == "ok", 10, "state ok without full coverage")
        equal(show(x.command("GET", "user:1000")), "nil")
        equal(show(x.command("GET", "foo")), "-CLUSTERDOWN Hash slot not served")
        equal(show(x.command("CLUSTER", "ADDSLOTS", "5")), "-ERR Slot 5 is already busy")
        equal(show(x.command("CLUSTER", "ADDSLOTS", "16384")), "-ERR Invalid or out of range slot")
        equal(show(x.command("CLUSTER", "DELSLOTS", "16000")), "-ERR Slot 16000 is already unassigned")
        equal(show(x.command("CLUSTER", "ADDSLOTS", *range(12001, 16384))), "+OK")
        wait_until(lambda: c.info(c.nodes[0])["cluster_slots_ok"] == "16384", 5, "all slots")


@test("COUNTKEYSINSLOT and GETKEYSINSLOT are exact")
def _():
    c = cluster()
    slot = 1649
    node = c.owner(slot)
    with node.connect() as x:
        x.must("FLUSHALL")
        keys = [f"{{user:1000}}:{i}" for i in range(300)]
        x.pipeline([("SET", k, "v") for k in keys])
        equal(x.must("CLUSTER", "COUNTKEYSINSLOT", slot), 300)
        equal(sorted(x.must("CLUSTER", "GETKEYSINSLOT", slot, 1000)), sorted(k.encode() for k in keys))
        some = x.must("CLUSTER", "GETKEYSINSLOT", slot, 10)
        equal(len(set(some)), 10)
        x.must("DEL", *keys[:100])
        equal(x.must("CLUSTER", "COUNTKEYSINSLOT", slot), 200)
        x.must("PEXPIRE", keys[150], "1")
        wait_until(lambda: x.must("CLUSTER", "COUNTKEYSINSLOT", slot) == 199, 5, "the expired key does not count")
        equal(x.must("CLUSTER", "COUNTKEYSINSLOT", slot + 1), 0)
        equal(show(x.command("CLUSTER", "COUNTKEYSINSLOT", "16384")), "-ERR Invalid slot")
        equal(show(x.command("CLUSTER", "GETKEYSINSLOT", slot, "-1")), "-ERR Invalid slot or number of keys")


@test("redis-cli --cluster check, info and call see every node")
def _():
    c = cluster()
    address = c.nodes[0].address
    text = cli("--cluster", "check", address)
    true("[OK] All nodes agree about slots configuration." in text and "All 16384 slots covered" in text, text[-600:])
    text = cli("--cluster", "info", address)
    true("in 3 masters" in text, text[-600:])
    text = cli("--cluster", "call", address, "PING")
    equal(text.count("PONG"), 3)
    text = cli("--cluster", "set-timeout", address, "3000")
    true("New node timeout set. 3 OK, 0 ERR" in text, text[-400:])


@test("redis-cli -c follows MOVED to every node")
def _():
    c = cluster()
    lines = "".join(f"SET key:{i} value-{i}\n" for i in range(300))
    text = cli("-c", "-p", c.nodes[1].port, stdin=lines.encode())
    equal(text.count("OK"), 300)
    for i in (0, 7, 99, 299):
        equal(cli("-c", "-p", c.nodes[2].port, "GET", f"key:{i}").strip(), f"value-{i}")
    total = sum(int(cli("-p", n.port, "DBSIZE")) for n in c.nodes)
    true(total >= 300, f"{total} keys")


@test("redis-cli --cluster add-node and del-node take an empty node in and out")
def _():
    with Cluster(3) as c:
        new = c.add_server()
        text = cli("--cluster", "add-node", new.address, c.nodes[0].address)
        true("[OK] New node added correctly." in text, text[-600:])
        wait_until(lambda: all(len(c.table(n)) == 4 for n in c.nodes), 20, "four nodes known everywhere")
        wait_until(lambda: c.info(new)["cluster_state"] == "ok", 20, "state ok on the new node")
        text = cli("--cluster", "del-node", c.nodes[0].address, c.id_of(new))
        true("Sending CLUSTER FORGET" in text and "CLUSTER RESET SOFT" in text, text)
        wait_until(lambda: all(len(c.table(n)) == 3 for n in c.nodes[:3]), 20, "three nodes known everywhere")
        wait_until(lambda: len(c.table(new)) == 1, 5, "the one that left knows nobody")
        text = cli("--cluster", "del-node", c.nodes[0].address, c.id_of(c.nodes[1]), check=False)
        true("is not empty" in text, text[-400:])


@test("redis-benchmark --cluster spreads its load over the nodes", seconds=120)
def _():
    c = cluster()
    done = subprocess.run(["redis-benchmark", "--cluster", "-p", str(c.nodes[0].port), "-n", "20000", "-c", "30", "-P", "8",
                           "-t", "set,get,incr,lpush,sadd,hset,zadd", "-q", "-r", "10000"], capture_output=True, timeout=100)
    text = (done.stdout + done.stderr).decode()
    true(done.returncode == 0 and "rror" not in text, text[-800:])
    equal(text.count("requests per second"), 7)
    true(all(int(cli("-p", n.port, "DBSIZE")) > 100 for n in c.nodes), "a node got nothing")


@test("redis-py's RedisCluster works", seconds=120)
def _():
    c = cluster()
    for r in (RedisCluster(host="127.0.0.1", port=c.nodes[0].port, decode_responses=True),
              RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", n.port) for n in c.nodes], decode_responses=True)):
        for i in range(300):
            true(r.set(f"user:{i}", f"name-{i}"), "SET")
        equal([r.get(f"user:{i}") for i in range(300)], [f"name-{i}" for i in range(300)])
        equal(r.mset({"{t}a": 1, "{t}b": 2}), True)
        equal(r.mget("{t}a", "{t}b"), ["1", "2"])
        r.mset_nonatomic({f"n{i}": i for i in range(50)})
        equal(r.mget_nonatomic([f"n{i}" for i in range(50)]), [str(i) for i in range(50)])
        equal(r.delete(*[f"n{i}" for i in range(50)]), 50)
        with r.pipeline() as p:
            for i in range(100):
                p.incr(f"count:{i}")
            equal(len(p.execute()), 100)
        equal(r.cluster_keyslot("foo"), 12182)
        info = r.cluster_info(target_nodes=r.get_random_node())
        equal(info["cluster_state"], "ok")
        equal(len(r.cluster_nodes()), 3)
        equal(len(r.get_nodes()), 3)
        equal(len(r.get_primaries()), 3)
        true(len(list(r.scan_iter("user:*"))) == 300, "scan_iter over all nodes")
        equal(sum(1 for _ in r.keys("user:*", target_nodes="all")), 300)
        true(r.dbsize(target_nodes="all") >= 300, "dbsize over all nodes")
        equal(r.cluster_countkeysinslot(12182), r.exists("foo"))
        r.delete("q")
        if has("scripts"):
            equal(r.eval("return redis.call('RPUSH', KEYS[1], ARGV[1])", 1, "q", "x"), 1)
        r.flushall(target_nodes="all")
        r.close()


def node_client(script, module):
    """Runs a script of tests/system/node with the cluster's ports; its last line must be "done"."""
    folders = (os.environ.get("CAIRN_NODE_MODULES"), os.path.join(ROOT, "build", "node", "node_modules"))
    folder = next((f for f in folders if f and os.path.isdir(os.path.join(f, module))), None)
    if shutil.which("node") is None or folder is None:
        skip(f"Node.js or {module} is not there: tests/run installs them")
    c = cluster()
    for n in c.nodes:
        cli("-p", n.port, "FLUSHALL")
    done = subprocess.run(["node", os.path.join(os.path.dirname(HERE), "node", script), ",".join(str(n.port) for n in c.nodes)],
                          capture_output=True, timeout=100, env=dict(os.environ, NODE_PATH=folder, NOT_YET=",".join(NOT_YET)))
    text = (done.stdout + done.stderr).decode()
    true(done.returncode == 0 and text.rstrip().endswith("done"), text[-1500:])


@test("ioredis' Cluster works", seconds=120)
def _():
    node_client("ioredis.js", "ioredis")


@test("node-redis' createCluster works with RESP2 and RESP3", seconds=120)
def _():
    node_client("node_redis.js", "redis")


@test("kill -9 of all nodes loses no key, no slot and no name", seconds=120)
def _():
    with Cluster(3) as c:
        lines = "".join(f"SET key:{i} value-{i}\n" for i in range(1000))
        cli("-c", "-p", c.nodes[0].port, stdin=lines.encode())
        names, before = [c.id_of(n) for n in c.nodes], [dump.dump(n.connect()) for n in c.nodes]
        slots = c.slot_map(c.nodes[0])
        for _ in range(2):
            for n in c.nodes:
                n.kill()
            for n in c.nodes:
                n.start()
            c.wait_ok()
            equal([c.id_of(n) for n in c.nodes], names)
            equal(c.slot_map(c.nodes[0]), slots)
            equal([dump.dump(n.connect()) for n in c.nodes], before)


@test("the others notice a dead master, and its return", seconds=120)
def _():
    with Cluster(3, cluster_node_timeout="1500") as c:
        dead = c.nodes[2]
        name = c.id_of(dead)
        dead.kill()
        wait_until(lambda: all("fail" in c.table(n)[name]["flags"] for n in c.nodes[:2]), 20, "flag fail on both")
        wait_until(lambda: all(c.info(n)["cluster_state"] == "fail" for n in c.nodes[:2]), 20, "state fail")
        with c.nodes[0].connect() as x:
            equal(show(x.command("GET", "user:1000")), "-CLUSTERDOWN The cluster is down")
            equal(int(c.info(c.nodes[0])["cluster_slots_fail"]), 5461)
            wait_until(lambda: x.must("CLUSTER", "COUNT-FAILURE-REPORTS", name) == 1, 20, "the other master's report")
            health = {n[1]: n[n.index(b"health") + 1] for shard in x.must("CLUSTER", "SHARDS") for n in shard[3]}
            equal((health[name.encode()], sorted(health.values())), (b"fail", [b"fail", b"online", b"online"]), "health")
        dead.start()
        c.wait_ok(30)
        wait_until(lambda: all("fail" not in c.table(n)[name]["flags"] for n in c.nodes), 5, "nobody flags it fail")


@test("a real Redis 7.0 joins over the bus and sees the same map", seconds=120)
def _():
    if subject_is_redis():
        skip("the server under test is a real Redis itself")
    with Cluster(3) as c:
        stranger = c.add_server(binary=REDIS)
        cli("--cluster", "add-node", stranger.address, c.nodes[0].address)
        wait_until(lambda: all(len(c.table(n)) == 4 for n in c.nodes), 20, "four nodes known everywhere")
        c.wait_ok()
        equal(c.slot_map(stranger), c.slot_map(c.nodes[0]))
        with stranger.connect() as x:
            equal(show(x.command("GET", "foo")), f"-MOVED 12182 127.0.0.1:{c.owner(12182).port}")
        all_connected(c, stranger)
        wait_until(lambda: sorted(c.table(stranger)) == sorted(c.table(c.nodes[1])), 5, "the same names")
        text = cli("--cluster", "check", stranger.address)
        true("[OK] All nodes agree about slots configuration." in text, text[-600:])
        # It dies: Cairn's nodes notice; it comes back: they take it in again.
        name = c.id_of(stranger)
        stranger.kill()
        wait_until(lambda: all("fail" in c.table(n)[name]["flags"] for n in c.nodes[:3]), 30, "flag fail of the real Redis")
        stranger.start()
        wait_until(lambda: all("fail" not in c.table(n)[name]["flags"] for n in c.nodes), 30, "the real Redis is back")
        # A Cairn node dies: the real Redis agrees with the others.
        name = c.id_of(c.nodes[2])
        c.nodes[2].kill()
        wait_until(lambda: "fail" in c.table(stranger)[name]["flags"], 30, "flag fail seen by the real Redis")
        c.nodes[2].start()
        c.wait_ok(30)


@test("a cluster of real Redis and Cairn masters is created and serves clients", seconds=120)
def _():
    if subject_is_redis():
        skip("the server under test is a real Redis itself")
    from harness.server import SUBJECT
    with Cluster(3, binaries=[SUBJECT, REDIS, SUBJECT]) as c:
        lines = "".join(f"SET key:{i} value-{i}\n" for i in range(300))
        equal(cli("-c", "-p", c.nodes[1].port, stdin=lines.encode()).count("OK"), 300)
        r = RedisCluster(host="127.0.0.1", port=c.nodes[0].port, decode_responses=True)
        equal([r.get(f"key:{i}") for i in range(300)], [f"value-{i}" for i in range(300)])
        r.close()
        if not has("pub/sub"):
            return
        all_connected(c, c.nodes[0])
        subscriber = c.nodes[1].connect()
        subscriber.must("SUBSCRIBE", "news")
        with c.nodes[0].connect() as x:
            x.must("PUBLISH", "news", "hello")
        equal(show(subscriber.read()), '["message", "news", "hello"]')


@test("PUBLISH reaches subscribers of every node, SPUBLISH those of the shard")
def _():
    needs("pub/sub")
    c = cluster()
    all_connected(c, c.nodes[0])                  # what is published while a link is down is lost
    listeners = [n.connect() for n in c.nodes]
    for x in listeners:
        x.must("SUBSCRIBE", "news")
    with c.nodes[0].connect() as x:
        x.must("PUBLISH", "news", "hello")
    for x in listeners:
        equal(show(x.read()), '["message", "news", "hello"]')
    owner = c.owner(SLOTS["foo"])
    with owner.connect() as sub, owner.connect() as x:
        sub.must("SSUBSCRIBE", "foo")
        equal(x.must("SPUBLISH", "foo", "hi"), 1)
        equal(show(sub.read()), '["smessage", "foo", "hi"]')
    other = next(n for n in c.nodes if n is not owner)
    with other.connect() as x:
        equal(show(x.command("SSUBSCRIBE", "foo")), f"-MOVED 12182 127.0.0.1:{owner.port}")


@test("the cluster works with a password on clients and nodes")
def _():
    with Cluster(3, create=False, requirepass="secret") as c:
        text = cli("-a", "secret", "--no-auth-warning", "--cluster", "create", *[n.address for n in c.nodes], "--cluster-yes")
        true("All 16384 slots covered" in text, text[-600:])
        c.wait_ok()
        r = RedisCluster(host="127.0.0.1", port=c.nodes[0].port, password="secret", decode_responses=True)
        for i in range(50):
            r.set(f"k{i}", i)
        equal([r.get(f"k{i}") for i in range(50)], [str(i) for i in range(50)])
        r.close()


@test("announced addresses appear in CLUSTER SLOTS, NODES and MOVED")
def _():
    with Cluster(3) as c:
        with c.nodes[2].connect() as x:
            x.must("CONFIG", "SET", "cluster-announce-hostname", "node-three.example")
        def seen():
            with c.nodes[0].connect() as y:
                return b"node-three.example" in y.must("CLUSTER", "NODES")
        wait_until(seen, 15, "the announced host name on another node")
        with c.nodes[0].connect() as y:
            y.must("CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname")
            equal(show(y.command("GET", "foo")), f"-MOVED 12182 node-three.example:{c.nodes[2].port}")


@test("CLUSTER's own commands refuse what Redis refuses, with its words")
def _():
    c = cluster()
    with c.nodes[0].connect() as x:
        for words, wanted in (
                (("CLUSTER", "FOO"), "-ERR unknown subcommand 'FOO'. Try CLUSTER HELP."),
                (("CLUSTER", "FORGET", "nobody"), "-ERR Unknown node nobody"),
                (("CLUSTER", "FORGET", c.id_of(c.nodes[0])), "-ERR I tried hard but I can't forget myself..."),
                (("CLUSTER", "REPLICATE", "nobody"), "-ERR Unknown node nobody"),
                (("CLUSTER", "REPLICATE", c.id_of(c.nodes[0])), "-ERR Can't replicate myself"),
                (("CLUSTER", "SETSLOT", "0", "FOO"), "-ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP"),
                (("CLUSTER", "MEET", "127.0.0.1", "abc"), f"-ERR Invalid {'TCP base' if subject_is_redis() else 'base'} port specified: abc"),
                (("CLUSTER", "SET-CONFIG-EPOCH", "5"), "-ERR The user can assign a config epoch only when the node does not know any other node."),
                (("CLUSTER", "FAILOVER"), "-ERR You should send CLUSTER FAILOVER to a replica"),
                (("CLUSTER", "KEYSLOT"), "-ERR wrong number of arguments for 'cluster|keyslot' command"),
                (("CLUSTER", "ADDSLOTS"), "-ERR wrong number of arguments for 'cluster|addslots' command"),
                (("CLUSTER", "ADDSLOTSRANGE", "5", "1"), "-ERR start slot number 5 is greater than end slot number 1")):
            equal(show(x.command(*words)), wanted, " ".join(words)[:60])
