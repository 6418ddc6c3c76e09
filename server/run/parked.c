/*
 * parked.c - the end of a wait for something that is no key: its reply, and its place in the statistics.
 */
#include "server/run/parked.h"

#include "server/node_priv.h"
#include "server/run/execute.h"
#include "server/run/stats.h"

bool call_can_park(const struct call *c)
{
    return c->session->client != NULL && !c->session->in_exec && !c->session->in_script;
}

enum err call_park(struct call *c, struct parked *take_p, msec_t timeout_ms)
{
    take_p->command = c->command;
    c->session->parked = take_p;
    return call_block(c, timeout_ms);
}

bool parked_end(struct executor *x, struct session *s, enum waiting_end how, struct buf *out)
{
    struct reply reply = {.out = out, .protocol = s->protocol, .error_at = SIZE_MAX};
    struct call c = {.reply = &reply, .session = s, .node = x->node};
    struct parked *p = s->parked;
    bool answers = how == WAITING_TIMEOUT || how == WAITING_LOOK;
    size_t mark = out->size;

    if (how == WAITING_LOOK && !p->ready(p))
        return false;
    s->parked = NULL;
    if (answers)
        p->answer(p, &c);
    else
        waiting_refuse(s, how, out);
    if (how != WAITING_CLOSED) {
        stats_record(x->stats, p->command->index, 0, answers ? STATS_DONE : STATS_FAILED);
        if (!answers)
            stats_error(x->node->stats, SLICE_LITERAL("UNBLOCKED"));
        execute_settle(s, out, mark);
    }
    p->free(p);
    return true;
}
