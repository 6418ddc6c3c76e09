/*
 * repl_lost.c - a node whose log goes beyond the point where its primary's history branches off is about to lose those
 * writes to a whole copy: they are saved to a file first (persistence/lost_writes.h).
 *
 * The primary is asked for its history before PSYNC, with INFO, which Redis and Cairn both answer: its id, the ids before it
 * and where they end. A primary that refuses INFO leaves the branch unknown; that is logged, and nothing is saved. So is a
 * history that has nothing in common with ours: an operator has given this node to another primary.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/num.h"
#include "persistence/lost_writes.h"
#include "persistence/vfs.h"
#include "server/conf/config.h"
#include "server/drive/repl_priv.h"

enum { INFO_BYTES_MAX = 64 << 10 };

static uint64_t bytes_max(struct repl *r)
{
    return (uint64_t)config_int(node_config(r->node), "lost-writes-bytes-max");
}

/* ---- The primary's history ---- */

enum err repl_lost_ask(struct repl_wire *w, struct repl_peer_history *out)
{
    const struct slice question = SLICE_LITERAL("*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n");
    struct slice line;
    int64_t size;

    *out = (struct repl_peer_history){0};
    TRY(repl_wire_send(w, question));
    do
        TRY(repl_wire_line(w, &line));
    while (line.size == 0);
    if (line.data[0] == '-') {
        log_event(LOG_WARNING, "primary_history_unknown answer=\"%.*s\"", (int)(line.size < 100 ? line.size : 100),
                  (const char *)line.data);
        return OK;
    }
    if (line.data[0] != '$' || !num_parse_i64(slice_of(line.data + 1, line.size - 1), &size) || size < 0 ||
        size > INFO_BYTES_MAX)
        return err_set(ERR_PROTOCOL, "INFO: the primary answered '%.*s'", (int)(line.size < 100 ? line.size : 100),
                       (const char *)line.data);
    while (w->in.size - w->in_at < (size_t)size + 2)
        TRY(repl_wire_fill(w));
    (void)repl_text_history(slice_of(w->in.data + w->in_at, (size_t)size), out);
    w->in_at += (size_t)size + 2;
    return OK;
}

/* ---- Saving ---- */

static void sum(struct repl *r)
{
    struct lost_writes_sum s;

    if (lost_writes_sum(vfs_posix(), node_dir(r->node), &s) != OK) {
        log_event(LOG_WARNING, "lost_writes_unknown error=\"%s\"", err_text());
        return;
    }
    pthread_mutex_lock(&r->link_lock);
    r->lost = s;
    pthread_mutex_unlock(&r->link_lock);
}

void repl_lost_open(struct repl *r)
{
    sum(r);
}

enum err repl_lost_save(struct repl *r, const struct repl_peer_history *primary)
{
    lsn_t tail = wal_tail(r->wal), branch;
    struct lost_writes saved;
    struct history own;
    char databases[40] = "";

    if (!primary->known || bytes_max(r) == 0)
        return OK;
    wal_history(r->wal, &own);
    if (!history_branch(&own, tail, &primary->history, primary->tail, &branch)) {
        log_event(LOG_NOTICE, "primary_has_another_history own=%s primary=%s", own.replid, primary->history.replid);
        return OK;
    }
    if (branch >= tail)
        return OK;
    TRY(lost_writes_save(vfs_posix(), r->wal, node_dir(r->node), branch, bytes_max(r), &saved));
    if (saved.of_databases > 0)
        snprintf(databases, sizeof databases, " of_databases=%llu", (unsigned long long)saved.of_databases);
    if (saved.name[0] != '\0')
        log_event(LOG_WARNING, "lost_writes_saved file=%s/%s from=%llu to=%llu commands=%llu bytes=%llu%s%s%s",
                  node_dir(r->node), saved.name, (unsigned long long)branch, (unsigned long long)tail,
                  (unsigned long long)saved.commands, (unsigned long long)saved.bytes, databases,
                  saved.cut ? " cut=1" : "", saved.late ? " late=1" : "");
    TRY(lost_writes_bound(vfs_posix(), node_dir(r->node), bytes_max(r)));
    sum(r);
    return OK;
}

void repl_lost_info(struct repl *r, struct buf *out)
{
    struct lost_writes_sum s;

    pthread_mutex_lock(&r->link_lock);
    s = r->lost;
    pthread_mutex_unlock(&r->link_lock);
    buf_append_format(out, "lost_writes:%llu\r\nlost_writes_files:%llu\r\nlost_writes_bytes:%llu\r\nlost_writes_last_file:%s\r\n",
                      (unsigned long long)s.commands, (unsigned long long)s.files, (unsigned long long)s.bytes, s.last);
}
