/*
 * test_zset.c - sorted sets: random commands against a plain model, in both forms, and what they log run elsewhere.
 */
#include "tests/unit/engine/runner.h"

#include "base/num.h"
#include "base/rng.h"
#include "engine/type/zset.h"

#include <check.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct harness *h, *other;
static struct rng rng;

static void setup(void)
{
    h = harness_open(64 << 20);
    other = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(h);
    harness_close(other);
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

static uint64_t below(uint64_t n)
{
    return rng_below(&rng, n);
}

/* ---- The model: members m0, m1 ..., kept in order ---- */

enum { MEMBERS = 600, NAME_MAX = 100 };

struct pair {
    double score;
    char member[NAME_MAX];
};

struct model {
    size_t count;
    struct pair pairs[MEMBERS];
};

static int pair_order(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;

    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return strcmp(x->member, y->member);
}

static struct pair *model_find(struct model *m, const char *member)
{
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->pairs[i].member, member) == 0)
            return &m->pairs[i];
    return NULL;
}

static void model_sort(struct model *m)
{
    qsort(m->pairs, m->count, sizeof m->pairs[0], pair_order);
}

static void model_set(struct model *m, const char *member, double score)
{
    struct pair *p = model_find(m, member);

    if (p == NULL) {
        p = &m->pairs[m->count++];
        strcpy(p->member, member);
    }
    p->score = score == 0 ? 0 : score;
    model_sort(m);
}

static void model_cut(struct model *m, size_t from, size_t count)
{
    memmove(&m->pairs[from], &m->pairs[from + count], (m->count - from - count) * sizeof m->pairs[0]);
    m->count -= count;
}

/* ---- Expected replies ---- */

static struct buf expected;

static void expect(const char *text)
{
    if (expected.size > 0)
        buf_append_byte(&expected, ' ');
    buf_append_str(&expected, text);
}

static void expect_bulk(const char *text)
{
    char head[32];

    snprintf(head, sizeof head, "$%zu", strlen(text));
    expect(head);
    expect(text);
}

static void score_text(char out[NUM_TEXT_MAX + 1], double score)
{
    out[num_format_double(out, score)] = '\0';
}

static void expect_score(double score)
{
    char text[NUM_TEXT_MAX + 1];

    score_text(text, score);
    expect_bulk(text);
}

static void expect_count(char kind, size_t count)
{
    char head[32];

    snprintf(head, sizeof head, "%c%zu", kind, count);
    expect(head);
}

static void expect_pairs(const struct model *m, size_t first, size_t count, bool reverse, bool scores)
{
    expect_count('*', scores ? 2 * count : count);
    for (size_t i = 0; i < count; i++) {
        const struct pair *p = &m->pairs[reverse ? m->count - 1 - first - i : first + i];

        expect_bulk(p->member);
        if (scores)
            expect_score(p->score);
    }
}

static void met(const char *command)
{
    const char *reply = run(h, command);

    buf_append_byte(&expected, 0);
    ck_assert_msg(strcmp(reply, (const char *)expected.data) == 0, "%s\n got %s\nwant %s", command, reply,
                  (const char *)expected.data);
    buf_clear(&expected);
}

/* ---- Random words ---- */

static double random_score(void)
{
    switch (below(12)) {
    case 0: return INFINITY;
    case 1: return -INFINITY;
    case 2: return -0.0;
    case 3: return (double)(int64_t)rng_next(&rng) / 1e9;
    default: return (double)below(20) - 8;
    }
}

static void random_member(char out[NAME_MAX], size_t members)
{
    size_t i = below(members);

    snprintf(out, NAME_MAX, i % 50 == 7 ? "m%zu%080d" : "m%zu", i, 1);
}

/* A bound: its text, its value, and whether it is exclusive. */
static double random_bound(char out[NUM_TEXT_MAX + 2], bool *exclusive)
{
    double value = random_score();

    *exclusive = below(2);
    out[0] = '(';
    score_text(out + *exclusive, value);
    return value;
}

/* ---- Steps of a random history ---- */

static void step_add(struct model *m, size_t members)
{
    static const char *const words[] = {"", "NX ", "XX ", "GT ", "LT ", "XX GT ", "XX LT ", "CH "};
    char member[NAME_MAX], text[NUM_TEXT_MAX + 1], line[512];
    size_t option = below(4) == 0 ? below(8) : 0;
    double score = random_score();
    struct pair *old;
    bool added, updated;

    random_member(member, members);
    score_text(text, score);
    old = model_find(m, member);
    added = old == NULL && strncmp(words[option], "XX", 2) != 0;
    updated = old != NULL && old->score != score && option != 1;
    if (strstr(words[option], "GT") != NULL && old != NULL)
        updated = score > old->score;
    if (strstr(words[option], "LT") != NULL && old != NULL)
        updated = score < old->score;
    if (added || updated)
        model_set(m, member, score);
    snprintf(line, sizeof line, "ZADD z %s%s %s", words[option], text, member);
    expect_count(':', option == 7 ? added || updated : added);
    met(line);
}

