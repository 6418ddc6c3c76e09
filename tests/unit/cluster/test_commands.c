/*
 * test_commands.c - CLUSTER's subcommands: effects, refusals with their exact texts, and what is shown.
 */
#include "lab.h"

#include "cluster/routing.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>

#define A40 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B40 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define X40 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

struct line {
    enum cluster_command_type type;
    const char *words, *reply;
};

static void expect(struct lab *l, const struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(lab_reply(l, lines[i].type, lines[i].words), lines[i].reply);
}
#define EXPECT(l, ...)                              \
    expect((l), (const struct line[]){__VA_ARGS__}, \
           sizeof((const struct line[]){__VA_ARGS__}) / sizeof(struct line))

START_TEST(addslots__refusals_change_nothing)
{
    struct lab l;

    lab_open(&l);
    EXPECT(&l, {CLUSTER_CMD_ADDSLOTS, "1 2 3", "OK"},
           {CLUSTER_CMD_ADDSLOTS, "4 3", "ERR Slot 3 is already busy"},
           {CLUSTER_CMD_ADDSLOTS, "4 4", "ERR Slot 4 specified multiple times"},
           {CLUSTER_CMD_ADDSLOTS, "4 16384", "ERR Invalid or out of range slot"},
           {CLUSTER_CMD_ADDSLOTS, "4 -1", "ERR Invalid or out of range slot"},
           {CLUSTER_CMD_ADDSLOTS, "4 x", "ERR Invalid or out of range slot"},
           {CLUSTER_CMD_DELSLOTS, "3 4", "ERR Slot 4 is already unassigned"},
           {CLUSTER_CMD_DELSLOTS, "3 3", "ERR Slot 3 specified multiple times"},
           {CLUSTER_CMD_ADDSLOTSRANGE, "5 9 11", "ERR wrong number of arguments for 'cluster|addslotsrange' command"},
           {CLUSTER_CMD_ADDSLOTSRANGE, "9 5", "ERR start slot number 9 is greater than end slot number 5"},
           {CLUSTER_CMD_ADDSLOTSRANGE, "0 9", "ERR Slot 1 is already busy"});
    ck_assert_uint_eq(l.core->assigned_count, 3);
    EXPECT(&l, {CLUSTER_CMD_ADDSLOTSRANGE, "5 9 11 11", "OK"}, {CLUSTER_CMD_DELSLOTSRANGE, "5 8", "OK"},
           {CLUSTER_CMD_DELSLOTS, "1", "OK"});
    ck_assert_uint_eq(l.core->assigned_count, 4);
    lab_close(&l);
}
END_TEST

START_TEST(addslots__is_durable_before_the_reply)
{
    struct lab l;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "7");
    ck_assert_ptr_nonnull(lab_action(&l, CLUSTER_PERSIST, 0));
    ck_assert(lab_action(&l, CLUSTER_PERSIST, 0)->sync);
    ck_assert_ptr_nonnull(memmem(l.persisted.data, l.persisted.size, "connected 7\n", 12));
    lab_close(&l);
}
END_TEST

START_TEST(flushslots__wants_an_empty_database)
{
    struct lab l;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 16383");
    l.keys[5] = 1;
    EXPECT(&l, {CLUSTER_CMD_FLUSHSLOTS, "", "ERR DB must be empty to perform CLUSTER FLUSHSLOTS."});
    l.keys[5] = 0;
    EXPECT(&l, {CLUSTER_CMD_FLUSHSLOTS, "", "OK"});
    ck_assert_uint_eq(l.core->assigned_count, 0);
    lab_close(&l);
}
END_TEST

