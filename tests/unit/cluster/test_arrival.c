/*
 * test_arrival.c - slots whose keys arrive or are being dropped: the marks, across crashes and promotions.
 */
#include "scene.h"
#include "tests/unit/suite.h"

START_TEST(dropping__what_was_offered_before_a_crash_and_claimed_is_dropped)
{
    struct lab l, again = {0};
    struct peer *a;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    scene_slot(&l, CLUSTER_EVENT_DEPARTING, 150);
    again.keys[150] = 7;
    scene_restart(&again, &l, false);
    a = lab_peer(&again, 0, 'a', 5, 300, 399);
    scene_claims(a, 150, 150);
    lab_say(&again, a, CODEC_PING);
    ck_assert_uint_eq(lab_action(&again, CLUSTER_SLOT_LOST, 0)->slot, 150);
    ck_assert_ptr_null(again.core->importing[150]);
    lab_close(&again);
    lab_close(&l);
}
END_TEST

START_TEST(dropping__a_lost_slot_does_not_come_back_before_its_keys_are_gone)
{
    struct lab l;
    struct peer *a;
    slot_t slot = 150;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    a = lab_peer(&l, 0, 'a', 5, 300, 399);
    l.keys[150] = 7;
    scene_slot(&l, CLUSTER_EVENT_DEPARTING, 150);
    scene_claims(a, 100, 199);
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_nonnull(memmem(l.persisted.data, l.persisted.size, " droppingSlots 150\n", 19));
    ck_assert_ptr_nonnull(strstr(lab_reply(&l, CLUSTER_CMD_SETSLOT, "150 importing " A40),
                                 "ERR Slot 150 still holds keys"));
    l.keys[150] = 0;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_DROPPED, .slots = &slot, .slot_count = 1});
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "150 importing " A40), "OK");
    ck_assert_ptr_null(memmem(l.persisted.data, l.persisted.size, "droppingSlots", 13));
    lab_close(&l);
}
END_TEST

START_TEST(dropping__goes_on_after_a_crash)
{
    struct lab l, again = {0};
    struct peer *a;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    a = lab_peer(&l, 0, 'a', 5, 300, 399);
    l.keys[150] = l.keys[151] = 7;
    scene_slot(&l, CLUSTER_EVENT_DEPARTING, 150);
    scene_slot(&l, CLUSTER_EVENT_DEPARTING, 151);
    scene_claims(a, 100, 199);
    lab_say(&l, a, CODEC_PING);
    again.keys[151] = 3; /* 150 was done, 151 half done */
    scene_restart(&again, &l, false);
    ck_assert_uint_eq(lab_action(&again, CLUSTER_SLOT_LOST, 0)->slot, 151);
    ck_assert_ptr_null(lab_action(&again, CLUSTER_SLOT_LOST, 1));
    ck_assert(!cluster_slot_dropping(again.core, 150));
    ck_assert(cluster_slot_dropping(again.core, 151));
    ck_assert_ptr_null(again.core->importing[151]);
    lab_close(&again);
    lab_close(&l);
}
END_TEST

START_TEST(arrival__is_durable_and_ends_with_the_claim)
{
    struct lab l;
    uint8_t bits[SLOTS / 8];

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    (void)lab_peer(&l, 0, 'a', 5, 300, 399);
    scene_slot(&l, CLUSTER_EVENT_ARRIVING, 350);
    ck_assert(lab_action(&l, CLUSTER_PERSIST, 0)->sync);
    ck_assert_ptr_nonnull(memmem(l.persisted.data, l.persisted.size, " arrivingSlots 350\n", 19));
    ck_assert(cluster_slot_arriving(l.core, 350));
    ck_assert(cluster_slots_in_between(l.core, bits));
    ck_assert_uint_eq(bits[350 / 8], 1 << 350 % 8);
    ck_assert_ptr_nonnull(strstr(lab_reply(&l, CLUSTER_CMD_SETSLOT, "350 importing " A40), "ERR Slot 350 is arriving"));
    l.keys[350] = 7;
    scene_slot(&l, CLUSTER_EVENT_CLAIM, 350);
    ck_assert(lab_action(&l, CLUSTER_PERSIST, 0)->sync);
    ck_assert_ptr_null(memmem(l.persisted.data, l.persisted.size, "arrivingSlots", 13));
    ck_assert(!cluster_slot_arriving(l.core, 350));
    ck_assert(!cluster_slots_in_between(l.core, bits));
    ck_assert_ptr_eq(l.core->owner[350], l.core->myself);
    scene_slot(&l, CLUSTER_EVENT_ABANDONED, 350); /* too late: it is ours */
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 0));
    lab_close(&l);
}
END_TEST

