"""Every command script of commands/, in RESP2 and RESP3, beside a real redis-server."""
import glob
import os
import re

from harness import script
from harness.features import missing_for
from harness.runner import skip, test
from harness.server import HERE, Server, redis, subject_is_redis

_servers = {}


def servers():
    """One pair for all sections: a section empties both first."""
    for name, start in (("subject", Server), ("reference", redis)):
        if name not in _servers or _servers[name].process.poll() is not None:
            _servers[name] = start(appendonly="no" if name == "reference" else "yes").start()
    return _servers["subject"], _servers["reference"]


def register(kind, name, lines, protocol):
    @test(f"{kind}: {name} (RESP{protocol})", seconds=60)
    def _():
        later = {line: missing_for(line.words[0].decode()) for line in lines if line.words}
        missing = sorted({feature for feature in later.values() if feature})
        kept = [line for line in lines if not later.get(line)]
        if missing and len(kept) * 3 < len(lines) * 2:
            skip("not in this version: " + ", ".join(missing))
        subject, reference = servers()
        found = script.play(kept, subject, reference, protocol, subject_is_redis())
        if found:
            raise AssertionError(f"{len(found)} differences\n" + "\n".join(found[:8]))


for _path in sorted(glob.glob(os.path.join(os.path.dirname(HERE), "commands", "*.txt"))):
    for _name, _lines in script.parse(_path):
        for _protocol in (2, 3):
            register(re.sub(r"\.txt$", "", os.path.basename(_path)), _name, _lines, _protocol)