START_TEST(setslot__has_the_texts_of_redis)
{
    struct lab l;

    lab_open(&l);
    lab_peer(&l, 0, 'a', 1, 100, 199);
    lab_peer(&l, 1, 'b', 2, -1, 0)->master = &l.peers[0];
    lab_say(&l, &l.peers[1], CODEC_PING);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "1 2");
    l.keys[1] = 3;
    EXPECT(&l, {CLUSTER_CMD_SETSLOT, "1 migrating " X40, "ERR I don't know about node " X40},
           {CLUSTER_CMD_SETSLOT, "1 migrating " B40, "ERR Target node is not a master"},
           {CLUSTER_CMD_SETSLOT, "100 migrating " A40, "ERR I'm not the owner of hash slot 100"},
           {CLUSTER_CMD_SETSLOT, "1 importing " A40, "ERR I'm already the owner of hash slot 1"},
           {CLUSTER_CMD_SETSLOT, "100 importing " X40, "ERR I don't know about node " X40},
           {CLUSTER_CMD_SETSLOT, "100 importing " B40, "ERR Target node is not a master"},
           {CLUSTER_CMD_SETSLOT, "1 node " X40, "ERR Unknown node " X40},
           {CLUSTER_CMD_SETSLOT, "1 node " B40, "ERR Target node is not a master"},
           {CLUSTER_CMD_SETSLOT, "1 node " A40,
            "ERR Can't assign hashslot 1 to a different node while I still hold keys for this hash slot."},
           {CLUSTER_CMD_SETSLOT, "16384 stable", "ERR Invalid or out of range slot"},
           {CLUSTER_CMD_SETSLOT, "1 fly",
            "ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP"},
           {CLUSTER_CMD_SETSLOT, "1 stable x",
            "ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP"});
    lab_close(&l);
}
END_TEST

START_TEST(setslot__a_move_from_here_ends_with_the_other_owning_the_slot)
{
    struct lab l;
    struct peer *a;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 1, 100, 199);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "1 2");
    EXPECT(&l, {CLUSTER_CMD_SETSLOT, "1 MIGRATING " A40, "OK"});
    ck_assert_ptr_eq(l.core->migrating[1], lab_node(&l, a));
    EXPECT(&l, {CLUSTER_CMD_SETSLOT, "1 NODE " A40, "OK"});
    ck_assert_ptr_null(l.core->migrating[1]);
    ck_assert_ptr_eq(l.core->owner[1], lab_node(&l, a));
    lab_close(&l);
}
END_TEST

START_TEST(setslot__the_end_of_an_import_bumps_the_epoch_and_tells_all)
{
    struct lab l;
    struct peer *a;
    const struct cluster_action *persist, *pong;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 7, 100, 199);
    lab_reply(&l, CLUSTER_CMD_SETSLOT, "100 IMPORTING " A40);
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_BUMPEPOCH, ""), "BUMPED 8");
    a->config_epoch = a->current_epoch = 9;
    lab_say(&l, a, CODEC_PING);
    char words[80];
    snprintf(words, sizeof words, "100 NODE %s", cluster_my_id(l.core));
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, words), "OK");
    ck_assert_uint_eq(l.core->myself->config_epoch, 10);
    ck_assert_ptr_eq(l.core->owner[100], l.core->myself);
    ck_assert_ptr_null(l.core->importing[100]);
    persist = lab_action(&l, CLUSTER_PERSIST, 0);
    pong = lab_sent(&l, CODEC_PONG, 0);
    ck_assert(persist != NULL && pong != NULL && persist->sync && persist < pong);
    lab_close(&l);
}
END_TEST

