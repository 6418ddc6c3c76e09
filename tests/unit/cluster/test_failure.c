/*
 * test_failure.c - PFAIL, reports, FAIL and back; cluster_state and its delays.
 */
#include "lab.h"
#include "tests/unit/suite.h"

#include <stdlib.h>

struct scene {
    struct lab l;
    struct peer *a, *b, *sick;
};

/* Four masters that cover all slots; `sick` stops answering at the end. */
static void scene_open(struct scene *s)
{
    lab_open(&s->l);
    lab_reply(&s->l, CLUSTER_CMD_ADDSLOTSRANGE, "0 99");
    s->a = lab_peer(&s->l, 0, 'a', 1, 100, 199);
    s->b = lab_peer(&s->l, 1, 'b', 2, 200, 299);
    s->sick = lab_peer(&s->l, 2, 'c', 3, 300, SLOTS - 1);
}

static void alive(struct scene *s, msec_t ms, bool with_sick)
{
    struct peer *peers[] = {s->a, s->b, s->sick};

    lab_ticks_alive(&s->l, ms, peers, with_sick ? 3 : 2);
}

static struct node *sick(struct scene *s)
{
    return lab_node(&s->l, s->sick);
}

START_TEST(pfail__after_a_ping_unanswered_for_the_timeout)
{
    struct scene s;

    scene_open(&s);
    alive(&s, LAB_TIMEOUT_MS, false);
    ck_assert(!node_is(sick(&s), NODE_PFAIL));
    ck_assert_int_ne(sick(&s)->ping_sent, 0);
    alive(&s, LAB_TIMEOUT_MS, false);
    ck_assert(node_is(sick(&s), NODE_PFAIL));
    ck_assert(!node_is(sick(&s), NODE_FAIL));
    ck_assert(!node_is(lab_node(&s.l, s.a), NODE_PFAIL));
    lab_close(&s.l);
}
END_TEST

/* Whether the last step sent this peer a PING that gossips about the sick node as PFAIL. */
static bool told_pfail(struct scene *s, const struct peer *p)
{
    const struct cluster_action *a;

    for (unsigned n = 0; (a = lab_sent(&s->l, CODEC_PING, n)) != NULL; n++) {
        struct codec_header h;
        struct codec_gossip g;

        codec_read_header(a->bytes, &h);
        for (unsigned i = 0; a->link == p->out && i < h.count; i++)
            if (codec_read_gossip(a->bytes, i, &g) && strcmp(g.id, s->sick->id) == 0 && (g.flags & NODE_PFAIL) != 0)
                return true;
    }
    return false;
}

START_TEST(pfail__is_told_to_all_masters_at_once)
{
    struct scene s;

    scene_open(&s);
    for (;;) {
        lab_ticks(&s.l, CLUSTER_TICK_MS);
        if (node_is(sick(&s), NODE_PFAIL))
            break;
        if (lab_node(&s.l, s.a)->ping_sent != 0)
            lab_pong(&s.l, s.a);
        if (lab_node(&s.l, s.b)->ping_sent != 0)
            lab_pong(&s.l, s.b);
    }
    ck_assert(told_pfail(&s, s.a));
    ck_assert(told_pfail(&s, s.b));
    lab_close(&s.l);
}
END_TEST

START_TEST(pfail__waits_for_what_came_while_this_node_stood_still)
{
    struct scene s;

    scene_open(&s);
    lab_ticks(&s.l, LAB_TIMEOUT_MS / 2);
    ck_assert(lab_node(&s.l, s.a)->ping_sent != 0 && lab_node(&s.l, s.b)->ping_sent != 0 && sick(&s)->ping_sent != 0);
    lab_say_gossip(&s.l, s.a, s.b, NODE_MASTER | NODE_PFAIL);
    s.l.now += 3 * LAB_TIMEOUT_MS; /* stopped; the PONGs are in the socket */
    lab_ticks(&s.l, CLUSTER_TICK_MS);
    ck_assert(!node_is(sick(&s), NODE_PFAIL) && !node_is(lab_node(&s.l, s.b), NODE_PFAIL | NODE_FAIL));
    ck_assert_ptr_nonnull(lab_node(&s.l, s.a)->out);
    lab_pong(&s.l, s.a);
    lab_pong(&s.l, s.b);
    lab_ticks(&s.l, CLUSTER_TICK_MS);
    ck_assert(node_is(sick(&s), NODE_PFAIL));
    ck_assert(!node_is(lab_node(&s.l, s.a), NODE_PFAIL) && !node_is(lab_node(&s.l, s.b), NODE_PFAIL | NODE_FAIL));
    s.l.now += 3 * LAB_TIMEOUT_MS;
    lab_ticks(&s.l, CLUSTER_TICK_MS);
    s.l.now += 3 * LAB_TIMEOUT_MS; /* and again: who is starved judges all the same */
    lab_ticks(&s.l, CLUSTER_TICK_MS);
    ck_assert(node_is(lab_node(&s.l, s.a), NODE_PFAIL));
    lab_close(&s.l);
}
END_TEST

