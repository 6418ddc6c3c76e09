/*
 * test_claim.c - slots that are claimed without a vote: served when a majority has heard, and yielded to whoever was elected.
 */
#include "lab.h"

#include "cluster/epoch.h"

#include <stdlib.h>

static const slot_t slots[] = {5001, 5002};

/* This node, a and b are masters with slots; r is a replica of a. Epochs 1, 2 and 3. */
struct hall {
    struct lab l;
    struct peer *a, *b, *r;
};

static void open_hall(struct hall *h)
{
    memset(h, 0, sizeof *h);
    lab_open_with(&h->l, "", true);
    ck_assert_str_eq(lab_reply(&h->l, CLUSTER_CMD_ADDSLOTSRANGE, "0 5000"), "OK");
    h->a = lab_peer(&h->l, 0, 'a', 2, 5001, 10000);
    h->b = lab_peer(&h->l, 1, 'b', 3, 10001, 16383);
    h->r = lab_peer(&h->l, 2, '4', 0, -1, -1);
    h->r->master = h->a;
    h->a->mflags = h->b->mflags = h->r->mflags = CODEC_MFLAG_EXTENSIONS;
    h->a->current_epoch = h->b->current_epoch = h->r->current_epoch = 3;
    lab_say(&h->l, h->r, CODEC_PING);
}

static void claim(struct hall *h)
{
    lab_step(&h->l, &(struct cluster_event){.type = CLUSTER_EVENT_CLAIM, .slots = slots, .slot_count = 2, .epoch_above = 2});
    ck_assert_ptr_eq(h->l.core->owner[5001], h->l.core->myself);
    ck_assert(cluster_slot_claimed(h->l.core, 5001));
}

/* PONGs to all that was asked so far. */
static void answer(struct hall *h, struct peer *p)
{
    for (unsigned n = lab_node(&h->l, p)->out->unanswered; n > 0; n--)
        lab_pong(&h->l, p);
}

START_TEST(claim__is_open_until_a_majority_has_answered_a_ping_with_it)
{
    struct hall h;

    open_hall(&h);
    claim(&h);
    lab_say(&h.l, h.b, CODEC_PONG); /* not an answer */
    ck_assert(cluster_slot_claimed(h.l.core, 5001));
    answer(&h, h.r); /* has no vote */
    ck_assert(cluster_slot_claimed(h.l.core, 5001));
    answer(&h, h.b);
    ck_assert(!cluster_slot_claimed(h.l.core, 5001));
    ck_assert_ptr_nonnull(lab_action(&h.l, CLUSTER_MAP, 0));
    lab_close(&h.l);
}
END_TEST

START_TEST(claim__an_answer_to_an_earlier_ping_does_not_count)
{
    struct hall h;
    unsigned before;

    open_hall(&h);
    lab_ticks(&h.l, LAB_TIMEOUT_MS / 2 + CLUSTER_TICK_MS * 3);
    before = lab_node(&h.l, h.b)->out->unanswered;
    ck_assert_uint_gt(before, 0);
    claim(&h);
    for (unsigned n = before; n > 0; n--)
        lab_pong(&h.l, h.b);
    ck_assert(cluster_slot_claimed(h.l.core, 5001));
    lab_pong(&h.l, h.b);
    ck_assert(!cluster_slot_claimed(h.l.core, 5001));
    lab_close(&h.l);
}
END_TEST

START_TEST(claim__a_refusal_does_not_count_and_a_restart_keeps_it_open)
{
    struct hall h;
    struct lab again = {0};
    char *file;

    open_hall(&h);
    claim(&h);
    h.b->mflags |= CODEC_MFLAG_REFUSED;
    answer(&h, h.b);
    ck_assert(cluster_slot_claimed(h.l.core, 5001));
    file = strndup((char *)h.l.persisted.data, h.l.persisted.size);
    ck_assert_ptr_nonnull(strstr(file, "claimedSlots 5001-5002 claimBasis 2"));
    lab_open_with(&again, file, true);
    ck_assert(cluster_slot_claimed(again.core, 5002));
    ck_assert_uint_eq(again.core->myself->claim_basis, 2);
    free(file);
    lab_close(&again);
    lab_close(&h.l);
}
END_TEST

START_TEST(claim__yields_to_who_was_elected_instead_of_the_source_though_by_a_smaller_epoch)
{
    struct hall h;

    open_hall(&h);
    h.b->current_epoch = 9;
    lab_say(&h.l, h.b, CODEC_PING);
    claim(&h);
    ck_assert_uint_gt(h.l.core->myself->config_epoch, 4);
    h.l.keys[5001] = 7;
    h.r->master = NULL;
    h.r->config_epoch = h.r->current_epoch = 4;
    memcpy(h.r->slots, h.a->slots, sizeof h.r->slots);
    memset(lab_node(&h.l, h.r)->shard_id, 'f', CLUSTER_ID_SIZE);
    lab_say(&h.l, h.r, CODEC_PONG);
    ck_assert_ptr_eq(h.l.core->owner[5001], lab_node(&h.l, h.r));
    ck_assert_uint_eq(lab_action(&h.l, CLUSTER_SLOT_LOST, 0)->slot, 5001);
    ck_assert_uint_eq(h.l.core->claimed_count, 0);
    lab_close(&h.l);
}
END_TEST