START_TEST(setslot__when_lazy_is_noted_before_the_reply_and_durable_before_it_is_told)
{
    struct lab l;
    struct peer *a;
    const struct cluster_action *persist, *pong;
    struct cluster_config config;
    char words[80];

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 7, 100, 199);
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_BUMPEPOCH, ""), "BUMPED 8");
    config = l.core->config;
    config.lazy_setslot = true;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_CONFIG, .config = &config});
    for (unsigned slot = 100; slot < 103; slot++) {
        snprintf(words, sizeof words, "%u IMPORTING %s", slot, a->id);
        ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, words), "OK");
        persist = lab_action(&l, CLUSTER_PERSIST, 0);
        ck_assert(persist != NULL && !persist->sync && lab_action(&l, CLUSTER_PERSIST, 1) == NULL);
        snprintf(words, sizeof words, "%u NODE %s", slot, cluster_my_id(l.core));
        ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, words), "OK");
        persist = lab_action(&l, CLUSTER_PERSIST, 0);
        ck_assert(persist != NULL && !persist->sync && lab_action(&l, CLUSTER_SEND, 0) == NULL);
        ck_assert(persist < lab_action(&l, CLUSTER_MAP, 0));
    }
    lab_say(&l, a, CODEC_PING); /* the answer tells of the claims */
    persist = lab_action(&l, CLUSTER_PERSIST, 0);
    pong = lab_sent(&l, CODEC_PONG, 0);
    ck_assert(persist != NULL && pong != NULL && persist->sync && persist < pong);
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_null(lab_action(&l, CLUSTER_PERSIST, 0));
    lab_ticks(&l, CLUSTER_TICK_MS);
    ck_assert_ptr_nonnull(lab_sent(&l, CODEC_PONG, 0)); /* all are told once */
    lab_ticks(&l, CLUSTER_TICK_MS);
    ck_assert_ptr_null(lab_sent(&l, CODEC_PONG, 0));
    /* A new epoch does not wait. */
    memset(a->slots, 0, sizeof a->slots); /* yields what was taken */
    a->config_epoch = a->current_epoch = 20;
    lab_say(&l, a, CODEC_PING);
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "103 IMPORTING " A40), "OK");
    snprintf(words, sizeof words, "103 NODE %s", cluster_my_id(l.core));
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, words), "OK");
    ck_assert_uint_eq(l.core->myself->config_epoch, 21);
    persist = lab_action(&l, CLUSTER_PERSIST, 0);
    pong = lab_sent(&l, CODEC_PONG, 0); /* all are told at once: an older epoch must not win this slot meanwhile */
    ck_assert(persist != NULL && pong != NULL && persist->sync && persist < pong);
    lab_close(&l);
}
END_TEST

START_TEST(setslot__an_import_is_not_undone_by_a_claim_of_the_source_that_was_under_way)
{
    struct lab l;
    struct peer *a;
    char words[80];

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 7, 100, 199);
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_BUMPEPOCH, ""), "BUMPED 8");
    lab_reply(&l, CLUSTER_CMD_SETSLOT, "100 IMPORTING " A40);
    l.keys[100] = 5;
    snprintf(words, sizeof words, "100 NODE %s", cluster_my_id(l.core));
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, words), "OK");
    ck_assert_uint_eq(l.core->myself->config_epoch, 8); /* the greatest that is known here */
    a->config_epoch = a->current_epoch = 9;             /* it has had that for a while */
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[100], l.core->myself);
    ck_assert_uint_eq(l.core->myself->config_epoch, 10);
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 0));
    ck_assert(lab_action(&l, CLUSTER_PERSIST, 0)->sync);
    a->slots[100 / 8] &= (uint8_t)~(1 << 100 % 8); /* it has yielded */
    lab_say(&l, a, CODEC_PING);
    ck_assert_uint_eq(l.core->imported_count, 0);
    a->slots[100 / 8] |= 1 << 100 % 8; /* and an operator gave the slot back to it */
    a->config_epoch = a->current_epoch = 11;
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, a));
    ck_assert_ptr_eq(l.core->importing[100], lab_node(&l, a)); /* the keys stay */
    lab_close(&l);
}
END_TEST

START_TEST(claim_event__takes_the_slots_with_a_new_epoch_durable_before_it_is_told)
{
    struct lab l;
    const struct cluster_action *persist, *pong;
    slot_t slots[] = {100, 101};

    lab_open(&l);
    lab_peer(&l, 0, 'a', 7, 100, 199);
    lab_step(&l, &(struct cluster_event){
                     .type = CLUSTER_EVENT_CLAIM, .slots = slots, .slot_count = 2, .epoch_above = 20});
    ck_assert_ptr_eq(l.core->owner[101], l.core->myself);
    ck_assert_uint_eq(l.core->myself->config_epoch, 21);
    persist = lab_action(&l, CLUSTER_PERSIST, 0);
    pong = lab_sent(&l, CODEC_PONG, 0);
    ck_assert(persist != NULL && pong != NULL && persist < pong && pong < lab_action(&l, CLUSTER_MAP, 0));
    lab_close(&l);
}
END_TEST

