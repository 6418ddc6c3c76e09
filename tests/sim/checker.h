/*
 * checker.h - what must hold after every event, whatever the network does.
 *
 * (1) Epochs that a node spoke of never fall, also across crashes.
 * (2) A node votes once per epoch, also across crashes.
 * (3) One owner per slot and config epoch, over all claims ever sent.
 * (4) Nobody drops the keys of a slot that it truly holds.
 * (5) Inside a core: owners, bitmaps and counts agree; a replica owns nothing.
 * (6) A replica becomes a master with the votes of a majority for itself in its config epoch, unless an operator told it to take over.
 * (7) After healing, all maps agree, no two masters share a config epoch, nobody is held as failing.
 */
#ifndef CAIRN_TESTS_SIM_CHECKER_H
#define CAIRN_TESTS_SIM_CHECKER_H

#include "world.h"

enum { CHECKER_NOBODY = 0xFF };

struct claim {
    uint64_t epoch;
    unsigned node;
};

struct vote {
    uint64_t epoch;
    unsigned candidate;
};

struct checker_node {
    uint64_t sent_current, sent_config, seen_current;
    bool claimed;
    uint64_t claim_epoch;
    uint8_t claim_slots[SLOTS / 8];
    struct vote *votes; /* that it gave */
    size_t vote_count;
};

struct checker {
    struct world *world;
    struct checker_node nodes[SIM_NODES_MAX];
    struct claim *claims[SLOTS];
    unsigned claim_count[SLOTS];
    uint8_t keys_at[SLOTS]; /* which node truly holds keys of this slot, or CHECKER_NOBODY */
    unsigned votes;         /* given in all, for statistics */
    bool claims_may_meet;   /* (3) is left out: epochs taken without a vote (atomic migrations) may be the same for a moment */
    bool failed;
    char text[512];
};

void checker_init(struct checker *c);
void checker_fini(struct checker *c);

/* The observer that feeds it. */
struct world_observer checker_observer(struct checker *c);

/* (6), when the driver of a replica obeys PROMOTE. by_hand: its config epoch was taken by TAKEOVER, which asks nobody. */
void checker_promoted(struct checker *c, const struct sim_node *node, bool by_hand);

/* (7), without failing: NULL if the maps agree, else the first difference (static text). */
const char *checker_difference(const struct checker *c);

/* (7) for nodes' flags and states. */
const char *checker_unhealthy(const struct checker *c);

void checker_fail(struct checker *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
