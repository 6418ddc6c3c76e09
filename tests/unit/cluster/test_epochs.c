/*
 * test_epochs.c - epochs and votes: who wins, and what is durable first.
 */
#include "scene.h"
#include "tests/unit/suite.h"

/* Whether a synced PERSIST stands in front of the first SEND of this type. */
static bool persisted_before(const struct lab *l, enum codec_type type)
{
    const struct cluster_action *send = lab_sent(l, type, 0);

    for (const struct cluster_action *a = l->last.list; a < send; a++)
        if (a->type == CLUSTER_PERSIST && a->sync)
            return true;
    return false;
}

START_TEST(header__with_greater_epochs_raises_ours_and_is_durable_before_the_answer)
{
    struct lab l;
    struct peer *a;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 1, 0, 9);
    a->current_epoch = 9;
    a->config_epoch = 8;
    lab_say(&l, a, CODEC_PING);
    ck_assert_uint_eq(l.core->current_epoch, 9);
    ck_assert_uint_eq(lab_node(&l, a)->config_epoch, 8);
    ck_assert(persisted_before(&l, CODEC_PONG));
    a->current_epoch = a->config_epoch = 2;
    lab_say(&l, a, CODEC_PING);
    ck_assert_uint_eq(l.core->current_epoch, 9);
    ck_assert_uint_eq(lab_node(&l, a)->config_epoch, 8);
    lab_close(&l);
}
END_TEST

START_TEST(collision__the_smaller_id_takes_a_new_epoch)
{
    struct lab l;
    struct peer *z;

    lab_open(&l);
    z = lab_peer(&l, 0, 'z', 1, 0, 9); /* every hex id is smaller */
    lab_reply(&l, CLUSTER_CMD_BUMPEPOCH, "");
    ck_assert_uint_eq(l.core->myself->config_epoch, 2);
    z->config_epoch = z->current_epoch = 2;
    lab_say(&l, z, CODEC_PING);
    ck_assert_uint_eq(l.core->myself->config_epoch, 3);
    ck_assert_uint_eq(l.core->current_epoch, 3);
    ck_assert_ptr_nonnull(lab_action(&l, CLUSTER_PERSIST, 0));
    lab_close(&l);
}
END_TEST

START_TEST(collision__the_greater_id_does_nothing)
{
    struct lab l;
    struct peer *low;

    lab_open(&l);
    low = lab_peer(&l, 0, '0', 1, 0, 9);
    lab_reply(&l, CLUSTER_CMD_BUMPEPOCH, "");
    low->config_epoch = low->current_epoch = 2;
    lab_say(&l, low, CODEC_PING);
    ck_assert_uint_eq(l.core->myself->config_epoch, 2);
    lab_close(&l);
}
END_TEST

/* It may have been replaced: the election's epoch must not be gone beyond before it has been heard of. */
START_TEST(collision__is_not_resolved_by_a_master_that_no_majority_hears)
{
    struct lab l;
    struct peer *z;

    lab_open(&l);
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 5000"), "OK");
    z = lab_peer(&l, 0, 'z', 1, 5001, 16383);
    lab_reply(&l, CLUSTER_CMD_BUMPEPOCH, "");
    lab_ticks_alive(&l, LAB_TIMEOUT_MS, &z, 1);
    l.now += LAB_TIMEOUT_MS;
    z->config_epoch = z->current_epoch = 2;
    lab_say(&l, z, CODEC_PING);
    ck_assert_uint_eq(l.core->myself->config_epoch, 2);
    lab_ticks_alive(&l, 2 * LAB_TIMEOUT_MS, &z, 1);
    lab_say(&l, z, CODEC_PING);
    ck_assert_uint_eq(l.core->myself->config_epoch, 3);
    lab_close(&l);
}
END_TEST

/* ---- Votes ---- */

/* c has failed, and its replica r asks for votes, first by epoch 4. */
static void open_poll(struct town *t)
{
    scene_open_town(t);
    lab_say_fail(&t->l, t->d, t->c);
    ck_assert(node_is(lab_node(&t->l, t->c), NODE_FAIL));
    t->r->current_epoch = 4;
}