static void step_increment(struct model *m, size_t members)
{
    char member[NAME_MAX], text[NUM_TEXT_MAX + 1], line[512];
    double by = random_score(), sum;
    struct pair *old;

    random_member(member, members);
    score_text(text, by);
    old = model_find(m, member);
    sum = (old != NULL ? old->score : 0) + by;
    snprintf(line, sizeof line, below(2) ? "ZINCRBY z %s %s" : "ZADD z INCR %s %s", text, member);
    if (isnan(sum)) {
        expect("-ERR resulting score is not a number (NaN)");
    } else {
        model_set(m, member, sum);
        expect_score(sum == 0 ? 0 : sum);
    }
    met(line);
}

static void step_remove(struct model *m, size_t members)
{
    char member[NAME_MAX], line[512];
    struct pair *old;

    random_member(member, members);
    old = model_find(m, member);
    expect_count(':', old != NULL);
    if (old != NULL)
        model_cut(m, (size_t)(old - m->pairs), 1);
    snprintf(line, sizeof line, "ZREM z %s", member);
    met(line);
}

static void step_pop(struct model *m)
{
    size_t count = below(4), n = count < m->count ? count : m->count;
    bool highest = below(2);
    char line[64];

    snprintf(line, sizeof line, "%s z %zu", highest ? "ZPOPMAX" : "ZPOPMIN", count);
    expect_pairs(m, 0, n, highest, true);
    model_cut(m, highest ? m->count - n : 0, n);
    met(line);
}

static void step_look_up(struct model *m, size_t members)
{
    char member[NAME_MAX], line[512];
    bool reverse = below(2);
    struct pair *p;

    random_member(member, members);
    p = model_find(m, member);
    snprintf(line, sizeof line, "ZMSCORE z none %s", member);
    expect("*2 $-1");
    if (p != NULL)
        expect_score(p->score);
    else
        expect("$-1");
    met(line);
    snprintf(line, sizeof line, "%s z %s WITHSCORE", reverse ? "ZREVRANK" : "ZRANK", member);
    if (p != NULL) {
        size_t rank = (size_t)(p - m->pairs);

        expect("*2");
        expect_count(':', reverse ? m->count - 1 - rank : rank);
        expect_score(p->score);
    } else {
        expect("*-1");
    }
    met(line);
}

static size_t resolve(const struct model *m, int64_t start, int64_t stop, size_t *first)
{
    int64_t n = (int64_t)m->count;

    start = start < 0 ? start + n : start;
    stop = stop < 0 ? stop + n : stop;
    start = start < 0 ? 0 : start;
    stop = stop >= n ? n - 1 : stop;
    *first = (size_t)start;
    return start > stop ? 0 : (size_t)(stop - start) + 1;
}

static void step_ranks(struct model *m)
{
    int64_t size = (int64_t)m->count + 4, start = (int64_t)below((uint64_t)(2 * size)) - size;
    int64_t stop = below(2) ? start + (int64_t)below(6) : (int64_t)below((uint64_t)(2 * size)) - size;
    bool reverse = below(2), scores = below(2);
    size_t first, n = resolve(m, start, stop, &first);
    char line[128];

    if (start < 0 && stop >= 0 && stop < start + 6)
        return;
    snprintf(line, sizeof line, "ZRANGE z %lld %lld%s%s", (long long)start, (long long)stop, reverse ? " REV" : "",
             scores ? " WITHSCORES" : "");
    expect_pairs(m, first, n, reverse, scores);
    met(line);
    if (n > 5 || below(4) != 0)
        return;
    snprintf(line, sizeof line, "ZREMRANGEBYRANK z %lld %lld", (long long)start, (long long)stop);
    expect_count(':', n);
    if (n > 0)
        model_cut(m, first, n);
    met(line);
}

static void step_scores(struct model *m)
{
    char low[NUM_TEXT_MAX + 2], high[NUM_TEXT_MAX + 2], line[512];
    bool low_open, high_open, reverse = below(2);
    double min = random_bound(low, &low_open), max = random_bound(high, &high_open);
    size_t from = 0, to, n, offset = below(4), limit = below(6), given;

    while (from < m->count && (low_open ? m->pairs[from].score <= min : m->pairs[from].score < min))
        from++;
    for (to = from; to < m->count && (high_open ? m->pairs[to].score < max : m->pairs[to].score <= max); to++)
        ;
    n = to - from;
    snprintf(line, sizeof line, "ZCOUNT z %s %s", low, high);
    expect_count(':', n);
    met(line);
    snprintf(line, sizeof line, "ZRANGE z %s %s BYSCORE%s WITHSCORES LIMIT %zu %zu", reverse ? high : low,
             reverse ? low : high, reverse ? " REV" : "", offset, limit);
    given = offset >= n ? 0 : n - offset < limit ? n - offset : limit;
    expect_pairs(m, (reverse ? m->count - to : from) + offset, given, reverse, true);
    met(line);
    snprintf(line, sizeof line, "%s z %s %s", reverse ? "ZREVRANGEBYSCORE" : "ZRANGEBYSCORE", reverse ? high : low,
             reverse ? low : high);
    expect_pairs(m, reverse ? m->count - to : from, n, reverse, false);
    met(line);
    if (n > 12 || below(3) != 0)
        return;
    snprintf(line, sizeof line, "ZREMRANGEBYSCORE z %s %s", low, high);
    expect_count(':', n);
    if (n > 0)
        model_cut(m, from, n);
    met(line);
}

