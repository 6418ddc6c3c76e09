/*
 * check_store.c - reads the whole database and the whole log of a stopped node, and says whether one goes with the other.
 *
 *   floor        of each database: within the log, or the next start has nothing to begin with
 *   records      no last change behind the log's end: the database never runs ahead of the log
 *   count rows   equal what the rows say, in every slot about which the log has nothing further
 *   ids          below the durable limit, or the next start would give one out twice
 *   elements     named by a record or waiting for the reaper; as many as the record says
 *
 * Only reads: RocksDB is opened read-only, and the node's lock is taken, so that no server runs meanwhile.
 */
#include "tools/check_store.h"

#include "base/check.h"
#include "base/log.h"
#include "engine/store/store.h"
#include "persistence/history.h"
#include "persistence/vfs.h"
#include "persistence/wal_reader.h"
#include "tools/check_rows.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { DATABASES_MAX = 16384, FINDINGS_PRINTED = 20, CACHE_BYTES = 64 << 20 };

const char *const check_store_usage =
    "  store [--slots] DIR                        compare a node's database with its log (--slots: a line per slot)\n";

struct database {
    struct family *family; /* NULL: none */
    unsigned uid;
    struct check_rows *rows;
    bool later;            /* the log flushes or swaps it at or behind the floor */
};

struct checked {
    struct store *store;
    struct database *databases; /* by number; those that exist are below count */
    unsigned count, current;    /* current: the one whose rows are being read */
    lsn_t swapped_at;
    uint64_t id_limit;
    lsn_t begin, end;           /* of the log */
    uint64_t frames, effects;
    bool torn, slots_printed;
    uint64_t findings;
};

