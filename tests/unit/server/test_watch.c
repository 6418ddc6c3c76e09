/*
 * test_watch.c - what the server remembers of its past: the slow log, latency events; and what it must not tell.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "server/run/registry.h"
#include "server/stat/latency.h"
#include "server/stat/redact.h"
#include "server/stat/slowlog.h"
#include "tests/unit/suite.h"

/* ---- The slow log ---- */

struct seen {
    size_t count;
    struct buf text; /* "id:word,word;" for each entry */
};

static void see(void *context, const struct slowlog_entry *e)
{
    struct seen *s = context;

    buf_append_format(&s->text, "%llu:", (unsigned long long)e->id);
    for (size_t i = 0; i < e->count; i++)
        buf_append_format(&s->text, "%s%.*s", i > 0 ? "," : "", (int)e->sizes[i], e->words[i]);
    buf_append_byte(&s->text, ';');
    s->count++;
}

static void expect_list(struct slowlog *s, size_t most, const char *text)
{
    struct seen seen = {0};

    slowlog_list(s, most, see, &seen);
    buf_append_byte(&seen.text, 0);
    ck_assert_str_eq((const char *)seen.text.data, text);
    buf_free(&seen.text);
}

static void add(struct slowlog *s, const char *word)
{
    struct slice words[] = {SLICE_LITERAL("SET"), slice_str(word)};

    slowlog_add(s, 1000, 50, words, 2, "127.0.0.1:1", SLICE_LITERAL("me"));
}

START_TEST(slowlog__keeps_the_newest_and_counts_on)
{
    struct slowlog *s = slowlog_new(3);

    add(s, "a");
    add(s, "b");
    add(s, "c");
    add(s, "d");
    ck_assert_uint_eq(slowlog_count(s), 3);
    expect_list(s, 10, "3:SET,d;2:SET,c;1:SET,b;");
    expect_list(s, 1, "3:SET,d;");
    slowlog_resize(s, 1);
    expect_list(s, 10, "3:SET,d;");
    slowlog_reset(s);
    ck_assert_uint_eq(slowlog_count(s), 0);
    add(s, "e");
    expect_list(s, 10, "4:SET,e;");
    slowlog_resize(s, 0);
    add(s, "f");
    ck_assert_uint_eq(slowlog_count(s), 0);
    slowlog_free(s);
}
END_TEST

static void see_cut(void *context, const struct slowlog_entry *e)
{
    size_t *seen = context;

    ck_assert_uint_eq(e->count, SLOWLOG_WORDS_MAX);
    ck_assert_str_eq(e->words[SLOWLOG_WORDS_MAX - 1], "... (9 more arguments)");
    ck_assert_uint_eq(e->sizes[1], SLOWLOG_WORD_BYTES_MAX + strlen("... (72 more bytes)"));
    ck_assert_str_eq(e->words[1] + SLOWLOG_WORD_BYTES_MAX, "... (72 more bytes)");
    ck_assert_str_eq(e->address, "1.2.3.4:5");
    ck_assert_str_eq(e->name, "tester");
    ++*seen;
}

START_TEST(slowlog__cuts_long_words_and_many_words)
{
    struct slowlog *s = slowlog_new(3);
    struct slice words[40];
    char big[200];
    size_t seen = 0;

    memset(big, 'x', sizeof big);
    for (size_t i = 0; i < 40; i++)
        words[i] = i == 1 ? slice_of(big, sizeof big) : SLICE_LITERAL("w");
    slowlog_add(s, 1, 2, words, 40, "1.2.3.4:5", SLICE_LITERAL("tester"));
    slowlog_list(s, 10, see_cut, &seen);
    ck_assert_uint_eq(seen, 1);
    slowlog_free(s);
}
END_TEST

/* ---- Latency ---- */

START_TEST(latency__keeps_the_worst_of_each_second_from_the_threshold_on)
{
    struct latency *l = latency_new();
    struct latency_event *e = malloc(sizeof *e);

    ck_assert_ptr_nonnull(e);
    latency_add(l, "command", 100, 50); /* it is off */
    ck_assert(!latency_event(l, SLICE_LITERAL("command"), e));
    latency_threshold_set(l, 10);
    latency_add(l, "command", 100, 9);
    ck_assert(!latency_event(l, SLICE_LITERAL("command"), e));
    latency_add(l, "command", 100, 10);
    latency_add(l, "command", 100, 30);
    latency_add(l, "command", 100, 20);
    latency_add(l, "command", 101, 15);
    ck_assert(latency_event(l, SLICE_LITERAL("command"), e));
    ck_assert_uint_eq(e->count, 2);
    ck_assert_uint_eq(e->samples[0].worst_ms, 30);
    ck_assert_int_eq(e->samples[1].time_s, 101);
    ck_assert_uint_eq(e->samples[1].worst_ms, 15);
    ck_assert_uint_eq(e->worst_ms, 30);
    for (int i = 0; i < 2 * LATENCY_SAMPLES; i++)
        latency_add(l, "command", 200 + i, 11);
    ck_assert(latency_event(l, SLICE_LITERAL("command"), e));
    ck_assert_uint_eq(e->count, LATENCY_SAMPLES);
    ck_assert_int_eq(e->samples[LATENCY_SAMPLES - 1].time_s, 200 + 2 * LATENCY_SAMPLES - 1);
    ck_assert_uint_eq(e->worst_ms, 30);
    free(e);
    latency_free(l);
}
END_TEST

