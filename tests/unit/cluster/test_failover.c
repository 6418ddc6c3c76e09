/*
 * test_failover.c - this node stands for election, fails over by hand, migrates, and stops writing when cut off.
 */
#include "lab.h"
#include "tests/unit/suite.h"

#include <stdlib.h>

/* A shard: this node and b are replicas of a; c and d are masters too. Epochs 1, 2, 3; quorum 2. */
struct shard {
    struct lab l;
    struct peer *a, *b, *c, *d;
    uint64_t offset;
};

static void tell(struct shard *s, bool whole, msec_t age)
{
    const struct cluster_replication r = {.master = s->a->id, .offset = s->offset, .whole = whole, .link_up = age == 0,
                                          .age_ms = age};

    lab_step(&s->l, &(struct cluster_event){.type = CLUSTER_EVENT_REPLICATION, .replication = &r});
}

static void open_shard(struct shard *s, bool sibling)
{
    memset(s, 0, sizeof *s);
    lab_open_with(&s->l, "", true);
    s->a = lab_peer(&s->l, 0, 'a', 1, 0, 5000);
    s->c = lab_peer(&s->l, 1, 'c', 2, 5001, 10000);
    s->d = lab_peer(&s->l, 2, 'd', 3, 10001, 16383);
    ck_assert_str_eq(lab_reply(&s->l, CLUSTER_CMD_REPLICATE, s->a->id), "OK");
    ck_assert_str_eq(lab_action(&s->l, CLUSTER_REPLICATE, 0)->node, s->a->id);
    if (sibling) {
        s->b = lab_peer(&s->l, 3, 'b', 0, -1, -1);
        s->b->master = s->a;
        s->b->offset = 100;
        s->b->current_epoch = 3;
        lab_say(&s->l, s->b, CODEC_PING);
    }
    s->offset = 100;
    tell(s, true, 0);
}

static void fail_master(struct shard *s)
{
    s->c->current_epoch = s->d->current_epoch = 3;
    lab_say_fail(&s->l, s->c, s->a);
}

/* A vote for the running election. */
static void vote(struct shard *s, struct peer *p)
{
    p->current_epoch = s->l.core->election.epoch;
    lab_say(&s->l, p, CODEC_AUTH_ACK);
}

static bool is_master(const struct shard *s)
{
    return node_is_master(s->l.core->myself);
}

/* Where an action of this type stands in the last step; -1: nowhere. */
static int place(const struct lab *l, enum cluster_action_type type)
{
    for (size_t i = 0; i < l->last.count; i++)
        if (l->last.list[i].type == type)
            return (int)i;
    return -1;
}

START_TEST(election__the_only_replica_asks_at_once_and_durably)
{
    struct shard s;
    int persist;

    open_shard(&s, false);
    fail_master(&s);
    ck_assert_ptr_nonnull(lab_sent(&s.l, CODEC_AUTH_REQUEST, 0));
    persist = place(&s.l, CLUSTER_PERSIST);
    ck_assert_int_ge(persist, 0);
    ck_assert(s.l.last.list[persist].sync);
    ck_assert_int_lt(persist, (int)(lab_sent(&s.l, CODEC_AUTH_REQUEST, 0) - s.l.last.list));
    ck_assert_uint_eq(s.l.core->current_epoch, 4);
    lab_close(&s.l);
}
END_TEST

START_TEST(election__a_majority_of_votes_makes_a_master_of_all_slots)
{
    struct shard s;

    open_shard(&s, false);
    fail_master(&s);
    vote(&s, s.c);
    ck_assert(!is_master(&s));
    vote(&s, s.d);
    ck_assert(is_master(&s));
    ck_assert_uint_eq(s.l.core->myself->slot_count, 5001);
    ck_assert_uint_eq(s.l.core->myself->config_epoch, 4);
    ck_assert_int_lt(place(&s.l, CLUSTER_PERSIST), place(&s.l, CLUSTER_PROMOTE));
    ck_assert_int_lt(place(&s.l, CLUSTER_PROMOTE), place(&s.l, CLUSTER_MAP));
    ck_assert_ptr_nonnull(lab_sent(&s.l, CODEC_PONG, 2));
    lab_close(&s.l);
}
END_TEST

