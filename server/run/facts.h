/*
 * facts.h - what Redis publishes about each command, compiled in from server/cmd/commands.tsv and summaries.tsv.
 */
#ifndef CAIRN_SERVER_RUN_FACTS_H
#define CAIRN_SERVER_RUN_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fact_flag {
    FACT_WRITE = 1 << 0,
    FACT_READONLY = 1 << 1,
    FACT_DENYOOM = 1 << 2,
    FACT_ADMIN = 1 << 3,
    FACT_PUBSUB = 1 << 4,
    FACT_NOSCRIPT = 1 << 5,
    FACT_BLOCKING = 1 << 6,
    FACT_LOADING = 1 << 7,
    FACT_STALE = 1 << 8,
    FACT_SKIP_MONITOR = 1 << 9,
    FACT_SKIP_SLOWLOG = 1 << 10,
    FACT_ASKING = 1 << 11,
    FACT_FAST = 1 << 12,
    FACT_NO_AUTH = 1 << 13,
    FACT_MAY_REPLICATE = 1 << 14,
    FACT_SENTINEL = 1 << 15,
    FACT_ONLY_SENTINEL = 1 << 16,
    FACT_NO_MANDATORY_KEYS = 1 << 17,
    FACT_PROTECTED = 1 << 18,
    FACT_NO_ASYNC_LOADING = 1 << 19,
    FACT_NO_MULTI = 1 << 20,
    FACT_ALLOW_BUSY = 1 << 21,
    FACT_TOUCHES_ARBITRARY_KEYS = 1 << 22,
    FACT_MOVABLE_KEYS = 1 << 23, /* not every key is found by a plain first, last and step */
};

enum fact_category {
    CATEGORY_KEYSPACE = 1 << 0,
    CATEGORY_READ = 1 << 1,
    CATEGORY_WRITE = 1 << 2,
    CATEGORY_SET = 1 << 3,
    CATEGORY_SORTEDSET = 1 << 4,
    CATEGORY_LIST = 1 << 5,
    CATEGORY_HASH = 1 << 6,
    CATEGORY_STRING = 1 << 7,
    CATEGORY_BITMAP = 1 << 8,
    CATEGORY_HYPERLOGLOG = 1 << 9,
    CATEGORY_GEO = 1 << 10,
    CATEGORY_STREAM = 1 << 11,
    CATEGORY_PUBSUB = 1 << 12,
    CATEGORY_ADMIN = 1 << 13,
    CATEGORY_FAST = 1 << 14,
    CATEGORY_SLOW = 1 << 15,
    CATEGORY_BLOCKING = 1 << 16,
    CATEGORY_DANGEROUS = 1 << 17,
    CATEGORY_CONNECTION = 1 << 18,
    CATEGORY_TRANSACTION = 1 << 19,
    CATEGORY_SCRIPTING = 1 << 20,
};
enum { FACT_FLAGS = 24, FACT_CATEGORIES = 21 };

enum key_flag {
    KEY_RW = 1 << 0,
    KEY_RO = 1 << 1,
    KEY_OW = 1 << 2,
    KEY_RM = 1 << 3,
    KEY_ACCESS = 1 << 4,
    KEY_INSERT = 1 << 5,
    KEY_UPDATE = 1 << 6,
    KEY_DELETE = 1 << 7,
    KEY_NOT_KEY = 1 << 8,
    KEY_INCOMPLETE = 1 << 9,
    KEY_VARIABLE_FLAGS = 1 << 10,
};
enum { KEY_FLAGS = 11 };

enum key_begin { KEY_BEGIN_INDEX, KEY_BEGIN_KEYWORD, KEY_BEGIN_UNKNOWN };
enum key_find { KEY_FIND_RANGE, KEY_FIND_KEYNUM, KEY_FIND_UNKNOWN };

/* One key specification (Redis: "key specs" of COMMAND INFO). */
struct key_spec {
    uint16_t flags; /* enum key_flag */
    uint8_t begin;  /* enum key_begin */
    uint8_t find;   /* enum key_find */
    const char *keyword;
    int position;            /* index: pos; keyword: startfrom */
    int last, step, limit;   /* range */
    int number_at, first_at; /* keynum; step as above */
};

struct command_facts {
    const char *name; /* lower case; a subcommand is "config|get" */
    const char *summary;    /* one line, from server/cmd/summaries.tsv; or "" */
    const char *group;
    const char *since;
    const char *deprecated; /* since which version, or NULL */
    const char *tips;       /* comma-separated, or "" */
    int arity;              /* counts the name (and the subcommand's); negative: at least */
    uint32_t flags;         /* enum fact_flag */
    uint32_t categories;    /* enum fact_category */
    bool container;         /* has subcommands and cannot run itself */
    const struct key_spec *specs;
    size_t spec_count;
};

extern const struct command_facts command_facts[];
extern const size_t command_facts_count;

/* Words as COMMAND INFO and ACL spell them, in the order of the bits. */
extern const char *const fact_flag_names[FACT_FLAGS];
extern const char *const fact_category_names[FACT_CATEGORIES];
extern const char *const key_flag_names[KEY_FLAGS];

#endif
