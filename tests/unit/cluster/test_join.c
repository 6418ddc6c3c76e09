/*
 * test_join.c - MEET, handshakes, ids, addresses and forgetting.
 */
#include "lab.h"
#include "tests/unit/suite.h"

#include <stdlib.h>

START_TEST(meet__connects_says_meet_and_learns_the_real_id_from_the_pong)
{
    struct lab l;
    struct peer *p;

    lab_open(&l);
    p = lab_peer(&l, 0, 'a', 1, 0, 99);
    ck_assert_uint_eq(l.core->node_count, 2);
    ck_assert_uint_eq(lab_node(&l, p)->flags & (NODE_HANDSHAKE | NODE_MASTER), NODE_MASTER);
    ck_assert_str_eq(lab_node(&l, p)->ip, "10.0.0.1");
    ck_assert_uint_eq(lab_node(&l, p)->slot_count, 100);
    lab_close(&l);
}
END_TEST

START_TEST(meet__of_an_address_in_handshake_is_ok_and_adds_nothing)
{
    struct lab l;

    lab_open(&l);
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_MEET, "10.0.0.5 7000"), "OK");
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_MEET, "10.0.0.5 7000"), "OK");
    ck_assert_uint_eq(l.core->node_count, 2);
    lab_close(&l);
}
END_TEST

START_TEST(handshake__ends_without_trace_when_nobody_answers)
{
    struct lab l;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_MEET, "10.0.0.5 7000");
    lab_ticks(&l, LAB_TIMEOUT_MS);
    ck_assert_uint_eq(l.core->node_count, 2);
    lab_ticks(&l, 2 * CLUSTER_TICK_MS);
    ck_assert_uint_eq(l.core->node_count, 1);
    lab_close(&l);
}
END_TEST

START_TEST(meet__from_an_unknown_node_is_answered_and_starts_a_handshake_back)
{
    struct lab l;
    struct peer stranger = {.ip = "10.0.0.7", .port = 7007};
    const struct cluster_action *connect;

    lab_open(&l);
    memset(stranger.id, 'c', CLUSTER_ID_SIZE);
    stranger.in = CLUSTER_LINK_INBOUND | 9;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_ACCEPTED, .link = stranger.in,
                                         .local_ip = "10.0.0.100", .peer_ip = "10.0.0.7"});
    lab_say(&l, &stranger, CODEC_MEET);
    ck_assert_ptr_nonnull(lab_sent(&l, CODEC_PONG, 0));
    ck_assert_uint_eq(lab_sent(&l, CODEC_PONG, 0)->link, stranger.in);
    ck_assert_str_eq(l.core->myself->ip, "10.0.0.100"); /* learnt from the socket */
    lab_ticks(&l, CLUSTER_TICK_MS);
    connect = lab_action(&l, CLUSTER_CONNECT, 0);
    ck_assert_ptr_nonnull(connect);
    ck_assert_str_eq(connect->text, "10.0.0.7");
    ck_assert_uint_eq(connect->port, 17007);
    stranger.out = connect->link;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_UP, .link = stranger.out});
    ck_assert_ptr_nonnull(lab_sent(&l, CODEC_PING, 0)); /* not MEET: it knows us already */
    lab_pong(&l, &stranger);
    ck_assert_ptr_nonnull(lab_node(&l, &stranger));
    lab_close(&l);
}
END_TEST

START_TEST(ping__from_an_unknown_node_is_answered_but_changes_nothing)
{
    struct lab l;
    struct peer *known, stranger = {.port = 7007, .current_epoch = 99, .config_epoch = 99};

    lab_open(&l);
    known = lab_peer(&l, 0, 'a', 1, 0, 9);
    memset(stranger.id, 'c', CLUSTER_ID_SIZE);
    memset(stranger.slots, 0xff, sizeof stranger.slots);
    stranger.in = CLUSTER_LINK_INBOUND | 99;
    lab_step(&l, &(struct cluster_event){
                     .type = CLUSTER_EVENT_LINK_ACCEPTED, .link = stranger.in, .peer_ip = "10.0.0.7"});
    lab_say(&l, &stranger, CODEC_PING);
    ck_assert_ptr_nonnull(lab_sent(&l, CODEC_PONG, 0));
    ck_assert_uint_eq(l.core->node_count, 2);
    ck_assert_uint_eq(l.core->current_epoch, 1);
    ck_assert_ptr_eq(l.core->owner[5], lab_node(&l, known));
    ck_assert_ptr_null(l.core->owner[50]);
    lab_close(&l);
}
END_TEST

