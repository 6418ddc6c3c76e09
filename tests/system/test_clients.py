"""redis-py, redis-cli and redis-benchmark, as people use them."""
import os
import shutil
import subprocess
import threading
import time

import redis as redis_py

from harness.features import has, missing_for, needs
from harness.cluster import Cluster
from harness.runner import equal, skip, test, true
from harness.server import REDIS_CLI, ROOT, Server, subject_is_redis, temporary_folder, wait_until

_server = []


def server():
    if not _server or _server[0].process.poll() is not None:
        _server[:] = [Server().start()]
    return _server[0]


def client(**options):
    return redis_py.Redis(port=server().port, **options)


def run(*words, seconds=60, stdin=None):
    done = subprocess.run([str(w) for w in words], capture_output=True, timeout=seconds, input=stdin)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def cli(*words, **options):
    return run(REDIS_CLI, "-p", server().port, *words, **options)


@test("redis-py reads INFO, CLIENT LIST and CONFIG in its own forms")
def _():
    r = client()
    info = r.info()
    for field, kind in {"redis_version": str, "redis_mode": str, "process_id": int, "tcp_port": int,
                        "uptime_in_seconds": int, "connected_clients": int, "used_memory": int, "used_memory_rss": int,
                        "used_memory_human": str, "maxmemory": int, "maxmemory_policy": str, "loading": int,
                        "aof_enabled": int, "aof_last_write_status": str, "rdb_last_bgsave_status": str,
                        "total_connections_received": int, "total_commands_processed": int,
                        "instantaneous_ops_per_sec": int, "keyspace_hits": int, "keyspace_misses": int,
                        "expired_keys": int, "evicted_keys": int, "role": str, "connected_slaves": int,
                        "master_replid": str, "master_repl_offset": int, "used_cpu_sys": float, "used_cpu_user": float,
                        "cluster_enabled": int, "total_net_input_bytes": int, "run_id": str, "hz": int,
                        "blocked_clients": int, "mem_fragmentation_ratio": (int, float), "arch_bits": int,
                        "rejected_connections": int, "total_error_replies": int}.items():
        true(field in info, f"INFO lacks {field}")
        true(isinstance(info[field], kind), f"INFO's {field} is {info[field]!r}")
    equal(info["process_id"], server().pid)
    equal(info["tcp_port"], server().port)
    r.flushall()
    r.set("k", "v", ex=1000)
    r.set("k2", "v")
    equal({k: r.info("keyspace")["db0"][k] for k in ("keys", "expires")}, {"keys": 2, "expires": 1})
    true("cmdstat_set" in r.info("commandstats"), "INFO commandstats lacks cmdstat_set")
    true(set(r.info("server")) <= set(r.info("all")), "INFO all lacks fields of INFO server")
    mine = [c for c in r.client_list() if c["cmd"] == "client|list"]
    true(mine, "CLIENT LIST does not show the asking client")
    for field in "id addr laddr fd name age idle flags db sub psub multi qbuf obl oll omem tot-mem events cmd user redir resp".split():
        true(field in mine[0], f"CLIENT LIST lacks {field}")
    config = r.config_get("*")
    true(len(config) > 100, f"CONFIG GET * has {len(config)} directives")
    equal(r.config_get("appendfsync"), {"appendfsync": "everysec"})


@test("redis-py reads COMMAND, DBSIZE, TIME, SLOWLOG and MEMORY")
def _():
    r = client()
    commands = r.command()
    for name in ("get", "set", "hset", "zadd", "xadd", "eval", "subscribe", "multi", "cluster", "client"):
        true(missing_for(name) or name in commands, f"COMMAND lacks {name}")
    equal((commands["get"]["arity"], commands["get"]["first_key_pos"], commands["get"]["step_count"]), (2, 1, 1))
    true("readonly" in commands["get"]["flags"], "GET is not readonly")
    equal(r.command_count(), len(commands))
    equal(r.command_getkeys("MSET", "a", "1", "b", "2"), ["a", "b"])
    r.flushdb()
    equal(r.dbsize(), 0)
    true(abs(r.time()[0] - time.time()) < 30, "TIME is not now")
    r.config_set("slowlog-log-slower-than", 0)
    r.set("slow", "x")
    entry = r.slowlog_get()
    r.config_set("slowlog-log-slower-than", 10000)
    true(any(e["command"].startswith(b"SET slow") for e in entry), f"SLOWLOG lacks the command: {entry[:2]}")
    r.slowlog_reset()
    true(r.memory_usage("slow") > 0, "MEMORY USAGE")
    true("peak.allocated" in {k.decode() if isinstance(k, bytes) else k for k in r.memory_stats()}, "MEMORY STATS")