START_TEST(election__a_voter_counts_once)
{
    struct shard s;

    open_shard(&s, false);
    fail_master(&s);
    vote(&s, s.c);
    vote(&s, s.c);
    ck_assert(!is_master(&s));
    lab_close(&s.l);
}
END_TEST

START_TEST(election__a_vote_of_another_epoch_does_not_count)
{
    struct shard s;

    open_shard(&s, false);
    fail_master(&s);
    vote(&s, s.c);
    s.d->current_epoch = s.l.core->election.epoch + 1;
    lab_say(&s.l, s.d, CODEC_AUTH_ACK);
    ck_assert(!is_master(&s));
    lab_close(&s.l);
}
END_TEST

START_TEST(election__those_who_did_not_vote_are_asked_again_in_the_same_epoch_only)
{
    struct shard s;
    struct codec_header h;
    const struct cluster_action *again;

    open_shard(&s, false);
    fail_master(&s);
    vote(&s, s.c);
    lab_ticks(&s.l, CLUSTER_TICK_MS);
    again = lab_sent(&s.l, CODEC_AUTH_REQUEST, 0);
    ck_assert_ptr_nonnull(again);
    ck_assert_uint_eq(again->link, s.a->out); /* a is a voter too, though it will not answer */
    ck_assert_uint_eq(lab_sent(&s.l, CODEC_AUTH_REQUEST, 1)->link, s.d->out);
    ck_assert_ptr_null(lab_sent(&s.l, CODEC_AUTH_REQUEST, 2));
    codec_read_header(again->bytes, &h);
    ck_assert_uint_eq(h.current_epoch, 4);
    s.d->current_epoch = 9; /* another candidate's election */
    lab_say(&s.l, s.d, CODEC_PING);
    for (int i = 0; i < 10; i++) {
        lab_ticks(&s.l, CLUSTER_TICK_MS);
        ck_assert_ptr_null(lab_sent(&s.l, CODEC_AUTH_REQUEST, 0));
    }
    lab_close(&s.l);
}
END_TEST

START_TEST(election__waits_while_a_sibling_may_be_better)
{
    struct shard s;

    open_shard(&s, true);
    fail_master(&s);
    ck_assert_ptr_null(lab_sent(&s.l, CODEC_AUTH_REQUEST, 0));
    ck_assert_uint_eq(lab_sent(&s.l, CODEC_PONG, 0)->link, s.b->out);
    ck_assert_int_ge(s.l.core->election.at - s.l.now, 500);
    ck_assert_int_lt(s.l.core->election.at - s.l.now, 1000);
    lab_ticks(&s.l, 1000);
    ck_assert(s.l.core->election.sent);
    lab_close(&s.l);
}
END_TEST

static void sibling_says_failed(struct shard *s)
{
    struct codec_header h = lab_header(s->b, CODEC_PONG);
    struct buf b = {0};

    h.flags |= CODEC_FLAG_MASTER_FAILED;
    codec_write_header(&b, &h);
    codec_finish(&b, 0, 0);
    lab_deliver(&s->l, s->b->in, &b);
}

START_TEST(election__the_known_best_of_a_shard_does_not_wait)
{
    struct shard s;

    open_shard(&s, true);
    s.b->offset = 90;
    fail_master(&s);
    ck_assert(!s.l.core->election.sent);
    sibling_says_failed(&s);
    ck_assert_ptr_nonnull(lab_sent(&s.l, CODEC_AUTH_REQUEST, 0));
    lab_close(&s.l);
}
END_TEST

START_TEST(election__a_replica_with_older_data_waits_a_second_more)
{
    struct shard s;

    open_shard(&s, true);
    s.b->offset = 200;
    lab_say(&s.l, s.b, CODEC_PING);
    fail_master(&s);
    sibling_says_failed(&s);
    ck_assert(!s.l.core->election.sent);
    ck_assert_uint_eq(s.l.core->election.rank, 1);
    ck_assert_int_ge(s.l.core->election.at - s.l.now, 1500);
    lab_close(&s.l);
}
END_TEST

