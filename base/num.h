/*
 * num.h - numbers and text, exactly as Redis reads and prints them.
 */
#ifndef CAIRN_BASE_NUM_H
#define CAIRN_BASE_NUM_H

#include "base/slice.h"

enum { NUM_TEXT_MAX = 64, NUM_LONG_TEXT_MAX = 5120 };

/* Canonical decimal only ("12", "-1"; not "007", "+1", "-0", " 1"); false if it is not one or overflows. */
bool num_parse_i64(struct slice text, int64_t *out);
bool num_parse_u64(struct slice text, uint64_t *out);

/* Decimal, hex, inf; no surrounding space, no NaN, no overflow to infinity (Redis' string2d). */
bool num_parse_double(struct slice text, double *out);
bool num_parse_long_double(struct slice text, long double *out);

/* Each writes without a terminator and returns the length. */
size_t num_format_i64(char out[NUM_TEXT_MAX], int64_t value);
size_t num_format_u64(char out[NUM_TEXT_MAX], uint64_t value);

/* Shortest text that reads back equal; integers below 2^63 in size print as integers; inf, -inf (Redis 7.2). */
size_t num_format_double(char out[NUM_TEXT_MAX], double value);

/* "%.17Lf" without trailing zeros: the reply of INCRBYFLOAT. */
size_t num_format_long_double(char out[NUM_LONG_TEXT_MAX], long double value);

#endif