START_TEST(bumpepoch__moves_only_when_it_is_not_the_greatest)
{
    struct lab l;

    lab_open(&l);
    EXPECT(&l, {CLUSTER_CMD_BUMPEPOCH, "", "BUMPED 1"}, {CLUSTER_CMD_BUMPEPOCH, "", "STILL 1"});
    lab_close(&l);
}
END_TEST

START_TEST(set_config_epoch__only_on_a_fresh_lonely_node)
{
    struct lab l;

    lab_open(&l);
    EXPECT(&l, {CLUSTER_CMD_SET_CONFIG_EPOCH, "-1", "ERR Invalid config epoch specified: -1"},
           {CLUSTER_CMD_SET_CONFIG_EPOCH, "x", "ERR value is not an integer or out of range"},
           {CLUSTER_CMD_SET_CONFIG_EPOCH, "5", "OK"},
           {CLUSTER_CMD_SET_CONFIG_EPOCH, "6", "ERR Node config epoch is already non-zero"});
    ck_assert_uint_eq(l.core->current_epoch, 5);
    lab_peer(&l, 0, 'a', 1, 0, 9);
    EXPECT(&l, {CLUSTER_CMD_SET_CONFIG_EPOCH, "6",
                "ERR The user can assign a config epoch only when the node does not know any other node."});
    lab_close(&l);
}
END_TEST

START_TEST(meet__refuses_what_is_no_address)
{
    struct lab l;

    lab_open(&l);
    EXPECT(&l, {CLUSTER_CMD_MEET, "localhost 7000", "ERR Invalid node address specified: localhost:7000"},
           {CLUSTER_CMD_MEET, "10.0.0.1 x", "ERR Invalid base port specified: x"},
           {CLUSTER_CMD_MEET, "10.0.0.1 7000 y", "ERR Invalid bus port specified: y"},
           {CLUSTER_CMD_MEET, "10.0.0.1 7000 9000 z",
            "ERR unknown subcommand or wrong number of arguments for 'MEET'. Try CLUSTER HELP."},
           {CLUSTER_CMD_MEET, "10.0.0.1 0", "ERR Invalid node address specified: 10.0.0.1:0"},
           {CLUSTER_CMD_MEET, "10.0.0.1 60000", "ERR Invalid node address specified: 10.0.0.1:60000"},
           {CLUSTER_CMD_MEET, "::1 7000 9000", "OK"});
    ck_assert_uint_eq(l.core->nodes[1]->bus_port, 9000);
    lab_close(&l);
}
END_TEST

START_TEST(forget__refuses_strangers_and_oneself)
{
    struct lab l;

    lab_open(&l);
    EXPECT(&l, {CLUSTER_CMD_FORGET, X40, "ERR Unknown node " X40},
           {CLUSTER_CMD_FORGET, "short", "ERR Unknown node short"},
           {CLUSTER_CMD_FORGET, cluster_my_id(l.core), "ERR I tried hard but I can't forget myself..."});
    lab_close(&l);
}
END_TEST

START_TEST(reset__soft_keeps_id_and_epochs_and_hard_does_not)
{
    struct lab l;
    char id[CLUSTER_ID_SIZE + 1];

    lab_open(&l);
    lab_peer(&l, 0, 'a', 4, 100, 199);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "1");
    lab_reply(&l, CLUSTER_CMD_BUMPEPOCH, "");
    memcpy(id, cluster_my_id(l.core), sizeof id);
    l.keys[1] = 1;
    EXPECT(&l, {CLUSTER_CMD_RESET, "", "ERR CLUSTER RESET can't be called with master nodes containing keys"},
           {CLUSTER_CMD_RESET, "gently", "ERR syntax error"});
    l.keys[1] = 0;
    EXPECT(&l, {CLUSTER_CMD_RESET, "SOFT", "OK"});
    ck_assert_uint_eq(l.core->node_count, 1);
    ck_assert_uint_eq(l.core->assigned_count, 0);
    ck_assert_uint_eq(l.core->current_epoch, 5);
    ck_assert_str_eq(cluster_my_id(l.core), id);
    EXPECT(&l, {CLUSTER_CMD_RESET, "HARD", "OK"});
    ck_assert_uint_eq(l.core->current_epoch, 0);
    ck_assert_uint_eq(l.core->myself->config_epoch, 0);
    ck_assert_str_ne(cluster_my_id(l.core), id);
    lab_close(&l);
}
END_TEST