START_TEST(handshake__with_a_node_that_is_known_drops_the_second_entry)
{
    struct lab l;
    struct peer *p;
    const struct cluster_action *connect;

    lab_open(&l);
    p = lab_peer(&l, 0, 'a', 1, 0, 9);
    lab_reply(&l, CLUSTER_CMD_MEET, "10.0.0.99 7001");
    lab_ticks(&l, CLUSTER_TICK_MS);
    connect = lab_action(&l, CLUSTER_CONNECT, 0);
    ck_assert_uint_eq(l.core->node_count, 3);
    p->out = connect->link;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_UP, .link = p->out});
    lab_pong(&l, p);
    ck_assert_uint_eq(l.core->node_count, 2);
    ck_assert_str_eq(lab_node(&l, p)->ip, "10.0.0.99"); /* where it answered last */
    lab_close(&l);
}
END_TEST

START_TEST(meet__with_oneself_leaves_one_node)
{
    struct lab l;
    struct peer mirror = {.port = 7000};
    const struct cluster_action *connect;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_MEET, "127.0.0.1 7000");
    lab_ticks(&l, CLUSTER_TICK_MS);
    connect = lab_action(&l, CLUSTER_CONNECT, 0);
    memcpy(mirror.id, cluster_my_id(l.core), sizeof mirror.id);
    mirror.out = connect->link;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_UP, .link = mirror.out});
    lab_pong(&l, &mirror);
    ck_assert_uint_eq(l.core->node_count, 1);
    lab_close(&l);
}
END_TEST

START_TEST(link__that_another_node_answers_marks_the_expected_one_noaddr)
{
    struct lab l;
    struct peer *p, other;

    lab_open(&l);
    p = lab_peer(&l, 0, 'a', 1, 0, 9);
    other = *p;
    memset(other.id, 'd', CLUSTER_ID_SIZE);
    lab_pong(&l, &other);
    ck_assert(node_is(lab_node(&l, p), NODE_NOADDR));
    ck_assert_str_eq(lab_node(&l, p)->ip, "");
    ck_assert_ptr_nonnull(lab_action(&l, CLUSTER_CLOSE, 0));
    lab_close(&l);
}
END_TEST

START_TEST(ping__from_a_new_address_moves_the_node_there)
{
    struct lab l;
    struct peer *p;

    lab_open(&l);
    p = lab_peer(&l, 0, 'a', 1, 0, 9);
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_DOWN, .link = p->in});
    p->in = CLUSTER_LINK_INBOUND | 77;
    p->port = 7050;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_ACCEPTED, .link = p->in, .peer_ip = "10.0.0.50"});
    lab_say(&l, p, CODEC_PING);
    ck_assert_str_eq(lab_node(&l, p)->ip, "10.0.0.50");
    ck_assert_uint_eq(lab_node(&l, p)->port, 7050);
    ck_assert_ptr_nonnull(lab_action(&l, CLUSTER_CLOSE, 0)); /* the link to the old address */
    ck_assert_ptr_nonnull(lab_action(&l, CLUSTER_MAP, 0));
    lab_close(&l);
}
END_TEST

START_TEST(gossip__of_a_known_sender_adds_a_node_and_of_a_forgotten_one_does_not)
{
    struct lab l;
    struct peer *p, far = {.ip = "10.0.0.9", .port = 7009};

    lab_open(&l);
    p = lab_peer(&l, 0, 'a', 1, 0, 9);
    memset(far.id, 'f', CLUSTER_ID_SIZE);
    lab_say_gossip(&l, p, &far, NODE_MASTER);
    ck_assert_ptr_nonnull(lab_node(&l, &far));
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_FORGET, far.id), "OK");
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_FORGET, far.id), "OK"); /* still on the blacklist */
    lab_say_gossip(&l, p, &far, NODE_MASTER);
    ck_assert_ptr_null(lab_node(&l, &far));
    l.now += BLACKLIST_TTL_MS;
    lab_say_gossip(&l, p, &far, NODE_MASTER);
    ck_assert_ptr_nonnull(lab_node(&l, &far));
    lab_close(&l);
}
END_TEST

START_TEST(extensions__go_only_to_peers_that_showed_the_bit)
{
    struct lab l;
    struct peer *p;
    struct codec_header h;

    lab_open(&l);
    p = lab_peer(&l, 0, 'a', 1, 0, 9);
    lab_say(&l, p, CODEC_PING);
    codec_read_header(lab_sent(&l, CODEC_PONG, 0)->bytes, &h);
    ck_assert_uint_eq(h.mflags, CODEC_MFLAG_EXTENSIONS);
    ck_assert_uint_eq(h.extensions, 0);
    p->mflags = CODEC_MFLAG_EXTENSIONS;
    lab_say(&l, p, CODEC_PING);
    codec_read_header(lab_sent(&l, CODEC_PONG, 0)->bytes, &h);
    ck_assert_uint_eq(h.extensions, 1); /* the shard id */
    lab_close(&l);
}
END_TEST