static void names(void *context, const struct latency_event *e)
{
    buf_append_format(context, "%s ", e->name);
}

START_TEST(latency__events_are_listed_by_name_and_forgotten)
{
    struct latency *l = latency_new();
    struct buf text = {0};

    latency_threshold_set(l, 1);
    latency_add(l, "fast-command", 1, 5);
    latency_add(l, "aof-fsync", 1, 5);
    latency_add(l, "command", 1, 5);
    latency_list(l, names, &text);
    ck_assert(slice_equal(buf_slice(&text), SLICE_LITERAL("aof-fsync command fast-command ")));
    ck_assert_uint_eq(latency_reset(l, SLICE_LITERAL("none")), 0);
    ck_assert_uint_eq(latency_reset(l, SLICE_LITERAL("command")), 1);
    buf_clear(&text);
    latency_list(l, names, &text);
    ck_assert(slice_equal(buf_slice(&text), SLICE_LITERAL("aof-fsync fast-command ")));
    ck_assert_uint_eq(latency_reset(l, (struct slice){0}), 2);
    buf_free(&text);
    latency_free(l);
}
END_TEST

START_TEST(latency__graph_shows_high_and_low)
{
    struct latency *l = latency_new();
    struct latency_event *e = malloc(sizeof *e);
    struct buf text = {0};

    ck_assert_ptr_nonnull(e);
    latency_threshold_set(l, 1);
    latency_add(l, "command", 1000, 100);
    latency_add(l, "command", 1030, 400);
    latency_add(l, "command", 1090, 250);
    ck_assert(latency_event(l, SLICE_LITERAL("command"), e));
    latency_graph(e, 1100, &text);
    buf_append_byte(&text, 0);
    ck_assert_ptr_nonnull(
        strstr((const char *)text.data, "command - high 400 ms, low 100 ms (all time high 400 ms)\n"));
    ck_assert_ptr_nonnull(strstr((const char *)text.data, "\n # \n | \n |#\n_||\n\n111\nmm0\n  s\n"));
    buf_free(&text);
    free(e);
    latency_free(l);
}
END_TEST

START_TEST(latency__doctor_knows_when_it_is_off)
{
    struct latency *l = latency_new();
    struct buf text = {0};

    latency_doctor(l, 100, &text);
    buf_append_byte(&text, 0);
    ck_assert_ptr_nonnull(strstr((const char *)text.data, "The latency monitor is off"));
    buf_clear(&text);
    latency_threshold_set(l, 1);
    latency_add(l, "command", 90, 7);
    latency_doctor(l, 100, &text);
    buf_append_byte(&text, 0);
    ck_assert_ptr_nonnull(strstr((const char *)text.data, "1. command: 1 latency spikes (average 7ms"));
    buf_free(&text);
    latency_free(l);
}
END_TEST

/* ---- Secrets ---- */

/* The words of a request as they may be shown, with spaces between. */
static void shown(const char *command, const char *request, const char *text)
{
    struct command c = {.name = command};
    struct slice argv[16] = {{0}}, copy[16];
    const struct slice *words;
    struct buf out = {0};
    size_t argc = 0;

    for (const char *at = request; *at != '\0'; argc++) {
        size_t size = strcspn(at, " ");

        argv[argc] = slice_of(at, size);
        at += size + (at[size] == ' ');
    }
    words = redact(&c, argv, argc, copy, 16);
    for (size_t i = 0; i < argc; i++)
        buf_append_format(&out, "%s%.*s", i > 0 ? " " : "", (int)words[i].size, (const char *)words[i].data);
    buf_append_byte(&out, 0);
    ck_assert_str_eq((const char *)out.data, text);
    buf_free(&out);
}

START_TEST(redact__hides_passwords_and_nothing_else)
{
    shown("get", "GET secret", "GET secret");
    shown("auth", "AUTH secret", "AUTH (redacted)");
    shown("auth", "AUTH user secret", "AUTH (redacted) (redacted)");
    shown("hello", "HELLO 3 AUTH user secret SETNAME x", "HELLO 3 AUTH (redacted) (redacted) SETNAME x");
    shown("config|set", "CONFIG SET maxmemory 1 requirepass secret", "CONFIG SET maxmemory 1 requirepass (redacted)");
    shown("config|set", "CONFIG SET RequirePass secret", "CONFIG SET RequirePass (redacted)");
    shown("migrate", "MIGRATE h 1 k 0 5 AUTH2 user secret KEYS a",
          "MIGRATE h 1 k 0 5 AUTH2 (redacted) (redacted) KEYS a");
    shown("migrate", "MIGRATE h 1 k 0 5 AUTH secret", "MIGRATE h 1 k 0 5 AUTH (redacted)");
    shown("acl|setuser", "ACL SETUSER bob >secret", "ACL SETUSER (redacted) (redacted)");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, slowlog__keeps_the_newest_and_counts_on);
    tcase_add_test(tests, slowlog__cuts_long_words_and_many_words);
    tcase_add_test(tests, latency__keeps_the_worst_of_each_second_from_the_threshold_on);
    tcase_add_test(tests, latency__events_are_listed_by_name_and_forgotten);
    tcase_add_test(tests, latency__graph_shows_high_and_low);
    tcase_add_test(tests, latency__doctor_knows_when_it_is_off);
    tcase_add_test(tests, redact__hides_passwords_and_nothing_else);
    return suite_run("watch", tests);
}