START_TEST(election__a_replica_that_is_not_whole_never_stands)
{
    struct shard s;

    open_shard(&s, false);
    tell(&s, false, 0);
    fail_master(&s);
    lab_ticks(&s.l, 5000);
    ck_assert_int_eq(s.l.core->election.at, 0);
    ck_assert_str_eq(lab_reply(&s.l, CLUSTER_CMD_FAILOVER, "takeover"),
                     "ERR The data of this replica is not complete, it cannot become a master");
    lab_close(&s.l);
}
END_TEST

START_TEST(election__a_report_about_an_earlier_master_does_not_make_whole)
{
    struct shard s;

    open_shard(&s, false);
    ck_assert_str_eq(lab_reply(&s.l, CLUSTER_CMD_REPLICATE, s.c->id), "OK");
    ck_assert(!s.l.core->repl_whole);
    tell(&s, true, 0); /* about a */
    ck_assert(!s.l.core->repl_whole);
    lab_close(&s.l);
}
END_TEST

START_TEST(election__data_older_than_the_validity_factor_is_not_offered)
{
    struct shard s;

    open_shard(&s, false);
    tell(&s, true, 10000 + LAB_TIMEOUT_MS * 11 + 1);
    fail_master(&s);
    ck_assert_int_eq(s.l.core->election.at, 0);
    tell(&s, true, 10000 + LAB_TIMEOUT_MS * 11 - 500);
    ck_assert_int_ne(s.l.core->election.at, 0);
    lab_close(&s.l);
}
END_TEST

START_TEST(election__no_failover_means_none)
{
    struct shard s;
    struct cluster_config config;

    open_shard(&s, false);
    config = s.l.core->config;
    config.replica_no_failover = true;
    lab_step(&s.l, &(struct cluster_event){.type = CLUSTER_EVENT_CONFIG, .config = &config});
    fail_master(&s);
    ck_assert_int_eq(s.l.core->election.at, 0);
    lab_close(&s.l);
}
END_TEST

START_TEST(election__without_votes_is_tried_again_in_a_new_epoch)
{
    struct shard s;

    open_shard(&s, false);
    fail_master(&s);
    for (msec_t t = 0; t < 2 * LAB_TIMEOUT_MS + 1500; t += CLUSTER_TICK_MS) {
        tell(&s, true, 0);
        lab_ticks(&s.l, CLUSTER_TICK_MS);
    }
    ck_assert_uint_eq(s.l.core->election.epoch, 5);
    lab_close(&s.l);
}
END_TEST

/* All that was asked before is answered, then what was asked after MFSTART. */
static void answer_all(struct shard *s)
{
    for (unsigned n = lab_node(&s->l, s->a)->out->unanswered; n > 0; n--)
        lab_pong(&s->l, s->a);
}

START_TEST(planned__the_replica_waits_for_the_paused_offset)
{
    struct shard s;

    open_shard(&s, false);
    ck_assert_str_eq(lab_reply(&s.l, CLUSTER_CMD_FAILOVER, ""), "OK");
    ck_assert_uint_eq(lab_sent(&s.l, CODEC_MFSTART, 0)->link, s.a->out);
    s.a->offset = 150;
    lab_say(&s.l, s.a, CODEC_PING);
    ck_assert_ptr_null(lab_action(&s.l, CLUSTER_OFFSET_WANTED, 0));
    s.a->mflags = CODEC_MFLAG_PAUSED;
    s.l.now += 50;
    lab_say(&s.l, s.a, CODEC_PING); /* only a hint: it is asked */
    ck_assert_ptr_null(lab_action(&s.l, CLUSTER_OFFSET_WANTED, 0));
    ck_assert_uint_eq(lab_sent(&s.l, CODEC_PING, 0)->link, s.a->out);
    answer_all(&s);
    ck_assert(s.l.core->manual.target_known);
    ck_assert_uint_eq(s.l.core->manual.target, 150);
    s.offset = 149;
    tell(&s, true, 0);
    ck_assert(!s.l.core->election.sent);
    s.offset = 150;
    tell(&s, true, 0);
    ck_assert_uint_eq(lab_sent(&s.l, CODEC_AUTH_REQUEST, 0)->bytes.data[2253] & CODEC_MFLAG_FORCE_ACK,
                      CODEC_MFLAG_FORCE_ACK);
    vote(&s, s.c);
    vote(&s, s.d);
    ck_assert(is_master(&s));
    lab_close(&s.l);
}
END_TEST

