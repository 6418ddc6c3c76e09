/*
 * test_zset.c - sorted sets: ranges by bytes, error texts, encodings, what is logged, set algebra, pops.
 */
#include "tests/unit/engine/runner.h"
#include "tests/unit/suite.h"

#include "engine/type/zset.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct harness *h, *other;

static void setup(void)
{
    h = harness_open(64 << 20);
    other = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(h);
    harness_close(other);
    run_protocol(2);
}

static const char *runf(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *runf(const char *format, ...)
{
    static char line[65536];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return run(h, line);
}

#define IS(reply, ...) ck_assert_str_eq(runf(__VA_ARGS__), (reply))

/* ---- Single cases ---- */

/* Members m000 ... with one score or rising ones; count decides the form. */
static void fill(const char *key, int count, bool rising)
{
    for (int i = 0; i < count; i++)
        runf("ZADD %s %d m%03d", key, rising ? i : 0, i);
}

static const char *logged(void)
{
    static char text[65536];

    snprintf(text, sizeof text, "%s", harness_text(h));
    harness_text_clear(h);
    return text;
}

START_TEST(zset__ranges_by_bytes_are_the_same_in_both_forms)
{
    for (int count = 20; count <= 220; count += 200) {
        const char *key = count == 20 ? "small" : "large";

        fill(key, count, false);
        IS("*3 $4 m005 $4 m006 $4 m007", "ZRANGEBYLEX %s [m005 (m008", key);
        IS("*2 $4 m006 $4 m007", "ZRANGE %s (m005 [m007 BYLEX", key);
        IS("*2 $4 m007 $4 m006", "ZRANGE %s [m007 (m005 BYLEX REV", key);
        IS("*2 $4 m001 $4 m000", "ZREVRANGEBYLEX %s (m002 -", key);
        IS("*2 $4 m001 $4 m002", "ZRANGEBYLEX %s - + LIMIT 1 2", key);
        IS("*0", "ZRANGEBYLEX %s + -", key);
        IS("*0", "ZRANGEBYLEX %s [m005 (m005", key);
        IS(count == 20 ? ":20" : ":220", "ZLEXCOUNT %s - +", key);
        IS(":5", "ZLEXCOUNT %s - (m005", key);
        IS(":2", "ZREMRANGEBYLEX %s [m003 (m005", key);
        IS("*3 $4 m002 $4 m005 $4 m006", "ZRANGEBYLEX %s [m002 [m006", key);
        IS("-ERR min or max not valid string range item", "ZRANGEBYLEX %s m1 +", key);
    }
}
END_TEST

START_TEST(zset__options_that_exclude_each_other_are_refused_in_redis_words)
{
    runf("SET s x");
    IS("-ERR XX and NX options at the same time are not compatible", "ZADD z NX XX 1 a");
    IS("-ERR GT, LT, and/or NX options at the same time are not compatible", "ZADD z GT LT 1 a");
    IS("-ERR GT, LT, and/or NX options at the same time are not compatible", "ZADD z NX GT 1 a");
    IS("-ERR INCR option supports a single increment-element pair", "ZADD z INCR 1 a 2 b");
    IS("-ERR syntax error", "ZADD z 1 a 2");
    IS("-ERR syntax error", "ZADD z NX CH");
    IS("-ERR value is not a valid float", "ZADD z 1 a nan b");
    IS(":0", "ZCARD z");
    IS("-WRONGTYPE Operation against a key holding the wrong kind of value", "ZADD s 1 a");
    IS("-ERR min or max is not a float", "ZCOUNT z a 1");
    IS("-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
       "ZRANGE z 0 1 LIMIT 0 1");
    IS("-ERR syntax error, WITHSCORES not supported in combination with BYLEX", "ZRANGE z - + BYLEX WITHSCORES");
    IS("-ERR syntax error", "ZRANGEBYSCORE z 0 1 REV");
    IS("-ERR at least 1 input key is needed for 'zunion' command", "ZUNION 0 a");
    IS("-ERR syntax error", "ZUNION 2 a");
    IS("-ERR weight value is not a float", "ZUNION 1 z WEIGHTS x");
    IS("-ERR numkeys should be greater than 0", "ZMPOP 0 z MIN");
    IS("-ERR count should be greater than 0", "ZMPOP 1 z MIN COUNT 0");
    IS("-ERR value is out of range, must be positive", "ZPOPMIN z -1");
    IS("-ERR LIMIT can't be negative", "ZINTERCARD 1 z LIMIT -1");
    IS("-ERR timeout is negative", "BZPOPMIN z -1");
}
END_TEST

START_TEST(zset__129_members_or_65_bytes_make_a_skiplist_for_good)
{
    char member[66];

    fill("z", 128, true);
    IS("$8 listpack", "object|encoding - z");
    runf("ZADD z 1 x");
    IS("$8 skiplist", "object|encoding - z");
    runf("ZREM z x");
    IS("$8 skiplist", "object|encoding - z");
    memset(member, 'x', 65);
    member[65] = '\0';
    runf("ZADD y 1 %.64s", member);
    IS("$8 listpack", "object|encoding - y");
    runf("ZADD y 1 %s", member);
    IS("$8 skiplist", "object|encoding - y");
}
END_TEST

START_TEST(zset__what_is_computed_or_about_several_keys_is_logged_as_its_result)
{
    IS(":2", "ZADD z 1 a 2 b");
    ck_assert_str_eq(logged(), "ZADD z 1 a 2 b|");
    IS("$3 1.5", "ZINCRBY z 0.5 a");
    ck_assert_str_eq(logged(), "ZADD z 1.5 a|");
    IS("$1 3", "ZADD z XX INCR 1 b");
    ck_assert_str_eq(logged(), "ZADD z 3 b|");
    IS("$-1", "ZADD z NX INCR 1 b");
    IS(":0", "ZADD z XX 1 none");
    IS("$1 3", "ZINCRBY z 0 b");
    IS(":0", "ZADD z 3 b");
    ck_assert_str_eq(logged(), "");
    runf("ZADD z 4 c");
    logged();
    IS("*2 $1 z *1 *2 $1 a $3 1.5", "ZMPOP 2 none z MIN");
    ck_assert_str_eq(logged(), "ZPOPMIN z 1|");
    IS("*3 $1 z $1 c $1 4", "BZPOPMAX none z 1");
    ck_assert_str_eq(logged(), "ZPOPMAX z|");
    IS("*2 $1 z *1 *2 $1 b $1 3", "ZMPOP 1 z MAX COUNT 9");
    ck_assert_str_eq(logged(), "DEL z|");
    IS("*-1", "ZMPOP 1 z MAX");
    runf("ZADD z 1 a");
    logged();
    IS(":1", "ZREM z a b");
    ck_assert_str_eq(logged(), "DEL z|");
}
END_TEST

START_TEST(zset__stored_results_replace_any_key_and_are_logged_as_pairs)
{
    runf("ZADD a 1 x 2 y");
    runf("ZADD b 10 y 20 z");
    runf("SADD s x w");
    runf("SET d text");
    logged();
    IS(":4", "ZUNIONSTORE d 3 a b s WEIGHTS 1 2 3");
    ck_assert_str_eq(logged(), "MULTI|DEL d|ZADD d 3 w 4 x 22 y 40 z|EXEC|");
    IS(":1", "ZINTERSTORE d 2 a b AGGREGATE MAX");
    ck_assert_str_eq(logged(), "MULTI|DEL d|ZADD d 10 y|EXEC|");
    IS(":1", "ZDIFFSTORE a 2 a s");
    ck_assert_str_eq(logged(), "MULTI|DEL a|ZADD a 2 y|EXEC|");
    IS(":2", "ZRANGESTORE e b 0 -1 REV");
    ck_assert_str_eq(logged(), "ZADD e 10 y 20 z|");
    IS(":0", "ZRANGESTORE e b 5 9 BYSCORE");
    ck_assert_str_eq(logged(), "DEL e|");
    IS("*2 $1 w $1 x", "ZDIFF 2 s a");
    IS("*2 $1 y $2 12", "ZINTER 2 a b WITHSCORES");
    IS(":1", "ZINTERCARD 2 a b LIMIT 3");
}
END_TEST

START_TEST(zset__a_large_stored_result_is_logged_in_pieces_and_rebuilt_elsewhere)
{
    char *here;

    for (int i = 0; i < 1500; i++)
        runf("ZADD a %d.5 m%d", i * 7 % 300, i);
    run_effects(h, other);
    IS(":1500", "ZUNIONSTORE b 1 a");
    ck_assert(strncmp(harness_text(h), "MULTI|ZADD b ", 13) == 0);
    run_effects(h, other);
    harness_cool(h);
    h->may_wait = false;
    ck_assert_str_eq(run(h, "ZCARD b"), ":1500");
    here = strdup(run(h, "ZRANGE b 0 -1 WITHSCORES"));
    ck_assert_str_eq(run(other, "ZRANGE b 0 -1 WITHSCORES"), here);
    free(here);
}
END_TEST

START_TEST(zset__union_of_infinities_and_weight_zero_gives_zero)
{
    runf("ZADD a inf x");
    runf("ZADD b -inf x");
    IS("*2 $1 x $1 0", "ZUNION 2 a b WITHSCORES");
    IS("*2 $1 x $1 0", "ZUNION 1 a WEIGHTS 0 WITHSCORES");
    IS("-ERR resulting score is not a number (NaN)", "ZINCRBY a -inf x");
    runf("ZADD c 5 x");
    IS("*2 $1 x $1 5", "ZINTER 2 c a WEIGHTS 1 0 AGGREGATE MIN WITHSCORES"); /* what is no number does not count here */
    IS("*2 $1 x $1 0", "ZUNION 2 c a WEIGHTS 1 0 AGGREGATE MIN WITHSCORES");
    IS("*2 $1 x $3 inf", "ZRANGE a (5 +inf BYSCORE WITHSCORES");
    IS("*0", "ZRANGE a 5 (inf BYSCORE");
}
END_TEST

START_TEST(zset__taking_from_either_end_of_a_big_one_gives_the_order_and_then_nothing)
{
    fill("z", 500, true);
    harness_cool(h);
    h->may_wait = false;
    for (int i = 0; i < 250; i++) {
        char low[64], high[64];

        snprintf(low, sizeof low, "*2 $4 m%03d $%d %d", i, snprintf(NULL, 0, "%d", i), i);
        snprintf(high, sizeof high, "*2 $4 m%03d $3 %d", 499 - i, 499 - i);
        ck_assert_str_eq(run(h, "ZPOPMIN z"), low);
        ck_assert_str_eq(run(h, "ZPOPMAX z"), high);
        if (i == 100) { /* in front of and behind what was taken */
            runf("ZADD z -5 first 900 last");
            ck_assert_str_eq(run(h, "ZPOPMIN z"), "*2 $5 first $2 -5");
            ck_assert_str_eq(run(h, "ZRANGE z -1 -1"), "*1 $4 last");
            ck_assert_str_eq(run(h, "ZPOPMAX z"), "*2 $4 last $3 900");
        }
    }
    ck_assert_str_eq(run(h, "ZPOPMIN z"), "*0");
    ck_assert_str_eq(run(h, "EXISTS z"), ":0");
    run_effects(h, other);
    ck_assert_str_eq(run(other, "EXISTS z"), ":0");
}
END_TEST

/* The form of key "z", and under which id its rows are. */
static enum obj_form form(uint64_t *id)
{
    struct txn *t = harness_begin(h, "z", NULL);
    struct obj *o = NULL;
    enum obj_form form;

    ck_assert_int_eq(txn_read(t, slice_str("z"), OBJ_ZSET, &o), OK);
    form = (enum obj_form)o->form;
    *id = form == OBJ_BIG ? obj_big_get(o).id : 0;
    harness_end(h);
    return form;
}

START_TEST(zset__a_big_one_whose_scores_changed_often_is_written_anew_and_stays_the_same)
{
    uint64_t before, after;

    fill("z", 200, true);
    runf("PEXPIREAT z 1800000000000");
    ck_assert_int_eq(form(&before), OBJ_BIG);
    for (int i = 0; i < 3000; i++)
        runf("ZINCRBY z 200 m%03d", i % 200);
    ck_assert_int_eq(form(&after), OBJ_BIG);
    ck_assert_uint_ne(before, after);
    IS(":200", "ZCARD z");
    IS("*4 $4 m000 $4 3000 $4 m001 $4 3001", "ZRANGE z 0 1 WITHSCORES");
    IS("*4 $4 m199 $4 3199 $4 m198 $4 3198", "ZREVRANGE z 0 1 WITHSCORES");
    IS("*2 :77 $4 3077", "ZRANK z m077 WITHSCORE");
    IS("*2 :12 $4 3187", "ZREVRANK z m187 WITHSCORE");
    IS(":1800000000000", "PEXPIRETIME z");
    harness_cool(h);
    IS("*4 $4 m000 $4 3000 $4 m001 $4 3001", "ZRANGE z 0 1 WITHSCORES");
    IS("$4 3150", "ZSCORE z m150");
    run_effects(h, other);
    ck_assert_str_eq(run(other, "ZREVRANGE z 0 1 WITHSCORES"), "*4 $4 m199 $4 3199 $4 m198 $4 3198");
}
END_TEST

START_TEST(zset__a_big_one_that_has_shrunk_is_packed_again_and_keeps_its_expiry_and_encoding)
{
    uint64_t id;

    fill("z", 200, true);
    runf("PEXPIREAT z 1800000000000");
    IS(":190", "ZREMRANGEBYRANK z 5 194");
    ck_assert_int_eq(form(&id), OBJ_BIG);
    harness_cool(h);
    IS(":2", "ZREM z m000 m199");
    ck_assert_int_eq(form(&id), OBJ_PACKED);
    IS("*8 $4 m001 $4 m002 $4 m003 $4 m004 $4 m195 $4 m196 $4 m197 $4 m198", "ZRANGE z 0 -1");
    IS("$8 skiplist", "object|encoding - z");
    IS(":1800000000000", "PEXPIRETIME z");
    run_effects(h, other);
    ck_assert_str_eq(run(other, "ZRANGE z (4 (196 BYSCORE"), "*1 $4 m195");
    h->now_ms = 1800000000000;
    IS(":0", "EXISTS z");
}
END_TEST

/* What a client gets in RESP2 and in RESP3. */
static const struct {
    const char *line, *two, *three;
} shapes[] = {
    {"ZSCORE z a", "$3 1.5", ",1.5"},
    {"ZSCORE z none", "$-1", "_"},
    {"ZMSCORE z a none", "*2 $3 1.5 $-1", "*2 ,1.5 _"},
    {"ZADD z INCR 0 a", "$3 1.5", ",1.5"},
    {"ZADD z NX INCR 1 a", "$-1", "_"},
    {"ZINCRBY z 0 i", "$3 inf", ",inf"},
    {"ZRANK z b", ":1", ":1"},
    {"ZRANK z none", "$-1", "_"},
    {"ZREVRANK z a WITHSCORE", "*2 :2 $3 1.5", "*2 :2 ,1.5"},
    {"ZRANK z none WITHSCORE", "*-1", "_"},
    {"ZRANGE z 0 1", "*2 $1 a $1 b", "*2 $1 a $1 b"},
    {"ZRANGE z 0 1 WITHSCORES", "*4 $1 a $3 1.5 $1 b $1 2", "*2 *2 $1 a ,1.5 *2 $1 b ,2"},
    {"ZRANGEBYSCORE z 2 5 WITHSCORES", "*2 $1 b $1 2", "*1 *2 $1 b ,2"},
    {"ZREVRANGE none 0 -1 WITHSCORES", "*0", "*0"},
    {"ZUNION 1 z WITHSCORES", "*6 $1 a $3 1.5 $1 b $1 2 $1 i $3 inf", "*3 *2 $1 a ,1.5 *2 $1 b ,2 *2 $1 i ,inf"},
    {"ZINTER 2 z z", "*3 $1 a $1 b $1 i", "*3 $1 a $1 b $1 i"},
    {"ZDIFF 2 z none WITHSCORES", "*6 $1 a $3 1.5 $1 b $1 2 $1 i $3 inf", "*3 *2 $1 a ,1.5 *2 $1 b ,2 *2 $1 i ,inf"},
    {"ZRANDMEMBER one", "$1 q", "$1 q"},
    {"ZRANDMEMBER none", "$-1", "_"},
    {"ZRANDMEMBER one -2 WITHSCORES", "*4 $1 q $1 7 $1 q $1 7", "*2 *2 $1 q ,7 *2 $1 q ,7"},
    {"ZRANDMEMBER none 2", "*0", "*0"},
    {"ZSCAN z 0 MATCH [ab]", "*2 $1 0 *4 $1 a $3 1.5 $1 b $1 2", "*2 $1 0 *4 $1 a $3 1.5 $1 b $1 2"},
    {"ZSCAN none 0", "*2 $1 0 *0", "*2 $1 0 *0"},
    {"ZPOPMIN none", "*0", "*0"},
    {"ZMPOP 1 none MIN", "*-1", "_"},
    {"ZPOPMIN p", "*2 $1 a $1 1", "*2 $1 a ,1"},
    {"ZPOPMAX p", "*2 $1 d $1 4", "*2 $1 d ,4"},
    {"ZPOPMIN p 1", "*2 $1 b $1 2", "*1 *2 $1 b ,2"},
    {"ZMPOP 1 p MIN COUNT 5", "*2 $1 p *1 *2 $1 c $1 3", "*2 $1 p *1 *2 $1 c ,3"},
    {"BZPOPMIN r 1", "*3 $1 r $1 a $1 1", "*3 $1 r $1 a ,1"},
    {"BZMPOP 1 1 r MAX", "*2 $1 r *1 *2 $1 b $1 2", "*2 $1 r *1 *2 $1 b ,2"},
};

START_TEST(zset__replies_have_the_shapes_of_either_protocol)
{
    for (int protocol = 2; protocol <= 3; protocol++) {
        run_protocol(protocol);
        runf("ZADD z 1.5 a 2 b inf i");
        runf("ZADD one 7 q");
        runf("ZADD p 1 a 2 b 3 c 4 d");
        runf("ZADD r 1 a 2 b");
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            const char *want = protocol == 2 ? shapes[i].two : shapes[i].three, *got = run(h, shapes[i].line);

            ck_assert_msg(strcmp(got, want) == 0, "RESP%d %s\n got %s\nwant %s", protocol, shapes[i].line, got, want);
        }
    }
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("zset");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, zset__ranges_by_bytes_are_the_same_in_both_forms);
    tcase_add_test(c, zset__options_that_exclude_each_other_are_refused_in_redis_words);
    tcase_add_test(c, zset__129_members_or_65_bytes_make_a_skiplist_for_good);
    tcase_add_test(c, zset__what_is_computed_or_about_several_keys_is_logged_as_its_result);
    tcase_add_test(c, zset__stored_results_replace_any_key_and_are_logged_as_pairs);
    tcase_add_test(c, zset__a_large_stored_result_is_logged_in_pieces_and_rebuilt_elsewhere);
    tcase_add_test(c, zset__union_of_infinities_and_weight_zero_gives_zero);
    tcase_add_test(c, zset__taking_from_either_end_of_a_big_one_gives_the_order_and_then_nothing);
    tcase_add_test(c, zset__a_big_one_whose_scores_changed_often_is_written_anew_and_stays_the_same);
    tcase_add_test(c, zset__a_big_one_that_has_shrunk_is_packed_again_and_keeps_its_expiry_and_encoding);
    tcase_add_test(c, zset__replies_have_the_shapes_of_either_protocol);
    return suite_run("zset", c);
}
