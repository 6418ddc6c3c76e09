/*
 * store.h - RocksDB, as Cairn uses it: families of rows, atomic batches, point reads with a tier, SST ingest.
 *
 * The only folder that includes RocksDB. RocksDB's own log is off: what reaches a memtable is durable only after a
 * flush, which nobody but the caller starts (store_flush_begin). One family's flush is atomic; a batch over two families
 * is not, after a crash. Threads: everything may be called from any thread; a struct batch and a cursor have one user.
 */
#ifndef CAIRN_ENGINE_STORE_STORE_H
#define CAIRN_ENGINE_STORE_STORE_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"

struct store;
struct family; /* one column family: one generation of one logical database */
struct batch;
struct cursor;

struct store_options {
    const char *path;
    uint64_t block_cache_bytes;  /* for blocks, indexes and filters together */
    uint64_t write_buffer_bytes; /* of one memtable, before the caller is expected to flush */
    uint64_t burst_bytes;        /* what the caller brings at once, in sorted files; 0: little */
    int background_jobs;         /* flush and compaction threads; 0: 2 */
    int max_open_files;          /* -1: all stay open */
    bool read_only;              /* changes nothing on disk; ERR_NOT_FOUND without a database. Only reads are allowed */
};

/*
 * While the files are small enough for it, their indexes and filters stay in memory, in the block cache's share: a read
 * then costs half as much (docs/decisions/0026). Larger databases keep them in parts, in the block cache.
 */
enum err store_open(const struct store_options *options, struct store **out) WARN_UNUSED;
void store_close(struct store *s);
void store_cache_resize(struct store *s, uint64_t block_cache_bytes);

/* ---- Families ---- */

/* Families are named by a number (uid) and the log position they were born at; of several generations of one uid the
 * newest is kept at open and the others are dropped. NULL if there is none. */
struct family *store_family(struct store *s, unsigned uid);

/* Creates a new generation (durable at once) and makes it the current one. The old one, if any, goes to *old. */
enum err store_family_create(struct store *s, unsigned uid, lsn_t born, struct family **old) WARN_UNUSED;

/* Drops a generation that is no longer current and closes its handle; nobody may use it any more. */
enum err store_family_drop(struct store *s, struct family *f) WARN_UNUSED;
/* The same for the current generation of a uid, which has none then; fine without one. */
enum err store_family_remove(struct store *s, unsigned uid) WARN_UNUSED;
lsn_t store_family_born(const struct family *f);

/* ---- Small durable rows beside the families (the order of databases, id limits). On disk when it returns. ---- */
enum err store_meta_put(struct store *s, struct slice key, struct slice value) WARN_UNUSED;

/* ---- Reading ---- */

enum store_tier {
    STORE_CACHED,    /* memtables and block cache only: ERR_COLD when the disk would be needed */
    STORE_DISK,
    STORE_DISK_ONCE, /* as STORE_DISK; the caller keeps the value, the block cache need not */
    STORE_SCAN,      /* cursors: the same, for long walks: files are read a megabyte at a time */
    STORE_PERSISTED, /* only what is in SST files */
    STORE_TIERS,
};

/* A value pinned in the store's memory until store_value_free. */
struct store_value {
    struct slice bytes;
    void *pin;
};

/* ERR_NOT_FOUND, ERR_COLD, ERR_IO. */
enum err store_get(struct store *s, struct family *f, enum store_tier tier, struct slice key, struct store_value *out) WARN_UNUSED;
enum err store_meta_get(struct store *s, struct slice key, struct store_value *out) WARN_UNUSED;
void store_value_free(struct store_value *v);

/*
 * A walk over [lower, upper), as the rows were when it was opened; both are copied. After a seek or step,
 * cursor_valid; when it is false, cursor_error tells the end (ERR_NOT_FOUND) from ERR_COLD and ERR_IO.
 *
 * Over all rows of a kind, or of an id:
 *
 *     TRY(cursor_open_prefix(s, f, tier, prefix, &c));
 *     for (cursor_first(c); cursor_valid(c); cursor_next(c))
 *         ...
 *     e = cursor_end(c);
 */
