/*
 * slowlog.h - the last commands that took long.
 *
 * Threads: everything from any thread; its lock is a leaf.
 */
#ifndef CAIRN_SERVER_STAT_SLOWLOG_H
#define CAIRN_SERVER_STAT_SLOWLOG_H

#include "base/slice.h"
#include "base/types.h"

struct slowlog;

enum { SLOWLOG_WORDS_MAX = 32, SLOWLOG_WORD_BYTES_MAX = 128 }; /* what is beyond is told by a count */

struct slowlog_entry {
    uint64_t id;
    int64_t time_s; /* unix time */
    uint64_t duration_us;
    size_t count;
    char **words; /* cut, with terminators; words may hold zero bytes before them */
    size_t *sizes;
    char *address, *name; /* of the client */
};

struct slowlog *slowlog_new(size_t entries_max);
void slowlog_free(struct slowlog *s); /* accepts NULL */
void slowlog_resize(struct slowlog *s, size_t entries_max);

/* Copies everything. */
void slowlog_add(struct slowlog *s, int64_t time_s, uint64_t duration_us, const struct slice *words, size_t count,
                 const char *address, struct slice name);

size_t slowlog_count(struct slowlog *s);
void slowlog_reset(struct slowlog *s);

/* Newest first, at most `most`; called under the lock. */
typedef void slowlog_each(void *context, const struct slowlog_entry *e);
void slowlog_list(struct slowlog *s, size_t most, slowlog_each *each, void *context);

#endif
