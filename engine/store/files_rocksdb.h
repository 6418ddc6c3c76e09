/*
 * files_rocksdb.h - the two calls of RocksDB that its C API lacks, and one setting; for files.c and store.c only.
 *
 * Errors are texts as RocksDB's C API gives them: NULL is success, others are freed with rocksdb_free.
 */
#ifndef CAIRN_ENGINE_STORE_FILES_ROCKSDB_H
#define CAIRN_ENGINE_STORE_FILES_ROCKSDB_H

#include <rocksdb/c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct files_rocksdb {
    const char *name; /* borrowed during the call */
    int level;
    uint64_t bytes, smallest_seqno, largest_seqno;
};
typedef void files_rocksdb_each(void *context, const struct files_rocksdb *file);

/* Every live file of the family, level by level; *ranges: one of them holds range deletions. */
char *files_rocksdb_list(rocksdb_t *db, rocksdb_column_family_handle_t *family, files_rocksdb_each *each, void *context,
                         bool *ranges);

/* A new family that consists of these files in the folder; they are moved. */
char *files_rocksdb_import(rocksdb_t *db, const rocksdb_options_t *options, const char *name, const char *dir,
                           const struct files_rocksdb *files, size_t count, rocksdb_column_family_handle_t **out);

/* Ingested files keep the bytes they were written with: else they cannot be imported elsewhere. */
void files_rocksdb_leave_seqno(rocksdb_ingestexternalfileoptions_t *options);

#ifdef __cplusplus
}
#endif

#endif
