/*
 * config_priv.h - the settings from inside, for the files of this room.
 */
#ifndef CAIRN_SERVER_CONF_CONFIG_PRIV_H
#define CAIRN_SERVER_CONF_CONFIG_PRIV_H

#include "server/conf/config.h"

#include <pthread.h>
#include <stdatomic.h>

struct value {
    struct buf text; /* Under lock: canonical */
    atomic_int_fast64_t number;
    atomic_bool set; /* by a file, the command line or CONFIG SET */
};

struct listener {
    size_t option;
    config_changed *fn;
    void *context;
    struct listener *next;
};

struct config {
    pthread_mutex_t change; /* one config_set or config_rewrite at a time; before lock */
    pthread_mutex_t lock;
    struct listener *listeners; /* Set once */
    char *file;                 /* Set once: absolute, or NULL */
    struct value values[];      /* by option */
};

size_t config_index(const char *name);

/* Checks the words and appends their canonical text. old: see option_shape. ERR_INVALID with the reason. */
enum err value_take(const struct option *o, struct slice old, char *const *words, size_t count, struct buf *text,
                    int64_t *number) WARN_UNUSED;
/* The same for a value in one piece, as CONFIG SET and the table's defaults have it. */
enum err value_parse(const struct option *o, struct slice old, struct slice value, struct buf *text,
                     int64_t *number) WARN_UNUSED;
void value_store(struct config *c, size_t option, struct slice text, int64_t number);

/* The message that ends a start: where, the line, and why (err_text). */
enum err config_fatal(const char *where, struct slice line);

#endif
