/*
 * info.h - the text of INFO: sections and field names that Redis' clients and exporters read.
 */
#ifndef CAIRN_SERVER_STAT_INFO_H
#define CAIRN_SERVER_STAT_INFO_H

#include "base/buf.h"

struct node;

/*
 * Appends the named sections ("default", "all", "everything" and single ones, any case); none named: the default. Takes
 * locks and may look at files: not for a thread that must not wait.
 *
 * Other rooms add what they know by watch_gauge_add (numbers that are zero here until then) and watch_section_add (a
 * whole section in place of the one here).
 */
void info_text(struct node *n, const struct slice *sections, size_t count, struct buf *out);

#endif
