/*
 * lab.c - the bench.
 */
#include "lab.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t count_keys(void *context, slot_t slot)
{
    return ((struct lab *)context)->keys[slot];
}

void lab_open_with(struct lab *l, const char *nodes_conf, bool replication)
{
    struct cluster_options options = {
        .seed = 42,
        .nodes_conf = slice_str(nodes_conf),
        .keys = {count_keys, l},
        .replication = replication,
        .planted_bugs = l->bugs,
    };

    l->now = LAB_START;
    cluster_config_default(&options.config);
    options.config.port = 7000;
    options.config.node_timeout_ms = LAB_TIMEOUT_MS;
    ck_assert_int_eq(cluster_new(&options, &l->core), OK);
    lab_step(l, &(struct cluster_event){.type = CLUSTER_EVENT_START});
}

void lab_open(struct lab *l)
{
    memset(l, 0, sizeof *l);
    lab_open_with(l, "", false);
}

void lab_close(struct lab *l)
{
    cluster_free(l->core);
    buf_free(&l->persisted);
}

void lab_step(struct lab *l, const struct cluster_event *event)
{
    l->last = cluster_step(l->core, event, l->now);
    for (size_t i = 0; i < l->last.count; i++) {
        const struct cluster_action *a = &l->last.list[i];

        if (a->type == CLUSTER_PERSIST) {
            buf_clear(&l->persisted);
            buf_append_slice(&l->persisted, a->bytes);
        }
    }
}

void lab_ticks(struct lab *l, msec_t ms)
{
    for (msec_t end = l->now + ms; l->now < end;) {
        l->now += CLUSTER_TICK_MS;
        lab_step(l, &(struct cluster_event){.type = CLUSTER_EVENT_TICK});
    }
}

struct cluster_reply lab_command(struct lab *l, enum cluster_command_type type, const char *words)
{
    struct slice argv[64];
    struct cluster_command command = {type, 0, argv};

    for (const char *p = words; *p != '\0';) {
        size_t size = strcspn(p, " ");

        argv[command.argc++] = slice_of(p, size);
        p += size + (p[size] == ' ');
    }
    lab_step(l, &(struct cluster_event){.type = CLUSTER_EVENT_COMMAND, .command = &command});
    return l->last.reply;
}

const char *lab_reply(struct lab *l, enum cluster_command_type type, const char *words)
{
    static char text[600];
    struct cluster_reply r = lab_command(l, type, words);

    if (r.type == CLUSTER_REPLY_OK)
        return "OK";
    if (r.type == CLUSTER_REPLY_INTEGER)
        snprintf(text, sizeof text, "%lld", (long long)r.integer);
    else
        snprintf(text, sizeof text, "%s", r.text);
    return text;
}

const struct cluster_action *lab_action(const struct lab *l, enum cluster_action_type type, unsigned n)
{
    for (size_t i = 0; i < l->last.count; i++)
        if (l->last.list[i].type == type && n-- == 0)
            return &l->last.list[i];
    return NULL;
}

const struct cluster_action *lab_sent(const struct lab *l, enum codec_type type, unsigned n)
{
    for (size_t i = 0; i < l->last.count; i++) {
        const struct cluster_action *a = &l->last.list[i];

        if (a->type == CLUSTER_SEND && (a->bytes.data[12] << 8 | a->bytes.data[13]) == (int)type && n-- == 0)
            return a;
    }
    return NULL;
}

/* ---- Peers ---- */

struct codec_header lab_header(const struct peer *p, enum codec_type type)
{
    const struct peer *owner = p->master != NULL ? p->master : p;
    struct codec_header h = {
        .type = (uint16_t)type,
        .port = p->port,
        .bus_port = (uint16_t)(p->port + 10000),
        .flags = p->master != NULL ? NODE_REPLICA | NODE_MYSELF : NODE_MASTER | NODE_MYSELF,
        .mflags = (uint8_t)p->mflags,
        .current_epoch = p->current_epoch,
        .config_epoch = owner->config_epoch,
        .offset = p->offset,
        .slots = owner->slots,
    };

    memcpy(h.sender, p->id, sizeof h.sender);
    if (p->master != NULL)
        memcpy(h.master, p->master->id, sizeof h.master);
    return h;
}

void lab_deliver(struct lab *l, link_t link, struct buf *message)
{
    lab_step(l, &(struct cluster_event){.type = CLUSTER_EVENT_MESSAGE, .link = link, .bytes = buf_slice(message)});
    buf_free(message);
}

