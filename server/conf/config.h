/*
 * config.h - the settings of a node: one table of options (options.c), read from files and the command line.
 *
 * Names, units and defaults are redis.conf's. A value is kept as its canonical text and, for numbers, parsed beside it.
 * Threads: config_load before any; afterwards reading from any thread, config_set under the config's own lock, which is
 * a leaf. Numbers are read without a lock.
 */
#ifndef CAIRN_SERVER_CONF_CONFIG_H
#define CAIRN_SERVER_CONF_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct config;

enum option_type {
    OPTION_BOOL,
    OPTION_INT,
    OPTION_MEMORY, /* bytes; "64mb", "1g"; with percent allowed for maxmemory-clients */
    OPTION_ENUM,   /* one of `words`; the number is its index */
    OPTION_STRING,
    OPTION_LIST,   /* any number of words: bind, save, client-output-buffer-limit */
};

enum option_flag {
    OPTION_IMMUTABLE = 1,  /* CONFIG SET refuses: "can't set immutable config" */
    OPTION_ACCEPTED = 2,   /* kept and given back, without effect here (in-memory-only directives) */
    OPTION_OCTAL = 4,
    OPTION_MANY = 8,       /* may stand several times in a file; each line adds (rename-command, user, loadmodule) */
    OPTION_PROTECTED = 16, /* needs enable-protected-configs */
};

struct option {
    const char *name;
    const char *alias;      /* an older name, or NULL */
    enum option_type type;
    unsigned flags;
    const char *standard;   /* default, as text */
    int64_t least, most;    /* numbers */
    const char *const *words; /* ENUM; NULL-terminated */
    const char *help;       /* one line */
};

extern const struct option options[];
extern const size_t options_count;

/* By name or alias, any case; SIZE_MAX: unknown. */
size_t option_find(struct slice name);

struct config *config_new(void); /* all defaults */
void config_free(struct config *c);

/*
 * The command line: [FILE | -] [--option value ...] [--config FILE.toml]. A file ending in .toml is read as TOML.
 * ERR_INVALID with a text that names file, line and the line itself, as Redis prints it.
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

/* A list's words, each malloc'ed; free with config_words_free. */
size_t config_words(struct config *c, const char *name, char ***words);
void config_words_free(char **words, size_t count);

/* The file that was read, absolute; "" without one. */
const char *config_file(const struct config *c);

/* ---- Changing ---- */

struct config_change {
    size_t option;
    struct slice value;
};

/*
 * All or nothing. *failed is the option that was refused; err_text says why ("argument must be a memory value",
 * "can't set immutable config" ...). Change callbacks run afterwards, in the order of registration; one that answers an
 * error takes the whole change back.
 */
enum err config_set(struct config *c, const struct config_change *changes, size_t count, size_t *failed) WARN_UNUSED;

typedef enum err config_changed(void *context, struct config *c);
void config_on_change(struct config *c, const char *name, config_changed *fn, void *context);

/* CONFIG REWRITE: the file with changed lines replaced and missing ones added; comments and order stay. */
enum err config_rewrite(struct config *c) WARN_UNUSED;

/* ---- Shared by the parsers ---- */

/* Splits a line as a shell does ("..." with escapes, '...'); words are malloc'ed. ERR_INVALID: unbalanced quotes. */
enum err config_split(struct slice line, char ***words, size_t *count) WARN_UNUSED;

/* Sets an option from the words of one directive, while loading. ERR_INVALID with the reason. */
enum err config_apply(struct config *c, struct slice name, char **words, size_t count) WARN_UNUSED;

/* "64mb" and the like. */
bool config_parse_memory(struct slice text, int64_t *bytes);

#endif
