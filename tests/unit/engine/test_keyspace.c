/*
 * test_keyspace.c - expiry conditions, and values of every type and form that go to another key.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "engine/type/element_walk.h"
#include "engine/type/hash.h"
#include "engine/type/keyspace.h"
#include "engine/type/list.h"
#include "engine/type/sets.h"
#include "engine/type/string.h"
#include "engine/type/zset.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct harness *h;

static void setup(void)
{
    h = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(h);
}

#define S(text) slice_str(text)

static void string_of(const char *key, const char *value)
{
    struct txn *t = harness_begin(h, key, NULL);

    ck_assert_int_eq(string_store(t, S(key), S(value), NULL), OK);
    harness_end_as(h, "SET key value");
}

/* A value of this type with n elements "e0", "e1" ... (string: n bytes), under key. */
static void make(const char *key, enum obj_type type, int n)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    bool added;

    if (type == OBJ_STRING) {
        char *bytes = malloc((size_t)n);

        for (int i = 0; i < n; i++)
            bytes[i] = (char)(i * 7);
        ck_assert_int_eq(string_store(t, S(key), slice_of(bytes, (size_t)n), NULL), OK);
        free(bytes);
    } else {
        ck_assert_int_eq(txn_write(t, S(key), OBJ_ANY, &o), ERR_NOT_FOUND);
        o = txn_create(t, S(key), type);
        for (int i = 0; i < n; i++) {
            char e[16];

            snprintf(e, sizeof e, "e%d", i);
            if (type == OBJ_LIST)
                ck_assert_int_eq(list_push(t, o, i % 2 ? LIST_HEAD : LIST_TAIL, S(e)), OK);
            else if (type == OBJ_SET)
                ck_assert_int_eq(sets_add(t, o, S(e), &added), OK);
            else if (type == OBJ_ZSET)
                ck_assert_int_eq(zset_add(t, o, S(e), i % 7 - 3.5, &added), OK);
            else
                ck_assert_int_eq(hash_set(t, o, S(e), S(e + 1), &added), OK);
        }
    }
    harness_end_as(h, "MADE key");
}

