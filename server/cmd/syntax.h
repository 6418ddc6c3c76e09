/*
 * syntax.h - what COMMAND DOCS tells beside the facts: complexity, arguments, history. Made by cmake/command_syntax.py from
 * server/cmd/syntax.tsv; constant.
 */
#ifndef CAIRN_SERVER_CMD_SYNTAX_H
#define CAIRN_SERVER_CMD_SYNTAX_H

#include <stddef.h>

enum argument_flag { ARGUMENT_OPTIONAL = 1, ARGUMENT_MULTIPLE = 2, ARGUMENT_MULTIPLE_TOKEN = 4 };

struct command_argument {
    const char *name;
    const char *type;  /* as Redis spells it: "key", "integer", "oneof", "block", "pure-token" ... */
    const char *token; /* the word in front of it, or NULL */
    int flags;         /* enum argument_flag */
    int key_spec;      /* which key specification finds it; -1: none */
    const struct command_argument *inside; /* of oneof and block */
    size_t count;
};

struct command_change {
    const char *since, *what;
};

struct command_syntax {
    const char *name; /* lower case; a subcommand is "config|get" */
    const char *complexity;
    const struct command_argument *arguments;
    size_t argument_count;
    const struct command_change *history;
    size_t history_count;
};

/* In order of the names. */
extern const struct command_syntax command_syntax[];
extern const size_t command_syntax_count;

#endif