START_TEST(arrival__given_up_drops_what_came)
{
    struct lab l;
    uint8_t bits[SLOTS / 8];
    slot_t slot = 350;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    (void)lab_peer(&l, 0, 'a', 5, 300, 399);
    scene_slot(&l, CLUSTER_EVENT_ARRIVING, 350);
    l.keys[350] = 7;
    scene_slot(&l, CLUSTER_EVENT_ABANDONED, 350);
    ck_assert_uint_eq(lab_action(&l, CLUSTER_SLOT_LOST, 0)->slot, 350);
    ck_assert_ptr_nonnull(memmem(l.persisted.data, l.persisted.size, " droppingSlots 350\n", 19));
    ck_assert(cluster_slots_in_between(l.core, bits));
    l.keys[350] = 0;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_DROPPED, .slots = &slot, .slot_count = 1});
    scene_slot(&l, CLUSTER_EVENT_ARRIVING, 350);
    scene_slot(&l, CLUSTER_EVENT_ABANDONED, 350); /* nothing came */
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 0));
    ck_assert(!cluster_slot_dropping(l.core, 350));
    lab_close(&l);
}
END_TEST

START_TEST(arrival__a_restart_drops_what_came)
{
    struct lab l, again = {0};

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    (void)lab_peer(&l, 0, 'a', 5, 300, 399);
    scene_slot(&l, CLUSTER_EVENT_ARRIVING, 350);
    scene_slot(&l, CLUSTER_EVENT_ARRIVING, 351);
    again.keys[351] = 3; /* of 350 nothing had come */
    scene_restart(&again, &l, false);
    ck_assert_uint_eq(lab_action(&again, CLUSTER_SLOT_LOST, 0)->slot, 351);
    ck_assert_ptr_null(lab_action(&again, CLUSTER_SLOT_LOST, 1));
    ck_assert(!cluster_slot_arriving(again.core, 350) && !cluster_slot_arriving(again.core, 351));
    ck_assert_ptr_null(again.core->importing[351]);
    lab_close(&again);
    lab_close(&l);
}
END_TEST

START_TEST(dropping__a_promoted_replica_goes_on_with_what_its_master_began)
{
    struct shard s;

    scene_open_shard(&s);
    s.l.keys[150] = s.l.keys[151] = s.l.keys[160] = 7;
    s.b->config_epoch = 9;
    scene_claims(s.b, 150, 151);
    lab_say(&s.l, s.b, CODEC_PING);
    ck_assert_ptr_null(lab_action(&s.l, CLUSTER_SLOT_LOST, 0)); /* the master does it */
    s.l.keys[151] = 0;
    lab_step(&s.l, &(struct cluster_event){.type = CLUSTER_EVENT_TICK});
    ck_assert(cluster_slot_dropping(s.l.core, 150) && !cluster_slot_dropping(s.l.core, 151));
    scene_take_over(&s);
    ck_assert_ptr_nonnull(lab_action(&s.l, CLUSTER_SLOT_LOST, 0));
    ck_assert_uint_eq(lab_action(&s.l, CLUSTER_SLOT_LOST, 0)->slot, 150);
    ck_assert_ptr_null(lab_action(&s.l, CLUSTER_SLOT_LOST, 1));
    lab_close(&s.l);
}
END_TEST

/* Its master claimed the slot, of which this replica has heard nothing but the keys. */
START_TEST(arrival__a_promoted_replica_claims_what_its_master_had_and_the_source_has_given_up)
{
    for (int given_up = 0; given_up < 2; given_up++) {
        struct shard s;

        scene_open_shard(&s);
        s.l.keys[5001] = 7;
        if (given_up)
            scene_claims(s.b, 5002, 10000);
        lab_say(&s.l, s.b, CODEC_PING);
        scene_take_over(&s);
        ck_assert_ptr_eq(s.l.core->owner[5001], given_up ? s.l.core->myself : lab_node(&s.l, s.b));
        ck_assert_int_eq(cluster_slot_claimed(s.l.core, 5001), given_up);
        ck_assert_ptr_null(lab_action(&s.l, CLUSTER_SLOT_LOST, 0));
        lab_close(&s.l);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, dropping__what_was_offered_before_a_crash_and_claimed_is_dropped);
    tcase_add_test(tests, dropping__a_lost_slot_does_not_come_back_before_its_keys_are_gone);
    tcase_add_test(tests, dropping__goes_on_after_a_crash);
    tcase_add_test(tests, arrival__is_durable_and_ends_with_the_claim);
    tcase_add_test(tests, arrival__given_up_drops_what_came);
    tcase_add_test(tests, arrival__a_restart_drops_what_came);
    tcase_add_test(tests, dropping__a_promoted_replica_goes_on_with_what_its_master_began);
    tcase_add_test(tests, arrival__a_promoted_replica_claims_what_its_master_had_and_the_source_has_given_up);
    return suite_run("arrival", tests);
}
