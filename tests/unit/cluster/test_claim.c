/*
 * test_claim.c - slots that are claimed without a vote: served when a majority has heard, and yielded to whoever was elected.
 */
#include "scene.h"

#include "cluster/epoch.h"
#include "cluster/handover.h"
#include "tests/unit/suite.h"

static const slot_t slots[] = {5001, 5002};

static void claim(struct town *t)
{
    lab_step(&t->l, &(struct cluster_event){.type = CLUSTER_EVENT_CLAIM, .slots = slots, .slot_count = 2, .epoch_above = 2});
    ck_assert_ptr_eq(t->l.core->owner[5001], t->l.core->myself);
    ck_assert(cluster_slot_claimed(t->l.core, 5001));
}

/* PONGs to all that was asked so far. */
static void answer(struct town *t, struct peer *p)
{
    for (unsigned n = lab_node(&t->l, p)->out->unanswered; n > 0; n--)
        lab_pong(&t->l, p);
}

START_TEST(claim__is_open_until_a_majority_has_answered_a_ping_with_it)
{
    struct town t;

    scene_open_town(&t);
    claim(&t);
    lab_say(&t.l, t.d, CODEC_PONG); /* not an answer */
    ck_assert(cluster_slot_claimed(t.l.core, 5001));
    answer(&t, t.r); /* has no vote */
    ck_assert(cluster_slot_claimed(t.l.core, 5001));
    answer(&t, t.d);
    ck_assert(!cluster_slot_claimed(t.l.core, 5001));
    ck_assert_ptr_nonnull(lab_action(&t.l, CLUSTER_MAP, 0));
    lab_close(&t.l);
}
END_TEST

START_TEST(claim__an_answer_to_an_earlier_ping_does_not_count)
{
    struct town t;
    unsigned before;

    scene_open_town(&t);
    lab_ticks(&t.l, LAB_TIMEOUT_MS / 2 + CLUSTER_TICK_MS * 3);
    before = lab_node(&t.l, t.d)->out->unanswered;
    ck_assert_uint_gt(before, 0);
    claim(&t);
    for (unsigned n = before; n > 0; n--)
        lab_pong(&t.l, t.d);
    ck_assert(cluster_slot_claimed(t.l.core, 5001));
    lab_pong(&t.l, t.d);
    ck_assert(!cluster_slot_claimed(t.l.core, 5001));
    lab_close(&t.l);
}
END_TEST

START_TEST(claim__a_refusal_does_not_count_and_a_restart_keeps_it_open)
{
    struct town t;
    struct lab again = {0};

    scene_open_town(&t);
    claim(&t);
    t.d->mflags |= CODEC_MFLAG_REFUSED;
    answer(&t, t.d);
    ck_assert(cluster_slot_claimed(t.l.core, 5001));
    ck_assert_ptr_nonnull(memmem(t.l.persisted.data, t.l.persisted.size, "claimedSlots 5001-5002 claimBasis 2", 35));
    scene_restart(&again, &t.l, true);
    ck_assert(cluster_slot_claimed(again.core, 5002));
    ck_assert_uint_eq(again.core->myself->claim_basis, 2);
    lab_close(&again);
    lab_close(&t.l);
}
END_TEST

START_TEST(claim__yields_to_who_was_elected_instead_of_the_source_though_by_a_smaller_epoch)
{
    struct town t;

    scene_open_town(&t);
    t.d->current_epoch = 9;
    lab_say(&t.l, t.d, CODEC_PING);
    claim(&t);
    ck_assert_uint_gt(t.l.core->myself->config_epoch, 4);
    t.l.keys[5001] = 7;
    memset(lab_node(&t.l, t.r)->shard_id, 'f', CLUSTER_ID_SIZE);
    scene_wins(&t.l, t.r, 4);
    ck_assert_ptr_eq(t.l.core->owner[5001], lab_node(&t.l, t.r));
    ck_assert_uint_eq(lab_action(&t.l, CLUSTER_SLOT_LOST, 0)->slot, 5001);
    ck_assert(!cluster_slot_claimed(t.l.core, 5001) && !cluster_slot_claimed(t.l.core, 5002));
    lab_close(&t.l);
}
END_TEST

