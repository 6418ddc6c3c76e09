/*
 * repl_info.c - the replication section of INFO, with the names that clients, exporters and Sentinel read.
 */
#include <string.h>

#include "server/conf/config.h"
#include "server/drive/repl_priv.h"
#include "server/drive/repl_receive.h"
#include "server/drive/repl_ship.h"
#include "server/net/clients.h"

#define LINE(out, ...) (buf_append_format((out), __VA_ARGS__), buf_append_str((out), "\r\n"))

static long long seconds(msec_t from_ms, msec_t now_ms)
{
    return now_ms > from_ms ? (long long)(now_ms - from_ms) / 1000 : 0;
}

static void copy_lines(struct repl *r, msec_t now, msec_t last_io, struct buf *out)
{
    long long total = atomic_load(&r->copy_total), read = (long long)atomic_load(&r->copy_bytes);

    LINE(out, "master_sync_total_bytes:%lld", total >= 0 ? total : 0);
    LINE(out, "master_sync_read_bytes:%lld", read);
    LINE(out, "master_sync_left_bytes:%lld", total >= 0 ? total - read : -1);
    LINE(out, "master_sync_perc:%.2f", total > 0 ? 100.0 * (double)read / (double)total : 0.0);
    LINE(out, "master_sync_last_io_seconds_ago:%lld", seconds(last_io, now));
}

static void replica_lines(struct repl *r, msec_t now, struct buf *out)
{
    enum repl_link_state state = repl_link_state(r);
    char host[REPL_HOST_MAX], error[REPL_ERROR_MAX];
    msec_t last_io, down_since;
    int port;

    pthread_mutex_lock(&r->link_lock);
    memcpy(host, r->host, sizeof host);
    port = r->port;
    last_io = r->last_io_ms;
    down_since = r->down_since_ms;
    memcpy(error, r->link_error, sizeof error);
    pthread_mutex_unlock(&r->link_lock);
    LINE(out, "master_host:%s", host);
    LINE(out, "master_port:%d", port);
    LINE(out, "master_link_status:%s", state == REPL_LINK_CONNECTED ? "up" : "down");
    LINE(out, "master_last_io_seconds_ago:%lld", state == REPL_LINK_CONNECTED ? seconds(last_io, now) : -1);
    LINE(out, "master_sync_in_progress:%d", state == REPL_LINK_SYNC);
    LINE(out, "slave_read_repl_offset:%llu", (unsigned long long)wal_tail(r->wal));
    LINE(out, "slave_repl_offset:%llu", (unsigned long long)wal_tail(r->wal));
    if (state == REPL_LINK_SYNC)
        copy_lines(r, now, last_io, out);
    LINE(out, "master_sync_resumed:%llu", (unsigned long long)receive_resumed(r->receive));
    if (state != REPL_LINK_CONNECTED) {
        LINE(out, "master_link_down_since_seconds:%lld", seconds(down_since, now));
        LINE(out, "master_link_last_error:%s", error);
    }
    LINE(out, "slave_apply_threads:%zu", repl_apply_threads(r));
    LINE(out, "slave_apply_waves:%llu", (unsigned long long)atomic_load(&r->waves));
    LINE(out, "slave_apply_wave_commands:%llu", (unsigned long long)atomic_load(&r->wave_commands));
    LINE(out, "slave_commands_not_applied:%llu", (unsigned long long)atomic_load(&r->not_applied));
    LINE(out, "slave_priority:%lld", (long long)atomic_load(&r->settings.priority));
    LINE(out, "slave_read_only:%d", config_bool(node_config(r->node), "replica-read-only"));
    LINE(out, "replica_announced:%d", atomic_load(&r->settings.announced));
}

static void replicas_lines(struct repl *r, msec_t now, struct buf *out)
{
    static const char *const names[] = {"wait_bgsave", "send_bulk", "online"};
    size_t count = 0, at = 0;

    pthread_mutex_lock(&r->list_lock);
    for (const struct replica *p = r->replicas; p != NULL; p = p->next)
        count += !p->gone;
    LINE(out, "connected_slaves:%zu", count);
    if (atomic_load(&r->settings.min_replicas) > 0)
        LINE(out, "min_slaves_good_slaves:%zu", atomic_load(&r->good));
    for (const struct replica *p = r->replicas; p != NULL; p = p->next) {
        char ip[REPL_IP_MAX];
        int port;

        if (p->gone)
            continue;
        replica_address(p, ip, &port);
        LINE(out, "slave%zu:ip=%s,port=%d,state=%s,offset=%llu,lag=%lld", at++, ip, port, names[p->state],
             (unsigned long long)p->acked, p->state == REPLICA_ONLINE ? seconds(p->acked_ms, now) : 0);
    }
    pthread_mutex_unlock(&r->list_lock);
}

/* All that came before, newest first: second_repl_offset tells only the first. */
static void ancestors_line(const struct history *h, struct buf *out)
{
    buf_append_str(out, "master_ancestors:");
    for (uint32_t i = 0; i < h->ancestors_count; i++)
        buf_append_format(out, "%s%.40s=%llu", i > 0 ? "," : "", h->ancestors[i].replid,
                          (unsigned long long)h->ancestors[i].end);
    buf_append_str(out, "\r\n");
}

static void ship_lines(struct repl *r, struct buf *out)
{
    struct ship_figures f;

    ship_figures(r, &f);
    LINE(out, "copies_running:%zu", f.running);
    LINE(out, "copies_waiting:%zu", f.waiting);
    LINE(out, "copies_by_files:%llu", (unsigned long long)f.copies);
    LINE(out, "copies_resumed:%llu", (unsigned long long)f.resumed);
    LINE(out, "copies_refused:%llu", (unsigned long long)f.refused);
    LINE(out, "copy_checkpoints:%zu", f.checkpoints);
    LINE(out, "copy_checkpoint_bytes:%llu", (unsigned long long)f.checkpoint_bytes);
}

void repl_info(void *context, struct buf *out)
{
    struct repl *r = context;
    msec_t now = node_now(r->node);
    struct history h;
    struct wal_figures w;
    bool replica = node_is_replica(r->node);

    wal_history(r->wal, &h);
    wal_figures(r->wal, &w);
    LINE(out, "role:%s", replica ? "slave" : "master");
    if (replica)
        replica_lines(r, now, out);
    replicas_lines(r, now, out);
    ship_lines(r, out);
    LINE(out, "master_failover_state:%s", repl_failover_name(r));
    LINE(out, "master_replid:%.40s", h.replid);
    LINE(out, "master_replid2:%.40s",
         h.ancestors_count > 0 ? h.ancestors[0].replid : "0000000000000000000000000000000000000000");
    LINE(out, "master_repl_offset:%llu", (unsigned long long)w.tail);
    if (h.ancestors_count > 1)
        ancestors_line(&h, out);
    LINE(out, "second_repl_offset:%lld", h.ancestors_count > 0 ? (long long)h.ancestors[0].end + 1 : -1);
    LINE(out, "repl_backlog_active:1");
    LINE(out, "repl_backlog_size:%llu", (unsigned long long)w.bytes);
    LINE(out, "repl_backlog_first_byte_offset:%llu", (unsigned long long)w.first + 1);
    LINE(out, "repl_backlog_histlen:%llu", (unsigned long long)(w.tail - w.first));
    LINE(out, "repl_backlog_seconds:%lld", seconds(w.first_ms, now));
    repl_lost_info(r, out);
}