static void found(struct checked *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void found(struct checked *c, const char *format, ...)
{
    va_list args;

    if (c->findings++ >= FINDINGS_PRINTED)
        return;
    fputs("cairn-check: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ---- The database ---- */

static void row_finding(void *context, slot_t slot, const char *text)
{
    struct checked *c = context;

    found(c, "database %u slot %u: %s", c->current, slot, text);
}

static enum err meta_read(struct checked *c)
{
    struct store_value v = {0};
    enum err e = store_meta_get(c->store, SLICE_LITERAL("id-limit"), &v);

    c->id_limit = 1;
    if (e == OK && v.bytes.size == sizeof c->id_limit)
        memcpy(&c->id_limit, v.bytes.data, sizeof c->id_limit);
    else if (e != ERR_NOT_FOUND)
        return e != OK ? e : err_set(ERR_CORRUPT, "the row of the id limit has %zu bytes", v.bytes.size);
    store_value_free(&v);
    for (unsigned db = 0; db < DATABASES_MAX; db++)
        c->databases[db].uid = db;
    e = store_meta_get(c->store, SLICE_LITERAL("databases"), &v);
    if (e == OK && (v.bytes.size < sizeof c->swapped_at || v.bytes.size % 2 != 0 || v.bytes.size / 2 > DATABASES_MAX))
        return err_set(ERR_CORRUPT, "the row of the databases' order has %zu bytes", v.bytes.size);
    if (e == OK) {
        memcpy(&c->swapped_at, v.bytes.data, sizeof c->swapped_at);
        for (unsigned db = 0; db < (v.bytes.size - sizeof c->swapped_at) / 2; db++) {
            uint16_t uid;

            memcpy(&uid, v.bytes.data + sizeof c->swapped_at + 2 * db, sizeof uid);
            c->databases[db].uid = uid < DATABASES_MAX ? uid : db;
        }
    }
    store_value_free(&v);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err rows_read(struct checked *c)
{
    TRY(meta_read(c));
    for (unsigned db = 0; db < DATABASES_MAX; db++) {
        struct database *d = &c->databases[db];

        d->family = store_family(c->store, d->uid);
        if (d->family == NULL)
            continue;
        c->count = db + 1;
        c->current = db;
        d->rows = calloc(1, sizeof *d->rows);
        check(d->rows != NULL);
        TRY(check_rows(c->store, d->family, d->rows, row_finding, c));
        if (d->rows->floor == 0)
            d->rows->floor = store_family_born(d->family) + 1;
    }
    return OK;
}

/* ---- The log ---- */

static void effect_take(struct checked *c, const struct journal_effect *effect, lsn_t lsn)
{
    struct database *d;
    struct check_slot *slot;

    if (journal_kind_of(effect) == JOURNAL_MARK || effect->db >= c->count)
        return;
    if (journal_kind_of(effect) == JOURNAL_SWAP && lsn > c->swapped_at)
        for (unsigned db = 0; db < c->count; db++)
            c->databases[db].later = true;
    d = &c->databases[effect->db];
    if (d->rows == NULL || lsn < d->rows->floor)
        return;
    if (effect->slot >= SLOTS) {
        d->later = true;
        return;
    }
    slot = &d->rows->slots[effect->slot];
    slot->later = true;
    if (lsn > slot->counted_at) {
        slot->later_keys += effect->keys;
        slot->later_expires += effect->expires;
    }
}

static enum err log_walk(struct checked *c, struct wal_reader *r)
{
    struct wal_reader_place place;
    uint64_t history = 0;
    struct frame f;
    enum err e;

    wal_reader_place(r, &place);
    c->begin = c->end = place.position;
    while ((e = wal_reader_next(r, &f)) == OK) {
        struct frame_walk at = frame_walk_begin(&f);
        struct journal_effect effect;

        if (f.head.history != history)
            printf("history_from:%" PRIu64 ",id=%016" PRIx64 "\n", at.lsn, history = f.head.history);
        while (frame_walk_next(&at, &effect)) {
            effect_take(c, &effect, at.lsn);
            c->effects++;
        }
        c->frames++;
        c->end = f.end;
    }
    c->torn = e == ERR_AGAIN;
    return e == ERR_NOT_FOUND || e == ERR_AGAIN ? OK : e;
}

static enum err log_read(struct checked *c, const char *dir)
{
    struct history h = {.generation = 0};
    struct wal_reader *r;
    char path[VFS_PATH_MAX];
    enum err e;

    vfs_path(path, dir, "log");
    if ((e = history_load(vfs_posix(), path, &h)) != OK && e != ERR_NOT_FOUND)
        return e;
    TRY(wal_reader_open_dir(vfs_posix(), path, 0, &r));
    e = log_walk(c, r);
    wal_reader_close(r);
    printf("log:begin=%" PRIu64 ",end=%" PRIu64 ",frames=%" PRIu64 ",effects=%" PRIu64 ",torn=%d\n", c->begin, c->end,
           c->frames, c->effects, c->torn);
    if (h.replid[0] != '\0')
        printf("replid:%s\nclosed_cleanly:%d\n", h.replid, h.clean);
    for (uint32_t i = 0; i < h.ancestors_count; i++)
        printf("ancestor:%s,end=%" PRIu64 "\n", h.ancestors[i].replid, h.ancestors[i].end);
    if (e == OK && h.clean && c->end < h.clean_end)
        found(c, "the log ends at position %" PRIu64 ", but it was closed at %" PRIu64, c->end, h.clean_end);
    return e;
}

/* ---- Comparing ---- */

static void slots_compare(struct checked *c, unsigned db)
{
    const struct database *d = &c->databases[db];
    uint64_t later = 0, keys = 0, expires = 0, rows = 0;

    for (unsigned number = 0; number < SLOTS; number++) {
        const struct check_slot *s = &d->rows->slots[number];
        int64_t k = (int64_t)s->keys + s->later_keys, x = (int64_t)s->expires + s->later_expires;

        later += s->later;
        rows += s->count_row;
        keys += (uint64_t)k;
        expires += (uint64_t)x;
        if (c->slots_printed && (s->count_row || s->rows_keys > 0 || s->later))
            printf("slot:db=%u,slot=%u,keys=%" PRIu64 ",expires=%" PRIu64 ",counted_at=%" PRIu64 ",rows_keys=%" PRIu64
                   ",rows_expires=%" PRIu64 ",later_keys=%+" PRId64 ",later_expires=%+" PRId64 "\n",
                   db, number, s->keys, s->expires, s->counted_at, s->rows_keys, s->rows_expires, s->later_keys,
                   s->later_expires);
        if (d->later)
            continue;
        if (k < 0 || x < 0 || x > k)
            found(c, "database %u slot %u: count row and log give %" PRId64 " keys, %" PRId64 " of them with an expiry", db,
                  number, k, x);
        if (!s->later && (s->keys != s->rows_keys || s->expires != s->rows_expires))
            found(c, "database %u slot %u: the count row says %" PRIu64 " keys, %" PRIu64 " with an expiry; there are %" PRIu64
                  " and %" PRIu64, db, number, s->keys, s->expires, s->rows_keys, s->rows_expires);
        if (s->counted_at > c->end)
            found(c, "database %u slot %u: counted at position %" PRIu64 ", the log ends at %" PRIu64, db, number,
                  s->counted_at, c->end);
    }
    printf("database_%u:uid=%u,born=%" PRIu64 ",floor=%" PRIu64 ",keys=%" PRIu64 ",expires=%" PRIu64 ",count_rows=%" PRIu64
           ",slots_with_later_effects=%" PRIu64 "\n", db, d->uid, store_family_born(d->family), d->rows->floor, keys, expires,
           rows, later);
    printf("database_%u_rows:all=%" PRIu64 ",bytes=%" PRIu64 ",keys=%" PRIu64 ",big=%" PRIu64 ",elements=%" PRIu64
           ",scores=%" PRIu64 ",hints=%" PRIu64 ",garbage=%" PRIu64 ",last_change=%" PRIu64 ",id_max=%" PRIu64 "\n", db,
           d->rows->rows, d->rows->bytes, d->rows->keys, d->rows->big, d->rows->elements, d->rows->scores, d->rows->hints,
           d->rows->garbage, d->rows->last_change, d->rows->id_max);
}

static void compare(struct checked *c)
{
    for (unsigned db = 0; db < c->count; db++) {
        const struct database *d = &c->databases[db];

        if (d->rows == NULL)
            continue;
        slots_compare(c, db);
        if (d->rows->floor < c->begin)
            found(c, "database %u needs the log from position %" PRIu64 ", but it begins at %" PRIu64, db, d->rows->floor,
                  c->begin);
        if (d->rows->floor > c->end + 1)
            found(c, "database %u is at position %" PRIu64 ", but the log ends at %" PRIu64, db, d->rows->floor, c->end);
        if (store_family_born(d->family) > c->end)
            found(c, "database %u was born at position %" PRIu64 ", but the log ends at %" PRIu64, db,
                  store_family_born(d->family), c->end);
        if (d->rows->last_change > c->end)
            found(c, "database %u has a change of position %" PRIu64 ", but the log ends at %" PRIu64, db,
                  d->rows->last_change, c->end);
        if (d->rows->id_max >= c->id_limit && d->rows->id_max > 0)
            found(c, "database %u uses the id %" PRIu64 ", the limit is %" PRIu64, db, d->rows->id_max, c->id_limit);
    }
    printf("id_limit:%" PRIu64 "\nswapped_at:%" PRIu64 "\n", c->id_limit, c->swapped_at);
}

/* ---- All of it ---- */

/* The lock stays until the process ends. */
static enum err lock(const char *dir)
{
    char path[VFS_PATH_MAX];
    int fd;

    vfs_path(path, dir, "cairn.lock");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return OK; /* a copy may be without it */
    return flock(fd, LOCK_SH | LOCK_NB) == 0 ? OK : err_set(ERR_IO, "a server uses the directory %s", dir);
}

static enum err run(struct checked *c, const char *dir)
{
    char path[VFS_PATH_MAX];
    const struct store_options options = {.path = path, .block_cache_bytes = CACHE_BYTES, .write_buffer_bytes = 4 << 20,
                                          .max_open_files = 256, .read_only = true};
    enum err e;

    vfs_path(path, dir, "store");
    TRY(lock(dir));
    TRY(store_open(&options, &c->store));
    e = rows_read(c);
    if (e == OK)
        e = log_read(c, dir);
    if (e == OK)
        compare(c);
    return e;
}

int check_store(int argc, char **argv)
{
    struct checked c = {0};
    const char *dir = NULL;
    enum err e;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--slots") == 0)
            c.slots_printed = true;
        else if (argv[i][0] != '-' && dir == NULL)
            dir = argv[i];
        else
            dir = NULL, i = argc;
    }
    if (dir == NULL) {
        fprintf(stderr, "usage: cairn-check\n%s", check_store_usage);
        return 2;
    }
    c.databases = calloc(DATABASES_MAX, sizeof *c.databases);
    check(c.databases != NULL);
    e = run(&c, dir);
    if (e != OK)
        fprintf(stderr, "cairn-check: %s\n", err_text());
    if (c.findings > FINDINGS_PRINTED)
        fprintf(stderr, "cairn-check: %" PRIu64 " findings in all\n", c.findings);
    printf("findings:%" PRIu64 "\nstatus:%s\n", c.findings, e != OK ? "unreadable" : c.findings > 0 ? "disagree" : "ok");
    for (unsigned db = 0; db < DATABASES_MAX; db++)
        free(c.databases[db].rows);
    free(c.databases);
    store_close(c.store);
    return e == OK && c.findings == 0 ? 0 : 1;
}
