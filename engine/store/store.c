/*
 * store.c - opening RocksDB with the options that measured well, point reads, batches, flushes.
 *
 * (1) RocksDB never flushes by itself: its write buffer is several times what the caller flushes at.
 * (2) RocksDB's log is off for every write.
 * Does not know the log, slots' meaning or objects.
 */
#include "engine/store/files_rocksdb.h"
#include "engine/store/store_priv.h"

#include "base/check.h"
#include "base/clock.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FLUSH_POLL_US = 500,
    BUFFER_HEADROOM = 8,    /* RocksDB's own flush would start at this many times the caller's */
    BLOOM_BITS_PER_KEY = 10,
    LEVEL_BURSTS = 2,       /* what the first levels hold: docs/decisions/0041 */
    LEVEL_BYTES_MIN = 256 << 20,
    L0_FILE_BYTES = 64 << 20, /* drains arrive as large sorted files: measured well */
    L0_FILES_MIN = 12,
    L0_SLOWDOWN = 4, /* times these files: writes are slowed down, and stopped */
    L0_STOP = 8,
    BLOCK_BYTES = 4096,
    INDEX_RESTART = 16, /* keys and offsets as differences: the index takes a third */
    METADATA_PART = 32, /* of a file at most this part is index and filter, with small values */
    CACHE_LEAST = 4,    /* of its share, whatever index and filters take */
};

enum err store_error(char *text, const char *doing)
{
    enum err e = ERR_IO;

    if (text == NULL)
        return OK;
    if (strncmp(text, "Result incomplete", 17) == 0)
        e = ERR_COLD;
    else if (strncmp(text, "Corruption", 10) == 0)
        e = err_set(ERR_CORRUPT, "%s: %s", doing, text);
    else if (strstr(text, "No space left") != NULL)
        e = err_set(ERR_NO_SPACE, "%s: %s", doing, text);
    else
        e = err_set(ERR_IO, "%s: %s", doing, text);
    rocksdb_free(text);
    return e;
}

static rocksdb_options_t *options_make(const struct store_options *o, rocksdb_cache_t *cache, bool metadata_whole,
                                       bool for_sst)
{
    static const int compression[7] = {rocksdb_no_compression,  rocksdb_no_compression,  rocksdb_lz4_compression,
                                       rocksdb_lz4_compression, rocksdb_lz4_compression, rocksdb_lz4_compression,
                                       rocksdb_lz4_compression};
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    int jobs = o->background_jobs > 0 ? o->background_jobs : 2;
    uint64_t level = o->burst_bytes * LEVEL_BURSTS > LEVEL_BYTES_MIN ? o->burst_bytes * LEVEL_BURSTS : LEVEL_BYTES_MIN;
    int files = level / L0_FILE_BYTES > L0_FILES_MIN ? (int)(level / L0_FILE_BYTES) : L0_FILES_MIN;

    rocksdb_options_set_create_if_missing(options, !o->read_only);
    rocksdb_options_set_write_buffer_size(options, o->write_buffer_bytes * BUFFER_HEADROOM);
    rocksdb_options_set_max_write_buffer_number(options, 4);
    rocksdb_options_set_arena_block_size(options, 256 << 10);
    /* The bloom's size is a part of the write buffer; keep it at a tenth of what is really filled. */
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.1 / BUFFER_HEADROOM);
    rocksdb_options_set_memtable_whole_key_filtering(options, 1);
    rocksdb_options_set_max_bytes_for_level_base(options, level);
    rocksdb_options_set_level0_file_num_compaction_trigger(options, files);
    rocksdb_options_set_level0_slowdown_writes_trigger(options, L0_SLOWDOWN * files);
    rocksdb_options_set_level0_stop_writes_trigger(options, L0_STOP * files);
    rocksdb_options_set_max_background_jobs(options, jobs);
    if (for_sst) {
        /* RocksDB would write a sorted file as for the bottom level; drains land in level 0 and are soon compacted. */
        rocksdb_options_set_compression(options, rocksdb_no_compression);
    } else {
        rocksdb_options_set_compression_per_level(options, compression, 7);
        rocksdb_options_set_bottommost_compression(options, rocksdb_lz4_compression);
    }
    rocksdb_options_set_max_open_files(options, o->max_open_files != 0 ? o->max_open_files : -1);
    rocksdb_options_set_bytes_per_sync(options, 1 << 20);
    rocksdb_options_set_optimize_filters_for_hits(options, 0);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_info_log_level(options, 2); /* warnings */
    rocksdb_options_set_keep_log_file_num(options, 4);
    rocksdb_options_set_max_manifest_file_size(options, 16 << 20);

    rocksdb_block_based_options_set_block_size(table, BLOCK_BYTES);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS_PER_KEY));
    rocksdb_block_based_options_set_index_block_restart_interval(table, INDEX_RESTART);
    /* Whole indexes and filters stay in memory with their file. Parts of them come and go with the block cache. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 0);
    if (!metadata_whole) {
        rocksdb_block_based_options_set_index_type(table, rocksdb_block_based_table_index_type_two_level_index_search);
        rocksdb_block_based_options_set_partition_filters(table, 1);
        rocksdb_block_based_options_set_metadata_block_size(table, BLOCK_BYTES);
    }
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    return options;
}

/* The bytes of the SST files in a folder; 0 if there is none. */
static uint64_t files_bytes(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    uint64_t sum = 0;

    if (folder == NULL)
        return 0;
    while ((entry = readdir(folder)) != NULL) {
        size_t length = strlen(entry->d_name);
        struct stat file;

        if (length > 4 && strcmp(entry->d_name + length - 4, ".sst") == 0 &&
            fstatat(dirfd(folder), entry->d_name, &file, 0) == 0)
            sum += (uint64_t)file.st_size;
    }
    closedir(folder);
    return sum;
}

