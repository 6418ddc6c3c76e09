/*
 * test_epochs.c - epochs, the slot update rule, votes: who wins, and what is durable first.
 */
#include "lab.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>

#define A40 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Whether a synced PERSIST stands in front of the first SEND of this type. */
static bool persisted_before(const struct lab *l, enum codec_type type)
{
    const struct cluster_action *send = lab_sent(l, type, 0);

    for (const struct cluster_action *a = l->last.list; a < send; a++)
        if (a->type == CLUSTER_PERSIST && a->sync)
            return true;
    return false;
}

static void claim(struct peer *p, int first, int last)
{
    memset(p->slots, 0, sizeof p->slots);
    for (int s = first; s <= last; s++)
        bit_set(p->slots, (unsigned)s);
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

START_TEST(update_rule__a_greater_epoch_takes_a_slot_and_an_equal_one_does_not)
{
    struct lab l;
    struct peer *a, *b;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 5, 100, 199);
    b = lab_peer(&l, 1, 'b', 4, 300, 399);
    claim(b, 100, 149);
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
    claim(z, 100, 199);
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
    claim(b, 150, 160);
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
    claim(a, 120, 199);
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, a)); /* kept, but marked */
    claim(b, 100, 119);
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
    claim(a, 120, 199);
    lab_say(&l, a, CODEC_PING);
    claim(a, 100, 199);
    lab_say(&l, a, CODEC_PING);
    claim(b, 100, 119);
    lab_say(&l, b, CODEC_PING);
    ck_assert_ptr_eq(l.core->owner[100], lab_node(&l, a));
    lab_close(&l);
}
END_TEST

/* What the driver of an atomic migration says of a slot. */
static void arrival(struct lab *l, enum cluster_event_type type, slot_t slot)
{
    lab_step(l, &(struct cluster_event){.type = type, .slots = &slot, .slot_count = 1, .epoch_above = 5});
}

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
    arrival(&l, CLUSTER_EVENT_DEPARTING, 150);
    ck_assert(lab_action(&l, CLUSTER_PERSIST, 0)->sync);
    ck_assert_ptr_nonnull(memmem(l.persisted.data, l.persisted.size, " departingSlots 150\n", 20));
    claim(a, 100, 199);
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
    char *file;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    a = lab_peer(&l, 0, 'a', 5, 300, 399);
    l.keys[150] = l.keys[151] = 7;
    arrival(&l, CLUSTER_EVENT_DEPARTING, 151);
    arrival(&l, CLUSTER_EVENT_STAYING, 151);
    claim(a, 100, 199);
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 0));
    file = strndup((char *)l.persisted.data, l.persisted.size);
    again.keys[150] = again.keys[151] = 7;
    lab_open_with(&again, file, false);
    for (slot_t s = 149; s < 152; s++) {
        ck_assert_ptr_eq(l.core->owner[s], lab_node(&l, a));
        ck_assert_ptr_eq(l.core->importing[s], s == 149 ? NULL : lab_node(&l, a));
        ck_assert(!cluster_slot_dropping(l.core, s));
        ck_assert((again.core->importing[s] != NULL) == (s != 149));
    }
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "150 stable"), "OK"); /* as fix ends */
    ck_assert_ptr_null(l.core->importing[150]);
    free(file);
    lab_close(&again);
    lab_close(&l);
}
END_TEST

