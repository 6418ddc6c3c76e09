/*
 * test_update.c - the slot update rule: who has a slot, and what becomes of the keys of who had it.
 */
#include "scene.h"
#include "tests/unit/suite.h"

#include <stdio.h>

START_TEST(update_rule__a_greater_epoch_takes_a_slot_and_an_equal_one_does_not)
{
    struct lab l;
    struct peer *a, *b;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 5, 100, 199);
    b = lab_peer(&l, 1, 'b', 4, 300, 399);
    scene_claims(b, 100, 149);
    b->config_epoch = b->current_epoch = 5;
    lab_say(&l, b, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, a));
    b->config_epoch = b->current_epoch = 6;
    lab_say(&l, b, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, b));
    ck_assert_ptr_eq(l.core->owner[150], lab_node(&l, a));
    ck_assert_ptr_nonnull(lab_action(&l, CLUSTER_MAP, 0));
    lab_close(&l);
}
END_TEST

START_TEST(update_rule__the_source_of_a_move_yields_to_its_target_at_an_equal_epoch)
{
    struct lab l;
    struct peer *z;
    char words[80];

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 99");
    z = lab_peer(&l, 0, 'z', 1, 100, 199);
    lab_reply(&l, CLUSTER_CMD_BUMPEPOCH, "");
    snprintf(words, sizeof words, "50 migrating %s", z->id);
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, words), "OK");
    scene_claims(z, 100, 199);
    bit_set(z->slots, 50);
    bit_set(z->slots, 51); /* this one is not being moved */
    z->config_epoch = z->current_epoch = l.core->myself->config_epoch;
    lab_say(&l, z, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[50], lab_node(&l, z));
    ck_assert_ptr_null(l.core->migrating[50]);
    ck_assert_ptr_eq(l.core->owner[51], l.core->myself);
    ck_assert_uint_gt(l.core->myself->config_epoch, z->config_epoch); /* the collision, afterwards */
    lab_close(&l);
}
END_TEST

START_TEST(update_rule__a_sender_with_an_old_claim_is_told_by_update)
{
    struct lab l;
    struct peer *a, *b;
    struct codec_update u;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 5, 100, 199);
    b = lab_peer(&l, 1, 'b', 4, 300, 399);
    scene_claims(b, 150, 160);
    lab_say(&l, b, CODEC_PING);
    ck_assert_ptr_nonnull(lab_sent(&l, CODEC_UPDATE, 0));
    ck_assert_uint_eq(lab_sent(&l, CODEC_UPDATE, 0)->link, b->out);
    ck_assert(codec_read_update(lab_sent(&l, CODEC_UPDATE, 0)->bytes, &u));
    ck_assert_str_eq(u.id, a->id);
    ck_assert_uint_eq(u.config_epoch, 5);
    ck_assert(bit_get(u.slots, 100) && !bit_get(u.slots, 99));
    ck_assert_ptr_null(lab_sent(&l, CODEC_UPDATE, 1));
    lab_close(&l);
}
END_TEST

START_TEST(update_rule__a_slot_whose_owner_stopped_claiming_goes_to_any_claimer)
{
    struct lab l;
    struct peer *a, *b;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 5, 100, 199);
    b = lab_peer(&l, 1, 'b', 4, 300, 399);
    scene_claims(a, 120, 199);
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, a)); /* kept, but marked */
    scene_claims(b, 100, 119);
    lab_say(&l, b, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, b));
    ck_assert_ptr_eq(l.core->owner[120], lab_node(&l, a));
    lab_close(&l);
}
END_TEST

START_TEST(update_rule__a_mark_is_forgotten_when_the_owner_claims_again)
{
    struct lab l;
    struct peer *a, *b;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 5, 100, 199);
    b = lab_peer(&l, 1, 'b', 4, 300, 399);
    scene_claims(a, 120, 199);
    lab_say(&l, a, CODEC_PING);
    scene_claims(a, 100, 199);
    lab_say(&l, a, CODEC_PING);
    scene_claims(b, 100, 119);
    lab_say(&l, b, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, a));
    lab_close(&l);
}
END_TEST

START_TEST(update_rule__slots_that_were_handed_over_are_dropped_after_persist_and_map)
{
    struct lab l;
    struct peer *a;
    const struct cluster_action *lost, *persist, *map;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    a = lab_peer(&l, 0, 'a', 5, 300, 399);
    l.keys[150] = 7;
    l.keys[10] = 7;
    scene_slot(&l, CLUSTER_EVENT_DEPARTING, 150);
    ck_assert(lab_action(&l, CLUSTER_PERSIST, 0)->sync);
    ck_assert_ptr_nonnull(memmem(l.persisted.data, l.persisted.size, " departingSlots 150\n", 20));
    scene_claims(a, 100, 199);
    lab_say(&l, a, CODEC_PING);
    lost = lab_action(&l, CLUSTER_SLOT_LOST, 0);
    persist = lab_action(&l, CLUSTER_PERSIST, 0);
    map = lab_action(&l, CLUSTER_MAP, 0);
    ck_assert_ptr_nonnull(lost);
    ck_assert_uint_eq(lost->slot, 150);
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 1));
    ck_assert(persist != NULL && persist->sync && persist < map && map < lost);
    ck_assert_ptr_null(memmem(l.persisted.data, l.persisted.size, "departingSlots", 14));
    lab_close(&l);
}
END_TEST