START_TEST(replicate_and_failover__say_why_not)
{
    struct lab l;

    lab_open(&l);
    lab_peer(&l, 0, 'a', 4, 100, 199);
    EXPECT(&l, {CLUSTER_CMD_REPLICATE, X40, "ERR Unknown node " X40},
           {CLUSTER_CMD_REPLICATE, cluster_my_id(l.core), "ERR Can't replicate myself"},
           {CLUSTER_CMD_REPLICATE, A40, "ERR this node cannot replicate yet"},
           {CLUSTER_CMD_FAILOVER, "", "ERR You should send CLUSTER FAILOVER to a replica"},
           {CLUSTER_CMD_FAILOVER, "now", "ERR syntax error"},
           {CLUSTER_CMD_FAILOVER, "force takeover",
            "ERR unknown subcommand or wrong number of arguments for 'FAILOVER'. Try CLUSTER HELP."});
    lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "1");
    EXPECT(&l, {CLUSTER_CMD_REPLICATE, A40, "ERR To set a master the node must be empty and without assigned slots."});
    ck_assert(node_is_master(l.core->myself));
    lab_close(&l);
}
END_TEST

START_TEST(start__keys_in_slots_of_others_are_marked_importing_and_in_nobodys_claimed)
{
    struct lab l;
    static const char file[] =
        "ec65592cc30c050bccd2c2937a6f946a8bf07f7b :7000@17000 myself,master - 0 0 1 connected 0-9\n"
        A40 " 10.0.0.1:7001@17001 master - 0 0 2 connected 100-199\n"
        "vars currentEpoch 2 lastVoteEpoch 0\n";

    memset(&l, 0, sizeof l);
    l.keys[5] = l.keys[50] = l.keys[150] = 1;
    lab_open_with(&l, file, false);
    ck_assert_ptr_eq(l.core->owner[50], l.core->myself);
    ck_assert_ptr_eq(l.core->importing[150], node_find(l.core, A40));
    ck_assert_ptr_null(l.core->importing[5]);
    lab_close(&l);
}
END_TEST

/* ---- Reports ---- */

START_TEST(nodes__shows_each_node_in_redis_columns)
{
    struct lab l;
    struct buf out = {0};
    char line[256];

    lab_open(&l);
    lab_peer(&l, 0, 'a', 3, 100, 199);
    l.peers[1].master = NULL;
    lab_peer(&l, 1, 'b', 4, -1, 0)->master = &l.peers[0];
    lab_say(&l, &l.peers[1], CODEC_PING);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "1 2 7");
    report_nodes(l.core, false, &out);
    buf_append_byte(&out, '\0');
    snprintf(line, sizeof line, "%s 10.0.0.100:7000@17000 myself,master - 0 0 0 connected 1-2 7\n",
             cluster_my_id(l.core));
    ck_assert_ptr_nonnull(strstr((char *)out.data, line));
    snprintf(line, sizeof line, A40 " 10.0.0.1:7001@17001 master - 0 %lld 3 connected 100-199\n",
             (long long)node_find(l.core, A40)->pong_received);
    ck_assert_ptr_nonnull(strstr((char *)out.data, line));
    snprintf(line, sizeof line, B40 " 10.0.0.2:7002@17002 slave " A40 " 0 %lld 3 connected\n",
             (long long)node_find(l.core, B40)->pong_received);
    ck_assert_ptr_nonnull(strstr((char *)out.data, line));
    buf_clear(&out);
    ck_assert_int_eq(report_replicas(l.core, slice_str(A40), false, &out), OK);
    ck_assert_ptr_nonnull(memmem(out.data, out.size, B40, 40));
    ck_assert_int_eq(report_replicas(l.core, slice_str(B40), false, &out), ERR_INVALID);
    ck_assert_str_eq(err_text(), "ERR The specified node is not a master");
    buf_free(&out);
    lab_close(&l);
}
END_TEST

