"""Compiles server/cmd/syntax.tsv into the arguments that COMMAND DOCS tells: usage: command_syntax.py commands.tsv syntax.tsv out.c

A line: name, complexity, syntax, history ("7.0.0: what came;..."). The syntax is that of the documentation:
    word            an argument; word:integer gives its type; "key" is a key, "pattern" a pattern, else a string
    WORD            a token; the arguments behind it, up to the next token or bracket, belong to it
    [a b]           optional            [a | b]  one of them, or none            <a | b>  one of them
    a b [a b ...]   once or more often  [a ...]  any number of times
"""
import re
import sys

TYPES = {"key": "key", "pattern": "pattern"}
NAMES = {("NX", "XX"): "condition", ("GT", "LT"): "comparison", ("NX", "XX", "GT", "LT"): "condition", ("ASC", "DESC"): "order",
         ("ASYNC", "SYNC"): "flush-type", ("LEFT", "RIGHT"): "where", ("MIN", "MAX"): "where", ("M", "KM", "FT", "MI"): "unit",
         ("BYTE", "BIT"): "unit", ("SUM", "MIN", "MAX"): "aggregate", ("BYSCORE", "BYLEX"): "sortby", ("ON", "OFF"): "enabled",
         ("BEFORE", "AFTER"): "where", ("MAXLEN", "MINID"): "strategy", ("=", "~"): "operator"}


class Node:
    def __init__(self, name, kind, token=None, children=()):
        self.name, self.kind, self.token, self.children = name, kind, token, list(children)
        self.optional = self.multiple = self.multiple_token = False


def is_token(word):
    return word not in ("[", "]", "<", ">", "|", "...") and not re.search("[a-z]", word.split(":")[0])


class Parser:
    def __init__(self, text):
        self.words = re.findall(r'\.\.\.|[\[\]<>|]|[^\s\[\]<>|]+', text)
        self.at = 0

    def peek(self):
        return self.words[self.at] if self.at < len(self.words) else None

    def take(self):
        self.at += 1
        return self.words[self.at - 1]

    def sequence(self):
        """Up to a closing bracket, a bar or the end. Returns the nodes, and whether "..." ended it."""
        nodes, repeats = [], False
        while self.peek() not in (None, "]", ">", "|"):
            if self.peek() == "...":
                self.take()
                repeats = True
            elif is_token(self.peek()):
                nodes.append(self.with_token(self.take()))
                self.repetition(nodes)
            elif self.peek() in ("[", "<"):
                self.bracket(nodes)
            else:
                nodes.append(self.argument(self.take()))
        return nodes, repeats

    def argument(self, word):
        name, _, kind = word.partition(":")
        return Node(name, kind or TYPES.get(name, "string"))

    def with_token(self, token):
        inside = []
        while self.peek() not in (None, "]", ">", "|", "...") and not is_token(self.peek()):
            if self.peek() == "[" and not self.repeats_ahead(inside):
                break
            if self.peek() in ("[", "<"):
                self.bracket(inside)
            else:
                inside.append(self.argument(self.take()))
        if not inside:
            return Node(token.lower(), "pure-token", token)
        if len(inside) == 1 and inside[0].token is None:
            inside[0].token = token
            return inside[0]
        return Node(token.lower(), "block", token, inside)

    def repeats_ahead(self, before):
        """Whether the bracket at hand repeats the arguments that stand before it."""
        end, depth = self.at, 0
        while end < len(self.words):
            depth += {"[": 1, "]": -1}.get(self.words[end], 0)
            if depth == 0:
                break
            end += 1
        first = self.words[self.at + 1].split(":")[0]
        return bool(before) and end > 0 and self.words[end - 1] == "..." and not is_token(self.words[self.at + 1]) and \
            any(node.name == first for node in before)

    def repetition(self, nodes):
        """token x [token x ...]"""
        start = self.at
        if self.peek() != "[":
            return
        self.take()
        inside, repeats = self.sequence()
        if not repeats or self.peek() != "]" or len(inside) > len(nodes) or \
                [n.token for n in inside] != [n.token for n in nodes[len(nodes) - len(inside):]]:
            self.at = start
            return
        self.take()
        self.fold(nodes, len(inside))

    def fold(self, nodes, count):
        """The last `count` nodes may be repeated."""
        if count > 1:
            inside = nodes[len(nodes) - count:]
            del nodes[len(nodes) - count:]
            nodes.append(Node("data" if inside[0].token is None else inside[0].token.lower(), "block", None, inside))
        nodes[-1].multiple = True
        nodes[-1].multiple_token = nodes[-1].token is not None

    def alternatives(self, close):
        choices = [self.sequence()]
        while self.peek() == "|":
            self.take()
            choices.append(self.sequence())
        assert self.take() == close, "bracket"
        return choices

    def bracket(self, nodes):
        optional = self.take() == "["
        choices = self.alternatives("]" if optional else ">")
        if len(choices) == 1 and choices[0][1]:
            inside = choices[0][0]
            before = [n.name for n in nodes[len(nodes) - len(inside):]]
            if before == [n.name for n in inside]:
                self.fold(nodes, len(inside))
                return
        made = [self.group(inside) for inside, _ in choices]
        if len(made) == 1:
            node = made[0]
        else:
            key = tuple(n.token or n.name for n in made)
            node = Node(NAMES.get(key, "option" if optional else "choice"), "oneof", None, made)
        node.optional = optional
        node.multiple |= choices[-1][1]
        nodes.append(node)

    def group(self, inside):
        return inside[0] if len(inside) == 1 else Node("block", "block", None, inside)


