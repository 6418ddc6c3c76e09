/*
 * lcs.h - the longest common subsequence of two runs of bytes. Pure.
 */
#ifndef CAIRN_ENGINE_TYPE_LCS_H
#define CAIRN_ENGINE_TYPE_LCS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Length only: time a.size * b.size, memory 4 * b.size. */
uint64_t lcs_length(struct slice a, struct slice b);

/* A stretch that is common to both; positions inclusive. */
struct lcs_range {
    uint64_t a_start, a_end, b_start, b_end;
};

/*
 * Replaces text by the subsequence, and ranges (may be NULL) by its struct lcs_range, from the last to the first, in
 * Redis' choice among equally long ones. Memory 4 * (a.size + 1) * (b.size + 1), at most bytes_max: else ERR_TOO_BIG.
 */
enum err lcs_find(struct slice a, struct slice b, uint64_t bytes_max, struct buf *text, struct buf *ranges) WARN_UNUSED;

#endif