/* The block cache gets what whole indexes and filters leave of its share. */
static void cache_balance(struct store *s)
{
    uint64_t share = atomic_load(&s->cache_share), metadata;

    if (!s->metadata_whole)
        return;
    metadata = store_property(s, "rocksdb.estimate-table-readers-mem");
    rocksdb_cache_set_capacity(s->cache, metadata < share - share / CACHE_LEAST ? share - metadata : share / CACHE_LEAST);
}

enum err store_open(const struct store_options *options, struct store **out)
{
    struct store *s = calloc(1, sizeof *s);
    enum err e;

    if (s == NULL)
        return ERR_NO_MEMORY;
    pthread_mutex_init(&s->lock, NULL);
    s->path = strdup(options->path);
    s->read_only = options->read_only;
    s->cache = rocksdb_cache_create_lru(options->block_cache_bytes);
    atomic_init(&s->cache_share, options->block_cache_bytes);
    s->metadata_whole = files_bytes(options->path) / METADATA_PART < options->block_cache_bytes / 2;
    s->options = options_make(options, s->cache, s->metadata_whole, false);
    s->sst_options = options_make(options, s->cache, s->metadata_whole, true);
    for (int tier = STORE_CACHED; tier < STORE_TIERS; tier++) {
        static const int rocksdb_tier[] = {1, 0, 0, 0, 2}; /* kBlockCacheTier, kReadAllTier, kPersistedTier */

        s->read[tier] = rocksdb_readoptions_create();
        rocksdb_readoptions_set_read_tier(s->read[tier], rocksdb_tier[tier]);
    }
    /* Parts of indexes must stay in the cache, and RocksDB knows no difference. */
    rocksdb_readoptions_set_fill_cache(s->read[STORE_DISK_ONCE], !s->metadata_whole);
    s->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(s->write, 1);
    s->flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(s->flush, 0);
    s->env_options = rocksdb_envoptions_create();
    s->ingest = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(s->ingest, 1);
    rocksdb_ingestexternalfileoptions_set_allow_blocking_flush(s->ingest, 0);
    files_rocksdb_leave_seqno(s->ingest);
    if ((e = family_open_all(s)) != OK) {
        store_close(s);
        return e;
    }
    cache_balance(s);
    *out = s;
    return OK;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    for (unsigned uid = 0; uid < FAMILY_UIDS_MAX; uid++) {
        struct family *f = atomic_load(&s->families[uid]);

        if (f != NULL) { /* Handles go before the database. */
            rocksdb_column_family_handle_destroy(f->handle);
            free(f);
        }
    }
    if (s->meta != NULL)
        rocksdb_column_family_handle_destroy(s->meta);
    if (s->db != NULL)
        rocksdb_close(s->db);
    for (int tier = STORE_CACHED; tier < STORE_TIERS; tier++)
        rocksdb_readoptions_destroy(s->read[tier]);
    rocksdb_writeoptions_destroy(s->write);
    rocksdb_flushoptions_destroy(s->flush);
    rocksdb_envoptions_destroy(s->env_options);
    rocksdb_ingestexternalfileoptions_destroy(s->ingest);
    rocksdb_options_destroy(s->options);
    rocksdb_options_destroy(s->sst_options);
    rocksdb_cache_destroy(s->cache);
    pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s);
}

void store_cache_resize(struct store *s, uint64_t block_cache_bytes)
{
    atomic_store(&s->cache_share, block_cache_bytes);
    rocksdb_cache_set_capacity(s->cache, block_cache_bytes);
    cache_balance(s);
}

const char *store_path(const struct store *s)
{
    return s->path;
}

/* ---- Reading ---- */

static enum err get(struct store *s, rocksdb_column_family_handle_t *handle, enum store_tier tier, struct slice key,
                    struct store_value *out)
{
    char *error = NULL;
    size_t size;
    rocksdb_pinnableslice_t *pin =
        rocksdb_get_pinned_cf(s->db, s->read[tier], handle, (const char *)key.data, key.size, &error);

