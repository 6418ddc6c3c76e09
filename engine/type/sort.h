/*
 * sort.h - SORT: the elements of a list, set or sorted set, ordered by themselves or by other keys.
 *
 * Keys that BY and GET patterns name are read in the same transaction, so their slots must be locked.
 */
#ifndef CAIRN_ENGINE_TYPE_SORT_H
#define CAIRN_ENGINE_TYPE_SORT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "engine/set/txn.h"

struct sort_options {
    bool has_by;
    struct slice by;            /* a pattern without * : the natural order is kept */
    const struct slice *gets;   /* patterns; "#" is the element itself */
    size_t get_count;           /* 0: the element itself */
    int64_t offset, limit;      /* limit < 0: to the end */
    bool descending, alpha;
    bool deterministic;         /* an unordered set is sorted all the same: for STORE and scripts */
};

/* Words in order, owned: max(1, get_count) of them for each element. Zeroed is empty. */
struct sort_word {
    size_t at, size;
    bool missing; /* GET found nothing */
};

struct sort_result {
    size_t count, capacity;
    struct sort_word *words;
    struct buf bytes;
};

void sort_result_free(struct sort_result *r);

static inline struct slice sort_result_at(const struct sort_result *r, size_t i)
{
    return slice_of(r->bytes.data + r->words[i].at, r->words[i].size);
}

/*
 * Sorts into *out, which must be empty; the caller frees it, also after an error. An absent key gives nothing.
 * ERR_WRONG_TYPE: the key holds a string or hash. ERR_NOT_FLOAT: not alpha, and an element or its BY value is no
 * number.
 */
enum err sort_run(struct txn *t, struct slice key, const struct sort_options *options,
                  struct sort_result *out) WARN_UNUSED;

/* Makes the key a list of the words (missing ones empty), whatever it was; none: the key is deleted. Emits effects. */
enum err sort_store(struct txn *t, struct slice key, const struct sort_result *result) WARN_UNUSED;

/* Whether a BY pattern makes sorting necessary at all. */
bool sort_pattern_varies(struct slice pattern);

#endif
