#!/usr/bin/python3
"""Loads Debian's unicode-data and iso-codes into a cluster: tools/quickstart_data.py PORT PORT PORT

    char:{0041}              hash    code, name, category, bidi, upper, lower, char
    name:SNOWMAN             string  the code of the character with that name
    block:{26}               zset    names of the characters U+2600-U+26FF by code point
    category:{Lu}            set     codes of the characters of a category
    category:{Lu}:cased    set   those of them that have an upper or lower case of their own; same slot, by hash tag
    language:{deu}           hash    alpha_3, name, type, scope
    country:{DE}             hash    alpha_2, alpha_3, name, official_name, numeric, flag
    country:{DE}:subdivisions  set   names of the regions; country:{DE}:kinds a zset of their kinds by how many there are
    currency:{EUR}, script:{Latn}  hash
    languages, countries     zset    all codes, by 0 (ordered by name)

Each key's slot is computed here and its command is sent to the slot's owner, many in one go.
"""
import binascii
import collections
import glob
import gzip
import json
import sys
import time

import redis

BATCH = 2000


def slot_of(key):
    """CRC16-XMODEM of the key, or of what stands between its first braces."""
    start = key.find("{")
    if start >= 0:
        end = key.find("}", start + 1)
        if end > start + 1:
            key = key[start + 1:end]
    return binascii.crc_hqx(key.encode(), 0) % 16384


class Loader:
    def __init__(self, ports):
        self.owners = [None] * 16384
        self.clients = {port: redis.Redis(port=port) for port in ports}
        for first, last, port in self.slots(ports[0]):
            for slot in range(first, last + 1):
                self.owners[slot] = port
        self.waiting = collections.defaultdict(list)
        self.commands = 0

    def slots(self, port):
        reply = self.clients[port].execute_command("CLUSTER SLOTS")
        if isinstance(reply, dict):                       # redis-py's own form
            return [(int(a), int(b), row["primary"][1]) for (a, b), row in reply.items()]
        return [(row[0], row[1], row[2][1]) for row in reply]

    def put(self, *words):
        port = self.owners[slot_of(words[1])]
        self.waiting[port].append(words)
        self.commands += 1
        if len(self.waiting[port]) >= BATCH:
            self.send(port)

    def send(self, port):
        pipeline = self.clients[port].pipeline(transaction=False)
        for words in self.waiting[port]:
            pipeline.execute_command(*words)
        pipeline.execute()                                # raises on the first error reply
        self.waiting[port] = []

    def flush(self):
        for port in list(self.waiting):
            self.send(port)


def unicode_characters(loader):
    path = glob.glob("/usr/share/unicode/UnicodeData.txt*")[0]
    categories, cased, blocks = (collections.defaultdict(list) for _ in range(3))
    count = 0
    with (gzip.open if path.endswith(".gz") else open)(path, "rt") as f:
        for line in f:
            code, name, category, _, bidi, _, _, _, _, _, old_name, _, upper, lower, _ = line.rstrip("\n").split(";")
            if name.startswith("<"):
                name = old_name or name
            point = int(code, 16)
            fields = {"code": "U+" + code, "name": name, "category": category, "bidi": bidi}
            if upper:
                fields["upper"] = "U+" + upper
            if lower:
                fields["lower"] = "U+" + lower
            if not 0xD800 <= point <= 0xDFFF:
                fields["char"] = chr(point)
            loader.put("HSET", f"char:{{{code}}}", *[w for pair in fields.items() for w in pair])
            if not name.startswith("<"):
                loader.put("SET", f"name:{name}", "U+" + code)
                blocks[code[:-2]].append((point, name))
            categories[category].append(code)
            if upper or lower:
                cased[category].append(code)
            count += 1
    for category, codes in categories.items():
        for at in range(0, len(codes), 500):
            loader.put("SADD", f"category:{{{category}}}", *codes[at:at + 500])
    for category, codes in cased.items():
        for at in range(0, len(codes), 500):
            loader.put("SADD", f"category:{{{category}}}:cased", *codes[at:at + 500])
    for block, rows in blocks.items():
        loader.put("ZADD", f"block:{{{block}}}", *[w for pair in rows for w in pair])
    return count, "Unicode characters"


def iso(name):
    with open(f"/usr/share/iso-codes/json/iso_{name}.json") as f:
        return json.load(f)[name]


def flat(row):
    return [w for key, value in row.items() for w in (key, value)]


def languages(loader):
    rows = iso("639-3")
    for row in rows:
        loader.put("HSET", f"language:{{{row['alpha_3']}}}", *flat(row))
        loader.put("ZADD", "languages", 0, f"{row['name']} ({row['alpha_3']})")
    return len(rows), "languages"


def countries(loader):
    rows = iso("3166-1")
    for row in rows:
        loader.put("HSET", f"country:{{{row['alpha_2']}}}", *flat(row))
        loader.put("ZADD", "countries", 0, f"{row['name']} ({row['alpha_2']})")
    regions = iso("3166-2")
    for row in regions:
        tag = row["code"].split("-")[0]
        loader.put("SADD", f"country:{{{tag}}}:subdivisions", row["name"])
        loader.put("ZINCRBY", f"country:{{{tag}}}:kinds", 1, row["type"])
        loader.put("HSET", f"region:{{{row['code']}}}", *flat(row))
    return len(rows) + len(regions), "countries and their regions"


def others(loader):
    currencies, scripts = iso("4217"), iso("15924")
    for row in currencies:
        loader.put("HSET", f"currency:{{{row['alpha_3']}}}", *flat(row))
    for row in scripts:
        loader.put("HSET", f"script:{{{row['alpha_4']}}}", *flat(row))
    return len(currencies) + len(scripts), "currencies and scripts"


def main():
    loader = Loader([int(p) for p in sys.argv[1:]])
    started = time.monotonic()
    for source in (unicode_characters, languages, countries, others):
        count, what = source(loader)
        loader.flush()
        print(f"    {count} {what}", flush=True)
    print(f"    {loader.commands} commands in {time.monotonic() - started:.1f} s")


main()