START_TEST(planned__an_old_pause_names_no_target)
{
    struct shard s;

    open_shard(&s, false);
    lab_ticks(&s.l, LAB_TIMEOUT_MS / 2 + 200); /* a PING is under way */
    ck_assert_uint_gt(lab_node(&s.l, s.a)->out->unanswered, 0);
    tell(&s, true, 0);
    lab_reply(&s.l, CLUSTER_CMD_FAILOVER, "");
    s.a->mflags = CODEC_MFLAG_PAUSED;
    s.a->offset = 100;
    lab_pong(&s.l, s.a); /* the answer to the PING before MFSTART */
    lab_say(&s.l, s.a, CODEC_PING);
    ck_assert(!s.l.core->manual.target_known);
    s.a->offset = 99; /* less than is here already */
    answer_all(&s);
    ck_assert(!s.l.core->manual.target_known);
    lab_close(&s.l);
}
END_TEST

START_TEST(planned__gives_up_after_five_seconds_and_counts_no_late_vote)
{
    struct shard s;

    open_shard(&s, false);
    lab_reply(&s.l, CLUSTER_CMD_FAILOVER, "");
    s.a->mflags = CODEC_MFLAG_PAUSED;
    s.a->offset = 100;
    answer_all(&s);
    ck_assert(s.l.core->election.sent);
    vote(&s, s.c);
    for (int i = 0; i < 51; i++) {
        lab_pong(&s.l, s.a);
        tell(&s, true, 0);
        lab_ticks(&s.l, CLUSTER_TICK_MS);
    }
    ck_assert_int_eq(s.l.core->manual.end, 0);
    s.d->current_epoch = 4;
    lab_say(&s.l, s.d, CODEC_AUTH_ACK);
    ck_assert(!is_master(&s));
    lab_close(&s.l);
}
END_TEST

START_TEST(planned__force_asks_at_once_and_takeover_asks_nobody)
{
    struct shard s;

    open_shard(&s, false);
    ck_assert_str_eq(lab_reply(&s.l, CLUSTER_CMD_FAILOVER, "force"), "OK");
    ck_assert_ptr_nonnull(lab_sent(&s.l, CODEC_AUTH_REQUEST, 0));
    ck_assert(!is_master(&s));
    ck_assert_str_eq(lab_reply(&s.l, CLUSTER_CMD_FAILOVER, "takeover"), "OK");
    ck_assert(is_master(&s));
    ck_assert_uint_eq(s.l.core->myself->config_epoch, s.l.core->current_epoch);
    ck_assert_uint_gt(s.l.core->myself->config_epoch, 4);
    lab_close(&s.l);
}
END_TEST