static void say_on(struct lab *l, const struct peer *p, enum codec_type type, link_t link)
{
    struct codec_header h = lab_header(p, type);
    struct buf b = {0};

    codec_write_header(&b, &h);
    codec_finish(&b, 0, 0);
    lab_deliver(l, link, &b);
}

void lab_say(struct lab *l, struct peer *p, enum codec_type type)
{
    say_on(l, p, type, p->in);
}

void lab_pong(struct lab *l, struct peer *p)
{
    say_on(l, p, CODEC_PONG, p->out);
}

void lab_say_gossip(struct lab *l, struct peer *p, const struct peer *about, unsigned flags)
{
    struct codec_header h = lab_header(p, CODEC_PING);
    struct codec_gossip g = {
        .port = about->port, .bus_port = (uint16_t)(about->port + 10000), .flags = (uint16_t)flags};
    struct buf b = {0};

    memcpy(g.id, about->id, sizeof g.id);
    memcpy(g.ip, about->ip, sizeof g.ip);
    codec_write_header(&b, &h);
    codec_write_gossip(&b, &g);
    codec_finish(&b, 1, 0);
    lab_deliver(l, p->in, &b);
}

void lab_say_fail(struct lab *l, struct peer *p, const struct peer *about)
{
    struct codec_header h = lab_header(p, CODEC_FAIL);
    struct buf b = {0};

    codec_write_header(&b, &h);
    codec_write_fail(&b, about->id);
    codec_finish(&b, 0, 0);
    lab_deliver(l, p->in, &b);
}

void lab_say_update(struct lab *l, struct peer *p, const struct peer *about)
{
    struct codec_header h = lab_header(p, CODEC_UPDATE);
    struct codec_update u = {.config_epoch = about->config_epoch, .slots = about->slots};
    struct buf b = {0};

    memcpy(u.id, about->id, sizeof u.id);
    codec_write_header(&b, &h);
    codec_write_update(&b, &u);
    codec_finish(&b, 0, 0);
    lab_deliver(l, p->in, &b);
}

struct node *lab_node(const struct lab *l, const struct peer *p)
{
    return node_find(l->core, p->id);
}

/* The core meets it, connects, says MEET; the peer answers and connects back. */
struct peer *lab_peer(struct lab *l, unsigned i, char digit, uint64_t config_epoch, int first, int last)
{
    struct peer *p = &l->peers[i];
    char words[80];
    const struct cluster_action *a;

    memset(p, 0, sizeof *p);
    memset(p->id, digit, CLUSTER_ID_SIZE);
    snprintf(p->ip, sizeof p->ip, "10.0.0.%u", i + 1);
    p->port = (uint16_t)(7001 + i);
    p->config_epoch = p->current_epoch = config_epoch;
    for (int s = first; s >= 0 && s <= last; s++)
        bit_set(p->slots, (unsigned)s);
    snprintf(words, sizeof words, "%s %u", p->ip, p->port);
    ck_assert_str_eq(lab_reply(l, CLUSTER_CMD_MEET, words), "OK");
    lab_ticks(l, CLUSTER_TICK_MS);
    a = lab_action(l, CLUSTER_CONNECT, 0);
    for (unsigned n = 1; a != NULL && strcmp(a->text, p->ip) != 0; n++)
        a = lab_action(l, CLUSTER_CONNECT, n);
    ck_assert_ptr_nonnull(a);
    p->out = a->link;
    lab_step(l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_UP, .link = p->out});
    ck_assert_ptr_nonnull(lab_sent(l, CODEC_MEET, 0));
    lab_pong(l, p);
    p->in = CLUSTER_LINK_INBOUND | ++l->next_inbound;
    lab_step(l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_ACCEPTED, .link = p->in, .local_ip = "10.0.0.100",
                                        .peer_ip = p->ip});
    lab_say(l, p, CODEC_PING);
    ck_assert_ptr_nonnull(lab_node(l, p));
    return p;
}

void lab_ticks_alive(struct lab *l, msec_t ms, struct peer *const *alive, size_t count)
{
    for (msec_t end = l->now + ms; l->now < end;) {
        lab_ticks(l, CLUSTER_TICK_MS);
        for (size_t i = 0; i < count; i++) {
            struct node *n = lab_node(l, alive[i]);

            if (n != NULL && n->ping_sent != 0)
                lab_pong(l, alive[i]);
        }
    }
}
