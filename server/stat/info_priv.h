/*
 * info_priv.h - the sections of INFO, for info.c. Each appends its lines.
 */
#ifndef CAIRN_SERVER_STAT_INFO_PRIV_H
#define CAIRN_SERVER_STAT_INFO_PRIV_H

#include "base/buf.h"

struct node;

#define LINE(out, ...) (buf_append_format((out), __VA_ARGS__), buf_append_str((out), "\r\n"))

/* One number, and one size that people read as well. */
void info_number(struct buf *out, const char *name, uint64_t value);
void info_size(struct buf *out, const char *name, uint64_t bytes); /* name and name_human */

int64_t info_setting(struct node *n, const char *name);

/* info_node.c: what the node is and holds */
void info_server(struct node *n, struct buf *out);
void info_clients(struct node *n, struct buf *out);
void info_memory(struct node *n, struct buf *out);
void info_cpu(struct node *n, struct buf *out);
void info_cluster(struct node *n, struct buf *out);
void info_keyspace(struct node *n, struct buf *out);

/* info_data.c: what happened to the data, and where it is */
void info_persistence(struct node *n, struct buf *out);
void info_stats(struct node *n, struct buf *out);
void info_replication(struct node *n, struct buf *out);
void info_cairn(struct node *n, struct buf *out);

#endif