START_TEST(dropping__what_was_offered_before_a_crash_and_claimed_is_dropped)
{
    struct lab l, again = {0};
    struct peer *a;
    char *file;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    arrival(&l, CLUSTER_EVENT_DEPARTING, 150);
    file = strndup((char *)l.persisted.data, l.persisted.size);
    again.keys[150] = 7;
    lab_open_with(&again, file, false);
    a = lab_peer(&again, 0, 'a', 5, 300, 399);
    claim(a, 150, 150);
    lab_say(&again, a, CODEC_PING);
    ck_assert_uint_eq(lab_action(&again, CLUSTER_SLOT_LOST, 0)->slot, 150);
    ck_assert_ptr_null(again.core->importing[150]);
    free(file);
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
    claim(a, 100, 199);
    lab_say(&l, a, CODEC_PING);
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 0));
    ck_assert_ptr_eq(l.core->owner[150], lab_node(&l, a));
    ck_assert_ptr_eq(l.core->migrating[150], lab_node(&l, b));
    ck_assert_ptr_eq(l.core->migrating[151], lab_node(&l, a));
    ck_assert_ptr_null(l.core->migrating[152]); /* the move is over */
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
    arrival(&l, CLUSTER_EVENT_DEPARTING, 150);
    claim(a, 100, 199);
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
    char *file;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    a = lab_peer(&l, 0, 'a', 5, 300, 399);
    l.keys[150] = l.keys[151] = 7;
    arrival(&l, CLUSTER_EVENT_DEPARTING, 150);
    arrival(&l, CLUSTER_EVENT_DEPARTING, 151);
    claim(a, 100, 199);
    lab_say(&l, a, CODEC_PING);
    file = strndup((char *)l.persisted.data, l.persisted.size);
    again.keys[151] = 3; /* 150 was done, 151 half done */
    lab_open_with(&again, file, false);
    ck_assert_uint_eq(lab_action(&again, CLUSTER_SLOT_LOST, 0)->slot, 151);
    ck_assert_ptr_null(lab_action(&again, CLUSTER_SLOT_LOST, 1));
    ck_assert(!cluster_slot_dropping(again.core, 150));
    ck_assert(cluster_slot_dropping(again.core, 151));
    ck_assert_ptr_null(again.core->importing[151]);
    free(file);
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
    arrival(&l, CLUSTER_EVENT_ARRIVING, 350);
    ck_assert(lab_action(&l, CLUSTER_PERSIST, 0)->sync);
    ck_assert_ptr_nonnull(memmem(l.persisted.data, l.persisted.size, " arrivingSlots 350\n", 19));
    ck_assert(cluster_slot_arriving(l.core, 350));
    ck_assert(cluster_slots_in_between(l.core, bits));
    ck_assert_uint_eq(bits[350 / 8], 1 << 350 % 8);
    ck_assert_ptr_nonnull(strstr(lab_reply(&l, CLUSTER_CMD_SETSLOT, "350 importing " A40), "ERR Slot 350 is arriving"));
    l.keys[350] = 7;
    arrival(&l, CLUSTER_EVENT_CLAIM, 350);
    ck_assert(lab_action(&l, CLUSTER_PERSIST, 0)->sync);
    ck_assert_ptr_null(memmem(l.persisted.data, l.persisted.size, "arrivingSlots", 13));
    ck_assert(!cluster_slot_arriving(l.core, 350));
    ck_assert(!cluster_slots_in_between(l.core, bits));
    ck_assert_ptr_eq(l.core->owner[350], l.core->myself);
    arrival(&l, CLUSTER_EVENT_ABANDONED, 350); /* too late: it is ours */
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
    arrival(&l, CLUSTER_EVENT_ARRIVING, 350);
    l.keys[350] = 7;
    arrival(&l, CLUSTER_EVENT_ABANDONED, 350);
    ck_assert_uint_eq(lab_action(&l, CLUSTER_SLOT_LOST, 0)->slot, 350);
    ck_assert_ptr_nonnull(memmem(l.persisted.data, l.persisted.size, " droppingSlots 350\n", 19));
    ck_assert(cluster_slots_in_between(l.core, bits));
    l.keys[350] = 0;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_DROPPED, .slots = &slot, .slot_count = 1});
    arrival(&l, CLUSTER_EVENT_ARRIVING, 350);
    arrival(&l, CLUSTER_EVENT_ABANDONED, 350); /* nothing came */
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 0));
    ck_assert(!cluster_slot_dropping(l.core, 350));
    lab_close(&l);
}
END_TEST

START_TEST(arrival__a_restart_drops_what_came)
{
    struct lab l, again = {0};
    char *file;

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 199");
    (void)lab_peer(&l, 0, 'a', 5, 300, 399);
    arrival(&l, CLUSTER_EVENT_ARRIVING, 350);
    arrival(&l, CLUSTER_EVENT_ARRIVING, 351);
    file = strndup((char *)l.persisted.data, l.persisted.size);
    again.keys[351] = 3; /* of 350 nothing had come */
    lab_open_with(&again, file, false);
    ck_assert_uint_eq(lab_action(&again, CLUSTER_SLOT_LOST, 0)->slot, 351);
    ck_assert_ptr_null(lab_action(&again, CLUSTER_SLOT_LOST, 1));
    ck_assert(!cluster_slot_arriving(again.core, 350) && !cluster_slot_arriving(again.core, 351));
    ck_assert_ptr_null(again.core->importing[351]);
    free(file);
    lab_close(&again);
    lab_close(&l);
}
END_TEST

