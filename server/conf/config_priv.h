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
    bool set;        /* Under lock: by a file, the command line or CONFIG SET */
};

struct listener {
    size_t option;
    config_changed *fn;
    void *context;
    struct listener *next;
};

struct config {
    pthread_mutex_t lock;
    struct listener *listeners; /* Set once */
    char *file;                 /* Set once: absolute, or NULL */
    struct value values[];      /* by option */
};

size_t config_index(const char *name);
enum err value_parse(const struct option *o, struct slice text, int64_t *number);
void value_store(struct config *c, size_t option, struct slice text, int64_t number);

#endif
