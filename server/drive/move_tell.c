/*
 * move_tell.c - what is told of jobs: to clients (CLUSTER GETSLOTMIGRATIONS), and to replicas in the stream.
 */
#include <string.h>

#include "base/num.h"
#include "server/drive/move_priv.h"
#include "server/drive/cluster_service.h"
#include "server/drive/repl.h"
#include "server/node.h"
#include "server/run/call.h"

const char *move_state_name(enum move_state state)
{
    static const char *const names[] = {"starting", "snapshot", "streaming", "handing-over", "confirming", "receiving",
                                        "dropping", "success", "failed", "cancelled"};

    return names[state];
}

static void ranges_of(const uint8_t *bits, char separator, struct buf *out)
{
    bool any = false;

    for (unsigned s = 0; s < SLOTS; s++) {
        unsigned first = s;

        if ((bits[s / 8] >> s % 8 & 1) == 0)
            continue;
        while (s + 1 < SLOTS && (bits[(s + 1) / 8] >> (s + 1) % 8 & 1) != 0)
            s++;
        if (any)
            buf_append_byte(out, (uint8_t)separator);
        any = true;
        buf_append_format(out, "%u-%u", first, s);
    }
}

void move_ranges(const struct move *v, char separator, struct buf *out)
{
    ranges_of(v->bits, separator, out);
}

/* What came in vain is on its way out, and is nobody's until then: a replica that takes over must go on with it. */
static void add_dropping(void *context, struct cluster *core)
{
    uint8_t *bits = context;

    for (unsigned s = 0; s < SLOTS; s++)
        if (cluster_slot_dropping(core, (slot_t)s))
            bits[s / 8] = (uint8_t)(bits[s / 8] | 1u << s % 8);
}

bool moves_tell_replicas(struct moves *m, bool always)
{
    static const uint8_t none[SLOTS / 8];
    uint8_t bits[SLOTS / 8] = {0};
    struct buf ranges = {0};
    bool any, told;

    cluster_service_read(m->service, add_dropping, bits);
    any = memcmp(bits, none, sizeof bits) != 0;
    pthread_mutex_lock(&m->lock);
    for (struct move *v = m->list; v != NULL; v = v->next)
        if (v->import && !move_ended(v->state) && v->state != MOVE_CONFIRMING) {
            any = true;
            for (size_t i = 0; i < sizeof bits; i++)
                bits[i] |= v->bits[i];
        }
    told = !any && !m->marked && !always;
    m->marked_ms = node_now(m->node);
    pthread_mutex_unlock(&m->lock);
    if (told)
        return true;
    ranges_of(bits, ',', &ranges);
    told = repl_tell_mark(node_replication(m->node), REPL_MARK_ARRIVING, buf_slice(&ranges), true);
    buf_free(&ranges);
    pthread_mutex_lock(&m->lock);
    if (told)
        m->marked = any;
    pthread_mutex_unlock(&m->lock);
    return told;
}

/* What has changed is said in any case, so that the log holds it; the same again only to replicas that listen. */
static void tell_open(void *context, struct cluster *core)
{
    struct moves *m = context;
    struct repl *r = node_replication(m->node);
    struct buf text = {0};
    msec_t now = node_now(m->node);
    bool news, due;

    if (r == NULL || node_is_replica(m->node) || !cluster_print_open(core, &text)) {
        m->open_told = false;
        buf_clear(&m->open_said);
        return;
    }
    news = !slice_equal(buf_slice(&text), buf_slice(&m->open_said));
    due = !m->open_told || (text.size > 0 && now - m->open_ms >= MARK_MS);
    if ((news || due) && repl_tell_mark(r, REPL_MARK_OPEN, buf_slice(&text), news)) {
        buf_clear(&m->open_said);
        buf_append_slice(&m->open_said, buf_slice(&text));
        m->open_told = true;
        m->open_ms = now;
    }
    buf_free(&text);
}

void moves_tell_open(struct moves *m)
{
    cluster_service_read(m->service, tell_open, m);
}

static void put_text(struct call *c, const char *name, const char *text)
{
    (void)reply_bulk_str(c, name);
    (void)reply_bulk_str(c, text);
}

static void put_number(struct call *c, const char *name, int64_t value)
{
    (void)reply_bulk_str(c, name);
    (void)reply_int(c, value);
}

/* -1: not known yet. */
static int64_t eta_ms(const struct move *v, uint64_t spent_ms)
{
    uint64_t keys = atomic_load(&v->keys), total = atomic_load(&v->keys_total);

    if (move_ended(v->state) || (keys >= total && total > 0))
        return 0;
    return keys > 0 && total > 0 ? (int64_t)((total - keys) * spent_ms / keys) : -1;
}

/* The first eleven are Valkey's, in its order; the others are ours. Under the list's lock. */
static void put_job(struct call *c, struct move *v, msec_t now)
{
    uint64_t keys = atomic_load(&v->keys), total = atomic_load(&v->keys_total), bytes = atomic_load(&v->bytes);
    msec_t spent = (move_ended(v->state) ? v->ended_ms : now) - v->created_ms;
    struct buf ranges = {0};

    if (spent < 1)
        spent = 1;
    move_ranges(v, ' ', &ranges);
    (void)reply_map(c, 19);
    put_text(c, "name", v->name);
    put_text(c, "operation", v->import ? "IMPORT" : "EXPORT");
    (void)reply_bulk_str(c, "slot_ranges");
    (void)reply_bulk(c, buf_slice(&ranges));
    put_text(c, "target_node", v->target);
    put_text(c, "source_node", v->source);
    put_number(c, "create_time", v->created_ms / 1000);
    put_number(c, "last_update_time", v->updated_ms / 1000);
    put_number(c, "last_ack_time", atomic_load(&v->acked_ms) / 1000);
    put_text(c, "state", move_state_name(v->state));
    put_text(c, "message", v->message);
    put_number(c, "cow_size", 0);
    put_number(c, "keys", (int64_t)keys);
    put_number(c, "keys_total", (int64_t)total);
    put_number(c, "bytes", (int64_t)bytes);
    put_number(c, "bytes_per_sec", (int64_t)(bytes * 1000 / (uint64_t)spent));
    put_number(c, "eta_ms", eta_ms(v, (uint64_t)spent));
    put_number(c, "elapsed_ms", spent);
    put_number(c, "pause_us", (int64_t)atomic_load(&v->pause_us));
    put_number(c, "view_pause_us", (int64_t)atomic_load(&v->view_pause_us));
    buf_free(&ranges);
}

enum err moves_list(struct moves *m, struct call *c)
{
    msec_t now = node_now(m->node);
    size_t count = 0;

    pthread_mutex_lock(&m->lock);
    for (struct move *v = m->list; v != NULL; v = v->next)
        count++;
    (void)reply_array(c, count);
    for (struct move *v = m->list; v != NULL; v = v->next)
        put_job(c, v, now);
    pthread_mutex_unlock(&m->lock);
    return OK;
}