/* The second half of a big sorted set: its order. */
static void dump_scores(struct txn *t, struct obj *o, struct buf *out)
{
    struct txn_cursor c;

    ck_assert_int_eq(txn_scores(t, o, -INFINITY, (struct slice){0}, false, &c), OK);
    while (txn_cursor_next(&c) == OK)
        buf_append_format(out, "%g=%.*s ", c.score, (int)c.name.size, (const char *)c.name.data);
    txn_cursor_close(&c);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names and values, which come in no order, sorted. */
static void dump_elements(struct txn *t, struct obj *o, struct buf *out)
{
    char **texts = calloc(o->count, sizeof *texts);
    struct element_walk w;
    size_t n = 0;

    ck_assert(texts != NULL);
    ck_assert_int_eq(element_walk_begin(t, o, &w), OK);
    while (element_walk_next(&w) == OK) {
        struct buf text = {0};

        buf_append_slice(&text, w.name);
        buf_append_byte(&text, '=');
        for (size_t i = 0; i < w.value.size; i++)
            buf_append_format(&text, o->type == OBJ_ZSET ? "%02x" : "%c", w.value.data[i]);
        buf_append(&text, " ", 2); /* and the end of the string */
        ck_assert_uint_lt(n, o->count);
        texts[n++] = (char *)text.data;
    }
    element_walk_end(&w);
    qsort(texts, n, sizeof *texts, by_text);
    for (size_t i = 0; i < n; i++) {
        buf_append(out, texts[i], strlen(texts[i]));
        free(texts[i]);
    }
    free(texts);
}

/* The whole value of a key as text, type and form in front; "" if it is absent. */
static void dump(unsigned db, const char *key, struct buf *out)
{
    unsigned before = h->db;
    struct txn *t;
    struct obj *o;

    h->db = db;
    t = harness_begin(h, key, NULL);
    buf_clear(out);
    if (txn_read(t, S(key), OBJ_ANY, &o) == OK) {
        struct buf scratch = {0};
        struct list_walk l;
        struct slice value;

        buf_append_format(out, "%s %d %llu %lld %s:", keyspace_type_name(o->type), o->form,
                          (unsigned long long)o->count, (long long)o->expire_ms, keyspace_encoding(o));
        if (o->type == OBJ_STRING) {
            ck_assert_int_eq(string_get(t, o, &scratch, &value), OK);
            buf_append_slice(out, value);
            buf_free(&scratch);
        } else if (o->type == OBJ_LIST) {
            ck_assert_int_eq(list_walk_begin(t, o, 0, false, &l), OK);
            while (list_walk_next(&l) == OK) {
                buf_append_slice(out, l.element);
                buf_append_byte(out, ' ');
            }
            list_walk_end(&l);
        } else {
            dump_elements(t, o, out);
        }
        if (o->type == OBJ_ZSET && o->form == OBJ_BIG)
            dump_scores(t, o, out);
    }
    harness_end(h);
    h->db = before;
}

static bool present(unsigned db, const char *key)
{
    struct buf text = {0};
    bool yes;

    dump(db, key, &text);
    yes = text.size > 0;
    buf_free(&text);
    return yes;
}

/* ---- Expiry ---- */

static bool expire(const char *key, msec_t at_ms, unsigned conditions)
{
    struct txn *t = harness_begin(h, key, NULL);
    bool done = false;

    ck_assert_int_eq(keyspace_expire(t, S(key), at_ms, conditions, &done), OK);
    harness_end(h);
    return done;
}

START_TEST(keyspace__expiry_is_logged_as_an_absolute_time)
{
    char text[64];

    string_of("k", "v");
    harness_text_clear(h);
    ck_assert(expire("k", h->now_ms + 1000, 0));
    snprintf(text, sizeof text, "PEXPIREAT k %lld|", (long long)h->now_ms + 1000);
    ck_assert_str_eq(harness_text(h), text);
    ck_assert_uint_eq(set_expires(h->set, 0), 1);
    ck_assert(!expire("none", h->now_ms + 1000, 0));
    h->now_ms += 1000;
    ck_assert(!present(0, "k"));
}
END_TEST

START_TEST(keyspace__expiry_in_the_past_deletes)
{
    string_of("k", "v");
    harness_text_clear(h);
    ck_assert(expire("k", h->now_ms, 0));
    ck_assert_str_eq(harness_text(h), "DEL k|");
    ck_assert(!present(0, "k"));
    string_of("k", "v");
    ck_assert(expire("k", -5, 0));
    ck_assert(!present(0, "k"));
    ck_assert_uint_eq(set_keys(h->set, 0), 0);
}
END_TEST

START_TEST(keyspace__expiry_conditions_take_no_expiry_for_never)
{
    msec_t now = h->now_ms;

    string_of("k", "v");
    ck_assert(!expire("k", now + 100, EXPIRE_IF_SOME));
    ck_assert(!expire("k", now + 100, EXPIRE_IF_GREATER));
    ck_assert(!expire("k", now + 100, EXPIRE_IF_SOME | EXPIRE_IF_LESS));
    ck_assert(expire("k", now + 500, EXPIRE_IF_LESS));
    ck_assert(!expire("k", now + 100, EXPIRE_IF_NONE));
    ck_assert(!expire("k", now + 500, EXPIRE_IF_LESS));
    ck_assert(!expire("k", now + 500, EXPIRE_IF_GREATER));
    ck_assert(expire("k", now + 600, EXPIRE_IF_GREATER));
    ck_assert(expire("k", now + 550, EXPIRE_IF_SOME | EXPIRE_IF_LESS));
    ck_assert(!expire("k", now - 5, EXPIRE_IF_GREATER));
    ck_assert(present(0, "k"));
    ck_assert(expire("k", now - 5, EXPIRE_IF_LESS));
    ck_assert(!present(0, "k"));
    string_of("k", "v");
    ck_assert(expire("k", now + 100, EXPIRE_IF_NONE));
}
END_TEST

START_TEST(keyspace__persist_takes_the_expiry_away)
{
    struct txn *t;
    bool done = false;

    string_of("k", "v");
    expire("k", h->now_ms + 100, 0);
    t = harness_begin(h, "k", NULL);
    ck_assert_int_eq(keyspace_persist(t, S("k"), &done), OK);
    ck_assert(done);
    harness_end_as(h, "PERSIST k");
    ck_assert_uint_eq(set_expires(h->set, 0), 0);
    h->now_ms += 200;
    ck_assert(present(0, "k"));
    t = harness_begin(h, "k", NULL);
    ck_assert_int_eq(keyspace_persist(t, S("k"), &done), OK);
    ck_assert(!done);
    harness_end(h);
}
END_TEST

/* ---- To another key ---- */

static const struct {
    enum obj_type type;
    int elements;
} values[] = {
    {OBJ_STRING, 10}, {OBJ_STRING, OBJ_STRING_PLAIN_MAX + 50000}, {OBJ_LIST, 20},  {OBJ_LIST, 2500},
    {OBJ_SET, 20},    {OBJ_SET, 2500},                            {OBJ_HASH, 20}, {OBJ_HASH, 2500},
    {OBJ_ZSET, 20},   {OBJ_ZSET, 2500},
};
enum { VALUES = sizeof values / sizeof values[0] };

static enum err rename_key(const char *from, const char *to, bool only_new, bool *done)
{
    struct txn *t = harness_begin(h, from, to, NULL);
    enum err e = keyspace_rename(t, S(from), S(to), only_new, done);

    harness_end(h);
    return e;
}

START_TEST(keyspace__rename_moves_every_type_and_form_across_slots)
{
    struct buf before = {0}, after = {0};
    bool done = false;

    make("a", values[_i].type, values[_i].elements);
    expire("a", h->now_ms + 5000, 0);
    string_of("b", "old");
    if (_i % 3 == 0)
        harness_cool(h);
    dump(0, "a", &before);
    ck_assert_int_eq(rename_key("a", "b", false, &done), OK);
    ck_assert(done);
    dump(0, "b", &after);
    ck_assert(slice_equal(buf_slice(&before), buf_slice(&after)));
    ck_assert(!present(0, "a"));
    ck_assert_uint_eq(set_keys(h->set, 0), 1);
    ck_assert_uint_eq(set_expires(h->set, 0), 1);
    harness_cool(h);
    dump(0, "b", &after);
    ck_assert(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_free(&before);
    buf_free(&after);
}
END_TEST

START_TEST(keyspace__rename_logs_one_key_commands)
{
    char text[128];
    bool done;

    make("a", OBJ_HASH, 2);
    expire("a", h->now_ms + 5000, 0);
    string_of("b", "old");
    harness_text_clear(h);
    ck_assert_int_eq(rename_key("a", "b", false, &done), OK);
    snprintf(text, sizeof text, "MULTI|DEL b|HSET b e0 0 e1 1|PEXPIREAT b %lld|DEL a|EXEC|",
             (long long)h->now_ms + 5000);
    ck_assert_str_eq(harness_text(h), text);
    harness_text_clear(h);
    make("l", OBJ_LIST, 3);
    harness_text_clear(h);
    ck_assert_int_eq(rename_key("l", "m", true, &done), OK);
    ck_assert_str_eq(harness_text(h), "MULTI|RPUSH m e1 e0 e2|DEL l|EXEC|");
    make("z", OBJ_ZSET, 2);
    harness_text_clear(h);
    ck_assert_int_eq(rename_key("z", "y", true, &done), OK);
    ck_assert_str_eq(harness_text(h), "MULTI|ZADD y -3.5 e0 -2.5 e1|DEL z|EXEC|");
}
END_TEST

START_TEST(keyspace__rename_of_a_big_value_logs_pieces)
{
    const char *p;
    size_t n = 0;
    bool done;

    make("a", OBJ_SET, 2500);
    harness_text_clear(h);
    ck_assert_int_eq(rename_key("a", "b", false, &done), OK);
    for (p = harness_text(h); (p = strstr(p, "SADD b ")) != NULL; p++)
        n++;
    ck_assert_uint_eq(n, 3);
}
END_TEST

START_TEST(keyspace__rename_needs_a_source_and_renamenx_a_free_target)
{
    bool done = true;

    ck_assert_int_eq(rename_key("none", "b", false, &done), ERR_NO_KEY);
    ck_assert_int_eq(rename_key("none", "none", false, &done), ERR_NO_KEY);
    string_of("a", "1");
    string_of("b", "2");
    harness_text_clear(h);
    ck_assert_int_eq(rename_key("a", "b", true, &done), OK);
    ck_assert(!done);
    ck_assert_int_eq(rename_key("a", "a", true, &done), OK);
    ck_assert(!done);
    ck_assert_int_eq(rename_key("a", "a", false, &done), OK);
    ck_assert(done);
    ck_assert_str_eq(harness_text(h), "");
    ck_assert(present(0, "a") && present(0, "b"));
}
END_TEST

static bool copy(const char *from, const char *to, unsigned db, bool replace)
{
    struct txn *t = harness_begin(h, from, to, NULL);
    bool done = false;

    ck_assert_int_eq(keyspace_copy(t, S(from), S(to), db, replace, &done), OK);
    ck_assert_uint_eq(txn_db(t), h->db);
    harness_end(h);
    return done;
}

START_TEST(keyspace__a_copy_in_another_database_is_the_same_and_its_own)
{
    struct slice fields[1] = {S("e0")};
    struct buf before = {0}, after = {0};
    struct txn *t;
    struct obj *o;
    uint64_t removed;

    make("a", values[_i].type, values[_i].elements);
    expire("a", h->now_ms + 5000, 0);
    dump(0, "a", &before);
    ck_assert(copy("a", "a", 1, false));
    ck_assert(!copy("a", "a", 1, false));
    ck_assert(copy("a", "a", 1, true));
    ck_assert(copy("a", "b", 0, false));
    ck_assert(!copy("none", "c", 0, true));
    ck_assert_uint_eq(set_keys(h->set, 0), 2);
    ck_assert_uint_eq(set_keys(h->set, 1), 1);
    /* What happens to the source does not happen to the copies. */
    t = harness_begin(h, "a", NULL);
    ck_assert_int_eq(txn_write(t, S("a"), OBJ_ANY, &o), OK);
    if (o->type == OBJ_HASH)
        ck_assert_int_eq(hash_delete(t, o, fields, 1, &removed), OK);
    else
        txn_delete(t, o);
    harness_end_as(h, "CHANGED a");
    harness_cool(h);
    dump(1, "a", &after);
    ck_assert(slice_equal(buf_slice(&before), buf_slice(&after)));
    dump(0, "b", &after);
    ck_assert(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_free(&before);
    buf_free(&after);
}
END_TEST

START_TEST(keyspace__move_takes_the_key_to_a_free_place)
{
    struct buf before = {0}, after = {0};
    struct txn *t;
    bool done;

    make("a", values[_i].type, values[_i].elements);
    dump(0, "a", &before);
    for (int round = 0; round < 2; round++) {
        t = harness_begin(h, "a", NULL);
        ck_assert_int_eq(keyspace_move(t, S("a"), 2, &done), OK);
        harness_end(h);
        ck_assert_int_eq(done, round == 0); /* then it is gone */
    }
    ck_assert(!present(0, "a"));
    dump(2, "a", &after);
    ck_assert(slice_equal(buf_slice(&before), buf_slice(&after)));
    string_of("a", "in the way");
    h->db = 2;
    t = harness_begin(h, "a", NULL);
    ck_assert_int_eq(keyspace_move(t, S("a"), 0, &done), OK);
    harness_end(h);
    ck_assert(!done);
    ck_assert(present(2, "a"));
    buf_free(&before);
    buf_free(&after);
}
END_TEST

START_TEST(keyspace__move_logs_each_effect_in_its_database)
{
    struct txn *t;
    bool done;

    string_of("a", "1");
    harness_text_clear(h);
    t = harness_begin(h, "a", NULL);
    ck_assert_int_eq(keyspace_move(t, S("a"), 2, &done), OK);
    harness_end(h);
    ck_assert(done);
    ck_assert_str_eq(harness_text(h), "MULTI|SET a 1|SELECT 0|DEL a|EXEC|");
}
END_TEST

START_TEST(keyspace__a_cold_rename_changes_nothing)
{
    struct buf before = {0}, after = {0};
    struct txn *t;
    bool done = false;
    enum err e;

    make("a", values[_i].type, values[_i].elements);
    dump(0, "a", &before);
    harness_cool(h);
    harness_text_clear(h);
    h->may_wait = false;
    t = harness_begin(h, "a", "b", NULL);
    e = keyspace_rename(t, S("a"), S("b"), false, &done);
    if (e == ERR_COLD) {
        ck_assert(!txn_has_changes(t));
        harness_abort(h);
    } else {
        ck_assert_int_eq(e, OK);
        harness_end(h);
    }
    h->may_wait = true;
    if (e == ERR_COLD) {
        ck_assert_str_eq(harness_text(h), "");
        ck_assert(!present(0, "b"));
        ck_assert_int_eq(rename_key("a", "b", false, &done), OK);
    }
    dump(0, "b", &after);
    ck_assert(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_free(&before);
    buf_free(&after);
}
END_TEST

START_TEST(keyspace__small_integers_count_as_shared)
{
    struct txn *t;
    struct obj *o;

    string_of("k", "9999");
    t = harness_begin(h, "k", NULL);
    ck_assert_int_eq(txn_peek(t, S("k"), &o), OK);
    ck_assert_int_eq(keyspace_references(o), INT32_MAX);
    harness_end(h);
    string_of("k", "10000");
    t = harness_begin(h, "k", NULL);
    ck_assert_int_eq(txn_peek(t, S("k"), &o), OK);
    ck_assert_int_eq(keyspace_references(o), 1);
    harness_end(h);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("keyspace");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, keyspace__expiry_is_logged_as_an_absolute_time);
    tcase_add_test(c, keyspace__expiry_in_the_past_deletes);
    tcase_add_test(c, keyspace__expiry_conditions_take_no_expiry_for_never);
    tcase_add_test(c, keyspace__persist_takes_the_expiry_away);
    tcase_add_loop_test(c, keyspace__rename_moves_every_type_and_form_across_slots, 0, VALUES);
    tcase_add_test(c, keyspace__rename_logs_one_key_commands);
    tcase_add_test(c, keyspace__rename_of_a_big_value_logs_pieces);
    tcase_add_test(c, keyspace__rename_needs_a_source_and_renamenx_a_free_target);
    tcase_add_loop_test(c, keyspace__a_copy_in_another_database_is_the_same_and_its_own, 0, VALUES);
    tcase_add_loop_test(c, keyspace__move_takes_the_key_to_a_free_place, 0, VALUES);
    tcase_add_test(c, keyspace__move_logs_each_effect_in_its_database);
    tcase_add_loop_test(c, keyspace__a_cold_rename_changes_nothing, 0, VALUES);
    tcase_add_test(c, keyspace__small_integers_count_as_shared);
    return suite_run("keyspace", c);
}