START_TEST(forget__tells_others_by_extension_and_obeys_theirs)
{
    struct lab l;
    struct peer *a, *b, *c;
    struct codec_header h;
    struct codec_forgotten f = {.ttl_s = 60};
    struct buf m = {0};

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 1, 0, 9);
    b = lab_peer(&l, 1, 'b', 2, 10, 19);
    c = lab_peer(&l, 2, 'c', 3, 20, 29);
    a->mflags = CODEC_MFLAG_EXTENSIONS;
    lab_reply(&l, CLUSTER_CMD_FORGET, b->id);
    ck_assert_ptr_null(l.core->owner[15]);
    lab_say(&l, a, CODEC_PING);
    codec_read_header(lab_sent(&l, CODEC_PONG, 0)->bytes, &h);
    ck_assert_uint_eq(h.extensions, 2);
    h = lab_header(a, CODEC_PING);
    memcpy(f.id, c->id, sizeof f.id);
    codec_write_header(&m, &h);
    codec_write_extension_forgotten(&m, &f);
    codec_finish(&m, 0, 1);
    lab_deliver(&l, a->in, &m);
    ck_assert_ptr_null(lab_node(&l, c));
    lab_close(&l);
}
END_TEST

START_TEST(publish__of_a_known_node_is_delivered_and_ours_goes_to_all)
{
    struct lab l;
    struct peer *a;
    struct codec_publish p = {SLICE_LITERAL("news"), SLICE_LITERAL("hello")};
    struct codec_header h;
    struct buf m = {0};
    const struct cluster_action *deliver;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 1, 0, 9);
    lab_peer(&l, 1, 'b', 2, 10, 19);
    h = lab_header(a, CODEC_PUBLISH);
    codec_write_header(&m, &h);
    codec_write_publish(&m, &p);
    codec_finish(&m, 0, 0);
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_MESSAGE, .link = a->in, .bytes = buf_slice(&m)});
    deliver = lab_action(&l, CLUSTER_DELIVER, 0);
    ck_assert_ptr_nonnull(deliver);
    ck_assert(slice_equal(deliver->channel, p.channel) && slice_equal(deliver->bytes, p.message));
    buf_free(&m);
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_PUBLISH, .channel = p.channel, .bytes = p.message});
    ck_assert_ptr_nonnull(lab_sent(&l, CODEC_PUBLISH, 1));
    ck_assert_ptr_null(lab_sent(&l, CODEC_PUBLISH, 2));
    lab_close(&l);
}
END_TEST

START_TEST(link__a_second_inbound_one_of_a_node_replaces_the_first)
{
    struct lab l;
    struct peer *p;
    link_t first;

    lab_open(&l);
    p = lab_peer(&l, 0, 'a', 1, 0, 9);
    first = p->in;
    p->in = CLUSTER_LINK_INBOUND | 50;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_ACCEPTED, .link = p->in, .peer_ip = p->ip});
    lab_say(&l, p, CODEC_PING);
    ck_assert_uint_eq(lab_action(&l, CLUSTER_CLOSE, 0)->link, first);
    lab_close(&l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, meet__connects_says_meet_and_learns_the_real_id_from_the_pong);
    tcase_add_test(tests, meet__of_an_address_in_handshake_is_ok_and_adds_nothing);
    tcase_add_test(tests, handshake__ends_without_trace_when_nobody_answers);
    tcase_add_test(tests, meet__from_an_unknown_node_is_answered_and_starts_a_handshake_back);
    tcase_add_test(tests, ping__from_an_unknown_node_is_answered_but_changes_nothing);
    tcase_add_test(tests, handshake__with_a_node_that_is_known_drops_the_second_entry);
    tcase_add_test(tests, meet__with_oneself_leaves_one_node);
    tcase_add_test(tests, link__that_another_node_answers_marks_the_expected_one_noaddr);
    tcase_add_test(tests, ping__from_a_new_address_moves_the_node_there);
    tcase_add_test(tests, gossip__of_a_known_sender_adds_a_node_and_of_a_forgotten_one_does_not);
    tcase_add_test(tests, extensions__go_only_to_peers_that_showed_the_bit);
    tcase_add_test(tests, forget__tells_others_by_extension_and_obeys_theirs);
    tcase_add_test(tests, publish__of_a_known_node_is_delivered_and_ours_goes_to_all);
    tcase_add_test(tests, link__a_second_inbound_one_of_a_node_replaces_the_first);
    return suite_run("join", tests);
}
