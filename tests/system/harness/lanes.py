"""lanes.py - runs tests in processes side by side: most of a system test is waiting for node timeouts.

A lane is a forked process with ports of its own; it takes one test after the other and keeps what a group shares (a pair of
servers) between them. A lane that dies costs the test it was at, and another one takes its place. The longest tests go first;
tests that measure time ("alone") come last, one after the other, while nothing else runs.
"""
import contextlib
import ctypes
import io
import json
import os
import select
import signal
import socket
import sys

PORTS_MIN = 25          # of one lane: six nodes, what they are compared with, and some that others took

PR_SET_PDEATHSIG = 1


def count_for(tests, ports):
    """
    How many lanes: CAIRN_LANES, or one more than there are cores, at most four, if there are ports enough. A lane uses about a
    third of a core: the rest is node timeouts.
    """
    wanted = int(os.environ.get("CAIRN_LANES") or min((os.cpu_count() or 1) + 1, 4))
    return max(1, min(wanted, sum(not t.alone for t in tests), (ports[1] - ports[0] + 1) // PORTS_MIN))


class Lane:
    def __init__(self, number, count, others, tests, run_one, use_ports):
        self.number = number
        self.busy = None
        self.socket, theirs = socket.socketpair()
        self.answers = self.socket.makefile("r")
        sys.stdout.flush()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            signal.signal(signal.SIGTERM, _told_to_end)
            if os.getppid() != parent:
                sys.exit(143)
            for lane in [self, *others]:
                lane.close()
            use_ports(number, count)
            _serve(theirs, tests, run_one)
            sys.exit(0)         # what atexit cleans up, it does here
        theirs.close()

    def give(self, index):
        self.busy = index
        self.socket.sendall(b"%d\n" % index)

    def take(self):
        """What became of the test: (result, detail, seconds, what it printed); None when the lane died."""
        self.busy = None
        line = self.answers.readline()
        return tuple(json.loads(line)) if line.endswith("\n") else None

    def close(self):
        self.answers.close()
        self.socket.close()

    def end(self):
        self.close()
        os.waitpid(self.pid, 0)


def _told_to_end(_signal, _frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def _serve(asked, tests, run_one):
    for line in asked.makefile("r"):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            answer = run_one(tests[int(line)])
        asked.sendall(json.dumps([*answer, printed.getvalue()]).encode() + b"\n")


def run(tests, count, run_one, use_ports, report):
    """report(test, result, detail, seconds, printed) in the order in which tests end."""
    together = sorted((i for i, t in enumerate(tests) if not t.alone), key=lambda i: -tests[i].seconds)
    for queue, most in ((together, count), ([i for i, t in enumerate(tests) if t.alone], 1)):
        lanes = []
        for n in range(min(most, len(queue))):
            lanes.append(Lane(n, most, lanes, tests, run_one, use_ports))
        while True:
            for lane in lanes:
                if lane.busy is None and queue:
                    lane.give(queue.pop(0))
            waiting = {lane.socket: lane for lane in lanes if lane.busy is not None}
            if not waiting:
                break
            for ready in select.select(list(waiting), [], [])[0]:
                lane = waiting[ready]
                test = tests[lane.busy]
                answer = lane.take()
                if answer is None:
                    lane.end()
                    lanes.remove(lane)
                    lanes.append(Lane(lane.number, most, lanes, tests, run_one, use_ports))
                    answer = ("failed", "the process of the test ended in the middle of it", 0.0, "")
                report(test, *answer)
        for lane in lanes:
            lane.end()
