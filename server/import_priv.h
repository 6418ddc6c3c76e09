/*
 * import_priv.h - an import from inside: its files, and how far it has come.
 */
#ifndef CAIRN_SERVER_IMPORT_PRIV_H
#define CAIRN_SERVER_IMPORT_PRIV_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"

struct node;

struct import_file {
    char *path;
    uint64_t bytes;
    bool base; /* an RDB file, or the manifest's base */
};

struct import {
    struct node *node;
    struct import_file *files; /* in the order they are read */
    size_t count, current;
    uint64_t total, done;      /* bytes: of all files; of those that are done */
    int fd;                    /* of the current one; -1: none */
    struct buf rest;           /* of the current one: read behind its RDB part, not looked at yet */
    uint64_t taken;            /* bytes of its RDB part */
    uint64_t keys, expired, commands;
    msec_t began_ms, logged_ms;
};

enum err import_open(struct import *i, const struct import_file *f) WARN_UNUSED;
void import_shut(struct import *i);
enum err import_pull(void *context, uint8_t *out, size_t room, size_t *got) WARN_UNUSED;
/* bytes: of the current file. ERR_CLOSED: the node is to stop. */
enum err import_progress(struct import *i, uint64_t keys, uint64_t bytes) WARN_UNUSED;

/*
 * server/import_aof.c: runs the commands of the current file, which is open; i->rest comes first. last: of all files, whose torn
 * end is cut (aof-load-truncated). ERR_CORRUPT with the offset; ERR_CLOSED.
 */
enum err import_aof(struct import *i, struct node *n, const struct import_file *f, bool last) WARN_UNUSED;

#endif
