/*
 * failure.h - from "I cannot reach it" (PFAIL) to "the cluster cannot reach it" (FAIL), and back.
 */
#ifndef CAIRN_CLUSTER_FAILURE_H
#define CAIRN_CLUSTER_FAILURE_H

#include "cluster/cluster_priv.h"

/* A master says n is failing; may complete the quorum. */
void failure_report_add(struct cluster *c, struct node *n, struct node *reporter);
void failure_report_remove(struct cluster *c, struct node *n, const struct node *reporter);

/* Reports that still count; expired ones are dropped. */
size_t failure_report_count(struct cluster *c, struct node *n);

/* Cron: sets PFAIL if an outstanding ping is too old. */
void failure_check(struct cluster *c, struct node *n);

/* A PONG came: clears PFAIL, and FAIL if the rules allow it. */
void failure_on_pong(struct cluster *c, struct node *n);

/* A FAIL message names it. */
void failure_on_fail(struct cluster *c, struct node *n, const struct node *sender);

#endif