START_TEST(pfail__clears_at_any_pong)
{
    struct scene s;

    scene_open(&s);
    alive(&s, 2 * LAB_TIMEOUT_MS, false);
    ck_assert(node_is(sick(&s), NODE_PFAIL));
    s.sick->out = sick(&s)->out->id;
    lab_step(&s.l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_UP, .link = s.sick->out});
    lab_pong(&s.l, s.sick);
    ck_assert(!node_is(sick(&s), NODE_PFAIL));
    lab_close(&s.l);
}
END_TEST

START_TEST(fail__needs_the_majority_of_masters_and_is_broadcast)
{
    struct scene s;

    scene_open(&s);
    alive(&s, 2 * LAB_TIMEOUT_MS, false);
    lab_say_gossip(&s.l, s.a, s.sick, NODE_MASTER | NODE_PFAIL);
    ck_assert(!node_is(sick(&s), NODE_FAIL)); /* two of four */
    lab_say_gossip(&s.l, s.b, s.sick, NODE_MASTER | NODE_PFAIL);
    ck_assert(node_is(sick(&s), NODE_FAIL));
    ck_assert(!node_is(sick(&s), NODE_PFAIL));
    ck_assert_ptr_nonnull(lab_sent(&s.l, CODEC_FAIL, 1));
    lab_close(&s.l);
}
END_TEST

START_TEST(fail__reports_that_came_first_count_at_the_moment_of_pfail)
{
    struct scene s;

    scene_open(&s);
    alive(&s, LAB_TIMEOUT_MS, false);
    lab_say_gossip(&s.l, s.a, s.sick, NODE_MASTER | NODE_PFAIL);
    lab_say_gossip(&s.l, s.b, s.sick, NODE_MASTER | NODE_PFAIL);
    ck_assert(!node_is(sick(&s), NODE_FAIL));
    alive(&s, LAB_TIMEOUT_MS, false);
    ck_assert(node_is(sick(&s), NODE_FAIL));
    lab_close(&s.l);
}
END_TEST

START_TEST(reports__are_counted_withdrawn_and_expire_after_two_timeouts)
{
    struct scene s;

    scene_open(&s);
    lab_say_gossip(&s.l, s.a, s.sick, NODE_MASTER | NODE_PFAIL);
    lab_say_gossip(&s.l, s.a, s.sick, NODE_MASTER | NODE_FAIL);
    lab_say_gossip(&s.l, s.b, s.sick, NODE_MASTER | NODE_PFAIL);
    ck_assert_str_eq(lab_reply(&s.l, CLUSTER_CMD_COUNT_FAILURE_REPORTS, s.sick->id), "2");
    lab_say_gossip(&s.l, s.b, s.sick, NODE_MASTER);
    ck_assert_str_eq(lab_reply(&s.l, CLUSTER_CMD_COUNT_FAILURE_REPORTS, s.sick->id), "1");
    s.l.now += 2 * LAB_TIMEOUT_MS + 1;
    ck_assert_str_eq(lab_reply(&s.l, CLUSTER_CMD_COUNT_FAILURE_REPORTS, s.sick->id), "0");
    lab_close(&s.l);
}
END_TEST

