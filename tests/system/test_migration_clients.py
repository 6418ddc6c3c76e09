"""Clients beside a slot that moves: those that are blocked, and those that ask for what cannot be. Redis' answers are the measure."""
from harness.cluster import Cluster
from harness.moving import SLOT, as_text, close_slot, move_keys, open_slot, text
from harness.runner import equal, test, true
from harness.server import REDIS, wait_until


def neutral(c, reply):
    """Without what differs between two clusters: the addresses."""
    for name, node in (("A", c.nodes[0]), ("B", c.nodes[1]), ("C", c.nodes[2])):
        reply = reply.replace(node.address, name) if isinstance(reply, str) else reply
    return reply


def blocked(node, *words, asking=False):
    """A connection that waits for the answer."""
    x = node.connect(timeout=60)
    if asking:
        x.must("ASKING")
    before = waiting(node)
    x.send(*words)
    wait_until(lambda: waiting(node) > before, 20, "the client is blocked")
    return x


def waiting(node):
    return int(node.info("clients")["blocked_clients"])


def answer(c, x):
    with x:
        return neutral(c, as_text(x.read()))


def story_of_blocked(binary):
    """What blocked clients are told, in the order of the changes."""
    said = []
    with Cluster(3, binaries=[binary] * 3) as c:
        target, _, source = c.nodes
        # the slot leaves
        list_, move, pairs = (blocked(source, "BLPOP", "{foo}list", 0), blocked(source, "BLMOVE", "{foo}a", "{foo}b", "LEFT", "LEFT", 0),
                              blocked(source, "BZPOPMIN", "{foo}z", "{foo}y", 0))
        kept = blocked(source, "BLPOP", "{bar}x" if c.owner(5061) is source else key_of(c, source), 0)
        open_slot(c, source, target)
        there = blocked(target, "BLPOP", "{foo}there", 0, asking=True)
        with target.connect() as t:
            t.must("ASKING")
            t.must("RPUSH", "{foo}there", "element")
        said.append(("served at the target", answer(c, there)))
        there = blocked(target, "BLPOP", "{foo}there", 0, asking=True)
        still = blocked(target, "BLPOP", "{foo}still", 0, asking=True)
        equal(waiting(source), 4, "nobody is sent away while the slot is open")
        move_keys(source, target)
        close_slot(c, source, target)
        said += [("BLPOP", answer(c, list_)), ("BLMOVE", answer(c, move)), ("BZPOPMIN", answer(c, pairs))]
        wait_until(lambda: waiting(source) == 1, 20, "those of the slot have gone")
        with target.connect() as t:
            t.must("RPUSH", "{foo}still", "1")
        said.append(("served by the new owner", answer(c, still)))
        there.close()
        wait_until(c.agree, 20, "one map")
        # an import that is given up
        open_slot(c, target, source)
        guest = blocked(source, "BLPOP", "{foo}guest", 0, asking=True)
        for node in (source, target):
            equal(text(node, "CLUSTER", "SETSLOT", SLOT, "STABLE"), "OK")
        said.append(("the import is given up", answer(c, guest)))
        # a slot without an owner, and with it the whole cluster
        mine = blocked(target, "BLPOP", "{foo}mine", 0)
        other = blocked(source, "BLPOP", key_of(c, source), 0)
        for node in c.nodes:
            equal(text(node, "CLUSTER", "DELSLOTS", SLOT), "OK")
        answer_of_mine = answer(c, mine)
        true(answer_of_mine.startswith("-CLUSTERDOWN "), answer_of_mine) # Redis says "The cluster is down" here, this server why
        said += [("the cluster is down", answer(c, other)), ("another's", answer(c, kept))]
    return said


def key_of(c, node):
    """A key of this node whose slot is not the one that moves."""
    for i in range(1000):
        key = f"key:{i}"
        with node.connect() as x:
            slot = x.must("CLUSTER", "KEYSLOT", key)
        if slot != SLOT and c.owner(slot) is node:
            return key
    raise AssertionError("no such key")


@test("blocked clients of a slot that leaves are sent after it as by Redis, others go on waiting")
def _():
    ours, theirs = story_of_blocked(None), story_of_blocked(REDIS)
    for mine, wanted in zip(ours, theirs):
        equal(mine, wanted)


@test("the last slot of a master leaves: its blocked clients are told, and it becomes a replica as in Redis")
def _():
    said = []
    for binary in (None, REDIS):
        with Cluster(3, binaries=[binary] * 3) as c:
            lonely = c.add_server(binary=binary)
            with lonely.connect() as x:
                x.must("CLUSTER", "MEET", "127.0.0.1", c.nodes[0].port)
            wait_until(lambda: all(len(c.table(n)) == 4 for n in c.nodes), 20, "all know each other")
            c.wait_ok()
            source, target = c.nodes[2], c.nodes[0]
            open_slot(c, source, lonely)
            close_slot(c, source, lonely)
            c.wait_ok()
            x = blocked(lonely, "BLPOP", "{foo}list", 0)
            open_slot(c, lonely, target)
            equal(text(target, "CLUSTER", "SETSLOT", SLOT, "NODE", c.id_of(target)), "OK") # the others hear of it
            said.append(answer(c, x))
            wait_until(lambda: "slave" in c.table(lonely)[c.id_of(lonely)]["flags"], 20, "it follows the new owner")
    equal(said[0], said[1])
