/*
 * manual.h - an operator's failover: the master holds its writes until its replica has them all and takes over.
 */
#ifndef CAIRN_CLUSTER_MANUAL_H
#define CAIRN_CLUSTER_MANUAL_H

#include "cluster/cluster_priv.h"
#include "cluster/codec.h"

enum manual_kind {
    MANUAL_PLANNED,  /* with the master's help: no write is lost */
    MANUAL_FORCE,    /* without the master, by votes */
    MANUAL_TAKEOVER, /* without votes */
};

/* On a replica with a known master and whole data. */
void manual_begin(struct cluster *c, enum manual_kind kind);

/* MFSTART from one of this master's replicas. */
void manual_on_start(struct cluster *c, struct node *replica);

/* Any message of my master may tell that its writes are held: that makes it worth asking. */
void manual_on_hint(struct cluster *c, const struct node *sender, const struct codec_header *h);

/* A PONG on our link, before it is counted: the master's offset, if it answers what was asked after MFSTART. */
void manual_on_pong(struct cluster *c, const struct link *l, const struct codec_header *h);

/* What the driver says about offsets and the pause. */
void manual_on_replication(struct cluster *c, const struct cluster_replication *r);

/* Cron: the end of its time. */
void manual_tick(struct cluster *c);

/* Ends it on either side, if there is one; a master's writes go on at the end of the step. */
void manual_reset(struct cluster *c);

/* This master's writes are held, and its offset is final: its messages say so. */
static inline bool manual_is_paused(const struct cluster *c)
{
    return c->manual.end != 0 && c->manual.replica != NULL && c->manual.paused;
}

#endif
