/*
 * scene.c - the clusters that many tests begin with.
 */
#include "scene.h"

#include <stdlib.h>

static void three_masters(struct peer *out[3], struct lab *l, const char *digits, unsigned count)
{
    static const int first[] = {0, 5001, 10001}, last[] = {5000, 10000, 16383};

    for (unsigned i = 0; i < count; i++)
        out[i] = lab_peer(l, i, digits[i], 4 - count + i, first[3 - count + i], last[3 - count + i]);
    for (unsigned i = 0; i < count; i++)
        out[i]->current_epoch = 3;
}

static struct peer *replica(struct lab *l, unsigned i, char digit, const struct peer *master)
{
    struct peer *p = lab_peer(l, i, digit, 0, -1, -1);

    p->master = master;
    p->current_epoch = 3;
    lab_say(l, p, CODEC_PING);
    return p;
}

void scene_open_town(struct town *t)
{
    struct peer *masters[3];

    memset(t, 0, sizeof *t);
    lab_open_with(&t->l, "", true);
    ck_assert_str_eq(lab_reply(&t->l, CLUSTER_CMD_ADDSLOTSRANGE, "0 5000"), "OK");
    three_masters(masters, &t->l, "cd", 2);
    t->c = masters[0];
    t->d = masters[1];
    t->r = replica(&t->l, 2, '4', t->c);
    t->e = replica(&t->l, 3, 'e', t->d);
    t->c->mflags = t->d->mflags = t->r->mflags = t->e->mflags = CODEC_MFLAG_EXTENSIONS;
    lab_say(&t->l, t->r, CODEC_PING);
}

void scene_open_shard(struct shard *s)
{
    struct peer *masters[3];

    memset(s, 0, sizeof *s);
    lab_open_with(&s->l, "", true);
    three_masters(masters, &s->l, "abc", 3);
    s->a = masters[0];
    s->b = masters[1];
    s->c = masters[2];
    ck_assert_str_eq(lab_reply(&s->l, CLUSTER_CMD_REPLICATE, s->a->id), "OK");
}

void scene_copy(struct shard *s)
{
    const struct cluster_replication whole = {.master = s->a->id, .offset = 7, .whole = true, .link_up = true};

    lab_step(&s->l, &(struct cluster_event){.type = CLUSTER_EVENT_REPLICATION, .replication = &whole});
}

void scene_take_over(struct shard *s)
{
    scene_copy(s);
    ck_assert_str_eq(lab_reply(&s->l, CLUSTER_CMD_FAILOVER, "takeover"), "OK");
    ck_assert(node_is_master(s->l.core->myself));
}

void scene_claims(struct peer *p, int first, int last)
{
    memset(p->slots, 0, sizeof p->slots);
    for (int s = first; s <= last; s++)
        bit_set(p->slots, (unsigned)s);
}

void scene_wins(struct lab *l, struct peer *p, uint64_t epoch)
{
    memcpy(p->slots, p->master->slots, sizeof p->slots);
    p->master = NULL;
    p->config_epoch = p->current_epoch = epoch;
    lab_say(l, p, CODEC_PONG);
}

void scene_slot(struct lab *l, enum cluster_event_type type, slot_t slot)
{
    lab_step(l, &(struct cluster_event){.type = type, .slots = &slot, .slot_count = 1, .epoch_above = 5});
}

void scene_restart(struct lab *again, const struct lab *l, bool replication)
{
    char *file = strndup((const char *)l->persisted.data, l->persisted.size);

    ck_assert_ptr_nonnull(file);
    lab_open_with(again, file, replication);
    free(file);
}

void scene_say_shard(struct lab *l, struct peer *p, const char *shard_id)
{
    struct codec_header h = lab_header(p, CODEC_PING);
    struct buf b = {0};

    codec_write_header(&b, &h);
    codec_write_extension_shard_id(&b, shard_id);
    codec_finish(&b, 0, 1);
    lab_deliver(l, p->in, &b);
}
