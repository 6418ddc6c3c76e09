/*
 * ballot.c - votes whose master may not know of them.
 *
 *   none --cast, read--> open --lost: on_pong, on_request-------------------------> none
 *                          |----the old master has a greater epoch than the ballot--> none
 *                          '----on_role: quit in epoch q --this node votes in q + 1--> none
 *
 * (1) Two elections won in one epoch have a shard in common. If two nodes voted for it, the older one was replaced by an
 *     election, which has in turn a shard in common with the one where it voted. Who voted there for the replacement has a
 *     ballot or got it with the votes that made it a master: so the candidate does not count the old master.
 * (2) A ballot is durable before the vote leaves. Losing one that is open loses (1).
 * (3) An open ballot costs the old master's vote only, not the voter's.
 */
#include "cluster/ballot.h"

#include "base/num.h"
#include "cluster/action.h"
#include "cluster/election.h"
#include "cluster/node.h"

/* One on the wire: epoch u64, master, candidate. Epoch 0 ends the list. */
enum { AT_MASTER = 8, AT_CANDIDATE = AT_MASTER + CLUSTER_ID_SIZE, RECORD_SIZE = AT_CANDIDATE + CLUSTER_ID_SIZE };
_Static_assert(BALLOTS_MAX * RECORD_SIZE <= CODEC_SLOTS_SIZE, "all ballots go into one vote");

static void drop(struct cluster *c, unsigned at)
{
    c->ballots[at] = c->ballots[--c->ballot_count];
    cluster_changed(c);
}

static void add(struct cluster *c, struct node *master, const char *candidate, uint64_t epoch)
{
    struct ballot *b = NULL;

    for (unsigned i = 0; i < c->ballot_count && b == NULL; i++)
        if (c->ballots[i].master == master && memcmp(c->ballots[i].candidate, candidate, CLUSTER_ID_SIZE) == 0)
            b = &c->ballots[i];
    if (b != NULL && b->epoch >= epoch)
        return;
    if (b == NULL && c->ballot_count < BALLOTS_MAX)
        b = &c->ballots[c->ballot_count++];
    if (b == NULL) { /* more than a cluster has that forgets its dead: the oldest goes */
        b = &c->ballots[0];
        for (unsigned i = 1; i < BALLOTS_MAX; i++)
            if (c->ballots[i].epoch < b->epoch)
                b = &c->ballots[i];
    }
    *b = (struct ballot){.master = master, .epoch = epoch, .at = c->now, .failed = node_is(master, NODE_FAIL)};
    memcpy(b->candidate, candidate, CLUSTER_ID_SIZE);
    cluster_changed(c);
}

void ballot_cast(struct cluster *c, struct node *master, const struct node *candidate)
{
    add(c, master, candidate->id, c->current_epoch);
}

bool ballot_doubts(const struct cluster *c, const struct node *n)
{
    for (unsigned i = 0; i < c->ballot_count; i++)
        if (c->ballots[i].master == n && c->ballots[i].failed && c->ballots[i].quit == 0 && c->ballots[i].epoch > n->config_epoch)
            return true;
    return false;
}

uint64_t ballot_epoch_of(const struct cluster *c, const struct node *n)
{
    uint64_t epoch = n->config_epoch;

    for (unsigned i = 0; i < c->ballot_count; i++)
        if (c->ballots[i].master == n && c->ballots[i].epoch > epoch)
            epoch = c->ballots[i].epoch;
    return epoch;
}

/* What says nothing any more: see the drawing above. */
static void prune(struct cluster *c)
{
    for (unsigned i = c->ballot_count; i-- > 0;) {
        const struct ballot *b = &c->ballots[i];

        if (b->master->config_epoch >= b->epoch || (b->quit != 0 && c->current_epoch > b->quit))
            drop(c, i);
    }
}

bool ballot_write(struct cluster *c, uint8_t *out)
{
    memset(out, 0, CODEC_SLOTS_SIZE);
    prune(c);
    for (unsigned i = 0; i < c->ballot_count; i++) {
        for (unsigned k = 0; k < 8; k++)
            out[k] = (uint8_t)(c->ballots[i].epoch >> (56 - 8 * k));
        memcpy(out + AT_MASTER, c->ballots[i].master->id, CLUSTER_ID_SIZE);
        memcpy(out + AT_CANDIDATE, c->ballots[i].candidate, CLUSTER_ID_SIZE);
        out += RECORD_SIZE;
    }
    return c->ballot_count > 0 && (c->planted_bugs & CLUSTER_BUG_BALLOTS_KEPT_BACK) == 0;
}