START_TEST(update_rule__keys_of_a_lost_slot_that_the_claimant_does_not_have_stay_and_open_it)
{
    struct lab l, again = {0};
    struct peer *a;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    a = lab_peer(&l, 0, 'a', 5, 300, 399);
    l.keys[150] = l.keys[151] = 7;
    scene_slot(&l, CLUSTER_EVENT_DEPARTING, 151);
    scene_slot(&l, CLUSTER_EVENT_STAYING, 151);
    scene_claims(a, 100, 199);
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 0));
    again.keys[150] = again.keys[151] = 7;
    scene_restart(&again, &l, false);
    for (slot_t s = 149; s < 152; s++) {
        ck_assert_ptr_eq(l.core->owner[s], lab_node(&l, a));
        ck_assert_ptr_eq(l.core->importing[s], s == 149 ? NULL : lab_node(&l, a));
        ck_assert(!cluster_slot_dropping(l.core, s));
        ck_assert((again.core->importing[s] != NULL) == (s != 149));
    }
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "150 stable"), "OK"); /* as fix ends */
    ck_assert_ptr_null(l.core->importing[150]);
    lab_close(&again);
    lab_close(&l);
}
END_TEST

START_TEST(update_rule__keys_of_a_slot_that_was_being_moved_stay_with_the_mark)
{
    struct lab l;
    struct peer *a, *b;
    char words[64];

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    a = lab_peer(&l, 0, 'a', 5, 300, 399);
    b = lab_peer(&l, 1, 'b', 4, 400, 499);
    for (slot_t s = 150; s < 153; s++) {
        l.keys[s] = s == 152 ? 0 : 7;
        snprintf(words, sizeof words, "%u MIGRATING %.40s", s, lab_node(&l, s == 150 ? b : a)->id);
        ck_assert_int_eq(lab_command(&l, CLUSTER_CMD_SETSLOT, words).type, CLUSTER_REPLY_OK);
    }
    scene_claims(a, 100, 199);
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 0));
    ck_assert_ptr_eq(l.core->owner[150], lab_node(&l, a));
    ck_assert_ptr_eq(l.core->migrating[150], lab_node(&l, b));
    ck_assert_ptr_eq(l.core->migrating[151], lab_node(&l, a));
    ck_assert_ptr_null(l.core->migrating[152]); /* the move is over */
    lab_close(&l);
}
END_TEST

/* A replica that came from another shard has taken over while this node was away. Its shard comes with the claim, or behind an UPDATE. */
START_TEST(update_rule__keys_are_copies_if_the_claimant_turns_out_to_be_of_this_shard)
{
    for (int told_first = 0; told_first < 2; told_first++) {
        struct town t;
        char shard[CLUSTER_ID_SIZE + 1];

        scene_open_town(&t);
        t.l.keys[100] = 7;
        memcpy(shard, t.l.core->myself->shard_id, sizeof shard);
        scene_claims(t.e, 0, 5000);
        t.e->master = NULL;
        t.e->config_epoch = t.e->current_epoch = 9;
        if (told_first) {
            lab_say_update(&t.l, t.d, t.e);
            ck_assert_ptr_eq(t.l.core->importing[100], lab_node(&t.l, t.e)); /* it might be an operator's doing */
            ck_assert(node_is_master(t.l.core->myself));
        }
        scene_say_shard(&t.l, t.e, shard);
        ck_assert_ptr_eq(t.l.core->myself->master, lab_node(&t.l, t.e));
        ck_assert_ptr_nonnull(lab_action(&t.l, CLUSTER_REPLICATE, 0));
        ck_assert_ptr_null(t.l.core->importing[100]);
        lab_close(&t.l);
    }
}
END_TEST

