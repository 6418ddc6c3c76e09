/*
 * failure.c - failure detection by quorum.
 *
 *            failure_check                 quorum of masters, or a FAIL message
 *   healthy ---------------> PFAIL -------------------------------------------> FAIL
 *      ^                       | failure_on_pong                                  |
 *      +-----------------------+------ failure_on_pong: a replica, a master ------+
 *                                      without slots, or nobody took them for 2 x node timeout
 */
#include "cluster/failure.h"

#include "cluster/action.h"
#include "cluster/message.h"
#include "cluster/node.h"

#include <stdlib.h>

static void set_fail(struct cluster *c, struct node *n)
{
    node_set_flags(c, n, NODE_FAIL, NODE_PFAIL);
    n->fail_time = c->now;
    if (n == c->myself->master)
        c->tell_siblings = true; /* who knows that all know need not wait (election.c) */
}

/* Redis Cluster spec, failure detection: the majority of the masters with slots hold it as failing. */
static void fail_by_quorum(struct cluster *c, struct node *n)
{
    size_t votes;

    if (!node_is(n, NODE_PFAIL) || node_is(n, NODE_FAIL))
        return;
    votes = failure_report_count(c, n) + (node_is_master(c->myself) ? 1 : 0);
    if (votes < node_quorum(c))
        return;
    action_log(c, LOG_NOTICE, "Marking node %.40s as failing (quorum reached)", n->id);
    set_fail(c, n);
    message_broadcast_fail(c, n);
}

void failure_report_add(struct cluster *c, struct node *n, struct node *reporter)
{
    size_t i = 0;

    while (i < n->report_count && n->reports[i].reporter != reporter)
        i++;
    if (i == n->report_count) {
        if (n->report_count == n->report_capacity) {
            n->report_capacity = n->report_capacity == 0 ? 4 : n->report_capacity * 2;
            n->reports = realloc(n->reports, n->report_capacity * sizeof *n->reports);
            check(n->reports != NULL);
        }
        n->reports[n->report_count++].reporter = reporter;
        action_log(c, LOG_VERBOSE, "Node %.40s reported node %.40s as not reachable", reporter->id, n->id);
    }
    n->reports[i].at = c->now;
    fail_by_quorum(c, n);
}

void failure_report_remove(struct cluster *c, struct node *n, const struct node *reporter)
{
    for (size_t i = 0; i < n->report_count; i++) {
        if (n->reports[i].reporter != reporter)
            continue;
        n->reports[i] = n->reports[--n->report_count];
        action_log(c, LOG_VERBOSE, "Node %.40s reported node %.40s is back online", reporter->id, n->id);
        return;
    }
}

size_t failure_report_count(struct cluster *c, struct node *n)
{
    msec_t life = c->config.node_timeout_ms * REPORT_LIFE_FACTOR;

    for (size_t i = n->report_count; i-- > 0;)
        if (c->now - n->reports[i].at > life)
            n->reports[i] = n->reports[--n->report_count];
    return n->report_count;
}

void failure_check(struct cluster *c, struct node *n)
{
    msec_t ping_age = c->now - n->ping_sent, data_age = c->now - n->data_received;

    if (n->ping_sent == 0 || node_is(n, NODE_PFAIL | NODE_FAIL))
        return;
    if ((ping_age < data_age ? ping_age : data_age) <= c->config.node_timeout_ms)
        return;
    action_log(c, LOG_VERBOSE, "*** NODE %.40s possibly failing", n->id);
    node_set_flags(c, n, NODE_PFAIL, 0);
    if ((c->planted_bugs & CLUSTER_REDIS_SCHEDULE) != 0)
        return;
    c->tell_masters = true;
    fail_by_quorum(c, n);
}

void failure_on_pong(struct cluster *c, struct node *n)
{
    if (node_is(n, NODE_PFAIL))
        node_set_flags(c, n, 0, NODE_PFAIL);
    if (!node_is(n, NODE_FAIL))
        return;
    if (node_is_voter(n) && c->now - n->fail_time <= c->config.node_timeout_ms * FAIL_UNDO_FACTOR)
        return;
    action_log(c, LOG_NOTICE, "Clear FAIL state for node %.40s: %s", n->id,
               node_is_voter(n) ? "is reachable again and nobody is serving its slots after some time"
                                : "replica or master without slots is reachable again");
    node_set_flags(c, n, 0, NODE_FAIL);
}

void failure_on_fail(struct cluster *c, struct node *n, const struct node *sender)
{
    if (n == c->myself || node_is(n, NODE_FAIL))
        return;
    action_log(c, LOG_NOTICE, "FAIL message received from %.40s about %.40s", sender->id, n->id);
    set_fail(c, n);
}
