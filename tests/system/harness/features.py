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
    "dump": "DUMP RESTORE RESTORE-ASKING MIGRATE",
    "replication": "REPLICAOF SLAVEOF ROLE REPLCONF PSYNC SYNC WAIT WAITAOF FAILOVER",
}
_feature_of = {command: feature for feature, commands in NOT_YET.items() for command in commands.split()}


def has(feature):
    return feature not in NOT_YET


def needs(*features):
    """Skips the running test when one of them is missing."""
    missing = [f for f in features if not has(f)]
    if missing:
        skip("not in this version: " + ", ".join(missing))


def missing_for(command):
    """The feature that a command belongs to, if it is not here yet."""
    return _feature_of.get(command.upper())