START_TEST(planned__the_master_names_its_offset_when_writes_are_held_and_lets_go_last)
{
    struct lab l = {0};
    struct peer *r, *c;
    struct cluster_replication data = {.offset = 70};

    lab_open_with(&l, "", true);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 5000");
    r = lab_peer(&l, 0, 'a', 0, -1, -1);
    c = lab_peer(&l, 1, 'c', 2, 5001, 16383);
    node_make_replica(l.core, lab_node(&l, r), l.core->myself);
    {
        struct codec_header h = lab_header(r, CODEC_MFSTART);
        struct buf b = {0};

        memcpy(h.master, l.core->myself->id, sizeof h.master);
        codec_write_header(&b, &h);
        codec_finish(&b, 0, 0);
        lab_deliver(&l, r->in, &b);
    }
    ck_assert_int_gt(lab_action(&l, CLUSTER_PAUSE, 0)->until_ms, l.now);
    ck_assert_ptr_null(lab_sent(&l, CODEC_PING, 0));
    data.paused = true;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_REPLICATION, .replication = &data});
    ck_assert_uint_eq(lab_sent(&l, CODEC_PING, 0)->link, r->out);
    ck_assert_uint_eq(lab_sent(&l, CODEC_PING, 0)->bytes.data[2253] & CODEC_MFLAG_PAUSED, CODEC_MFLAG_PAUSED);
    ck_assert_uint_eq(lab_sent(&l, CODEC_PING, 0)->bytes.data[39], 70);
    /* The winner speaks. */
    r->config_epoch = r->current_epoch = 9;
    for (unsigned slot = 0; slot <= 5000; slot++)
        bit_set(r->slots, slot);
    lab_say(&l, r, CODEC_PONG);
    ck_assert(!node_is_master(l.core->myself));
    ck_assert_int_lt(place(&l, CLUSTER_MAP), place(&l, CLUSTER_REPLICATE));
    ck_assert_int_eq(place(&l, CLUSTER_PAUSE), (int)l.last.count - 1);
    ck_assert_int_eq(lab_action(&l, CLUSTER_PAUSE, 0)->until_ms, 0);
    ck_assert_ptr_nonnull(lab_node(&l, c));
    lab_close(&l);
}
END_TEST

START_TEST(migration__the_smallest_replica_of_the_richest_master_goes_to_an_orphan)
{
    struct shard s;
    struct peer *alive[4];

    open_shard(&s, true); /* a has me and b */
    s.l.core->ok = true;
    node_set_flags(s.l.core, lab_node(&s.l, s.c), NODE_MIGRATE_TO, 0);
    alive[0] = s.a, alive[1] = s.b, alive[2] = s.c, alive[3] = s.d;
    memset(s.l.core->myself->id, '0', 1); /* the smallest id */
    lab_ticks_alive(&s.l, 4000, alive, 4);
    ck_assert_str_eq(s.l.core->myself->master->id, s.a->id);
    lab_ticks_alive(&s.l, 1500, alive, 4);
    ck_assert_str_eq(s.l.core->myself->master->id, s.c->id);
    lab_close(&s.l);
}
END_TEST

START_TEST(migration__stays_when_it_is_not_allowed)
{
    struct shard s;
    struct peer *alive[4];

    open_shard(&s, true);
    s.l.core->config.allow_replica_migration = false;
    node_set_flags(s.l.core, lab_node(&s.l, s.c), NODE_MIGRATE_TO, 0);
    alive[0] = s.a, alive[1] = s.b, alive[2] = s.c, alive[3] = s.d;
    lab_ticks_alive(&s.l, 7000, alive, 4);
    ck_assert_str_eq(s.l.core->myself->master->id, s.a->id);
    lab_close(&s.l);
}
END_TEST

START_TEST(migration__leaves_no_master_with_a_replica_that_has_no_data_yet)
{
    struct shard s;
    struct peer *alive[4];

    open_shard(&s, true);
    s.l.core->ok = true;
    s.a->offset = 100;
    s.b->offset = 0; /* in the middle of its first copy */
    node_set_flags(s.l.core, lab_node(&s.l, s.c), NODE_MIGRATE_TO, 0);
    alive[0] = s.a, alive[1] = s.b, alive[2] = s.c, alive[3] = s.d;
    memset(s.l.core->myself->id, '0', 1); /* the smallest id */
    lab_ticks_alive(&s.l, 7000, alive, 4);
    ck_assert_str_eq(s.l.core->myself->master->id, s.a->id);
    s.b->offset = 100;
    lab_ticks_alive(&s.l, 1500, alive, 4);
    ck_assert_str_eq(s.l.core->myself->master->id, s.c->id);
    lab_close(&s.l);
}
END_TEST