@test("redis-py's pipelines, transactions and WATCH work")
def _():
    r = client(decode_responses=True)
    r.flushall()
    with r.pipeline(transaction=True) as p:
        equal(p.set("a", 1).incr("a").get("a").execute(), [True, 2, "2"])
    with r.pipeline() as p:
        p.watch("a")
        r.set("a", 10)
        p.multi()
        p.incr("a")
        try:
            p.execute()
            raise AssertionError("the transaction ran in spite of WATCH")
        except redis_py.WatchError:
            pass
    equal(r.transaction(lambda p: (p.multi(), p.incr("a")), "a"), [11])
    equal(sorted(r.scan_iter("a*")), ["a"])


@test("redis-py's scripts and locks work")
def _():
    needs("scripts")
    r = client(decode_responses=True)
    r.flushall()
    add = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    equal(add(keys=["a"], args=[5]), 5)
    r.script_flush()
    equal(add(keys=["a"], args=[5]), 10)
    lock = r.lock("lock", timeout=5)
    true(lock.acquire(blocking=False), "the lock is not taken")
    true(not r.lock("lock", timeout=5).acquire(blocking=False), "the lock is taken twice")
    lock.release()


@test("redis-py's publish and subscribe work")
def _():
    needs("pub/sub")
    r = client(decode_responses=True)
    p = r.pubsub()
    p.subscribe("ch")
    p.psubscribe("c*")
    wait_until(lambda: r.pubsub_numsub("ch") == [("ch", 1)] and r.pubsub_numpat() == 1, 5, "subscribers")
    equal(r.publish("ch", "hello"), 2)
    got = [m for m in (p.get_message(timeout=2) for _ in range(6)) if m and m["type"].endswith("message")]
    equal(sorted((m["type"], m["data"]) for m in got), [("message", "hello"), ("pmessage", "hello")])
    p.close()


@test("redis-py's blocking pops work")
def _():
    r = client(decode_responses=True)
    r.flushall()
    popped = []
    t = threading.Thread(target=lambda: popped.append(client(decode_responses=True).blpop("q", 60)))
    t.start()
    wait_until(lambda: r.info("clients")["blocked_clients"] == 1, 5, "a blocked client")
    r.rpush("q", "x")
    t.join()
    equal(popped, [("q", "x")])


@test("redis-py's streams work")
def _():
    needs("streams")
    r = client(decode_responses=True)
    r.flushall()
    r.xadd("s", {"f": "v"})
    r.xgroup_create("s", "g", "0")
    entries = r.xreadgroup("g", "c", {"s": ">"})
    equal(entries[0][1][0][1], {"f": "v"})
    equal(r.xpending("s", "g")["pending"], 1)
    equal(r.xack("s", "g", entries[0][1][0][0]), 1)


@test("redis-cli's --pipe --scan --bigkeys --memkeys --stat --latency and inline forms work")
def _():
    data = "".join(f"SET key:{i} value-{i}\r\n" for i in range(20000)).encode()
    cli("FLUSHALL")
    code, out, err = cli("--pipe", stdin=data)
    true(code == 0 and "errors: 0, replies: 20000" in out, out + err)
    cli("RPUSH", "biglist", *range(100))
    code, out, _ = cli("--scan", "--pattern", "key:1999*")
    equal(sorted(out.split()), ["key:1999"] + [f"key:{i}" for i in range(19990, 20000)])
    code, out, err = cli("--bigkeys")
    true(code == 0 and "biglist" in out and "Sampled 20001 keys" in out, out[-500:] + err)
    code, out, err = cli("--memkeys")
    true(code == 0 and "Sampled 20001 keys" in out, out[-500:] + err)
    code, out, err = run("timeout", "5", "stdbuf", "-oL", REDIS_CLI, "-p", server().port, "--stat", "-i", "0.3")
    true("keys" in out and "20001" in out, out + err)
    code, out, err = run("timeout", "30", REDIS_CLI, "-p", server().port, "--latency", "--raw", "-i", "1")
    true(len(out.split()) == 4, f"--latency says {out + err}")
    code, out, err = cli("-3", "HGETALL", "nokey")
    equal(code, 0, "exit code of HGETALL in RESP3")
    code, out, _ = cli("--no-raw", "GET", "key:7")
    equal(out.strip(), '"value-7"')
    if not has("scripts"):
        return
    code, out, _ = cli("--eval", write_script("return redis.call('GET', KEYS[1])"), "key:7", ",", "x")
    equal(out.strip(), "value-7")