/* It was killed amid moves; its replica has their marks, and goes on. */
START_TEST(update_rule__a_source_that_comes_back_follows_its_heir_whatever_it_was_moving)
{
    for (int moved_on = 0; moved_on < 2; moved_on++) {
        struct town t;
        char shard[CLUSTER_ID_SIZE + 1], words[64];

        scene_open_town(&t);
        t.l.keys[100] = t.l.keys[101] = 7;
        memcpy(shard, t.l.core->myself->shard_id, sizeof shard);
        for (slot_t s = 100; s < 102; s++) {
            snprintf(words, sizeof words, "%u MIGRATING %.40s", s, lab_node(&t.l, t.d)->id);
            ck_assert_int_eq(lab_command(&t.l, CLUSTER_CMD_SETSLOT, words).type, CLUSTER_REPLY_OK);
        }
        scene_claims(t.e, 0, 5000);
        t.e->master = NULL;
        t.e->config_epoch = t.e->current_epoch = 9;
        lab_say_update(&t.l, t.d, t.e);
        ck_assert(node_is_master(t.l.core->myself));
        if (moved_on) { /* one is elsewhere already: whether all of its keys are is not known here */
            t.d->slots[101 / 8] |= 1 << (101 % 8);
            t.d->config_epoch = t.d->current_epoch = 10;
            lab_say(&t.l, t.d, CODEC_PING);
        }
        scene_say_shard(&t.l, t.e, shard);
        ck_assert(node_is_master(t.l.core->myself) == moved_on);
        ck_assert((t.l.core->migrating[100] != NULL) == moved_on);
        lab_close(&t.l);
    }
}
END_TEST

START_TEST(update_rule__who_joins_the_shard_is_followed_only_if_it_took_all)
{
    struct town t;
    char shard[CLUSTER_ID_SIZE + 1];

    scene_open_town(&t);
    t.l.keys[100] = 7;
    memcpy(shard, t.l.core->myself->shard_id, sizeof shard);
    scene_claims(t.e, 0, 4999); /* one slot is left */
    t.e->master = NULL;
    t.e->config_epoch = t.e->current_epoch = 9;
    lab_say_update(&t.l, t.d, t.e);
    scene_say_shard(&t.l, t.e, shard);
    ck_assert(node_is_master(t.l.core->myself));
    ck_assert_ptr_eq(t.l.core->importing[100], lab_node(&t.l, t.e));
    lab_close(&t.l);
}
END_TEST

START_TEST(update_rule__a_slot_being_imported_changes_only_by_command)
{
    struct lab l;
    struct peer *a, *b;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 5, 100, 199);
    b = lab_peer(&l, 1, 'b', 4, 300, 399);
    lab_reply(&l, CLUSTER_CMD_SETSLOT, "100 importing aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    scene_claims(b, 100, 100);
    b->config_epoch = b->current_epoch = 9;
    lab_say(&l, b, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, a));
    lab_close(&l);
}
END_TEST

START_TEST(update_message__counts_only_with_a_newer_epoch)
{
    struct lab l;
    struct peer *a, *b, news;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 5, 100, 199);
    b = lab_peer(&l, 1, 'b', 4, 300, 399);
    news = *b;
    scene_claims(&news, 100, 149);
    lab_say_update(&l, a, &news);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, a));
    news.config_epoch = 7;
    lab_say_update(&l, a, &news);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, b));
    ck_assert_uint_eq(lab_node(&l, b)->config_epoch, 7);
    lab_close(&l);
}
END_TEST

START_TEST(role__a_master_that_becomes_a_replica_loses_its_slots)
{
    struct lab l;
    struct peer *a, *b;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 5, 100, 199);
    b = lab_peer(&l, 1, 'b', 4, 300, 399);
    a->master = b;
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_null(l.core->owner[100]);
    ck_assert_ptr_eq(lab_node(&l, a)->master, lab_node(&l, b));
    a->master = NULL;
    lab_say(&l, a, CODEC_PING);
    ck_assert(node_is_master(lab_node(&l, a)));
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, a));
    lab_close(&l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, update_rule__a_greater_epoch_takes_a_slot_and_an_equal_one_does_not);
    tcase_add_test(tests, update_rule__the_source_of_a_move_yields_to_its_target_at_an_equal_epoch);
    tcase_add_test(tests, update_rule__a_sender_with_an_old_claim_is_told_by_update);
    tcase_add_test(tests, update_rule__a_slot_whose_owner_stopped_claiming_goes_to_any_claimer);
    tcase_add_test(tests, update_rule__a_mark_is_forgotten_when_the_owner_claims_again);
    tcase_add_test(tests, update_rule__slots_that_were_handed_over_are_dropped_after_persist_and_map);
    tcase_add_test(tests, update_rule__keys_of_a_lost_slot_that_the_claimant_does_not_have_stay_and_open_it);
    tcase_add_test(tests, update_rule__keys_of_a_slot_that_was_being_moved_stay_with_the_mark);
    tcase_add_test(tests, update_rule__keys_are_copies_if_the_claimant_turns_out_to_be_of_this_shard);
    tcase_add_test(tests, update_rule__a_source_that_comes_back_follows_its_heir_whatever_it_was_moving);
    tcase_add_test(tests, update_rule__who_joins_the_shard_is_followed_only_if_it_took_all);
    tcase_add_test(tests, update_rule__a_slot_being_imported_changes_only_by_command);
    tcase_add_test(tests, update_message__counts_only_with_a_newer_epoch);
    tcase_add_test(tests, role__a_master_that_becomes_a_replica_loses_its_slots);
    return suite_run("update", tests);
}
