/*
 * repl_arriving.c - which slots' keys are arriving at the primary, and which ones SETSLOT has opened there: said in the stream, and
 * heard there.
 *
 * The whole text is said each time, in front of the first key and again every second, so that a replica that came meanwhile by a
 * whole copy knows it too. Only the cluster core acts on it, when this replica is promoted.
 */
#include <string.h>

#include "base/clock.h"
#include "base/words.h"
#include "server/drive/repl_priv.h"
#include "server/net/clients.h"

enum { LOOK_US = 200, MARK_BYTES_MAX = 1 << 20 };

static const char *const prefixes[REPL_MARKS] = {
    [REPL_MARK_ARRIVING] = "cairn-arriving ",
    [REPL_MARK_OPEN] = "cairn-open ",
};

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

bool repl_tell_mark(struct repl *r, enum repl_mark which, struct slice mark, bool needed)
{
    struct buf text = {0}, message = {0};
    struct journal_effect effect = {.slot = SLOT_NODE, .kind = JOURNAL_MARK};
    bool may;

    if (!needed && atomic_load(&r->listed) == 0)
        return false;
    buf_append_str(&message, prefixes[which]);
    buf_append_slice(&message, mark);
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

void repl_note_ping(struct repl *r, struct slice message)
{
    for (int i = 0; i < REPL_MARKS; i++) {
        const size_t size = strlen(prefixes[i]);

        if (message.size < size || message.size > MARK_BYTES_MAX || memcmp(message.data, prefixes[i], size) != 0)
            continue;
        pthread_mutex_lock(&r->link_lock);
        buf_clear(&r->marks[i].text);
        buf_append_slice(&r->marks[i].text, slice_of(message.data + size, message.size - size));
        r->marks[i].told = true;
        pthread_mutex_unlock(&r->link_lock);
    }
}

bool repl_take_mark(struct repl *r, enum repl_mark which, struct buf *text)
{
    bool told;

    pthread_mutex_lock(&r->link_lock);
    told = r->marks[which].told;
    r->marks[which].told = false;
    if (told) {
        buf_clear(text);
        buf_append_slice(text, buf_slice(&r->marks[which].text));
    }
    pthread_mutex_unlock(&r->link_lock);
    return told;
}