enum err cursor_open(struct store *s, struct family *f, enum store_tier tier, struct slice lower, struct slice upper,
                     struct cursor **out) WARN_UNUSED;
/* A walk over the rows whose keys begin with prefix, which is copied. */
enum err cursor_open_prefix(struct store *s, struct family *f, enum store_tier tier, struct slice prefix,
                            struct cursor **out) WARN_UNUSED;
void cursor_close(struct cursor *c); /* accepts NULL */
void cursor_first(struct cursor *c); /* the first row of the walk */
void cursor_seek(struct cursor *c, struct slice key);      /* the first row at or behind key */
void cursor_seek_back(struct cursor *c, struct slice key); /* the last row at or before key */
void cursor_next(struct cursor *c);
void cursor_back(struct cursor *c);
bool cursor_valid(const struct cursor *c);
struct slice cursor_key(const struct cursor *c); /* both borrow until the next move */
struct slice cursor_value(const struct cursor *c);
enum err cursor_error(const struct cursor *c);
enum err cursor_end(const struct cursor *c) WARN_UNUSED; /* behind a walk: OK if it went on to its end, else what stopped it */

/* ---- Writing ---- */

struct batch *batch_new(void);
void batch_free(struct batch *b);
void batch_clear(struct batch *b);
size_t batch_count(const struct batch *b);
size_t batch_bytes(const struct batch *b);
void batch_put(struct batch *b, struct family *f, struct slice key, struct slice value);
void batch_delete(struct batch *b, struct family *f, struct slice key);
void batch_delete_range(struct batch *b, struct family *f, struct slice from, struct slice to);

/* Into the memtables, atomically, with RocksDB's log off. A failure other than no memory is fatal to the caller's trust. */
enum err store_write(struct store *s, struct batch *b) WARN_UNUSED;

/* ---- SST files ---- */

struct sst;
/* Rows must come in ascending key order. Nothing is left behind on failure. */
enum err sst_open(struct store *s, const char *path, struct sst **out) WARN_UNUSED;
/* The same for rows that overlap no others: RocksDB puts the file where no compaction touches it soon, so it is compressed now. */
enum err sst_open_lasting(struct store *s, const char *path, struct sst **out) WARN_UNUSED;
enum err sst_put(struct sst *w, struct slice key, struct slice value) WARN_UNUSED;
enum err sst_delete(struct sst *w, struct slice key) WARN_UNUSED;
/* Closes the file; at least one row must be in it. */
enum err sst_finish(struct sst *w, uint64_t *bytes) WARN_UNUSED;
void sst_free(struct sst *w);

/* Moves the file in; durable when it returns. ERR_AGAIN if it overlaps a memtable (flush first). */
enum err store_ingest(struct store *s, struct family *f, const char *path) WARN_UNUSED;
const char *store_path(const struct store *s);

/* ---- Durability ---- */

/* Brings the files that have rows of [from, to) together, so that what is deleted there leaves the disk. Waits for it; the family may be
 * dropped meanwhile. */
void store_compact(struct store *s, unsigned uid, struct slice from, struct slice to);

/* Switches every family's memtable and starts flushing them; returns without waiting for the files. */
enum err store_flush_begin(struct store *s) WARN_UNUSED;

/* Waits until the files of all switched memtables are there. ERR_IO: the disk refused one; RocksDB does not get over that. */
enum err store_flush_await(struct store *s) WARN_UNUSED;
uint64_t store_memtable_bytes(struct store *s); /* active ones */

/* A RocksDB integer property, summed over the families ("rocksdb.estimate-num-keys"); 0 if unknown. */
uint64_t store_property(struct store *s, const char *name);
uint64_t store_cache_usage(struct store *s);

#endif