START_TEST(dropping__a_promoted_replica_goes_on_with_what_its_master_began)
{
    struct lab l = {0};
    struct peer *a, *b;
    struct cluster_replication whole = {.master = A40, .offset = 7, .whole = true, .link_up = true};

    lab_open_with(&l, "", true);
    a = lab_peer(&l, 0, 'a', 5, 100, 199);
    b = lab_peer(&l, 1, 'b', 6, 300, 399);
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_REPLICATE, A40), "OK");
    l.keys[150] = l.keys[151] = l.keys[160] = 7;
    b->config_epoch = 9;
    claim(b, 150, 151);
    lab_say(&l, b, CODEC_PING);
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 0)); /* the master does it */
    l.keys[151] = 0;
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_TICK});
    ck_assert(cluster_slot_dropping(l.core, 150) && !cluster_slot_dropping(l.core, 151));
    lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_REPLICATION, .replication = &whole});
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_FAILOVER, "takeover"), "OK");
    for (int i = 0; i < 100 && lab_action(&l, CLUSTER_SLOT_LOST, 0) == NULL; i++)
        lab_step(&l, &(struct cluster_event){.type = CLUSTER_EVENT_TICK});
    ck_assert_ptr_nonnull(lab_action(&l, CLUSTER_SLOT_LOST, 0));
    ck_assert_uint_eq(lab_action(&l, CLUSTER_SLOT_LOST, 0)->slot, 150);
    ck_assert_ptr_null(lab_action(&l, CLUSTER_SLOT_LOST, 1));
    (void)a;
    lab_close(&l);
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
    claim(b, 100, 100);
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
    claim(&news, 100, 149);
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

/* ---- Votes ---- */

struct poll {
    struct lab l;
    struct peer *master, *candidate, *other;
};

/* A failed master with a replica, and us with a vote. */
static void ballot_open(struct poll *b)
{
    lab_open(&b->l);
    lab_reply(&b->l, CLUSTER_CMD_ADDSLOTSRANGE, "0 99");
    b->master = lab_peer(&b->l, 0, 'a', 5, 100, 199);
    b->candidate = lab_peer(&b->l, 1, 'b', 0, -1, 0);
    b->other = lab_peer(&b->l, 2, 'c', 6, 200, 299);
    b->candidate->master = b->master;
    b->candidate->current_epoch = 6;
    lab_say(&b->l, b->candidate, CODEC_PING);
    lab_say_fail(&b->l, b->other, b->master);
    ck_assert(node_is(lab_node(&b->l, b->master), NODE_FAIL));
    b->candidate->current_epoch = 7;
}

static bool asks(struct poll *b)
{
    lab_say(&b->l, b->candidate, CODEC_AUTH_REQUEST);
    return lab_sent(&b->l, CODEC_AUTH_ACK, 0) != NULL;
}

START_TEST(vote__is_durable_before_the_ack_leaves)
{
    struct poll b;

    ballot_open(&b);
    ck_assert(asks(&b));
    ck_assert_uint_eq(lab_sent(&b.l, CODEC_AUTH_ACK, 0)->link, b.candidate->out);
    ck_assert(persisted_before(&b.l, CODEC_AUTH_ACK));
    ck_assert_ptr_nonnull(memmem(b.l.persisted.data, b.l.persisted.size, "lastVoteEpoch 7", 15));
    lab_close(&b.l);
}
END_TEST

START_TEST(vote__is_given_once_per_epoch_also_after_a_restart)
{
    struct poll b;
    struct lab again = {0};
    char *file;

    ballot_open(&b);
    ck_assert(asks(&b));
    ck_assert(!asks(&b));
    file = strndup((char *)b.l.persisted.data, b.l.persisted.size);
    lab_open_with(&again, file, false);
    ck_assert_uint_eq(again.core->last_vote_epoch, 7);
    ck_assert_uint_eq(again.core->current_epoch, 7);
    free(file);
    lab_close(&again);
    lab_close(&b.l);
}
END_TEST