START_TEST(info__has_the_lines_of_redis_in_order)
{
    struct lab l;
    struct buf out = {0};

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "1 2 7");
    report_info(l.core, &out);
    buf_append_byte(&out, '\0');
    ck_assert_str_eq((char *)out.data,
                     "cluster_state:fail\r\ncluster_slots_assigned:3\r\ncluster_slots_ok:3\r\ncluster_slots_pfail:0\r\n"
                     "cluster_slots_fail:0\r\ncluster_known_nodes:1\r\ncluster_size:1\r\ncluster_current_epoch:0\r\n"
                     "cluster_my_epoch:0\r\ncluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\n"
                     "total_cluster_links_buffer_limit_exceeded:0\r\n");
    buf_free(&out);
    lab_close(&l);
}
END_TEST

START_TEST(slots_and_shards__list_ranges_with_owner_and_usable_replicas)
{
    struct lab l;
    struct peer *b;
    struct report_slots slots;
    struct report_shards shards;
    struct report_link *links;

    lab_open(&l);
    lab_peer(&l, 0, 'a', 3, 100, 199);
    b = lab_peer(&l, 1, 'b', 4, -1, 0);
    b->master = &l.peers[0];
    lab_say(&l, b, CODEC_PING);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "1 2 7");
    report_slots(l.core, &slots);
    ck_assert_uint_eq(slots.range_count, 3);
    ck_assert_uint_eq(slots.ranges[2].first, 100);
    ck_assert_uint_eq(slots.ranges[2].last, 199);
    ck_assert_uint_eq(slots.ranges[2].node_count, 1); /* the replica's offset is 0 */
    report_slots_free(&slots);
    b->offset = 77;
    lab_say(&l, b, CODEC_PING);
    report_slots(l.core, &slots);
    ck_assert_uint_eq(slots.ranges[2].node_count, 2);
    ck_assert_str_eq(slots.nodes[slots.ranges[2].node_first + 1].id, B40);
    report_slots_free(&slots);
    report_shards(l.core, &shards);
    ck_assert_uint_eq(shards.shard_count, 2);
    ck_assert_uint_eq(shards.node_count, 3);
    ck_assert_uint_eq(shards.range_count, 3);
    report_shards_free(&shards);
    ck_assert_uint_eq(report_links(l.core, &links), 4);
    free(links);
    lab_close(&l);
}
END_TEST

/* ---- Routing ---- */

static struct cluster_map map;

static const char *route(struct lab *l, struct routing_request r)
{
    static char text[ROUTING_TEXT_MAX];
    uint16_t node = ROUTING_NOBODY;
    enum routing_verdict verdict;

    cluster_map(l->core, &map);
    map.ok = true;
    verdict = routing_decide(&map, &r, &node);
    if (verdict != ROUTING_SERVE && verdict != ROUTING_LOOK_UP)
        routing_error(&map, verdict, r.slot, node, false, text);
    cluster_map_free(&map);
    return verdict == ROUTING_SERVE ? "serve" : verdict == ROUTING_LOOK_UP ? "look up" : text;
}

START_TEST(routing__answers_in_the_order_of_redis)
{
    struct lab l;

    lab_open(&l);
    lab_peer(&l, 0, 'a', 3, 100, 199);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "1 2 7");
    lab_reply(&l, CLUSTER_CMD_SETSLOT, "7 migrating " A40);
    lab_reply(&l, CLUSTER_CMD_SETSLOT, "150 importing " A40);
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 1}), "serve");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 3, .other_slot = true}),
                     "CLUSTERDOWN Hash slot not served");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 1, .other_slot = true}),
                     "CROSSSLOT Keys in request don't hash to the same slot");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 100}), "MOVED 100 10.0.0.1:7001");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 7}), "look up");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 7, .migrate = true}), "serve");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 7, .keys_looked_up = true, .keys_distinct = 1}),
                     "serve");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 7, .keys_looked_up = true, .keys_distinct = 2,
                                                        .keys_missing = 2}), "ASK 7 10.0.0.1:7001");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 7, .keys_looked_up = true, .keys_distinct = 2,
                                                        .keys_missing = 1}),
                     "TRYAGAIN Multiple keys request during rehashing of slot");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 7, .shard_channel = true}), "serve");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 150}), "MOVED 150 10.0.0.1:7001");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 150, .asking = true, .keys_looked_up = true,
                                                        .keys_distinct = 1, .keys_missing = 1}), "serve");
    ck_assert_str_eq(route(&l, (struct routing_request){.slot = 150, .asking = true, .keys_looked_up = true,
                                                        .keys_distinct = 2, .keys_missing = 1}),
                     "TRYAGAIN Multiple keys request during rehashing of slot");
    lab_close(&l);
}
END_TEST

