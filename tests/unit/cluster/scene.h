/*
 * scene.h - the clusters that many tests begin with, and what they do there.
 */
#ifndef CAIRN_TESTS_UNIT_CLUSTER_SCENE_H
#define CAIRN_TESTS_UNIT_CLUSTER_SCENE_H

#include "lab.h"

#define A40 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B40 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* This node (0-5000), c (5001-10000) and d (10001-16383) are masters with epochs 1 to 3; r is a replica of c, e of d. All read extensions. */
struct town {
    struct lab l;
    struct peer *c, *d, *r, *e;
};
void scene_open_town(struct town *t);

/* This node is a replica of a (0-5000) and has nothing yet; b (5001-10000) and c (10001-16383) are masters too. Epochs 1 to 3. */
struct shard {
    struct lab l;
    struct peer *a, *b, *c;
};
void scene_open_shard(struct shard *s);

/* The replica's data is a whole copy of a's. */
void scene_copy(struct shard *s);

/* It has that, and leads by TAKEOVER. */
void scene_take_over(struct shard *s);

/* p's slots from its next message on: these and no others. */
void scene_claims(struct peer *p, int first, int last);

/* p has taken over from its master by an election of that epoch, and says so. */
void scene_wins(struct lab *l, struct peer *p, uint64_t epoch);

/* A PING of p, beside which it names its shard. */
void scene_say_shard(struct lab *l, struct peer *p, const char *shard_id);

/* What the driver says of one slot: ARRIVING, DEPARTING, CLAIM (above epoch 5), ... */
void scene_slot(struct lab *l, enum cluster_event_type type, slot_t slot);

/* The node starts anew, as `again`, with the nodes.conf that it last wrote; close both. */
void scene_restart(struct lab *again, const struct lab *l, bool replication);

#endif
