/*
 * glob.h - Redis' glob patterns: * ? [abc] [^a] [a-c] and backslash.
 */
#ifndef CAIRN_BASE_GLOB_H
#define CAIRN_BASE_GLOB_H

#include "base/slice.h"

/* Time is bounded by pattern.size * text.size: a star backtracks to the last star only. */
bool glob_match(struct slice pattern, struct slice text, bool ignore_case);

#endif