START_TEST(reports__of_replicas_do_not_count)
{
    struct scene s;
    struct peer *replica;

    scene_open(&s);
    replica = lab_peer(&s.l, 3, 'd', 0, -1, 0);
    replica->master = s.a;
    lab_say(&s.l, replica, CODEC_PING);
    lab_say_gossip(&s.l, replica, s.sick, NODE_MASTER | NODE_FAIL);
    ck_assert_str_eq(lab_reply(&s.l, CLUSTER_CMD_COUNT_FAILURE_REPORTS, s.sick->id), "0");
    lab_close(&s.l);
}
END_TEST

START_TEST(fail_message__is_believed_but_not_about_myself)
{
    struct scene s;
    struct peer me = {0};

    scene_open(&s);
    memcpy(me.id, cluster_my_id(s.l.core), sizeof me.id);
    lab_say_fail(&s.l, s.a, &me);
    ck_assert(!node_is(s.l.core->myself, NODE_FAIL));
    lab_say_fail(&s.l, s.a, s.sick);
    ck_assert(node_is(sick(&s), NODE_FAIL));
    lab_close(&s.l);
}
END_TEST

START_TEST(fail__of_a_master_with_slots_clears_only_after_two_timeouts)
{
    struct scene s;

    scene_open(&s);
    lab_say_fail(&s.l, s.a, s.sick);
    lab_pong(&s.l, s.sick);
    ck_assert(node_is(sick(&s), NODE_FAIL));
    s.l.now += 2 * LAB_TIMEOUT_MS;
    lab_pong(&s.l, s.sick);
    ck_assert(node_is(sick(&s), NODE_FAIL));
    s.l.now += 1;
    lab_pong(&s.l, s.sick);
    ck_assert(!node_is(sick(&s), NODE_FAIL));
    lab_close(&s.l);
}
END_TEST

START_TEST(fail__of_a_replica_clears_at_the_first_pong)
{
    struct scene s;
    struct peer *replica;

    scene_open(&s);
    replica = lab_peer(&s.l, 3, 'd', 0, -1, 0);
    replica->master = s.a;
    lab_say(&s.l, replica, CODEC_PING);
    lab_say_fail(&s.l, s.a, replica);
    ck_assert(node_is(lab_node(&s.l, replica), NODE_FAIL));
    lab_pong(&s.l, replica);
    ck_assert(!node_is(lab_node(&s.l, replica), NODE_FAIL));
    lab_close(&s.l);
}
END_TEST

START_TEST(link__that_stays_silent_is_made_anew_before_the_node_counts_as_failing)
{
    struct scene s;
    link_t first;

    scene_open(&s);
    first = s.sick->out;
    while (sick(&s)->out != NULL && sick(&s)->out->id == first)
        alive(&s, CLUSTER_TICK_MS, false);
    ck_assert(!node_is(sick(&s), NODE_PFAIL));
    ck_assert_int_ne(sick(&s)->ping_sent, 0);
    lab_close(&s.l);
}
END_TEST

START_TEST(link__that_cannot_be_made_counts_as_an_unanswered_ping)
{
    struct scene s;

    scene_open(&s);
    lab_step(&s.l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_DOWN, .link = s.sick->out});
    for (int i = 0; i < LAB_TIMEOUT_MS / CLUSTER_TICK_MS + 2; i++) {
        alive(&s, CLUSTER_TICK_MS, false);
        if (sick(&s)->out != NULL)
            lab_step(&s.l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_FAILED, .link = sick(&s)->out->id});
    }
    ck_assert(node_is(sick(&s), NODE_PFAIL));
    lab_close(&s.l);
}
END_TEST

/* ---- cluster_state ---- */

START_TEST(state__turns_ok_two_seconds_after_the_start_when_all_slots_are_covered)
{
    struct scene s;
    msec_t from;

    scene_open(&s);
    while (!cluster_is_ok(s.l.core)) {
        ck_assert_int_lt(s.l.now, LAB_START + 10000);
        alive(&s, CLUSTER_TICK_MS, true);
    }
    from = s.l.core->minority_time + LAB_TIMEOUT_MS; /* alone at first, it was a minority */
    ck_assert_int_ge(s.l.now, LAB_START + STARTUP_DELAY_MS);
    ck_assert_int_ge(s.l.now, from);
    ck_assert_int_le(s.l.now, (from > LAB_START + STARTUP_DELAY_MS ? from : LAB_START + STARTUP_DELAY_MS) + 100);
    lab_close(&s.l);
}
END_TEST

