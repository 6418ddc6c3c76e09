"""COMMAND DOCS: what clients build their help from; and the directives that the project's own documents name."""
import os
import re

from harness.resp import plain
from harness.runner import equal, test, true
from harness.server import ROOT, Server, redis, subject_is_redis

# Where Cairn follows Redis 7.2, or is more exact than 7.0's own tables.
OURS = {"bitop", "client|kill", "client|list", "command|getkeys", "command|getkeysandflags", "debug", "zrank", "zrevrank", "migrate",
        "geohash", "geopos", "georadius", "georadiusbymember", "pfmerge"}


def pairs(words):
    return words if isinstance(words, dict) else dict(zip(words[::2], words[1::2]))


def shape(arguments):
    """The syntax without names: tokens, kinds, brackets."""
    return " ".join(_shape(pairs(a)) for a in arguments)


def _shape(a):
    kind, token = a[b"type"].decode(), a.get(b"token", b"").decode()
    flags = [f.decode() for f in a.get(b"flags", [])]
    if kind == "oneof":
        text = "<" + "|".join(sorted(_shape(pairs(x)) for x in a[b"arguments"])) + ">"
    elif kind == "block":
        text = shape(a[b"arguments"])
    else:
        text = "" if kind == "pure-token" else kind
    text = f"{token} {text}".strip()
    if "multiple" in flags:
        text = "{" + text + "}" + ("token" if "multiple_token" in flags else "")
    return f"[{text}]" if "optional" in flags else text


def documented(c):
    found = {}

    def walk(name, entry):
        found[name] = entry = pairs(entry)
        for below, inside in pairs(entry.get(b"subcommands", [])).items():
            walk(below.decode(), inside)
    for name, entry in pairs(plain(c.command("COMMAND", "DOCS"))).items():
        walk(name.decode(), entry)
    return found


@test("COMMAND DOCS tells the arguments, groups and first versions that Redis tells")
def _():
    with Server() as server, redis() as peer, server.connect() as c, peer.connect() as p:
        ours, theirs = documented(c), documented(p)
        both = set(ours) & set(theirs)
        true(len(both) > 200, f"only {len(both)} commands to compare")
        wrong = []
        for name in sorted(both):
            if shape(ours[name].get(b"arguments", [])).lower() != shape(theirs[name].get(b"arguments", [])).lower() and \
                    name not in OURS:
                wrong.append(f"{name}: {shape(ours[name].get(b'arguments', []))}")
            for field in (b"since", b"group"):
                if ours[name][field] != theirs[name][field] and (name, field) != ("client|pause", b"since"):
                    wrong.append(f"{name} {field}: {ours[name][field]}")
        equal(wrong, [])


@test("COMMAND DOCS of one command has everything that a help line needs, in RESP2 and RESP3")
def _():
    with Server() as server:
        for protocol in (2, 3):
            with server.connect(protocol=protocol) as c:
                docs = pairs(pairs(plain(c.command("COMMAND", "DOCS", "SET")))[b"set"])
                equal(docs[b"complexity"], b"O(1)")
                true([b"7.0.0", b"NX and GET together"] in docs[b"history"], str(docs[b"history"]))
                key = pairs(docs[b"arguments"][0])
                equal((key[b"name"], key[b"type"], key[b"key_spec_index"]), (b"key", b"key", 0))
        with server.connect() as c:
            every = documented(c)
            true(all(b"complexity" in e or b"subcommands" in e for e in every.values()), "a command without a complexity")


@test("every directive that README and docs name is one")
def _():
    if subject_is_redis():
        return
    with Server() as server, server.connect() as c:
        known = {name.decode() for name in pairs(c.must("CONFIG", "GET", "*"))}
    no_directives = re.compile(r"(redis|cairn)-[a-z-]+|(add|del|set)-[a-z]+")
    wrong, named = [], 0
    for path in ("README.md", "docs/operations.md", "docs/compatibility.md", "docs/ARCHITECTURE.md"):
        with open(os.path.join(ROOT, path)) as f:
            for name in re.findall(r"`([a-z][a-z0-9]*(?:-[a-z0-9]+)+)(?: [^`]*)?`", f.read()):
                named += 1
                if name not in known and not no_directives.fullmatch(name):
                    wrong.append(f"{path}: {name}")
    equal(wrong, [])
    true(named > 30, f"only {named} names were found")
