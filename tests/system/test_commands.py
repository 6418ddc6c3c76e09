"""Every command script of commands/, in RESP2 and RESP3, beside a real redis-server."""
import glob
import os
import re

from harness import script
from harness.features import WHOLE, missing_for
from harness.runner import skip, test
from harness.server import HERE, Server, redis, subject_is_redis

_servers = {}


def servers():
    """One pair for all sections: a section empties both first."""
    for name, start in (("subject", Server), ("reference", redis)):
        if name not in _servers or _servers[name].process.poll() is not None:
            _servers[name] = start(appendonly="no" if name == "reference" else "yes").start()
    return _servers["subject"], _servers["reference"]


def wanted_now(lines):
    """The lines of a section without those that need what this version does not have; skips when too little is left."""
    missing, kept = set(), []
    for line in lines:
        words = [w.decode(errors="replace") for w in getattr(line, "words", None) or []]
        feature = missing_for(*words) if words else None
        missing |= {feature} if feature else set()
        if not feature:
            kept.append(line)
    if missing & WHOLE or (missing and len(kept) * 3 < len(lines) * 2):
        skip("not in this version: " + ", ".join(sorted(missing)))
    return kept


def register(kind, name, lines, protocol):
    @test(f"{kind}: {name} (RESP{protocol})", seconds=60)
    def _():
        kept = wanted_now(lines)
        subject, reference = servers()
        found = script.play(kept, subject, reference, protocol, subject_is_redis())
        if found:
            raise AssertionError(f"{len(found)} differences\n" + "\n".join(found[:8]))


for _path in sorted(glob.glob(os.path.join(os.path.dirname(HERE), "commands", "*.txt"))):
    for _name, _lines in script.parse(_path):
        for _protocol in (2, 3):
            register(re.sub(r"\.txt$", "", os.path.basename(_path)), _name, _lines, _protocol)
