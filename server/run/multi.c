/*
 * multi.c - the queue is one run of bytes and two arrays of places: queueing a command allocates rarely.
 */
#include "server/run/multi.h"

#include <stdlib.h>

#include "base/check.h"
#include "engine/set/txn.h"
#include "server/run/registry.h"

static void *grown(void *array, size_t *capacity, size_t need, size_t item_bytes)
{
    if (need <= *capacity)
        return array;
    *capacity = need < 8 ? 8 : need * 2;
    array = realloc(array, *capacity * item_bytes);
    check(array != NULL);
    return array;
}

void multi_queue(struct multi *m, const struct command *command, const struct slice *argv, size_t argc, struct slice raw)
{
    struct multi_command *queued;

    m->commands = grown(m->commands, &m->capacity, m->count + 1, sizeof *m->commands);
    m->words = grown(m->words, &m->word_capacity, m->word_count + argc, sizeof *m->words);
    queued = &m->commands[m->count++];
    *queued = (struct multi_command){.command = command, .argc = argc, .words_at = m->word_count};
    queued->raw_at = m->bytes.size;
    queued->raw_size = raw.size;
    buf_append_slice(&m->bytes, raw);
    for (size_t i = 0; i < argc; i++) {
        struct multi_word *word = &m->words[m->word_count++];

        word->size = argv[i].size;
        if (raw.size > 0) { /* the words lie inside the raw request */
            word->at = queued->raw_at + (size_t)(argv[i].data - raw.data);
        } else {
            word->at = m->bytes.size;
            buf_append_slice(&m->bytes, argv[i]);
        }
    }
}

void multi_words(const struct multi *m, size_t i, struct slice *argv)
{
    const struct multi_command *queued = &m->commands[i];

    for (size_t j = 0; j < queued->argc; j++) {
        const struct multi_word *word = &m->words[queued->words_at + j];
        argv[j] = slice_of(m->bytes.data + word->at, word->size);
    }
}

struct slice multi_raw(const struct multi *m, size_t i)
{
    return slice_of(m->bytes.data + m->commands[i].raw_at, m->commands[i].raw_size);
}

void multi_unwatch(struct multi *m)
{
    for (size_t i = 0; i < m->watch_count; i++)
        free(m->watches[i].key);
    m->watch_count = m->watch_bytes = 0;
}

void multi_clear(struct multi *m, bool unwatch)
{
    enum { KEEP_BYTES = 64 << 10 };

    m->open = m->failed = false;
    m->count = m->word_count = 0;
    buf_clear(&m->bytes);
    if (m->bytes.capacity > KEEP_BYTES)
        buf_free(&m->bytes);
    if (unwatch)
        multi_unwatch(m);
}

void multi_fini(struct multi *m)
{
    multi_unwatch(m);
    free(m->commands);
    free(m->words);
    free(m->watches);
    buf_free(&m->bytes);
    *m = (struct multi){0};
}

size_t multi_memory(const struct multi *m)
{
    return m->bytes.capacity + m->capacity * sizeof *m->commands + m->word_capacity * sizeof *m->words + m->watch_bytes;
}

enum err multi_watch(struct multi *m, struct txn *t, struct slice key)
{
    struct multi_watch *w;
    struct obj *o = NULL;
    unsigned db = txn_db(t);
    enum err e;

    for (size_t i = 0; i < m->watch_count; i++)
        if (m->watches[i].db == db && slice_equal(slice_of(m->watches[i].key, m->watches[i].key_size), key))
            return OK;
    e = txn_read(t, key, OBJ_ANY, &o);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    m->watches = grown(m->watches, &m->watch_capacity, m->watch_count + 1, sizeof *m->watches);
    w = &m->watches[m->watch_count++];
    m->watch_bytes += sizeof *m->watches + key.size;
    *w = (struct multi_watch){.db = db, .present = o != NULL, .last_change = o != NULL ? o->last_change : 0,
                              .key_size = key.size, .key = malloc(key.size + 1)};
    check(w->key != NULL);
    memcpy(w->key, key.data, key.size);
    return OK;
}

enum err multi_touched(const struct multi *m, struct txn *t, bool *touched)
{
    unsigned db = txn_db(t);
    enum err e = OK;

    *touched = false;
    for (size_t i = 0; i < m->watch_count && !*touched; i++) {
        const struct multi_watch *w = &m->watches[i];
        struct obj *o = NULL;

        txn_select(t, w->db);
        e = txn_read(t, slice_of(w->key, w->key_size), OBJ_ANY, &o);
        if (e != OK && e != ERR_NOT_FOUND)
            break;
        e = OK;
        *touched = (o != NULL) != w->present || (o != NULL && o->last_change != w->last_change);
    }
    txn_select(t, db);
    return e;
}

bool multi_may_write(const struct multi *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (command_may_write(m->commands[i].command))
            return true;
    return false;
}
