/*
 * conn_priv.h - what the files of a connection (conn, conn_input, conn_output, conn_away) ask of each other. Worker thread only.
 */
#ifndef CAIRN_SERVER_NET_CONN_PRIV_H
#define CAIRN_SERVER_NET_CONN_PRIV_H

#include "server/net/net_priv.h"

static inline size_t conn_output_pending(const struct conn *c)
{
    return c->out.size - c->out_at;
}

/* Whether more requests may be read now. */
static inline bool conn_may_read(const struct conn *c)
{
    return c->state == CONN_READY && !c->choked && !c->later && !c->closing;
}

static inline enum client_kind conn_kind(const struct conn *c)
{
    return (enum client_kind)LOAD(c->client->kind);
}

/* ---- conn.c ---- */
void conn_watch(struct conn *c);   /* the events that its state asks for */
void conn_release(struct conn *c); /* the socket is closed: the end, once the session is ours */
void conn_untimed(struct conn *c); /* stops the timer of a blocked command */

/* ---- conn_input.c ---- */
void conn_readable(struct conn *c); /* reads once and executes what came */
void conn_go_on(struct conn *c);    /* executes what the connection's own buffer holds; does nothing unless READY */
void conn_note(struct conn *c);     /* what CLIENT LIST shows of the session */

/* ---- conn_output.c ---- */
void conn_output_take(struct conn *c);      /* a spare buffer of the worker, if the connection has none */
void conn_output_give_back(struct conn *c); /* the output is written, or was empty */
bool conn_enforce_limit(struct conn *c);    /* true: it was over its output limit, and is closed */

/* ---- conn_away.c ---- */
void conn_submit(struct conn *c);                  /* the request kept in the connection, to a pool thread */
void conn_block(struct conn *c, msec_t block_ms);  /* the session has gone to who it waits for; 0: for ever */
void conn_hold(struct conn *c);                    /* CLIENT PAUSE: a client that is held counts as blocked, as in Redis */
void conn_unhold(struct conn *c);

#endif