static bool read_id(const uint8_t *in, char out[CLUSTER_ID_SIZE + 1])
{
    memcpy(out, in, CLUSTER_ID_SIZE);
    out[CLUSTER_ID_SIZE] = '\0';
    return codec_id_valid(out);
}

void ballot_read(struct cluster *c, const uint8_t *in, uint64_t election_epoch)
{
    char master_id[CLUSTER_ID_SIZE + 1], candidate[CLUSTER_ID_SIZE + 1];

    for (unsigned i = 0; i < BALLOTS_MAX; i++, in += RECORD_SIZE) {
        struct node *master;
        uint64_t epoch = 0;

        for (unsigned k = 0; k < 8; k++)
            epoch = epoch << 8 | in[k];
        if (epoch == 0 || epoch > CODEC_EPOCH_MAX || !read_id(in + AT_MASTER, master_id) || !read_id(in + AT_CANDIDATE, candidate))
            return;
        master = node_find(c, master_id);
        if (master == NULL || node_is(master, NODE_HANDSHAKE) || master->config_epoch >= epoch)
            continue;
        master->refused_epoch = election_epoch;
        if (strcmp(candidate, c->myself->id) != 0) /* that election is over: there is a later one */
            add(c, master, candidate, epoch);
    }
}

/* It follows the master of the ballot as if it had never won. */
static bool has_not_won(const struct ballot *b, const struct node *n, const struct codec_header *h)
{
    return strcmp(b->candidate, n->id) == 0 && strcmp(h->master, b->master->id) == 0 && h->config_epoch < b->epoch;
}

void ballot_on_pong(struct cluster *c, const struct node *n, const struct codec_header *h, msec_t asked)
{
    msec_t over = election_wait_ms(c) * 9 / 8; /* also by a clock that is slower */

    for (unsigned i = c->ballot_count; i-- > 0;)
        if (has_not_won(&c->ballots[i], n, h) && asked > c->ballots[i].at + over)
            drop(c, i);
}

void ballot_on_request(struct cluster *c, const struct node *candidate, const struct codec_header *h)
{
    for (unsigned i = c->ballot_count; i-- > 0;)
        if (has_not_won(&c->ballots[i], candidate, h) && h->current_epoch > c->ballots[i].epoch)
            drop(c, i);
}

void ballot_on_role(struct cluster *c, const struct node *n, const struct codec_header *h)
{
    for (unsigned i = 0; i < c->ballot_count; i++) {
        struct ballot *b = &c->ballots[i];
        bool none = h->master[0] != '\0';

        if (b->master != n || h->current_epoch < b->epoch || b->quit != 0)
            continue;
        for (unsigned k = 0; k < SLOT_BYTES && h->slots[k] == 0 && !none; k++)
            none = k + 1 == SLOT_BYTES;
        if (none)
            b->quit = h->current_epoch;
    }
}

void ballot_forget(struct cluster *c, const struct node *n)
{
    for (unsigned i = c->ballot_count; i-- > 0;)
        if (c->ballots[i].master == n || strcmp(c->ballots[i].candidate, n->id) == 0)
            drop(c, i);
}

void ballot_start(struct cluster *c)
{
    for (unsigned i = 0; i < c->ballot_count; i++)
        c->ballots[i].at = c->now;
}

void ballot_print(const struct cluster *c, struct buf *out)
{
    for (unsigned i = 0; i < c->ballot_count; i++)
        buf_append_format(out, "%s%.40s:%.40s:%llu", i == 0 ? " ballots " : ",", c->ballots[i].master->id, c->ballots[i].candidate,
                          (unsigned long long)c->ballots[i].epoch);
}

bool ballot_parse(struct cluster *c, struct slice text)
{
    enum { FRONT = 2 * CLUSTER_ID_SIZE + 2 };

    while (text.size > 0) {
        const uint8_t *comma = memchr(text.data, ',', text.size);
        size_t size = comma != NULL ? (size_t)(comma - text.data) : text.size;
        char master_id[CLUSTER_ID_SIZE + 1], candidate[CLUSTER_ID_SIZE + 1];
        struct node *master;
        uint64_t epoch;

        if (size <= FRONT || text.data[CLUSTER_ID_SIZE] != ':' || text.data[FRONT - 1] != ':' || !read_id(text.data, master_id) ||
            !read_id(text.data + CLUSTER_ID_SIZE + 1, candidate) ||
            !num_parse_u64(slice_of(text.data + FRONT, size - FRONT), &epoch) || epoch > EPOCH_MAX)
            return false;
        master = node_find(c, master_id);
        if (master != NULL)
            add(c, master, candidate, epoch);
        size += comma != NULL;
        text = slice_of(text.data + size, text.size - size);
    }
    return true;
}
