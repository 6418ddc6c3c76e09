/*
 * import.h - the way in for data of Redis: a first start in a folder without Cairn's own data takes what Redis left there.
 *
 *   appendonly yes   appendonlydir/ with its manifest (Redis 7), else the single append-only file, else the RDB file
 *   appendonly no    the RDB file
 *
 * Names as configured: dir, dbfilename, appendfilename, appenddirname. The files are only read, and only once: afterwards the
 * folder has data of its own. While an import is under way the folder holds a file IMPORT_MARK; a start that finds it throws away
 * what was imported so far and begins again. A damaged file, or one with something that this version does not have, ends
 * the start with its name, the offset and the reason.
 */
#ifndef CAIRN_SERVER_IMPORT_H
#define CAIRN_SERVER_IMPORT_H

#include <stdint.h>

#include "base/err.h"

struct import;
struct node;

#define IMPORT_MARK "cairn.import"

/* Before the log and the store are opened. *out NULL: there is nothing to import. */
enum err import_prepare(struct node *n, struct import **out) WARN_UNUSED;

/* The RDB part: after replay (of an empty log), before set_start. Accepts NULL, as the others do. */
enum err import_base(struct import *i, struct node *n) WARN_UNUSED;

/* The commands of an append-only file, after set_start; then everything is made durable and the mark goes. */
enum err import_rest(struct import *i, struct node *n) WARN_UNUSED;

/* Keys that the RDB part brought, and those that it left out because their time had passed. */
void import_figures(const struct import *i, uint64_t *keys, uint64_t *expired);

void import_free(struct import *i);

#endif
