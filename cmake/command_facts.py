"""Compiles the facts of all commands into C: usage: command_facts.py commands.tsv summaries.tsv out.c"""
import re
import sys

FLAGS = """write readonly denyoom admin pubsub noscript blocking loading stale skip_monitor skip_slowlog asking fast
no_auth may_replicate sentinel only_sentinel no_mandatory_keys protected no_async_loading no_multi allow_busy
touches_arbitrary_keys movablekeys""".split()
CATEGORIES = """keyspace read write set sortedset list hash string bitmap hyperloglog geo stream pubsub admin fast
slow blocking dangerous connection transaction scripting""".split()
KEYS = "RW RO OW RM access insert update delete not_key incomplete variable_flags".split()
KEY_INDEX = {word.upper(): bit for bit, word in enumerate(KEYS)}


def text(value):
    return '"%s"' % value.replace('\\', '\\\\').replace('"', '\\"')


def bits(words, names):
    return sum(1 << names.index(word) for word in words.split(',') if word != '-')


def options(inside):
    return dict(part.split('=', 1) for part in inside.split(',') if part)


def spec(source):
    match = re.fullmatch(r'([A-Z_+]+):(\w+)\((.*?)\)>(\w+)\((.*?)\)', source)
    flags, begin, begin_options, find, find_options = match.groups()
    b, f = options(begin_options), options(find_options)
    return '{%d, %s, %s, %s, %s, %s, %s, %s, %s, %s}' % (
        sum(1 << KEY_INDEX[word] for word in flags.split('+')),
        'KEY_BEGIN_' + begin.upper(), 'KEY_FIND_' + find.upper(),
        text(b['keyword']) if 'keyword' in b else '0', b.get('pos', b.get('startfrom', '0')),
        f.get('lastkey', '0'), f.get('step', '0'), f.get('limit', '0'), f.get('keynumidx', '0'), f.get('firstkey', '0'))


def movable(specs):
    if len(specs) == 0:
        return False
    return any('keyword(' in s or 'keynum(' in s or 'unknown(' in s for s in specs)


def main():
    lines = [line.rstrip('\n').split('\t') for line in open(sys.argv[1], encoding='ascii')]
    rows = sorted((dict(zip(lines[0], line)) for line in lines[1:]), key=lambda row: row['name'].lower())
    summaries = dict(line.rstrip('\n').split('\t') for line in open(sys.argv[2], encoding='ascii'))
    out = ['/* Made by cmake/command_facts.py from server/cmd/commands.tsv. */', '#include "server/run/facts.h"', '']
    table = []
    for number, row in enumerate(rows):
        specs = [] if row['key_specs'] == '-' else row['key_specs'].split(';')
        flags = bits(row['flags'], FLAGS) | (1 << FLAGS.index('movablekeys') if movable(specs) else 0)
        if specs:
            out.append('static const struct key_spec specs_%d[] = {%s};' % (number, ', '.join(map(spec, specs))))
        table.append('    {%s, %s, %s, %s, %s, %s, %s, 0x%x, 0x%x, %s, %s, %d},' % (
            text(row['name'].lower()), text(summaries.get(row['name'].lower(), '')),
            text(row['group'].replace('_', '-')), text(row['since']),
            '0' if row['deprecated_since'] == '-' else text(row['deprecated_since']),
            text('' if row['tips'] == '-' else row['tips']), row['arity'], flags,
            bits(row['acl'], CATEGORIES), 'true' if row['callable'] == 'container' else 'false',
            'specs_%d' % number if specs else '0', len(specs)))
    out += ['', 'const struct command_facts command_facts[] = {'] + table + ['};']
    out.append('const size_t command_facts_count = %d;' % len(rows))
    for name, size, words in (('fact_flag_names', 'FACT_FLAGS', FLAGS),
                              ('fact_category_names', 'FACT_CATEGORIES', CATEGORIES),
                              ('key_flag_names', 'KEY_FLAGS', KEYS)):
        out.append('const char *const %s[%s] = {%s};' % (name, size, ', '.join(map(text, words))))
    with open(sys.argv[3], 'w', encoding='ascii') as target:
        target.write('\n'.join(out) + '\n')


main()