def parse(text):
    parser = Parser(text)
    nodes, repeats = parser.sequence()
    assert parser.peek() is None and not repeats, text
    return nodes


def quote(value):
    return "NULL" if value is None else '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"')


class Emitter:
    def __init__(self):
        self.out, self.count = [], 0

    def table(self, nodes, keys):
        """Writes the array of the nodes, those inside them first. keys: [next key specification, how many there are]."""
        rows = []
        for n in nodes:
            spec = -1
            if n.kind == "key" and keys[1] > 0:
                spec = min(keys[0], keys[1] - 1)
                keys[0] += 1
            inside = self.table(n.children, keys) if n.children else "NULL"
            flags = n.optional * 1 | n.multiple * 2 | n.multiple_token * 4
            rows.append("{%s, %s, %s, %d, %d, %s, %d}" % (quote(n.name), quote(n.kind), quote(n.token), flags, spec, inside,
                                                          len(n.children)))
        name = "arguments_%d" % self.count
        self.count += 1
        self.out.append("static const struct command_argument %s[] = {\n    %s};" % (name, ",\n    ".join(rows)))
        return name


def main():
    lines = [line.rstrip("\n").split("\t") for line in open(sys.argv[1], encoding="ascii")]
    specs = {row[0].lower(): 0 if row[6] == "-" else len(row[6].split(";")) for row in lines[1:]}
    rows = [(line.rstrip("\n").split("\t") + [""] * 4)[:4] for line in open(sys.argv[2], encoding="ascii")][1:]
    emitter, table = Emitter(), []
    for name, complexity, syntax, history in sorted(rows):
        nodes = parse(syntax)
        arguments = emitter.table(nodes, [0, specs[name]]) if nodes else "NULL"
        changes = [change.split(": ", 1) for change in history.split(";") if change]
        label = "NULL"
        if changes:
            label = "history_%d" % len(table)
            emitter.out.append("static const struct command_change %s[] = {%s};" % (
                label, ", ".join("{%s, %s}" % (quote(v), quote(t[0].upper() + t[1:])) for v, t in changes)))
        table.append("    {%s, %s, %s, %d, %s, %d}," % (quote(name), quote(complexity), arguments, len(nodes), label,
                                                       len(changes)))
    out = ["/* Made by cmake/command_syntax.py from server/cmd/syntax.tsv. */", '#include "server/cmd/syntax.h"', "",
           "#include <stddef.h>", ""] + emitter.out
    out += ["", "const struct command_syntax command_syntax[] = {"] + table + ["};"]
    out.append("const size_t command_syntax_count = %d;" % len(table))
    open(sys.argv[3], "w", encoding="ascii").write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
