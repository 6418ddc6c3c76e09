/*
 * store_priv.h - what the files of this room share.
 */
#ifndef CAIRN_ENGINE_STORE_STORE_PRIV_H
#define CAIRN_ENGINE_STORE_STORE_PRIV_H

#include "engine/store/store.h"

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>

enum { FAMILY_UIDS_MAX = 16384, FAMILY_NAME_BYTES = 48 };

struct family {
    rocksdb_column_family_handle_t *handle;
    unsigned uid;
    lsn_t born;
    unsigned users; /* under the store's lock: store_compact */
    bool gone;      /* under the store's lock: dropped; the last user frees it */
};

struct store {
    /* Set once */
    rocksdb_t *db;
    char *path;
    bool read_only;
    rocksdb_options_t *options, *sst_options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read[STORE_TIERS];
    bool metadata_whole;           /* new files get whole indexes and filters, which stay in memory */
    atomic_uint_fast64_t cache_share; /* bytes for them and the block cache together */
    rocksdb_writeoptions_t *write;
    rocksdb_flushoptions_t *flush;
    rocksdb_envoptions_t *env_options;
    rocksdb_ingestexternalfileoptions_t *ingest;
    rocksdb_column_family_handle_t *meta; /* RocksDB's "default" family */
    /* Under lock for changes; read without */
    pthread_mutex_t lock;
    _Atomic(struct family *) families[FAMILY_UIDS_MAX];
    atomic_uint families_end; /* one behind the highest uid in use */
};

/* Turns RocksDB's error string (freed) into an enum err with its text; OK for NULL. */
enum err store_error(char *text, const char *doing);

/* Opens the database with all families that it has. */
enum err family_open_all(struct store *s);

/* A generation that was just made becomes the uid's current one; returns the one before, or NULL. */
struct family *family_put(struct store *s, rocksdb_column_family_handle_t *handle, unsigned uid, lsn_t born);

#endif
