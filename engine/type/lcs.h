/*
 * lcs.h - the longest common subsequence of two runs of bytes. Pure.
 */
#ifndef CAIRN_ENGINE_TYPE_LCS_H
#define CAIRN_ENGINE_TYPE_LCS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * Time and, except for the length alone, memory grow with a.size * b.size. Redis' bound on its table of 32-bit lengths
 * keeps both in hand: a pair that would need more than this is refused with ERR_TOO_BIG.
 */
#define LCS_TABLE_BYTES_MAX ((uint64_t)512 << 20)

/* Length only; memory 4 * b.size. */
enum err lcs_length(struct slice a, struct slice b, uint64_t *length) WARN_UNUSED;

/* A stretch that is common to both; positions inclusive. */
struct lcs_range {
    uint64_t a_start, a_end, b_start, b_end;
};

/*
 * Replaces text by the subsequence, and ranges (may be NULL) by its struct lcs_range, from the last to the first, in
 * Redis' choice among equally long ones. Memory 4 * (a.size + 1) * (b.size + 1).
 */
enum err lcs_find(struct slice a, struct slice b, struct buf *text, struct buf *ranges) WARN_UNUSED;

#endif
