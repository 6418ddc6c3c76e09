/*
 * epoch.h - the cluster's logical clock and the versions of slot claims.
 */
#ifndef CAIRN_CLUSTER_EPOCH_H
#define CAIRN_CLUSTER_EPOCH_H

#include "cluster/cluster_priv.h"

/* Raises the current epoch; never lowers it. */
void epoch_see(struct cluster *c, uint64_t epoch);

/* The greatest epoch known here: the current one and every node's config epoch. */
uint64_t epoch_max(const struct cluster *c);

/* A master with our config epoch was heard: the smaller id takes a new one (facts 8.3). */
void epoch_resolve_collision(struct cluster *c, const struct node *other);

/* A new greatest config epoch for myself without asking anybody; false if it has the greatest already (facts 8.4). */
bool epoch_bump(struct cluster *c);

/* As epoch_bump, and greater than `above` in any case. */
void epoch_bump_above(struct cluster *c, uint64_t above);

/*
 * An epoch for a claim without a vote, so that it beats nobody who is elected later: one that nobody has, while a majority of the masters
 * is known to have a current epoch above it. Whoever is elected from then on has a greater one.
 *
 * reserve: asks them for that, above the given epoch. is_reserved: it is so. take_reserved: takes it; false: it is not so.
 */
void epoch_reserve(struct cluster *c, uint64_t above);
bool epoch_is_reserved(const struct cluster *c, uint64_t above);
bool epoch_take_reserved(struct cluster *c, uint64_t above);

#endif