START_TEST(routing__when_down_only_reads_pass_and_only_if_allowed)
{
    struct lab l;
    struct routing_request read = {.slot = 1}, write = {.slot = 1, .write = true};
    uint16_t node;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "1");
    cluster_map(l.core, &map);
    ck_assert(!map.ok);
    ck_assert_int_eq(routing_decide(&map, &read, &node), ROUTING_DOWN);
    map.reads_when_down = true;
    ck_assert_int_eq(routing_decide(&map, &read, &node), ROUTING_SERVE);
    ck_assert_int_eq(routing_decide(&map, &write, &node), ROUTING_DOWN_READS);
    cluster_map_free(&map);
    lab_close(&l);
}
END_TEST

START_TEST(routing__endpoint_follows_the_preferred_type)
{
    struct lab l;
    char text[ROUTING_TEXT_MAX];
    uint16_t node = ROUTING_NOBODY;
    struct routing_request r = {.slot = 100};

    lab_open(&l);
    lab_peer(&l, 0, 'a', 3, 100, 199);
    cluster_map(l.core, &map);
    map.ok = true;
    ck_assert_int_eq(routing_decide(&map, &r, &node), ROUTING_MOVED);
    map.preferred_endpoint = CLUSTER_ENDPOINT_UNKNOWN;
    routing_error(&map, ROUTING_MOVED, 100, node, false, text);
    ck_assert_str_eq(text, "MOVED 100 :7001");
    map.preferred_endpoint = CLUSTER_ENDPOINT_HOSTNAME;
    routing_error(&map, ROUTING_MOVED, 100, node, false, text);
    ck_assert_str_eq(text, "MOVED 100 ?:7001");
    cluster_map_free(&map);
    lab_close(&l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, addslots__refusals_change_nothing);
    tcase_add_test(tests, addslots__is_durable_before_the_reply);
    tcase_add_test(tests, flushslots__wants_an_empty_database);
    tcase_add_test(tests, setslot__has_the_texts_of_redis);
    tcase_add_test(tests, setslot__a_move_from_here_ends_with_the_other_owning_the_slot);
    tcase_add_test(tests, setslot__the_end_of_an_import_bumps_the_epoch_and_tells_all);
    tcase_add_test(tests, setslot__when_lazy_is_noted_before_the_reply_and_durable_before_it_is_told);
    tcase_add_test(tests, setslot__an_import_is_not_undone_by_a_claim_of_the_source_that_was_under_way);
    tcase_add_test(tests, claim_event__takes_the_slots_with_a_new_epoch_durable_before_it_is_told);
    tcase_add_test(tests, bumpepoch__moves_only_when_it_is_not_the_greatest);
    tcase_add_test(tests, set_config_epoch__only_on_a_fresh_lonely_node);
    tcase_add_test(tests, meet__refuses_what_is_no_address);
    tcase_add_test(tests, forget__refuses_strangers_and_oneself);
    tcase_add_test(tests, reset__soft_keeps_id_and_epochs_and_hard_does_not);
    tcase_add_test(tests, replicate_and_failover__say_why_not);
    tcase_add_test(tests, start__keys_in_slots_of_others_are_marked_importing_and_in_nobodys_claimed);
    tcase_add_test(tests, nodes__shows_each_node_in_redis_columns);
    tcase_add_test(tests, info__has_the_lines_of_redis_in_order);
    tcase_add_test(tests, slots_and_shards__list_ranges_with_owner_and_usable_replicas);
    tcase_add_test(tests, routing__answers_in_the_order_of_redis);
    tcase_add_test(tests, routing__when_down_only_reads_pass_and_only_if_allowed);
    tcase_add_test(tests, routing__endpoint_follows_the_preferred_type);
    return suite_run("commands", tests);
}
