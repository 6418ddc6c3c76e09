/*
 * files.h - a family's sorted files: kept while they are linked into a folder, and put into another store as a family.
 *
 * A family whose memtable is empty is its files; with their levels and sequence numbers they are the same family in any
 * store of the same options. So a whole copy of a database costs hard links and bytes, not keys.
 *
 * RocksDB's C API has no such calls; files_rocksdb.cc makes the two from its C++ headers.
 *
 *     store_files_keep(s);                              no file is deleted from here on
 *     TRY(store_files_list(s, family, &list));          after a flush, with nobody writing to the family
 *     TRY(store_files_link(s, &list, dir, first));      dir/<first + i>.sst
 *     TRY(store_files_release(s));
 */
#ifndef CAIRN_ENGINE_STORE_FILES_H
#define CAIRN_ENGINE_STORE_FILES_H

#include "base/err.h"
#include "base/types.h"

#include <stdbool.h>
#include <stddef.h>

struct store;
struct family;

enum { STORE_LEVELS_MAX = 7, STORE_FILES_MAX = 1 << 20, STORE_FILE_NAME_BYTES = 32 };

struct store_file {
    char name[STORE_FILE_NAME_BYTES]; /* in the store's folder; "" of one that was received */
    unsigned level;
    uint64_t bytes;
    uint64_t smallest_seqno, largest_seqno;
};

struct store_files {
    struct store_file *files; /* owned */
    size_t count;
    bool ranges; /* a file holds range deletions: such files cannot become a family elsewhere (RocksDB 7.8) */
};
void store_files_free(struct store_files *list);

/* Deletes no file until as many releases. */
void store_files_keep(struct store *s);
enum err store_files_release(struct store *s) WARN_UNUSED;

/* The files that a family consists of now. The caller frees the list. */
enum err store_files_list(struct store *s, struct family *f, struct store_files *out) WARN_UNUSED;

/* Hard links (copies, if the folder is on another disk) named by numbers from first on. Some may be left on failure. */
enum err store_files_link(struct store *s, const struct store_files *list, const char *dir, size_t first) WARN_UNUSED;

/* The path of file number n in a folder. */
enum { STORE_PATH_BYTES = 4096 };
void store_files_path(char out[STORE_PATH_BYTES], const char *dir, size_t number);

/*
 * Creates a generation that consists of the files dir/<first>.sst ... and makes it the uid's current one; the old one, if any,
 * goes to *old (store_family_drop). The files must be durable; they are moved. After a crash the generation is there with all
 * files, or empty, or not at all. ERR_CORRUPT, ERR_IO: it is not there, the files may be or not.
 */
struct store_files_import {
    unsigned uid;
    lsn_t born;
    const struct store_files *list;
    const char *dir;
    size_t first;
};
enum err store_files_import(struct store *s, const struct store_files_import *how, struct family **old) WARN_UNUSED;

#endif
