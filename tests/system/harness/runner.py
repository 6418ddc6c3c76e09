"""runner.py - tests are functions named by a sentence; one line each; a total at the end.

    @test("a restart keeps every key")
    def _():
        ...

A test fails by raising, and leaves out what cannot be done here with skip("why"). Every test has a time limit. Tests run
in lanes side by side (lanes.py); test(..., alone=True) is one that measures time and needs the machine for itself.
"""
import fnmatch
import signal
import sys
import time
import traceback

from harness import lanes

_tests = []


class Skipped(Exception):
    pass


class TooSlow(BaseException):
    """Not an Exception, so that no test swallows it."""


class Test:
    def __init__(self, name, group, run, seconds, alone):
        self.name, self.group, self.run, self.seconds, self.alone = name, group, run, seconds, alone


def test(name, seconds=120, alone=False):
    def register(function):
        _tests.append(Test(name, function.__module__.replace("test_", ""), function, seconds, alone))
        return function
    return register


def skip(why):
    raise Skipped(why)


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what + ': ' if what else ''}expected {wanted!r}, got {got!r}"[:2000])


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def _alarm(_signal, _frame):
    raise TooSlow()


def _run_one(each):
    started = time.monotonic()
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(2 * each.seconds)      # twice: the machine may be a slow one
    try:
        each.run()
        result, detail = "passed", ""
    except Skipped as e:
        result, detail = "skipped", str(e)
    except TooSlow:
        result, detail = "failed", f"took longer than {2 * each.seconds} s\n" + traceback.format_exc(limit=-6)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as e:
        where = traceback.extract_tb(e.__traceback__)[-1]
        detail = f"{type(e).__name__}: {e}\n(at {where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
        result = "failed"
    finally:
        signal.alarm(0)
    return result, detail, time.monotonic() - started


def run(patterns, ports, use_ports, list_only=False):
    """ports: first and last of them; use_ports(lane, lanes) takes a part of them for this process."""
    chosen = [t for t in _tests if not patterns or any(
        p == t.group or fnmatch.fnmatch(f"{t.group}: {t.name}".lower(), f"*{p.lower()}*") for p in patterns)]
    if list_only:
        for each in chosen:
            print(f"{each.group}: {each.name}")
        return 0
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []

    def report(each, result, detail, seconds, printed):
        counts[result] += 1
        sys.stdout.write(printed)
        mark = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}[result]
        print(f"{mark}  {each.group}: {each.name} ({seconds:.1f} s)" + (f": {detail}" if result == "skipped" else ""))
        if result == "failed":
            failures.append(f"{each.group}: {each.name}")
            print("      " + detail.rstrip().replace("\n", "\n      "))
        sys.stdout.flush()

    lanes.run(chosen, lanes.count_for(chosen, ports), _run_one, use_ports, report)
    if failures:
        print("\nfailed:\n  " + "\n  ".join(failures))
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not chosen else 0
