/*
 * config.h - the settings of a node: one table of options (options.c), read from files and the command line.
 *
 * Names, units and defaults are redis.conf's. A value is kept as its canonical text and, for numbers, parsed beside it.
 * Threads: config_load before any; afterwards everything from any thread. Texts are guarded by a lock that is a leaf;
 * numbers are read without one. Changes come one after the other, under a lock that is held while the listeners run:
 * they may read the settings and take other locks, but change no setting; config_set is called with no slot lock held.
 */
#ifndef CAIRN_SERVER_CONF_CONFIG_H
#define CAIRN_SERVER_CONF_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct config;
struct option;

enum option_type {
    OPTION_BOOL,
    OPTION_INT,
    OPTION_MEMORY, /* bytes; "64mb", "1g" */
    OPTION_ENUM,   /* one of `words`; the number is its index */
    OPTION_STRING,
    OPTION_LIST, /* any number of words: bind, save, client-output-buffer-limit */
};

enum option_flag {
    OPTION_IMMUTABLE = 1, /* CONFIG SET refuses: "can't set immutable config" */
    OPTION_ACCEPTED = 2,  /* kept and given back, without effect here (in-memory-only directives) */
    OPTION_OCTAL = 4,
    OPTION_MANY = 8,       /* may stand several times in a file; each adds a line of words (rename-command, user) */
    OPTION_PROTECTED = 16, /* needs enable-protected-configs */
    OPTION_HIDDEN = 32,    /* not an option for CONFIG GET and SET */
    OPTION_UNLISTED = 64,  /* CONFIG GET tells it by its whole name only */
};

/*
 * For options whose values are more than their type says: checks the words (at least one, unless the option is a list)
 * and writes the canonical text and the number. old: the present text, where a line adds to what was said before; else
 * empty. ERR_INVALID with the reason. See shape.h.
 */
typedef enum err option_shape(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number);

struct option {
    const char *name;
    const char *alias; /* an older name, or NULL */
    enum option_type type;
    unsigned flags;
    const char *standard;     /* default, as text */
    int64_t least, most;      /* numbers */
    const char *const *words; /* ENUM; NULL-terminated */
    const char *help;         /* one line */
    option_shape *shape;      /* or NULL */
};

/* notify-keyspace-events as config_int gives it. */
enum notify_class {
    NOTIFY_GENERIC = 1 << 0, /* g, and so on: g $ l s h z x e t d m n K E */
    NOTIFY_STRING = 1 << 1,
    NOTIFY_LIST = 1 << 2,
    NOTIFY_SET = 1 << 3,
    NOTIFY_HASH = 1 << 4,
    NOTIFY_ZSET = 1 << 5,
    NOTIFY_EXPIRED = 1 << 6,
    NOTIFY_EVICTED = 1 << 7,
    NOTIFY_STREAM = 1 << 8,
    NOTIFY_MODULE = 1 << 9,
    NOTIFY_MISS = 1 << 10,
    NOTIFY_NEW = 1 << 11,
    NOTIFY_KEYSPACE = 1 << 12,
    NOTIFY_KEYEVENT = 1 << 13,
    NOTIFY_ALL = NOTIFY_MISS - 1, /* A */
};

extern const struct option option_table[];
extern const size_t option_count;

/* By name or alias, any case; SIZE_MAX: unknown. */
size_t option_find(struct slice name);

struct config *config_new(void); /* all defaults */
void config_free(struct config *c);

/*
 * The command line: [FILE] [--config FILE] [-] [--option value ...]. A file ending in .toml is read as TOML; "-" reads
 * standard input as a redis.conf. What comes later wins. ERR_INVALID with a text that names file, line and the line
 * itself, as Redis prints it; ERR_IO: a file cannot be read.
 */
enum err config_load(struct config *c, int argc, char **argv) WARN_UNUSED;

/* One file's text; `name` is for messages. */
enum err config_read_redis(struct config *c, const char *name, struct slice text) WARN_UNUSED;
enum err config_read_toml(struct config *c, const char *name, struct slice text) WARN_UNUSED;

/* ---- Reading: name must be an option's name (check) ---- */

bool config_bool(const struct config *c, const char *name);
int64_t config_int(const struct config *c, const char *name); /* also memory (bytes) and enum (index) */

/* Appends the canonical text. */
void config_text(struct config *c, size_t option, struct buf *out);
/* A copy with a terminator in `out`, which is emptied first; returns its text. */
const char *config_string(struct config *c, const char *name, struct buf *out);

/* A list's words, each malloc'ed; free with config_words_free. Of OPTION_MANY: the words of all its lines. */
size_t config_words(struct config *c, const char *name, char ***words);
void config_words_free(char **words, size_t count);

/* The file that was read, absolute; "" without one. */
const char *config_file(const struct config *c);

/* ---- Changing ---- */

struct config_change {
    size_t option;
    struct slice value;
    struct slice name; /* as the client said it; for messages */
};

/*
 * All or nothing. *failed is the index of the change that was refused; err_text says why ("argument must be a memory
 * value", "can't set immutable config" ...). Change callbacks run afterwards, in the order of registration; one that
 * answers an error takes the whole change back. may_protected: the caller may change OPTION_PROTECTED ones.
 */
enum err config_set(struct config *c, const struct config_change *changes, size_t count, bool may_protected,
                    size_t *failed) WARN_UNUSED;

typedef enum err config_changed(void *context, struct config *c);
/* Before the first config_set. fn is called once per config_set, however many of its options changed. */
void config_on_change(struct config *c, const char *name, config_changed *fn, void *context);

/* CONFIG REWRITE: the file with changed lines replaced and missing ones added; comments and order stay. */
enum err config_rewrite(struct config *c) WARN_UNUSED;

/* All options as a Markdown table: name, default, bounds, whether CONFIG SET changes it, help. */
void config_help(struct buf *out);

/* ---- Shared by the parsers ---- */

/* Splits a line as a shell does ("..." with escapes, '...'); words are malloc'ed. ERR_INVALID: unbalanced quotes. */
enum err config_split(struct slice line, char ***words, size_t *count) WARN_UNUSED;

/* Sets an option from the words of one directive, while loading. ERR_INVALID with the reason. */
enum err config_apply(struct config *c, struct slice name, char **words, size_t count) WARN_UNUSED;

/* "64mb" and the like. */
bool config_parse_memory(struct slice text, int64_t *bytes);

#endif