def write_script(text):
    path = temporary_folder() + "/script.lua"
    with open(path, "w") as f:
        f.write(text)
    return path


@test("redis-cli --rdb gives a file that a real Redis loads")
def _():
    needs("replication")
    from harness import dump
    from harness.server import redis
    import random
    from harness.random_commands import Commands
    with server().connect() as c:
        c.must("FLUSHALL")
        commands = Commands(random.Random(7), keys_per_type=20)
        for _ in range(100):
            c.pipeline([commands.next_command()[0] for _ in range(60)])
        wanted = dump.dump(c)
    target = redis(appendonly="no", dbfilename="dump.rdb")
    code, out, err = cli("--rdb", target.folder + "/dump.rdb")
    true(code == 0, out + err)
    with target:
        with target.connect() as c:
            found = dump.differences(dump.dump(c), wanted)
            true(not found, "\n".join(found))


@test("redis-benchmark runs its whole list of tests", seconds=180)
def _():
    code, out, err = run("redis-benchmark", "-p", server().port, "-n", "3000", "-c", "20", "-P", "4", "-q", "-r", "1000",
                         seconds=150)
    true(code == 0 and "rror" not in out + err, (out + err)[-800:])
    for name in ("PING_INLINE", "SET", "GET", "INCR", "LPUSH", "RPOP", "SADD", "HSET", "SPOP", "ZADD", "ZPOPMIN",
                 "LRANGE_600", "MSET"):
        true(name in out, f"no line for {name}")


@test("counters of INFO move as they should")
def _():
    r = client()
    r.flushall()
    r.config_resetstat()
    r.set("k", "v")
    r.get("k")
    r.get("nokey")
    try:
        r.execute_command("NOSUCH")
    except redis_py.ResponseError:
        pass
    stats = r.info("stats")
    equal((stats["keyspace_hits"], stats["keyspace_misses"], stats["total_error_replies"]), (1, 1, 1))
    true(r.info("commandstats")["cmdstat_get"]["calls"] == 2, "calls of GET")
    equal(r.info("errorstats")["errorstat_ERR"], "count=1")


@test("DEBUG SLEEP, OBJECT and CLIENT PAUSE do what clients' tests expect of them")
def _():
    r = client(decode_responses=True)
    r.set("k", "v")
    r.client_pause(600000, all=False)
    done = []
    t = threading.Thread(target=lambda: done.append(client().set("k", "w")))
    t.start()
    wait_until(lambda: r.info("clients")["blocked_clients"] == 1, 5, "CLIENT PAUSE holds a write back")
    equal(done, [])
    r.client_unpause()
    t.join()
    equal(done, [True])
    equal(r.object("encoding", "k"), "embstr")
    name = client()
    name.client_setname("me")
    equal(name.client_getname(), "me")
    true(name.client_id() > 0, "CLIENT ID")
    victim = client()
    victim.ping()
    equal(r.client_kill_filter(_id=victim.client_id()), 1)


def hiredis():
    """The program of tests/clients, built once for both tests."""
    out = os.path.join(temporary_folder("cairn-hiredis"), "hiredis")
    if shutil.which("gcc") is None or not os.path.exists("/usr/include/hiredis/hiredis.h"):
        skip("no gcc or no libhiredis-dev")
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o", out,
                    os.path.join(ROOT, "tests", "clients", "hiredis.c"), "-lhiredis", "-luv"], check=True, timeout=60)
    return out


@test("hiredis gets replies, errors, pipelines and time-outs, over TCP, a unix socket and an event loop")
def _():
    program = hiredis()
    folder = temporary_folder()
    with Server(unixsocket=os.path.join(folder, "s")) as node:
        code, out, err = run(program, node.port, os.path.join(folder, "s"))
        equal(code, 0, err)
        true(out.startswith("ok"), out)
        print("      " + out.strip())


@test("hiredis reads redirections and the slot map of a cluster")
def _():
    program = hiredis()
    with Cluster(3) as cluster:
        code, out, err = run(program, cluster.nodes[0].port)
        equal(code, 0, err)
        true(out.startswith("ok"), out)
