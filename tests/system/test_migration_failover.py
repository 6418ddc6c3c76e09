"""
A failover of either side in the middle of a move by SETSLOT and MIGRATE, at every step of it and in every state that a broken one
leaves behind: who takes over goes on as its master would have, and `redis-cli --cluster fix` loses nothing. The slots of one
cluster are in all these states at once.
"""
from harness import dump
from harness.cluster import Cluster
from harness.moving import same, text, whole
from harness.runner import equal, skip, test
from harness.server import subject_is_redis, wait_until
from harness.shards import fail_over, role, sync
from test_migration_fix import (Slot, all_keys_moved, both_open, by_hand, fixes, importing_forgotten, importing_only, migrating_forgotten,
                                migrating_only, some_keys_moved, some_keys_on_both_sides, target_told, third_imports,
                                third_imports_and_target_does_not, third_imports_with_keys)


def claimed_too_early(s):
    """The target was told that it owns the slot while the source still has keys."""
    some_keys_moved(s)
    s.set(s.target, "NODE", s.c.id_of(s.target))


def claimed_without_keys(s):
    s.open()
    s.set(s.target, "NODE", s.c.id_of(s.target))


STATES = [migrating_only, importing_only, both_open, some_keys_moved, some_keys_on_both_sides, all_keys_moved, target_told,
          third_imports, third_imports_with_keys, third_imports_and_target_does_not, importing_forgotten, migrating_forgotten,
          claimed_too_early, claimed_without_keys]


def with_replica(c, side):
    """A fourth node, which follows nodes[side]."""
    replica = c.add_server(enable_debug_command="yes", cluster_node_timeout=2000)
    equal(text(replica, "CLUSTER", "MEET", "127.0.0.1", c.nodes[0].port), "OK")
    wait_until(lambda: all(len(c.table(n)) == 4 for n in c.nodes), 60, "all know all")
    equal(text(replica, "CLUSTER", "REPLICATE", c.id_of(c.nodes[side])), "OK")
    wait_until(lambda: replica.info("replication").get("master_link_status") == "up", 60, "it streams")
    c.wait_ok(60)
    return replica


def gave_way(c, node, master):
    """It follows its replica in the node's eyes; or it keeps keys of slots that others claimed, and remains a master without slots."""
    own = c.table(master)[c.id_of(master)]["slots"]
    return "slave" in c.table(node)[c.id_of(master)]["flags"] or (own and all(s.startswith("[") for s in own))


def taken_over(side, how):
    with Cluster(3, create=False, enable_debug_command="yes", cluster_node_timeout=2000) as c:
        by_hand(c)
        replica = with_replica(c, side)
        master, everything, names = c.nodes[side], {}, {}
        for number, state in enumerate(STATES):
            slot = Slot(c, number)
            names[number] = state.__name__
            with slot.owner.connect() as x:
                everything.update(dump.dump(x, [n.encode() for n in slot.names]))
            state(slot)
        wait_until(c.agree, 60, "all know what the target was told")
        sync(master, replica)
        if how == "kill":
            master.kill()
            wait_until(lambda: role(replica) == "master", 60, "the replica leads")
            master.start()                     # redis-cli --cluster fix does little while a master is away
        else:
            fail_over(replica)
        name = c.id_of(replica)
        wait_until(lambda: all("master" in c.table(n)[name]["flags"] and gave_way(c, n, master) and
                               c.info(n)["cluster_state"] == "ok" for n in c.nodes), 60, "all know who leads")
        runs = fixes(c)
        now = whole(c)
        lost = sorted({names[number] for number in names for k in everything
                       if k not in now and text(replica, "CLUSTER", "KEYSLOT", k) == number})
        equal(lost, [], "states whose keys are lost")
        same(now, everything)
        if runs > 1:
            print(f"      {runs} runs of fix")


for side, who in enumerate(("source", "target")):
    for how in ("kill", "command"):
        def run(side=side, how=how):
            if subject_is_redis():
                skip("Redis keeps no marks over a failover: the target stops until fix")
            taken_over(side, how)
        test(f"failover of the {who} ({how}) amid moves by SETSLOT and MIGRATE, at every step: fix puts it right, nothing is lost")(run)