/* What the core says to its claim, as a PING of b that takes slot 5001 of a by epoch 8. */
static unsigned judged(struct hall *h)
{
    struct codec_header head;
    uint8_t open[CODEC_SLOTS_SIZE] = {0};
    struct buf b = {0};

    bit_set(open, 5001);
    bit_set(h->b->slots, 5001);
    h->b->config_epoch = h->b->current_epoch = 8;
    head = lab_header(h->b, CODEC_PING);
    codec_write_header(&b, &head);
    codec_write_extension_claim(&b, 2, open);
    codec_finish(&b, 0, 1);
    lab_deliver(&h->l, h->b->in, &b);
    ck_assert_ptr_nonnull(lab_sent(&h->l, CODEC_PONG, 0));
    codec_read_header(lab_sent(&h->l, CODEC_PONG, 0)->bytes, &head);
    return head.mflags & CODEC_MFLAG_REFUSED;
}

START_TEST(claim__is_durable_at_who_agrees_before_the_answer_leaves)
{
    struct hall h;
    const struct cluster_action *persist;

    open_hall(&h);
    ck_assert_uint_eq(judged(&h), 0);
    persist = lab_action(&h.l, CLUSTER_PERSIST, 0);
    ck_assert(persist != NULL && persist->sync && persist < lab_sent(&h.l, CODEC_PONG, 0));
    ck_assert_ptr_eq(h.l.core->owner[5001], lab_node(&h.l, h.b));
    lab_close(&h.l);
}
END_TEST

START_TEST(claim__is_refused_by_who_voted_for_a_replica_of_the_source)
{
    struct hall h;

    open_hall(&h);
    lab_say_fail(&h.l, h.b, h.a);
    h.r->current_epoch = 4;
    lab_say(&h.l, h.r, CODEC_AUTH_REQUEST);
    ck_assert_ptr_nonnull(lab_sent(&h.l, CODEC_AUTH_ACK, 0));
    ck_assert_uint_eq(judged(&h), CODEC_MFLAG_REFUSED);
    ck_assert_ptr_eq(h.l.core->owner[5001], lab_node(&h.l, h.a));
    lab_close(&h.l);
}
END_TEST

START_TEST(claim__its_epoch_is_below_what_a_majority_has_seen)
{
    struct hall h;

    open_hall(&h);
    lab_step(&h.l, &(struct cluster_event){.type = CLUSTER_EVENT_RESERVE, .epoch_above = 2});
    ck_assert_ptr_nonnull(lab_sent(&h.l, CODEC_PING, 1));
    ck_assert(!epoch_is_reserved(h.l.core, 2));
    h.b->current_epoch = h.l.core->current_epoch;
    answer(&h, h.b);
    ck_assert(epoch_is_reserved(h.l.core, 2));
    claim(&h);
    ck_assert_uint_gt(h.l.core->myself->config_epoch, 3);
    ck_assert_uint_lt(h.l.core->myself->config_epoch, h.b->current_epoch);
    lab_close(&h.l);
}
END_TEST

START_TEST(claim__a_message_from_before_it_frees_no_slot)
{
    struct hall h;

    open_hall(&h);
    ck_assert_uint_eq(judged(&h), 0);
    bit_clear(h.b->slots, 5001);
    h.b->config_epoch = 3;
    lab_say(&h.l, h.b, CODEC_PONG);
    lab_say(&h.l, h.a, CODEC_PING);
    ck_assert_ptr_eq(h.l.core->owner[5001], lab_node(&h.l, h.b));
    lab_close(&h.l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claim");
    TCase *tests = tcase_create("all");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tests);
    tcase_add_test(tests, claim__is_open_until_a_majority_has_answered_a_ping_with_it);
    tcase_add_test(tests, claim__an_answer_to_an_earlier_ping_does_not_count);
    tcase_add_test(tests, claim__a_refusal_does_not_count_and_a_restart_keeps_it_open);
    tcase_add_test(tests, claim__yields_to_who_was_elected_instead_of_the_source_though_by_a_smaller_epoch);
    tcase_add_test(tests, claim__is_durable_at_who_agrees_before_the_answer_leaves);
    tcase_add_test(tests, claim__is_refused_by_who_voted_for_a_replica_of_the_source);
    tcase_add_test(tests, claim__its_epoch_is_below_what_a_majority_has_seen);
    tcase_add_test(tests, claim__a_message_from_before_it_frees_no_slot);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
