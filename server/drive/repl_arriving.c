/*
 * repl_arriving.c - which slots' keys are arriving at the primary, and which ones SETSLOT has opened there: said in the stream, and
 * heard there.
 *
 * The whole list is said each time, in front of the first key and again every second, so that a replica that came meanwhile by a
 * whole copy knows it too. Only the cluster core acts on it, when this replica is promoted.
 */
#include <string.h>

#include "base/clock.h"
#include "base/words.h"
#include "server/drive/move_priv.h"
#include "server/drive/repl_priv.h"
#include "server/net/clients.h"

enum { LOOK_US = 200, OPEN_BYTES_MAX = 1 << 20 };

#define ARRIVING "cairn-arriving "
#define OPEN "cairn-open "

static bool all_have(struct repl *r, lsn_t lsn)
{
    bool all = true;

    pthread_mutex_lock(&r->list_lock);
    for (const struct replica *p = r->replicas; p != NULL && all; p = p->next)
        all = p->gone || p->state != REPLICA_ONLINE || p->no_acks || p->acked >= lsn;
    pthread_mutex_unlock(&r->list_lock);
    return all;
}

bool repl_all_have(struct repl *r, lsn_t lsn, msec_t deadline_ms)
{
    if (all_have(r, lsn))
        return true;
    repl_mark(r, SLICE_LITERAL("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n"));
    while (!all_have(r, lsn)) {
        if (node_now(r->node) >= deadline_ms || node_is_stopping(r->node))
            return false;
        clock_nap_us(LOOK_US);
    }
    return true;
}

static bool tell(struct repl *r, const char *prefix, struct slice words)
{
    struct buf text = {0}, message = {0};
    struct journal_effect effect = {.slot = SLOT_NODE, .kind = JOURNAL_MARK};
    bool may;

    buf_append_str(&message, prefix);
    buf_append_slice(&message, words);
    WORDS(&text, SLICE_LITERAL("PING"), buf_slice(&message));
    effect.bytes = (uint32_t)text.size;
    pthread_mutex_lock(&r->role_lock);
    may = !node_is_replica(r->node) && clients_paused(node_clients(r->node), node_now(r->node)) == CLIENT_PAUSE_NONE;
    if (may) {
        (void)wal_append(r->wal, &effect, 1, buf_slice(&text));
        may = wal_write(r->wal) == OK;
    }
    pthread_mutex_unlock(&r->role_lock);
    buf_free(&text);
    buf_free(&message);
    return may;
}

bool repl_tell_arriving(struct repl *r, struct slice ranges)
{
    return tell(r, ARRIVING, ranges);
}

bool repl_tell_open(struct repl *r, struct slice text, bool needed)
{
    return (needed || atomic_load(&r->listed) > 0) && tell(r, OPEN, text);
}

static bool cut_prefix(struct slice *message, const char *prefix)
{
    const size_t size = strlen(prefix);

    if (message->size < size || memcmp(message->data, prefix, size) != 0)
        return false;
    *message = slice_of(message->data + size, message->size - size);
    return true;
}

static void note_arriving(struct repl *r, struct slice ranges)
{
    uint8_t bits[SLOTS / 8] = {0};

    if (!move_ranges_parse(ranges, bits))
        return; /* not ours after all */
    pthread_mutex_lock(&r->link_lock);
    memcpy(r->arriving, bits, sizeof bits);
    r->arriving_told = true;
    pthread_mutex_unlock(&r->link_lock);
}

/* The core reads it. */
static void note_open(struct repl *r, struct slice text)
{
    if (text.size > OPEN_BYTES_MAX)
        return;
    pthread_mutex_lock(&r->link_lock);
    buf_clear(&r->open);
    buf_append_slice(&r->open, text);
    r->open_told = true;
    pthread_mutex_unlock(&r->link_lock);
}

void repl_note_ping(struct repl *r, struct slice message)
{
    if (cut_prefix(&message, ARRIVING))
        note_arriving(r, message);
    else if (cut_prefix(&message, OPEN))
        note_open(r, message);
}

bool repl_take_arriving(struct repl *r, uint8_t bits[SLOTS / 8])
{
    bool told;

    pthread_mutex_lock(&r->link_lock);
    told = r->arriving_told;
    r->arriving_told = false;
    if (told)
        memcpy(bits, r->arriving, sizeof r->arriving);
    pthread_mutex_unlock(&r->link_lock);
    return told;
}

bool repl_take_open(struct repl *r, struct buf *text)
{
    bool told;

    pthread_mutex_lock(&r->link_lock);
    told = r->open_told;
    r->open_told = false;
    if (told) {
        buf_clear(text);
        buf_append_slice(text, buf_slice(&r->open));
    }
    pthread_mutex_unlock(&r->link_lock);
    return told;
}
