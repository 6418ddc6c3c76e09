/*
 * harness.c - the store, the set and a journal in memory.
 */
#include "tests/unit/engine/harness.h"

#include "base/check.h"
#include "base/hash.h"
#include "engine/set/journal.h"
#include "engine/store/store.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEYS_MAX = 32, HARNESS_JOURNAL_KEEPS = 1 << 10 };

struct harness_journal {
    struct journal journal;
    pthread_mutex_t lock;
    lsn_t tail, synced;
    unsigned deltas; /* of the last frame's effects: how many change counts */
    int keys;        /* and by how much in all */
    struct buf text, printed, effects;
};

static lsn_t append(void *context, const struct journal_effect *effects, size_t count, struct slice text, struct buf *from)
{
    struct harness_journal *j = context;
    size_t bytes = 0, local = 0;
    lsn_t base;

    for (size_t i = 0; i < count; i++) {
        bytes += effects[i].bytes;
        local += journal_is_local(&effects[i]) ? effects[i].bytes : 0;
    }
    check(bytes == text.size);
    pthread_mutex_lock(&j->lock);
    j->deltas = 0;
    j->keys = 0;
    for (size_t i = 0; i < count; i++) {
        j->deltas += effects[i].keys != 0 || effects[i].expires != 0;
        j->keys += effects[i].keys;
    }
    base = j->tail;
    j->tail += bytes - local;
    buf_append_slice(&j->text, text);
    buf_append(&j->effects, effects, count * sizeof *effects);
    pthread_mutex_unlock(&j->lock);
    if (from != NULL && text.size >= HARNESS_JOURNAL_KEEPS)
        buf_free(from); /* as the log does when it has written it */
    return base;
}

static lsn_t tail(void *context)
{
    struct harness_journal *j = context;
    lsn_t at;

    pthread_mutex_lock(&j->lock);
    at = j->tail;
    pthread_mutex_unlock(&j->lock);
    return at;
}

static enum err sync_(void *context, lsn_t lsn)
{
    struct harness_journal *j = context;

    pthread_mutex_lock(&j->lock);
    if (lsn > j->synced)
        j->synced = lsn;
    pthread_mutex_unlock(&j->lock);
    return OK;
}

unsigned harness_deltas(struct harness *h, int *keys)
{
    unsigned deltas;

    pthread_mutex_lock(&h->journal->lock);
    deltas = h->journal->deltas;
    *keys = h->journal->keys;
    pthread_mutex_unlock(&h->journal->lock);
    return deltas;
}

lsn_t harness_synced(struct harness *h)
{
    lsn_t at;

    pthread_mutex_lock(&h->journal->lock);
    at = h->journal->synced;
    pthread_mutex_unlock(&h->journal->lock);
    return at;
}

void harness_jump(struct harness *h, lsn_t lsn)
{
    pthread_mutex_lock(&h->journal->lock);
    h->journal->tail = h->journal->synced = lsn;
    pthread_mutex_unlock(&h->journal->lock);
}

static void trim(void *context, lsn_t floor)
{
    (void)context;
    (void)floor;
}

struct harness *harness_open(uint64_t budget_bytes)
{
    struct harness *h = calloc(1, sizeof *h);
    struct store_options store = {.path = h->path, .block_cache_bytes = 8 << 20, .write_buffer_bytes = 1 << 20};
    struct set_options options = {.databases = 4, .budget_bytes = budget_bytes, .dirty_bytes_max = 16 << 20,
                                  .log_bytes_max = 64 << 20};

    snprintf(h->path, sizeof h->path, "%s/cairn-test-XXXXXX", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    check(mkdtemp(h->path) != NULL);
    h->journal = calloc(1, sizeof *h->journal);
    pthread_mutex_init(&h->journal->lock, NULL);
    h->journal->journal = (struct journal){h->journal, append, tail, sync_, trim, NULL};
    check(store_open(&store, &h->store) == OK);
    options.store = h->store;
    options.journal = &h->journal->journal;
    check(set_open(&options, &h->set) == OK);
    set_expire_enable(h->set, false); /* the harness has its own clock */
    check(set_start(h->set) == OK);
    h->txn = txn_new(h->set, 42);
    h->now_ms = 1700000000000;
    h->may_wait = true;
    return h;
}

void harness_close(struct harness *h)
{
    char command[128];

    txn_free(h->txn);
    set_close(h->set);
    store_close(h->store);
    buf_free(&h->journal->text);
    buf_free(&h->journal->printed);
    buf_free(&h->journal->effects);
    free(h->journal);
    snprintf(command, sizeof command, "rm -rf '%s'", h->path);
    check(system(command) == 0);
    free(h);
}

static int by_number(const void *a, const void *b)
{
    return (int)*(const slot_t *)a - (int)*(const slot_t *)b;
}

struct txn *harness_begin(struct harness *h, const char *key, ...)
{
    struct txn_options options = {.now_ms = h->now_ms, .db = h->db, .may_wait = h->may_wait};
    slot_t slots[KEYS_MAX];
    size_t count = 0, unique = 0;
    va_list args;

    va_start(args, key);
    for (; key != NULL; key = va_arg(args, const char *)) {
        check(count < KEYS_MAX);
        slots[count++] = hash_slot(slice_str(key));
    }
    va_end(args);
    qsort(slots, count, sizeof *slots, by_number);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || slots[i] != slots[unique - 1])
            slots[unique++] = slots[i];
    check(txn_begin(h->txn, slots, unique, &options) == OK);
    return h->txn;
}

void harness_end_as(struct harness *h, const char *text)
{
    struct slice words[KEYS_MAX];
    size_t count = 0;

    for (const char *p = text; *p != '\0';) {
        size_t n = strcspn(p, " ");

        check(count < KEYS_MAX);
        words[count++] = slice_of(p, n);
        p += n + (p[n] == ' ');
    }
    txn_command_end(h->txn, (struct slice){0}, words, count);
    check(txn_commit(h->txn, &h->end) == OK);
    txn_end(h->txn);
}

void harness_end(struct harness *h)
{
    harness_end_as(h, "VERBATIM");
}

void harness_abort(struct harness *h)
{
    txn_end(h->txn);
}

/* Prints well-formed RESP arrays of bulk strings. */
const char *harness_text(struct harness *h)
{
    const char *p = (const char *)h->journal->text.data, *end = p + h->journal->text.size;
    struct buf *out = &h->journal->printed;

    buf_clear(out);
    while (p < end) {
        long words = strtol(p + 1, (char **)&p, 10);

        check(words > 0);
        p += 2;
        while (words-- > 0) {
            long size = strtol(p + 1, (char **)&p, 10);

            buf_append(out, p + 2, (size_t)size);
            buf_append_byte(out, words > 0 ? ' ' : '|');
            p += 2 + size + 2;
        }
    }
    buf_append_byte(out, 0);
    return (const char *)out->data;
}

struct slice harness_effects(struct harness *h)
{
    return buf_slice(&h->journal->effects);
}

void harness_text_clear(struct harness *h)
{
    buf_clear(&h->journal->effects);
    buf_clear(&h->journal->text);
}

void harness_cool(struct harness *h)
{
    check(set_drain(h->set) == OK);
    set_evict_all(h->set);
}