START_TEST(lease__a_master_that_hears_no_answers_stops_within_the_node_timeout)
{
    struct lab l = {0};
    struct peer *c, *d, *alive[2];
    msec_t cut;

    lab_open_with(&l, "", true);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 5000");
    c = lab_peer(&l, 0, 'c', 2, 5001, 10000);
    d = lab_peer(&l, 1, 'd', 3, 10001, 16383);
    alive[0] = c, alive[1] = d;
    lab_ticks_alive(&l, 3000, alive, 2);
    ck_assert(cluster_is_ok(l.core));
    ck_assert_int_gt(cluster_writes_until(l.core), l.now);
    ck_assert_int_le(cluster_writes_until(l.core), l.now + LAB_TIMEOUT_MS);
    cut = l.now;
    while (cluster_is_ok(l.core) && l.now < cut + 2 * LAB_TIMEOUT_MS) {
        lab_ticks(&l, CLUSTER_TICK_MS);
        lab_say(&l, c, CODEC_PING); /* it hears them, but they do not hear it */
    }
    ck_assert_int_le(l.now - cut, LAB_TIMEOUT_MS);
    ck_assert_int_le(cluster_writes_until(l.core), l.now);
    lab_ticks_alive(&l, 1000, alive, 2);
    ck_assert(!cluster_is_ok(l.core));
    lab_ticks_alive(&l, LAB_TIMEOUT_MS, alive, 2);
    ck_assert(cluster_is_ok(l.core));
    lab_close(&l);
}
END_TEST

START_TEST(start__says_the_role_again)
{
    struct shard s;
    struct lab again = {0};
    char *file;

    open_shard(&s, false);
    file = strndup((char *)s.l.persisted.data, s.l.persisted.size);
    lab_open_with(&again, file, true);
    ck_assert_str_eq(lab_action(&again, CLUSTER_REPLICATE, 0)->node, s.a->id);
    ck_assert_ptr_null(lab_action(&again, CLUSTER_PROMOTE, 0));
    ck_assert(!again.core->repl_whole);
    free(file);
    lab_close(&again);
    lab_close(&s.l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, election__the_only_replica_asks_at_once_and_durably);
    tcase_add_test(tests, election__a_majority_of_votes_makes_a_master_of_all_slots);
    tcase_add_test(tests, election__a_voter_counts_once);
    tcase_add_test(tests, election__a_vote_of_another_epoch_does_not_count);
    tcase_add_test(tests, election__those_who_did_not_vote_are_asked_again_in_the_same_epoch_only);
    tcase_add_test(tests, election__waits_while_a_sibling_may_be_better);
    tcase_add_test(tests, election__the_known_best_of_a_shard_does_not_wait);
    tcase_add_test(tests, election__a_replica_with_older_data_waits_a_second_more);
    tcase_add_test(tests, election__a_replica_that_is_not_whole_never_stands);
    tcase_add_test(tests, election__a_report_about_an_earlier_master_does_not_make_whole);
    tcase_add_test(tests, election__data_older_than_the_validity_factor_is_not_offered);
    tcase_add_test(tests, election__no_failover_means_none);
    tcase_add_test(tests, election__without_votes_is_tried_again_in_a_new_epoch);
    tcase_add_test(tests, planned__the_replica_waits_for_the_paused_offset);
    tcase_add_test(tests, planned__an_old_pause_names_no_target);
    tcase_add_test(tests, planned__gives_up_after_five_seconds_and_counts_no_late_vote);
    tcase_add_test(tests, planned__force_asks_at_once_and_takeover_asks_nobody);
    tcase_add_test(tests, planned__the_master_names_its_offset_when_writes_are_held_and_lets_go_last);
    tcase_add_test(tests, migration__the_smallest_replica_of_the_richest_master_goes_to_an_orphan);
    tcase_add_test(tests, migration__stays_when_it_is_not_allowed);
    tcase_add_test(tests, migration__leaves_no_master_with_a_replica_that_has_no_data_yet);
    tcase_add_test(tests, lease__a_master_that_hears_no_answers_stops_within_the_node_timeout);
    tcase_add_test(tests, start__says_the_role_again);
    return suite_run("failover", tests);
}