/* What the core says to its claim, as a PING of d that takes slot 5001 of c by epoch 8. */
static unsigned judged(struct town *t)
{
    struct codec_header head;
    uint8_t open[CODEC_SLOTS_SIZE] = {0};
    struct buf b = {0};

    bit_set(open, 5001);
    bit_set(t->d->slots, 5001);
    t->d->config_epoch = t->d->current_epoch = 8;
    head = lab_header(t->d, CODEC_PING);
    codec_write_header(&b, &head);
    codec_write_extension_claim(&b, 2, open);
    codec_finish(&b, 0, 1);
    lab_deliver(&t->l, t->d->in, &b);
    ck_assert_ptr_nonnull(lab_sent(&t->l, CODEC_PONG, 0));
    codec_read_header(lab_sent(&t->l, CODEC_PONG, 0)->bytes, &head);
    return head.mflags & CODEC_MFLAG_REFUSED;
}

START_TEST(claim__is_durable_at_who_agrees_before_the_answer_leaves)
{
    struct town t;
    const struct cluster_action *persist;

    scene_open_town(&t);
    ck_assert_uint_eq(judged(&t), 0);
    persist = lab_action(&t.l, CLUSTER_PERSIST, 0);
    ck_assert(persist != NULL && persist->sync && persist < lab_sent(&t.l, CODEC_PONG, 0));
    ck_assert_ptr_eq(t.l.core->owner[5001], lab_node(&t.l, t.d));
    lab_close(&t.l);
}
END_TEST

START_TEST(claim__is_refused_by_who_voted_for_a_replica_of_the_source)
{
    struct town t;

    scene_open_town(&t);
    lab_say_fail(&t.l, t.d, t.c);
    t.r->current_epoch = 4;
    lab_say(&t.l, t.r, CODEC_AUTH_REQUEST);
    ck_assert_ptr_nonnull(lab_sent(&t.l, CODEC_AUTH_ACK, 0));
    ck_assert_uint_eq(judged(&t), CODEC_MFLAG_REFUSED);
    ck_assert_ptr_eq(t.l.core->owner[5001], lab_node(&t.l, t.c));
    lab_close(&t.l);
}
END_TEST

START_TEST(claim__its_epoch_is_below_what_a_majority_has_seen)
{
    struct town t;

    scene_open_town(&t);
    lab_step(&t.l, &(struct cluster_event){.type = CLUSTER_EVENT_RESERVE, .epoch_above = 2});
    ck_assert_ptr_nonnull(lab_sent(&t.l, CODEC_PING, 1));
    ck_assert(!epoch_is_reserved(t.l.core, 2));
    t.d->current_epoch = t.l.core->current_epoch;
    answer(&t, t.d);
    ck_assert(epoch_is_reserved(t.l.core, 2));
    claim(&t);
    ck_assert_uint_gt(t.l.core->myself->config_epoch, 3);
    ck_assert_uint_lt(t.l.core->myself->config_epoch, t.d->current_epoch);
    lab_close(&t.l);
}
END_TEST

START_TEST(claim__a_message_from_before_it_frees_no_slot)
{
    struct town t;

    scene_open_town(&t);
    ck_assert_uint_eq(judged(&t), 0);
    bit_clear(t.d->slots, 5001);
    t.d->config_epoch = 3;
    lab_say(&t.l, t.d, CODEC_PONG);
    lab_say(&t.l, t.c, CODEC_PING);
    ck_assert_ptr_eq(t.l.core->owner[5001], lab_node(&t.l, t.d));
    lab_close(&t.l);
}
END_TEST

/* Who has it by a smaller epoch than this node's is not known here yet. */
START_TEST(claim__of_what_the_master_had_given_up_yields_to_anybody_who_has_it)
{
    struct shard s;

    scene_open_shard(&s);
    scene_claims(s.a, 1, 5000);
    lab_say(&s.l, s.a, CODEC_PING);
    ck_assert_ptr_eq(s.l.core->owner[0], lab_node(&s.l, s.a));
    scene_take_over(&s);
    ck_assert(cluster_slot_claimed(s.l.core, 0) && !cluster_slot_claimed(s.l.core, 1));
    bit_set(s.c->slots, 0);
    lab_say(&s.l, s.c, CODEC_PING);
    ck_assert_uint_lt(s.c->config_epoch, s.l.core->myself->config_epoch);
    ck_assert_ptr_eq(s.l.core->owner[0], lab_node(&s.l, s.c));
    ck_assert_ptr_eq(s.l.core->owner[1], s.l.core->myself);
    lab_close(&s.l);
}
END_TEST