static void check_same(struct model *m)
{
    char line[64];

    snprintf(line, sizeof line, "ZRANGE z 0 -1 WITHSCORES");
    expect_pairs(m, 0, m->count, false, true);
    met(line);
    expect_pairs(m, 0, m->count, true, true);
    met("ZREVRANGE z 0 -1 WITHSCORES");
    expect_count(':', m->count);
    met("ZCARD z");
    run_effects(h, other);
    expect_pairs(m, 0, m->count, false, true);
    buf_append_byte(&expected, 0);
    ck_assert_str_eq(run(other, line), (const char *)expected.data);
    buf_clear(&expected);
}

static void random_history(uint64_t seed, size_t members, int steps)
{
    struct model *m = calloc(1, sizeof *m);

    printf("seed %llu, members %zu\n", (unsigned long long)seed, members);
    rng_seed(&rng, seed);
    for (int step = 0; step < steps; step++) {
        uint64_t kind = below(100);

        h->may_wait = below(2);
        if (kind < (step / 400 % 2 ? 30u : 60u))
            step_add(m, members);
        else if (kind < 66)
            step_increment(m, members);
        else if (kind < 76)
            step_remove(m, members);
        else if (kind < 80)
            step_pop(m);
        else if (kind < 88)
            step_look_up(m, members);
        else if (kind < 94)
            step_ranks(m);
        else
            step_scores(m);
        if (below(300) == 0)
            harness_cool(h);
        if (below(100) == 0)
            check_same(m);
    }
    check_same(m);
    free(m);
}

START_TEST(zset__random_history_of_a_packed_one_agrees_with_a_model)
{
    random_history((uint64_t)time(NULL), 30, 4000);
}
END_TEST

START_TEST(zset__random_history_across_the_packed_limits_agrees_with_a_model)
{
    random_history((uint64_t)time(NULL) + 1, 110, 5000);
}
END_TEST

START_TEST(zset__random_history_of_a_big_one_agrees_with_a_model)
{
    random_history((uint64_t)time(NULL) + 2, MEMBERS, 5000);
}
END_TEST

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
    IS("-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX", "ZRANGE z 0 1 LIMIT 0 1");
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
    for (int i = 0; i < 1500; i++)
        runf("ZADD a %d.5 m%d", i * 7 % 300, i);
    run_effects(h, other);
    IS(":1500", "ZUNIONSTORE b 1 a");
    ck_assert(strncmp(harness_text(h), "MULTI|ZADD b ", 13) == 0);
    run_effects(h, other);
    harness_cool(h);
    h->may_wait = false;
    ck_assert_str_eq(run(h, "ZCARD b"), ":1500");
    expect(run(h, "ZRANGE b 0 -1 WITHSCORES"));
    buf_append_byte(&expected, 0);
    ck_assert_str_eq(run(other, "ZRANGE b 0 -1 WITHSCORES"), (const char *)expected.data);
    buf_clear(&expected);
}
END_TEST

START_TEST(zset__union_of_infinities_and_weight_zero_gives_zero)
{
    runf("ZADD a inf x");
    runf("ZADD b -inf x");
    IS("*2 $1 x $1 0", "ZUNION 2 a b WITHSCORES");
    IS("*2 $1 x $1 0", "ZUNION 1 a WEIGHTS 0 WITHSCORES");
    IS("-ERR resulting score is not a number (NaN)", "ZINCRBY a -inf x");
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

int main(void)
{
    Suite *s = suite_create("zset");
    TCase *c = tcase_create("zset");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, zset__random_history_of_a_packed_one_agrees_with_a_model);
    tcase_add_test(c, zset__random_history_across_the_packed_limits_agrees_with_a_model);
    tcase_add_test(c, zset__random_history_of_a_big_one_agrees_with_a_model);
    tcase_add_test(c, zset__ranges_by_bytes_are_the_same_in_both_forms);
    tcase_add_test(c, zset__options_that_exclude_each_other_are_refused_in_redis_words);
    tcase_add_test(c, zset__129_members_or_65_bytes_make_a_skiplist_for_good);
    tcase_add_test(c, zset__what_is_computed_or_about_several_keys_is_logged_as_its_result);
    tcase_add_test(c, zset__stored_results_replace_any_key_and_are_logged_as_pairs);
    tcase_add_test(c, zset__a_large_stored_result_is_logged_in_pieces_and_rebuilt_elsewhere);
    tcase_add_test(c, zset__union_of_infinities_and_weight_zero_gives_zero);
    tcase_add_test(c, zset__taking_from_either_end_of_a_big_one_gives_the_order_and_then_nothing);
    suite_add_tcase(s, c);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
