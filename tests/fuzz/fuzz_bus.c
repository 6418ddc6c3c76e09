/*
 * fuzz_bus.c - hostile bytes on the cluster bus.
 *
 * The input is a list of records: kind u8, size u16, bytes. Each becomes an event for one core that knows three peers:
 *
 *   0  a message as it is
 *   1  a message whose signature, length, version and sender are made right, so that what lies behind the check is
 *      reached; the first byte chooses the sender and the link
 *   2  time passes: ticks
 *   3  a link goes up, down, fails or is accepted
 *   4  the bytes are cut into frames, as a driver does
 *   5  the ballots of a vote
 *
 * The core must neither crash nor contradict itself, and its nodes.conf must load again.
 */
#include "base/check.h"
#include "cluster/ballot.h"
#include "cluster/cluster_priv.h"
#include "cluster/codec.h"
#include "cluster/node.h"
#include "cluster/nodes_conf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char file[] =
    "0000000000000000000000000000000000000000 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-99 500 "
    "[500->-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa] [200-<-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb]\n"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 127.0.0.1:7001@17001 master - 0 0 2 connected 100-199\n"
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 127.0.0.1:7002@17002 master - 0 0 3 connected 200-16383\n"
    "cccccccccccccccccccccccccccccccccccccccc 127.0.0.1:7003@17003 slave "
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0 0 2 connected\n"
    "vars currentEpoch 3 lastVoteEpoch 0\n";

struct play {
    struct cluster *core;
    msec_t now;
    link_t links[8]; /* that the core asked for or was given */
    unsigned link_count;
    link_t next_inbound;
};

static void remember(struct play *p, link_t link)
{
    p->links[p->link_count++ % 8] = link;
}

static void step(struct play *p, struct cluster_event event)
{
    struct cluster_actions todo = cluster_step(p->core, &event, p->now);

    for (size_t i = 0; i < todo.count; i++) {
        const struct cluster_action *a = &todo.list[i];

        if (a->type == CLUSTER_CONNECT)
            remember(p, a->link);
        if (a->type == CLUSTER_SEND)
            check(codec_check(a->bytes) == OK);
    }
}

static void accept_link(struct play *p)
{
    link_t link = CLUSTER_LINK_INBOUND | ++p->next_inbound;

    remember(p, link);
    step(p, (struct cluster_event){.type = CLUSTER_EVENT_LINK_ACCEPTED, .link = link, .local_ip = "10.0.0.1",
                                   .peer_ip = "10.0.0.2"});
}

static void message(struct play *p, struct slice bytes, bool repair)
{
    uint8_t *copy = malloc(bytes.size > 0 ? bytes.size : 1); /* no longer, so that a sanitizer sees a byte too far */
    link_t link;

    check(copy != NULL);
    memcpy(copy, bytes.data, bytes.size);
    link = p->links[bytes.size > 0 ? bytes.data[0] % 8 : 0];
    if (repair && bytes.size >= CODEC_HEADER_SIZE) {
        memcpy(copy, "RCmb", 4);
        for (int i = 0; i < 4; i++)
            copy[4 + i] = (uint8_t)(bytes.size >> (24 - 8 * i));
        copy[8] = 0;
        copy[9] = 1;
        memset(copy + 40, "abc0d"[bytes.data[0] / 8 % 5], CLUSTER_ID_SIZE);
    }
    step(p, (struct cluster_event){.type = CLUSTER_EVENT_MESSAGE, .link = link, .bytes = slice_of(copy, bytes.size)});
    free(copy);
}

static void change_link(struct play *p, uint8_t how)
{
    link_t link = p->links[how / 4 % 8];

    switch (how % 4) {
    case 0:
        step(p, (struct cluster_event){.type = CLUSTER_EVENT_LINK_UP, .link = link});
        break;
    case 1:
        step(p, (struct cluster_event){.type = CLUSTER_EVENT_LINK_DOWN, .link = link, .overflow = how > 127});
        break;
    case 2:
        step(p, (struct cluster_event){.type = CLUSTER_EVENT_LINK_FAILED, .link = link});
        break;
    default:
        accept_link(p);
        break;
    }
}

static void ballots(struct play *p, struct slice bytes)
{
    uint8_t *copy = calloc(1, CODEC_SLOTS_SIZE);

    check(copy != NULL);
    memcpy(copy, bytes.data, bytes.size < CODEC_SLOTS_SIZE ? bytes.size : CODEC_SLOTS_SIZE);
    ballot_read(p->core, copy, 1);
    check(p->core->ballot_count <= BALLOTS_MAX);
    free(copy);
}

static void frames(struct play *p, struct slice bytes)
{
    size_t at = 0, size = 0;

    while (cluster_frame(slice_of(bytes.data + at, bytes.size - at), &size) == OK) {
        check(size <= bytes.size - at);
        message(p, slice_of(bytes.data + at, size), false);
        at += size;
    }
}

static void verify(struct play *p)
{
    const struct cluster *c = p->core;
    struct cluster_options options = {.seed = 2};
    struct cluster *again = NULL;
    struct buf text = {0};
    unsigned assigned = 0;

    for (unsigned s = 0; s < SLOTS; s++) {
        assigned += c->owner[s] != NULL;
        check(c->owner[s] == NULL || (bit_get(c->owner[s]->slots, s) && node_is_master(c->owner[s])));
    }
    check(assigned == c->assigned_count && c->nodes[0] == c->myself);
    nodes_conf_print(c, &text);
    options.nodes_conf = buf_slice(&text);
    cluster_config_default(&options.config);
    check(cluster_new(&options, &again) == OK);
    check(again->current_epoch >= c->current_epoch && again->last_vote_epoch == c->last_vote_epoch);
    cluster_free(again);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster_options options = {.seed = 1, .nodes_conf = slice_str(file)};
    struct play p = {.now = 1700000000000};

    options.replication = size > 0 && data[0] & 0x80;
    cluster_config_default(&options.config);
    check(cluster_new(&options, &p.core) == OK);
    step(&p, (struct cluster_event){.type = CLUSTER_EVENT_START});
    step(&p, (struct cluster_event){.type = CLUSTER_EVENT_TICK});
    for (unsigned i = 0; i < 3; i++)
        step(&p, (struct cluster_event){.type = CLUSTER_EVENT_LINK_UP, .link = p.links[i]});
    accept_link(&p);
    while (size >= 3) {
        size_t length = (size_t)data[1] << 8 | data[2];
        struct slice bytes;

        if (length > size - 3)
            length = size - 3;
        bytes = slice_of(data + 3, length);
        switch (data[0] & 0x7f) {
        case 0:
            message(&p, bytes, false);
            break;
        case 1:
            message(&p, bytes, true);
            break;
        case 2:
            for (size_t i = 0; i < length % 64; i++) {
                p.now += CLUSTER_TICK_MS;
                step(&p, (struct cluster_event){.type = CLUSTER_EVENT_TICK});
            }
            break;
        case 3:
            if (length > 0)
                change_link(&p, bytes.data[0]);
            break;
        case 5:
            ballots(&p, bytes);
            break;
        default:
            frames(&p, bytes);
            break;
        }
        data += 3 + length;
        size -= 3 + length;
    }
    verify(&p);
    cluster_free(p.core);
    return 0;
}