START_TEST(claim__is_not_made_by_who_has_voted_for_its_own_replica)
{
    const char *source;
    struct town t;
    struct peer me = {0};
    struct handover job = {.slots = slots, .slot_count = 1};

    scene_open_town(&t);
    source = t.c->id;
    memcpy(me.id, t.l.core->myself->id, sizeof me.id);
    scene_claims(&me, 0, 5000);
    me.config_epoch = t.l.core->myself->config_epoch;
    t.r->master = &me;
    lab_say(&t.l, t.r, CODEC_PING);
    scene_slot(&t.l, CLUSTER_EVENT_ARRIVING, 5001);
    job.source = source;
    job.target = me.id;
    lab_ticks_alive(&t.l, 2 * LAB_TIMEOUT_MS, (struct peer *[]){t.c, t.d, t.r, t.e}, 4);
    ck_assert(handover_may_claim(t.l.core, &job));
    t.r->mflags |= CODEC_MFLAG_FORCE_ACK;
    t.r->current_epoch = t.l.core->current_epoch + 1;
    lab_say(&t.l, t.r, CODEC_AUTH_REQUEST);
    ck_assert_ptr_nonnull(lab_sent(&t.l, CODEC_AUTH_ACK, 0));
    ck_assert(!handover_may_claim(t.l.core, &job));
    lab_close(&t.l);
}
END_TEST

/* On the other side of the cut the source's replica may be elected. The simulator does not see it: such a claim yields. */
START_TEST(claim__is_not_made_by_who_is_not_heard_by_a_majority)
{
    struct town t;
    struct handover job = {.slots = slots, .slot_count = 1};

    scene_open_town(&t);
    job.source = t.c->id;
    job.target = t.l.core->myself->id;
    scene_slot(&t.l, CLUSTER_EVENT_ARRIVING, 5001);
    lab_ticks_alive(&t.l, 2 * LAB_TIMEOUT_MS, (struct peer *[]){t.c, t.d, t.r, t.e}, 4);
    ck_assert(handover_may_claim(t.l.core, &job));
    lab_ticks_alive(&t.l, 3 * LAB_TIMEOUT_MS, (struct peer *[]){t.r, t.e}, 2);
    ck_assert(!handover_may_claim(t.l.core, &job));
    t.l.core->planted_bugs = CLUSTER_BUG_CLAIM_CUT_OFF;
    ck_assert(handover_may_claim(t.l.core, &job)); /* it is for this only */
    lab_close(&t.l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, claim__is_open_until_a_majority_has_answered_a_ping_with_it);
    tcase_add_test(tests, claim__an_answer_to_an_earlier_ping_does_not_count);
    tcase_add_test(tests, claim__a_refusal_does_not_count_and_a_restart_keeps_it_open);
    tcase_add_test(tests, claim__yields_to_who_was_elected_instead_of_the_source_though_by_a_smaller_epoch);
    tcase_add_test(tests, claim__is_durable_at_who_agrees_before_the_answer_leaves);
    tcase_add_test(tests, claim__is_refused_by_who_voted_for_a_replica_of_the_source);
    tcase_add_test(tests, claim__its_epoch_is_below_what_a_majority_has_seen);
    tcase_add_test(tests, claim__a_message_from_before_it_frees_no_slot);
    tcase_add_test(tests, claim__of_what_the_master_had_given_up_yields_to_anybody_who_has_it);
    tcase_add_test(tests, claim__is_not_made_by_who_has_voted_for_its_own_replica);
    tcase_add_test(tests, claim__is_not_made_by_who_is_not_heard_by_a_majority);
    return suite_run("claim", tests);
}
