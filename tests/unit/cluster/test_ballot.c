/*
 * test_ballot.c - a master that was replaced without knowing it has no vote beside those who replaced it.
 */
#include "scene.h"

#include "cluster/ballot.h"
#include "cluster/nodes_conf.h"
#include "tests/unit/suite.h"

static void ask(struct town *t, struct peer *candidate, const struct peer *fails, struct peer *says, uint64_t epoch)
{
    lab_say_fail(&t->l, says, fails);
    candidate->current_epoch = epoch;
    lab_say(&t->l, candidate, CODEC_AUTH_REQUEST);
}

/* The vote of the last step as the candidate reads it. */
static bool vote_of(const struct town *t, struct codec_header *h)
{
    const struct cluster_action *a = lab_sent(&t->l, CODEC_AUTH_ACK, 0);

    if (a == NULL)
        return false;
    codec_read_header(a->bytes, h);
    return true;
}

START_TEST(ballot__a_vote_names_whom_an_earlier_one_may_have_replaced)
{
    struct town t;
    struct codec_header h;

    scene_open_town(&t);
    ask(&t, t.r, t.c, t.d, 4);
    ck_assert(vote_of(&t, &h));
    ck_assert_uint_eq(h.mflags & CODEC_MFLAG_BALLOTS, 0);
    ask(&t, t.e, t.d, t.r, 5);
    ck_assert(vote_of(&t, &h));
    ck_assert_uint_eq(h.mflags & CODEC_MFLAG_BALLOTS, CODEC_MFLAG_BALLOTS);
    ck_assert_uint_eq(h.slots[7], 4);
    ck_assert_int_eq(memcmp(h.slots + 8, t.c->id, CLUSTER_ID_SIZE), 0);
    ck_assert_int_eq(memcmp(h.slots + 48, t.r->id, CLUSTER_ID_SIZE), 0);
    ck_assert_uint_eq(h.slots[88 + 7], 0);
    lab_close(&t.l);
}
END_TEST

START_TEST(ballot__a_restart_keeps_it)
{
    struct town t;
    struct lab again = {0};

    scene_open_town(&t);
    ask(&t, t.r, t.c, t.d, 4);
    ck_assert_ptr_nonnull(memmem(t.l.persisted.data, t.l.persisted.size, "ballots cccc", 12));
    scene_restart(&again, &t.l, true);
    ck_assert_uint_eq(again.core->ballot_count, 1);
    ck_assert_str_eq(again.core->ballots[0].candidate, t.r->id);
    ck_assert_uint_eq(again.core->ballots[0].epoch, 4);
    ck_assert_uint_eq(ballot_epoch_of(again.core, again.core->ballots[0].master), 4);
    lab_close(&again);
    lab_close(&t.l);
}
END_TEST

START_TEST(ballot__ends_when_the_candidate_is_a_replica_after_its_election)
{
    struct town t;
    struct peer *alive[3];

    scene_open_town(&t);
    memcpy(alive, (struct peer *[]){t.d, t.e, t.r}, sizeof alive);
    ask(&t, t.r, t.c, t.d, 4);
    ck_assert(ballot_doubts(t.l.core, lab_node(&t.l, t.c)));
    lab_ticks_alive(&t.l, 2 * LAB_TIMEOUT_MS, alive, 3);
    ck_assert(ballot_doubts(t.l.core, lab_node(&t.l, t.c)));
    lab_ticks_alive(&t.l, 3 * LAB_TIMEOUT_MS, alive, 3);
    ck_assert_uint_eq(t.l.core->ballot_count, 0);
    lab_close(&t.l);
}
END_TEST

START_TEST(ballot__does_not_end_because_the_candidate_is_silent)
{
    struct town t;
    struct peer *alive[3];

    scene_open_town(&t);
    memcpy(alive, (struct peer *[]){t.d, t.e, t.c}, sizeof alive);
    ask(&t, t.r, t.c, t.d, 4);
    lab_ticks_alive(&t.l, 20 * LAB_TIMEOUT_MS, alive, 3);
    ck_assert_uint_eq(t.l.core->ballot_count, 1);
    ck_assert(ballot_doubts(t.l.core, lab_node(&t.l, t.c)));
    ck_assert_str_eq(lab_reply(&t.l, CLUSTER_CMD_FORGET, t.r->id), "OK");
    ck_assert_uint_eq(t.l.core->ballot_count, 0);
    lab_close(&t.l);
}
END_TEST

