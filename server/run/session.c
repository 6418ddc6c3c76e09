/*
 * session.c - the beginning and end of a session.
 */
#include "server/run/session.h"

#include "server/net/clients.h"
#include "server/net/monitor.h"
#include "server/node_priv.h"

void session_init(struct session *s, struct node *node, struct client *client)
{
    *s = (struct session){.node = node, .client = client, .protocol = 2, .reply = SESSION_REPLY_ON};
    s->authenticated = node->default_user == NULL || node->default_user(node->authentication_context, s);
}

/* What RESET and the end have in common. */
static void session_drop(struct session *s)
{
    multi_clear(&s->multi, true);
    if (s->is_monitor && s->client != NULL)
        monitor_remove(s->node->clients, s->client);
    s->is_monitor = false;
    if (s->arrival != NULL)
        s->arrival->lost(s->arrival);
    s->arrival = NULL;
    for (size_t i = 0; i < s->node->session_ends; i++)
        s->node->session_end[i].end(s->node->session_end[i].context, s);
}

void session_fini(struct session *s)
{
    session_drop(s);
    multi_fini(&s->multi);
}

void session_reset(struct session *s)
{
    session_drop(s);
    s->db = 0;
    s->protocol = 2;
    s->readonly = s->no_touch = s->no_evict = false;
    s->asking = 0;
    s->reply = SESSION_REPLY_ON;
    if (s->client != NULL)
        client_set_text(s->client, CLIENT_NAME, SLICE_LITERAL(""));
    s->authenticated = s->node->default_user == NULL || s->node->default_user(s->node->authentication_context, s);
}
