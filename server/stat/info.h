/*
 * info.h - the text of INFO: sections and field names that Redis' clients and exporters read.
 */
#ifndef CAIRN_SERVER_STAT_INFO_H
#define CAIRN_SERVER_STAT_INFO_H

#include "base/buf.h"

struct node;

/* Appends the named sections ("default", "all", "everything" and single ones, any case); none named: the default. */
void info_text(struct node *n, const struct slice *sections, size_t count, struct buf *out);

#endif