    if (error != NULL)
        return store_error(error, "read");
    if (pin == NULL)
        return ERR_NOT_FOUND;
    out->pin = pin;
    out->bytes.data = (const uint8_t *)rocksdb_pinnableslice_value(pin, &size);
    out->bytes.size = size;
    return OK;
}

enum err store_get(struct store *s, struct family *f, enum store_tier tier, struct slice key, struct store_value *out)
{
    return get(s, f->handle, tier, key, out);
}

enum err store_meta_get(struct store *s, struct slice key, struct store_value *out)
{
    return get(s, s->meta, STORE_DISK, key, out);
}

void store_value_free(struct store_value *v)
{
    if (v->pin != NULL)
        rocksdb_pinnableslice_destroy(v->pin);
    *v = (struct store_value){0};
}

/* ---- Writing ---- */

struct batch *batch_new(void)
{
    return (struct batch *)rocksdb_writebatch_create();
}

static rocksdb_writebatch_t *batch_of(const struct batch *b)
{
    return (rocksdb_writebatch_t *)b;
}

void batch_free(struct batch *b)
{
    if (b != NULL)
        rocksdb_writebatch_destroy(batch_of(b));
}

void batch_clear(struct batch *b)
{
    rocksdb_writebatch_clear(batch_of(b));
}

size_t batch_count(const struct batch *b)
{
    return (size_t)rocksdb_writebatch_count(batch_of(b));
}

size_t batch_bytes(const struct batch *b)
{
    size_t size;

    rocksdb_writebatch_data(batch_of(b), &size);
    return size;
}

void batch_put(struct batch *b, struct family *f, struct slice key, struct slice value)
{
    rocksdb_writebatch_put_cf(batch_of(b), f->handle, (const char *)key.data, key.size, (const char *)value.data,
                              value.size);
}

void batch_delete(struct batch *b, struct family *f, struct slice key)
{
    rocksdb_writebatch_delete_cf(batch_of(b), f->handle, (const char *)key.data, key.size);
}

void batch_delete_range(struct batch *b, struct family *f, struct slice from, struct slice to)
{
    rocksdb_writebatch_delete_range_cf(batch_of(b), f->handle, (const char *)from.data, from.size,
                                       (const char *)to.data, to.size);
}

enum err store_write(struct store *s, struct batch *b)
{
    char *error = NULL;

    rocksdb_write(s->db, s->write, batch_of(b), &error);
    return store_error(error, "write");
}

enum err store_meta_put(struct store *s, struct slice key, struct slice value)
{
    rocksdb_flushoptions_t *wait = rocksdb_flushoptions_create();
    char *error = NULL;

    rocksdb_put_cf(s->db, s->write, s->meta, (const char *)key.data, key.size, (const char *)value.data, value.size,
                   &error);
    if (error == NULL)
        rocksdb_flush_cf(s->db, wait, s->meta, &error);
    rocksdb_flushoptions_destroy(wait);
    return store_error(error, "durable row");
}

/* ---- Durability ---- */

enum err store_flush_begin(struct store *s)
{
    unsigned end = atomic_load(&s->families_end);

    for (unsigned uid = 0; uid < end; uid++) {
        struct family *f = atomic_load(&s->families[uid]);
        char *error = NULL;

        if (f == NULL)
            continue;
        rocksdb_flush_cf(s->db, s->flush, f->handle, &error);
        if (error != NULL)
            return store_error(error, "flush");
    }
    return OK;
}

uint64_t store_property(struct store *s, const char *name)
{
    unsigned end = atomic_load(&s->families_end);
    uint64_t sum = 0;

    if (strcmp(name, "rocksdb.background-errors") == 0) { /* of the whole database; RocksDB counts them in its default family */
        (void)rocksdb_property_int(s->db, name, &sum);
        return sum;
    }
    /* Called from anywhere (INFO): a family is replaced under this lock before it is dropped. */
    pthread_mutex_lock(&s->lock);
    for (unsigned uid = 0; uid < end; uid++) {
        struct family *f = atomic_load(&s->families[uid]);
        uint64_t value = 0;

        if (f != NULL && rocksdb_property_int_cf(s->db, f->handle, name, &value) == 0)
            sum += value;
    }
    pthread_mutex_unlock(&s->lock);
    return sum;
}

enum err store_flush_await(struct store *s)
{
    while (store_property(s, "rocksdb.num-immutable-mem-table") != 0) {
        if (store_property(s, "rocksdb.background-errors") != 0)
            return err_set(ERR_IO, "a file of the store in %s cannot be written (see LOG there)", s->path);
        clock_nap_us(FLUSH_POLL_US);
    }
    cache_balance(s); /* there are other files now */
    return OK;
}

uint64_t store_memtable_bytes(struct store *s)
{
    return store_property(s, "rocksdb.cur-size-active-mem-table");
}

uint64_t store_cache_usage(struct store *s)
{
    return rocksdb_cache_get_usage(s->cache);
}