static bool asks(struct town *t)
{
    lab_say(&t->l, t->r, CODEC_AUTH_REQUEST);
    return lab_sent(&t->l, CODEC_AUTH_ACK, 0) != NULL;
}

START_TEST(vote__is_durable_before_the_ack_leaves)
{
    struct town t;

    open_poll(&t);
    ck_assert(asks(&t));
    ck_assert_uint_eq(lab_sent(&t.l, CODEC_AUTH_ACK, 0)->link, t.r->out);
    ck_assert(persisted_before(&t.l, CODEC_AUTH_ACK));
    ck_assert_ptr_nonnull(memmem(t.l.persisted.data, t.l.persisted.size, "lastVoteEpoch 4", 15));
    lab_close(&t.l);
}
END_TEST

START_TEST(vote__is_given_once_per_epoch_also_after_a_restart)
{
    struct town t;
    struct lab again = {0};

    open_poll(&t);
    ck_assert(asks(&t));
    ck_assert(!asks(&t));
    scene_restart(&again, &t.l, true);
    ck_assert_uint_eq(again.core->last_vote_epoch, 4);
    ck_assert_uint_eq(again.core->current_epoch, 4);
    lab_close(&again);
    lab_close(&t.l);
}
END_TEST

START_TEST(vote__is_refused_when_epoch_is_old)
{
    struct town t;

    open_poll(&t);
    t.d->current_epoch = 9;
    lab_say(&t.l, t.d, CODEC_PING);
    ck_assert(!asks(&t));
    lab_close(&t.l);
}
END_TEST

START_TEST(vote__is_refused_while_the_master_is_up_unless_forced)
{
    struct town t;

    open_poll(&t);
    node_set_flags(t.l.core, lab_node(&t.l, t.c), 0, NODE_FAIL);
    ck_assert(!asks(&t));
    t.r->mflags |= CODEC_MFLAG_FORCE_ACK;
    ck_assert(asks(&t));
    lab_close(&t.l);
}
END_TEST

START_TEST(vote__is_refused_for_a_claim_older_than_what_is_known)
{
    struct town t;

    open_poll(&t);
    t.c->config_epoch = 1; /* what the candidate believes; here it is 2 */
    ck_assert(!asks(&t));
    lab_close(&t.l);
}
END_TEST

START_TEST(vote__to_replace_one_master_is_given_once_in_two_timeouts)
{
    struct town t;

    open_poll(&t);
    ck_assert(asks(&t));
    t.r->current_epoch = 5;
    t.l.now += 2 * LAB_TIMEOUT_MS - 1;
    ck_assert(!asks(&t));
    t.l.now += 1;
    ck_assert(asks(&t));
    lab_close(&t.l);
}
END_TEST

START_TEST(vote__needs_slots_of_ones_own)
{
    struct town t;

    open_poll(&t);
    lab_reply(&t.l, CLUSTER_CMD_FLUSHSLOTS, "");
    ck_assert(!asks(&t));
    lab_close(&t.l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, header__with_greater_epochs_raises_ours_and_is_durable_before_the_answer);
    tcase_add_test(tests, collision__the_smaller_id_takes_a_new_epoch);
    tcase_add_test(tests, collision__the_greater_id_does_nothing);
    tcase_add_test(tests, collision__is_not_resolved_by_a_master_that_no_majority_hears);
    tcase_add_test(tests, vote__is_durable_before_the_ack_leaves);
    tcase_add_test(tests, vote__is_given_once_per_epoch_also_after_a_restart);
    tcase_add_test(tests, vote__is_refused_when_epoch_is_old);
    tcase_add_test(tests, vote__is_refused_while_the_master_is_up_unless_forced);
    tcase_add_test(tests, vote__is_refused_for_a_claim_older_than_what_is_known);
    tcase_add_test(tests, vote__to_replace_one_master_is_given_once_in_two_timeouts);
    tcase_add_test(tests, vote__needs_slots_of_ones_own);
    return suite_run("epochs", tests);
}
