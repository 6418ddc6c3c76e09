/*
 * handover.h - what both sides of an atomic migration decide: whether slots may arrive, whether they may be claimed, and what the source
 * makes of silence. The jobs are the driver's (server/drive/move.h) and the simulator's; these decisions are the same in both.
 */
#ifndef CAIRN_CLUSTER_HANDOVER_H
#define CAIRN_CLUSTER_HANDOVER_H

#include "cluster/cluster.h"

/* A job as both sides name it; all of it borrowed. */
struct handover {
    const char *source, *target; /* ids */
    const slot_t *slots;
    size_t slot_count;
};

/* Whose the job's slots are by this node's map. */
struct handover_owners {
    size_t mine, targets, others; /* others: or nobody's; a target that asks counts its own as mine */
    uint64_t epoch;               /* config epoch of mine */
    uint64_t current;             /* the cluster's */
};
struct handover_owners handover_owners(const struct cluster *core, const struct handover *h);

/* ---- Target ---- */

enum handover_problem {
    HANDOVER_FINE,
    HANDOVER_NOT_ME,      /* another node is meant */
    HANDOVER_NO_MASTER,   /* this node is a replica */
    HANDOVER_NOT_SOURCES, /* by this node's map; it may learn better */
    HANDOVER_OPEN,        /* SETSLOT has opened the slot */
    HANDOVER_DROPPING,    /* keys of an earlier time are still there */
    HANDOVER_HAS_KEYS,    /* keys that nobody drops */
};

/* May the slots begin to arrive? Not FINE: *slot is the one it is about, if it is about one. */
enum handover_problem handover_may_arrive(const struct cluster *core, const struct handover *h, slot_t *slot);

/*
 * May they be claimed now? Only while they are the source's and marked as arriving, and only by a master that a majority has heard lately:
 * the others' claim would win over writes that were taken here meanwhile. Nor while a vote of this node's own may make another one the
 * owner of what is here: a claim's epoch would win over it.
 */
bool handover_may_claim(const struct cluster *core, const struct handover *h);

/*
 * Claims of either side take an epoch above which no election can have stayed: asked for by CLUSTER_EVENT_RESERVE (again, if others
 * have taken epochs since). above: as of the CLAIM.
 */
bool handover_reserved(const struct cluster *core, uint64_t above);

/* No claim of this node is open (claim.h): the next may be made, and writes to what was claimed let in. */
bool handover_is_settled(const struct cluster *core);

/* Has the claim been made? The answer "no" binds: the driver gives the job up before it leaves. */
bool handover_claimed(const struct cluster *core, const struct handover *h);

/* ---- Source ---- */

/* May FINISH leave? Not while a vote of this node's own may make another one the owner (a failover by command). */
bool handover_may_finish(const struct cluster *core, const struct handover *h);

enum handover_verdict {
    HANDOVER_CLAIMED,     /* the target has them */
    HANDOVER_NOT_CLAIMED, /* and it will not */
    HANDOVER_UNKNOWN,     /* writes wait on */
    HANDOVER_TAKE_BACK,   /* the target stays away, and nobody heard of a claim: claim them above handover_above(), if they are mine */
};

/*
 * FINISH has left and was not answered. `since` is kept for this: 0 at first, then when this node began to wait; it moves on as long as no
 * majority hears this node, because silence of a target tells something only while those who would have heard of its claim can speak.
 */
enum handover_verdict handover_judge(const struct cluster *core, const struct handover *h, msec_t *since);

/* Still true when it is done? Behind handover_reserved. */
bool handover_may_take_back(const struct cluster *core, const struct handover *h);

/* Greater than any epoch that a claim which was not heard of can have. */
uint64_t handover_above(const struct handover_owners *o);

#endif
