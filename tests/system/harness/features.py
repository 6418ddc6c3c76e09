"""features.py - what this version does not have yet, in one place.

A test that needs one of these is skipped and says so; the random generators and the ledger leave it out. Taking a line away
here turns all of that on.
"""
from harness.runner import skip

NOT_YET = {
    "scripts": "EVAL EVAL_RO EVALSHA EVALSHA_RO SCRIPT FUNCTION FCALL FCALL_RO",
    "pub/sub": "SUBSCRIBE UNSUBSCRIBE PSUBSCRIBE PUNSUBSCRIBE PUBLISH PUBSUB SSUBSCRIBE SUNSUBSCRIBE SPUBLISH",
    "streams": "XADD XLEN XRANGE XREVRANGE XDEL XTRIM XREAD XREADGROUP XGROUP XINFO XACK XCLAIM XAUTOCLAIM XPENDING XSETID",
    "hyperloglog": "PFADD PFCOUNT PFMERGE PFDEBUG PFSELFTEST",
    "geo": "GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEORADIUS_RO GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEOSEARCH GEOSEARCHSTORE",
}
# Second words of containers that are there already.
NOT_YET_BELOW = {
    "tracking": {"CLIENT": "TRACKING CACHING"},
    "access control": {"ACL": "SETUSER DELUSER DRYRUN LOG SAVE LOAD GENPASS"},
}
# A section of a command script that uses one of these makes no sense without it: it is left out as a whole.
WHOLE = {"pub/sub", "tracking", "access control"}
_feature_of = {command: feature for feature, commands in NOT_YET.items() for command in commands.split()}


def has(feature):
    return feature not in NOT_YET and feature not in NOT_YET_BELOW


def needs(*features):
    """Skips the running test when one of them is missing."""
    missing = [f for f in features if not has(f)]
    if missing:
        skip("not in this version: " + ", ".join(missing))


def missing_for(command, *words):
    """The feature that a command (with its words) belongs to, if it is not here yet."""
    command = command.upper()
    second = words[0].upper() if words else ""
    for feature, containers in NOT_YET_BELOW.items():
        if second in containers.get(command, "").split():
            return feature
    if command == "COMMAND": # facts about a command that is not bound
        return next((_feature_of[w.upper()] for w in words if w.upper() in _feature_of), None)
    return _feature_of.get(command)
