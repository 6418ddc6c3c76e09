/*
 * element_scan.h - one page of HSCAN, SSCAN, ZSCAN: stateless, exact, valid for as long as the key lives.
 *
 * A PACKED object is one page. In a BIG one a cursor is the hash of the name to go on with: elements are ordered by it,
 * so an element present during the whole scan is given exactly once. All elements of one hash are in one page.
 */
#ifndef CAIRN_ENGINE_TYPE_ELEMENT_SCAN_H
#define CAIRN_ENGINE_TYPE_ELEMENT_SCAN_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/txn.h"

/* value: see element_walk.h. Borrowed for the call. */
typedef void element_scan_each(void *context, struct slice name, struct slice value);

/*
 * cursor: 0 starts; any number is accepted. About `count` elements (at least one, unless the end is reached) are handed
 * to `each`. *next: 0 is the end. After an error `each` may have been called.
 */
enum err element_scan(struct txn *t, struct obj *o, uint64_t cursor, uint64_t count, element_scan_each *each,
                      void *context, uint64_t *next) WARN_UNUSED;

#endif