START_TEST(state__fails_with_a_failed_owner_but_not_with_a_possibly_failed_one)
{
    struct scene s;

    scene_open(&s);
    alive(&s, 6000, true);
    ck_assert(cluster_is_ok(s.l.core));
    alive(&s, 2 * LAB_TIMEOUT_MS, false);
    ck_assert(node_is(sick(&s), NODE_PFAIL));
    ck_assert(cluster_is_ok(s.l.core));
    lab_say_fail(&s.l, s.a, s.sick);
    ck_assert(!cluster_is_ok(s.l.core));
    ck_assert_ptr_nonnull(lab_action(&s.l, CLUSTER_STATE, 0));
    ck_assert(!lab_action(&s.l, CLUSTER_STATE, 0)->ok);
    lab_close(&s.l);
}
END_TEST

START_TEST(state__fails_in_a_minority_and_comes_back_after_a_delay)
{
    struct scene s;
    msec_t back;

    scene_open(&s);
    alive(&s, 6000, true);
    lab_ticks(&s.l, 2 * LAB_TIMEOUT_MS);
    ck_assert(!cluster_is_ok(s.l.core));
    for (size_t i = 1; i < s.l.core->node_count; i++) { /* all are heard again */
        struct node *n = s.l.core->nodes[i];
        struct peer *p = memcmp(n->id, s.a->id, 40) == 0 ? s.a : memcmp(n->id, s.b->id, 40) == 0 ? s.b : s.sick;

        p->out = n->out->id;
        lab_step(&s.l, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_UP, .link = p->out});
        lab_pong(&s.l, p);
    }
    back = s.l.now;
    ck_assert(!cluster_is_ok(s.l.core));
    while (!cluster_is_ok(s.l.core))
        alive(&s, CLUSTER_TICK_MS, true);
    ck_assert_int_ge(s.l.now, back + LAB_TIMEOUT_MS);
    ck_assert_int_le(s.l.now, back + LAB_TIMEOUT_MS + 200);
    lab_close(&s.l);
}
END_TEST

START_TEST(state__without_full_coverage_only_a_majority_is_needed)
{
    struct scene s;
    struct cluster_config config;

    scene_open(&s);
    lab_reply(&s.l, CLUSTER_CMD_DELSLOTS, "5");
    alive(&s, 6000, true);
    ck_assert(!cluster_is_ok(s.l.core));
    config = s.l.core->config;
    config.require_full_coverage = false;
    lab_step(&s.l, &(struct cluster_event){.type = CLUSTER_EVENT_CONFIG, .config = &config});
    ck_assert(cluster_is_ok(s.l.core));
    lab_close(&s.l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, pfail__after_a_ping_unanswered_for_the_timeout);
    tcase_add_test(tests, pfail__is_told_to_all_masters_at_once);
    tcase_add_test(tests, pfail__waits_for_what_came_while_this_node_stood_still);
    tcase_add_test(tests, pfail__clears_at_any_pong);
    tcase_add_test(tests, fail__needs_the_majority_of_masters_and_is_broadcast);
    tcase_add_test(tests, fail__reports_that_came_first_count_at_the_moment_of_pfail);
    tcase_add_test(tests, reports__are_counted_withdrawn_and_expire_after_two_timeouts);
    tcase_add_test(tests, reports__of_replicas_do_not_count);
    tcase_add_test(tests, fail_message__is_believed_but_not_about_myself);
    tcase_add_test(tests, fail__of_a_master_with_slots_clears_only_after_two_timeouts);
    tcase_add_test(tests, fail__of_a_replica_clears_at_the_first_pong);
    tcase_add_test(tests, link__that_stays_silent_is_made_anew_before_the_node_counts_as_failing);
    tcase_add_test(tests, link__that_cannot_be_made_counts_as_an_unanswered_ping);
    tcase_add_test(tests, state__turns_ok_two_seconds_after_the_start_when_all_slots_are_covered);
    tcase_add_test(tests, state__fails_with_a_failed_owner_but_not_with_a_possibly_failed_one);
    tcase_add_test(tests, state__fails_in_a_minority_and_comes_back_after_a_delay);
    tcase_add_test(tests, state__without_full_coverage_only_a_majority_is_needed);
    return suite_run("failure", tests);
}
