"""CLUSTER MIGRATESLOTS while the network breaks at a step of it: six nodes in namespaces of their own, writers that count what WAIT
confirmed. Every step with every cut is in the simulator (tests/sim/moving.h); here is the data."""
from harness.moving import ENDED, start, state
from harness.moving_load import Writers, ranges_of, settled, step
from harness.netns import Network
from harness.runner import test, true
from harness.server import wait_until
from harness.shards import pairs, ready, settled as streaming
from test_partition import six_in


def cell(net, c, writers, at, cut):
    """A migration, cut at that step until it ends or somebody else has taken over; then all is as it must be."""
    (source, _), (target, _), *_ = pairs(c)
    first, last = max(ranges_of(c, source), key=lambda r: r[1] - r[0])
    for node in (source, target):
        step(node, 1000)
    start(c, source, target, (first, min(last, first + 1500)))
    wait_until(lambda: state(source) == at, 30, f"the migration is {at}")
    began = cut(source, target)
    wait_until(lambda: state(source) in ENDED, 60, "the source knows how it ended")
    net.heal()
    for node in (source, target):
        step(node, 0)
    print(f"      {at}: {state(source)}")
    settled(c)
    wait_until(lambda: streaming(c), 60, "every replica streams")
    writers.more(50)
    return began


@test("a partition in the middle of MIGRATESLOTS: the slots have one owner behind it, with all keys", seconds=300)
def _():
    with Network(6) as net, six_in(net, enable_debug_command="yes") as c:
        ready(c)
        with Writers(c, 2, replicas=1) as writers:
            cell(net, c, writers, "handing-over", lambda s, t: net.partition([n for n in c.nodes if n is not t], [t]))
            cell(net, c, writers, "handing-over", lambda s, t: net.partition([n for n in c.nodes if n not in (s, t)], [s, t]))
            writers.check()
        true(sum(w.acknowledged for w in writers.list) > 300, "clients wrote")
