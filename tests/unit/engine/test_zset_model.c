/*
 * test_zset_model.c - sorted sets: random commands against a plain model, in both forms, and what they log run elsewhere.
 */
#include "tests/unit/engine/runner.h"
#include "tests/unit/suite.h"

#include "base/num.h"
#include "base/rng.h"
#include "engine/type/zset.h"

#include <check.h>
#include <math.h>
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
        expect_score(old == NULL ? by : sum == 0 ? 0 : sum); /* the sign of a zero is answered, not kept */
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

int main(void)
{
    TCase *c = tcase_create("zset_model");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, zset__random_history_of_a_packed_one_agrees_with_a_model);
    tcase_add_test(c, zset__random_history_across_the_packed_limits_agrees_with_a_model);
    tcase_add_test(c, zset__random_history_of_a_big_one_agrees_with_a_model);
    return suite_run("zset_model", c);
}
