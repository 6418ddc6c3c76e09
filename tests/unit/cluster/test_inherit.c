/*
 * test_inherit.c - a replica knows the slots that SETSLOT opened at its master, and goes on with them when it leads.
 */
#include "scene.h"

#include "cluster/inherit.h"
#include "cluster/nodes_conf.h"
#include "cluster/ranges.h"
#include "tests/unit/suite.h"

#define D40 "dddddddddddddddddddddddddddddddddddddddd"

static void told(struct lab *l, const char *text)
{
    lab_step(l, &(struct cluster_event){.type = CLUSTER_EVENT_INHERIT, .bytes = slice_str(text)});
}

static void claim(struct shard *s, unsigned slot)
{
    s->b->config_epoch = s->b->current_epoch = 9;
    s->b->slots[slot / 8] = (uint8_t)(s->b->slots[slot / 8] | 1u << slot % 8);
    lab_say(&s->l, s->b, CODEC_PING);
    ck_assert_ptr_eq(s->l.core->owner[slot], lab_node(&s->l, s->b));
}

START_TEST(inherit__who_is_promoted_has_its_masters_marks)
{
    struct shard s;
    struct cluster *c;

    scene_open_shard(&s);
    c = s.l.core;
    told(&s.l, B40 ">100,150-151;" B40 "<6000;");
    ck_assert_ptr_null(c->migrating[150]); /* not its own yet */
    scene_take_over(&s);
    ck_assert_ptr_eq(c->migrating[100], lab_node(&s.l, s.b));
    ck_assert_ptr_eq(c->migrating[151], lab_node(&s.l, s.b));
    ck_assert_ptr_eq(c->importing[6000], lab_node(&s.l, s.b));
    ck_assert_uint_eq(c->migrating_count, 3);
    ck_assert_uint_eq(c->importing_count, 1);
    lab_close(&s.l);
}
END_TEST

START_TEST(inherit__keys_of_a_claimed_slot_that_the_master_moves_are_kept)
{
    for (int told_first = 0; told_first < 2; told_first++) {
        struct shard s;

        scene_open_shard(&s);
        s.l.keys[150] = 7;
        if (told_first)
            told(&s.l, B40 ">150;");
        claim(&s, 150);
        if (!told_first)
            told(&s.l, B40 ">150;");
        scene_take_over(&s);
        for (int i = 0; i < 10; i++) {
            ck_assert_ptr_null(lab_action(&s.l, CLUSTER_SLOT_LOST, 0));
            lab_step(&s.l, &(struct cluster_event){.type = CLUSTER_EVENT_TICK});
        }
        ck_assert_ptr_eq(s.l.core->migrating[150], lab_node(&s.l, s.b));
        lab_close(&s.l);
    }
}
END_TEST

START_TEST(inherit__marks_end_when_the_master_says_so)
{
    struct shard s;

    scene_open_shard(&s);
    told(&s.l, B40 ">150;");
    told(&s.l, "nonsense"); /* changes nothing */
    ck_assert_ptr_nonnull(s.l.core->inherit.migrating[150]);
    told(&s.l, "");
    s.l.keys[150] = 7;
    claim(&s, 150);
    scene_take_over(&s);
    ck_assert_ptr_null(s.l.core->migrating[150]);
    ck_assert(cluster_slot_dropping(s.l.core, 150)); /* as without a mark */
    lab_close(&s.l);
}
END_TEST

START_TEST(inherit__marks_survive_a_restart_of_the_replica)
{
    struct shard s;
    struct lab again = {0};
    struct buf conf = {0};

    scene_open_shard(&s);
    told(&s.l, B40 ">100,150-151;" B40 "<300;" D40 ">7;"); /* nobody knows d */
    nodes_conf_print(s.l.core, &conf);
    buf_append_byte(&conf, '\0');
    ck_assert_ptr_nonnull(strstr((char *)conf.data, " masterOpen " B40 ">100,150-151;" B40 "<300;"));
    lab_open_with(&again, (char *)conf.data, true);
    ck_assert_ptr_nonnull(again.core->inherit.migrating[151]);
    ck_assert_ptr_nonnull(again.core->inherit.importing[300]);
    ck_assert_ptr_null(again.core->migrating[151]);
    ck_assert_ptr_null(again.core->inherit.migrating[7]);
    buf_free(&conf);
    lab_close(&again);
    lab_close(&s.l);
}
END_TEST