START_TEST(ballot__says_nothing_of_a_master_that_knows_it_in_later_epochs)
{
    struct town t;
    struct codec_header h;

    scene_open_town(&t);
    ask(&t, t.r, t.c, t.d, 4);
    t.r->master = NULL; /* it has won */
    t.r->config_epoch = 4;
    memcpy(t.r->slots, t.c->slots, sizeof t.r->slots);
    lab_say(&t.l, t.r, CODEC_PONG);
    ck_assert_uint_eq(t.l.core->ballot_count, 1);
    t.c->master = t.r;
    t.c->current_epoch = 4;
    lab_say(&t.l, t.c, CODEC_PONG);
    ck_assert(!ballot_doubts(t.l.core, lab_node(&t.l, t.c)));
    ask(&t, t.e, t.d, t.r, 5);
    ck_assert(vote_of(&t, &h));
    ck_assert_uint_eq(h.mflags & CODEC_MFLAG_BALLOTS, 0);
    lab_close(&t.l);
}
END_TEST

/* ---- The candidate ---- */

/* a, this node's master, has failed. */
static void open_poll(struct shard *s)
{
    scene_open_shard(s);
    scene_copy(s);
    lab_say_fail(&s->l, s->b, s->a);
    ck_assert(s->l.core->election.sent);
}

static void vote_naming(struct shard *s, struct peer *voter, const struct peer *named, uint8_t epoch)
{
    struct codec_header h;
    uint8_t ballots[CODEC_SLOTS_SIZE] = {0};
    struct buf b = {0};

    voter->current_epoch = s->l.core->election.epoch;
    h = lab_header(voter, CODEC_AUTH_ACK);
    ballots[7] = epoch;
    memcpy(ballots + 8, named->id, CLUSTER_ID_SIZE);
    memset(ballots + 48, '9', CLUSTER_ID_SIZE);
    h.slots = ballots;
    h.mflags |= CODEC_MFLAG_BALLOTS;
    codec_write_header(&b, &h);
    codec_finish(&b, 0, 0);
    lab_deliver(&s->l, voter->in, &b);
}

static void vote(struct shard *s, struct peer *voter)
{
    voter->current_epoch = s->l.core->election.epoch;
    lab_say(&s->l, voter, CODEC_AUTH_ACK);
}

START_TEST(ballot__a_master_that_may_have_been_replaced_does_not_count_whoever_votes_first)
{
    for (int first = 0; first < 2; first++) {
        struct shard s;

        open_poll(&s);
        if (first == 0)
            vote(&s, s.c);
        vote_naming(&s, s.b, s.c, 4);
        if (first == 1)
            vote(&s, s.c);
        ck_assert(!node_is_master(s.l.core->myself));
        ck_assert_uint_eq(s.l.core->ballot_count, 1); /* and should it win with other votes, it will name c too */
        lab_close(&s.l);
    }
}
END_TEST

START_TEST(ballot__a_master_with_a_later_epoch_counts)
{
    struct shard s;

    open_poll(&s);
    vote_naming(&s, s.b, s.c, 3);
    vote(&s, s.c);
    ck_assert(node_is_master(s.l.core->myself));
    lab_close(&s.l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, ballot__a_vote_names_whom_an_earlier_one_may_have_replaced);
    tcase_add_test(tests, ballot__a_restart_keeps_it);
    tcase_add_test(tests, ballot__ends_when_the_candidate_is_a_replica_after_its_election);
    tcase_add_test(tests, ballot__does_not_end_because_the_candidate_is_silent);
    tcase_add_test(tests, ballot__says_nothing_of_a_master_that_knows_it_in_later_epochs);
    tcase_add_test(tests, ballot__a_master_that_may_have_been_replaced_does_not_count_whoever_votes_first);
    tcase_add_test(tests, ballot__a_master_with_a_later_epoch_counts);
    return suite_run("ballot", tests);
}