START_TEST(vote__is_refused_when_epoch_is_old)
{
    struct poll b;

    ballot_open(&b);
    b.other->current_epoch = 9;
    lab_say(&b.l, b.other, CODEC_PING);
    ck_assert(!asks(&b));
    lab_close(&b.l);
}
END_TEST

START_TEST(vote__is_refused_while_the_master_is_up_unless_forced)
{
    struct poll b;

    ballot_open(&b);
    node_set_flags(b.l.core, lab_node(&b.l, b.master), 0, NODE_FAIL);
    ck_assert(!asks(&b));
    b.candidate->mflags = CODEC_MFLAG_FORCE_ACK;
    ck_assert(asks(&b));
    lab_close(&b.l);
}
END_TEST

START_TEST(vote__is_refused_for_a_claim_older_than_what_is_known)
{
    struct poll b;

    ballot_open(&b);
    b.master->config_epoch = 4; /* what the candidate believes; here it is 5 */
    ck_assert(!asks(&b));
    lab_close(&b.l);
}
END_TEST

START_TEST(vote__to_replace_one_master_is_given_once_in_two_timeouts)
{
    struct poll b;

    ballot_open(&b);
    ck_assert(asks(&b));
    b.candidate->current_epoch = 8;
    b.l.now += 2 * LAB_TIMEOUT_MS - 1;
    ck_assert(!asks(&b));
    b.l.now += 1;
    ck_assert(asks(&b));
    lab_close(&b.l);
}
END_TEST

START_TEST(vote__needs_slots_of_ones_own)
{
    struct poll b;

    ballot_open(&b);
    lab_reply(&b.l, CLUSTER_CMD_FLUSHSLOTS, "");
    ck_assert(!asks(&b));
    lab_close(&b.l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, header__with_greater_epochs_raises_ours_and_is_durable_before_the_answer);
    tcase_add_test(tests, collision__the_smaller_id_takes_a_new_epoch);
    tcase_add_test(tests, collision__the_greater_id_does_nothing);
    tcase_add_test(tests, update_rule__a_greater_epoch_takes_a_slot_and_an_equal_one_does_not);
    tcase_add_test(tests, update_rule__the_source_of_a_move_yields_to_its_target_at_an_equal_epoch);
    tcase_add_test(tests, update_rule__a_sender_with_an_old_claim_is_told_by_update);
    tcase_add_test(tests, update_rule__a_slot_whose_owner_stopped_claiming_goes_to_any_claimer);
    tcase_add_test(tests, update_rule__a_mark_is_forgotten_when_the_owner_claims_again);
    tcase_add_test(tests, update_rule__slots_that_were_handed_over_are_dropped_after_persist_and_map);
    tcase_add_test(tests, update_rule__keys_of_a_lost_slot_that_the_claimant_does_not_have_stay_and_open_it);
    tcase_add_test(tests, dropping__what_was_offered_before_a_crash_and_claimed_is_dropped);
    tcase_add_test(tests, update_rule__keys_of_a_slot_that_was_being_moved_stay_with_the_mark);
    tcase_add_test(tests, dropping__a_lost_slot_does_not_come_back_before_its_keys_are_gone);
    tcase_add_test(tests, dropping__goes_on_after_a_crash);
    tcase_add_test(tests, dropping__a_promoted_replica_goes_on_with_what_its_master_began);
    tcase_add_test(tests, arrival__is_durable_and_ends_with_the_claim);
    tcase_add_test(tests, arrival__given_up_drops_what_came);
    tcase_add_test(tests, arrival__a_restart_drops_what_came);
    tcase_add_test(tests, update_rule__a_slot_being_imported_changes_only_by_command);
    tcase_add_test(tests, update_message__counts_only_with_a_newer_epoch);
    tcase_add_test(tests, role__a_master_that_becomes_a_replica_loses_its_slots);
    tcase_add_test(tests, vote__is_durable_before_the_ack_leaves);
    tcase_add_test(tests, vote__is_given_once_per_epoch_also_after_a_restart);
    tcase_add_test(tests, vote__is_refused_when_epoch_is_old);
    tcase_add_test(tests, vote__is_refused_while_the_master_is_up_unless_forced);
    tcase_add_test(tests, vote__is_refused_for_a_claim_older_than_what_is_known);
    tcase_add_test(tests, vote__to_replace_one_master_is_given_once_in_two_timeouts);
    tcase_add_test(tests, vote__needs_slots_of_ones_own);
    return suite_run("epochs", tests);
}