START_TEST(inherit__what_a_master_says_is_what_its_replica_reads)
{
    struct lab l;
    struct shard s;
    struct buf text = {0};

    lab_open(&l);
    lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "100 199");
    (void)lab_peer(&l, 0, 'b', 5, 300, 399);
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "100 migrating " B40), "OK");
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "150 migrating " B40), "OK");
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "310 importing " B40), "OK");
    ck_assert(cluster_print_open(l.core, &text));
    buf_append_byte(&text, '\0');
    ck_assert_str_eq((char *)text.data, B40 ">100,150;" B40 "<310;");
    scene_open_shard(&s);
    told(&s.l, (char *)text.data);
    ck_assert_ptr_eq(s.l.core->inherit.migrating[150], lab_node(&s.l, s.b));
    ck_assert_ptr_eq(s.l.core->inherit.importing[310], lab_node(&s.l, s.b));
    ck_assert(!cluster_print_open(s.l.core, &text)); /* a replica has none to tell */
    buf_free(&text);
    lab_close(&l);
    lab_close(&s.l);
}
END_TEST

/* The slot is imported here from a, whose replica r takes over. */
START_TEST(update_rule__marks_follow_a_failover_of_the_other_side)
{
    for (int demoted_first = 0; demoted_first < 2; demoted_first++) {
        struct lab l;
        struct peer *a, *r;

        lab_open(&l);
        lab_reply(&l, CLUSTER_CMD_ADDSLOTSRANGE, "0 99");
        a = lab_peer(&l, 0, 'a', 5, 100, 199);
        r = lab_peer(&l, 1, 'b', 0, -1, -1);
        r->master = a;
        lab_say(&l, r, CODEC_PING);
        ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "150 importing " A40), "OK");
        ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "50 migrating " A40), "OK");
        r->master = NULL;
        if (demoted_first) {
            a->master = r;
            lab_say(&l, a, CODEC_PING);
            ck_assert_ptr_null(l.core->owner[150]);
        }
        r->config_epoch = r->current_epoch = 9;
        memcpy(r->slots, a->slots, sizeof r->slots);
        lab_say(&l, r, CODEC_PING);
        ck_assert_ptr_eq(l.core->owner[150], lab_node(&l, r));
        ck_assert_ptr_eq(l.core->importing[150], lab_node(&l, r));
        ck_assert_ptr_eq(l.core->migrating[50], lab_node(&l, r));
        lab_close(&l);
    }
}
END_TEST

START_TEST(ranges__other_text_is_refused)
{
    static const char *const wrong[] = {"", ",", "1,", ",1", "1-", "-1", "2-1", "16384", "1-16384", "1;2", "1 2", "x", "1--2", "1-2-3"};
    uint8_t bits[SLOT_BYTES] = {0};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(!ranges_parse(slice_str(wrong[i]), bits), "%s", wrong[i]);
    ck_assert(ranges_parse(SLICE_LITERAL("0,7-9,16383"), bits));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, inherit__who_is_promoted_has_its_masters_marks);
    tcase_add_test(tests, inherit__keys_of_a_claimed_slot_that_the_master_moves_are_kept);
    tcase_add_test(tests, inherit__marks_end_when_the_master_says_so);
    tcase_add_test(tests, inherit__marks_survive_a_restart_of_the_replica);
    tcase_add_test(tests, inherit__what_a_master_says_is_what_its_replica_reads);
    tcase_add_test(tests, update_rule__marks_follow_a_failover_of_the_other_side);
    tcase_add_test(tests, ranges__other_text_is_refused);
    return suite_run("inherit", tests);
}
