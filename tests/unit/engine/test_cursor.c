/*
 * test_cursor.c - walks over the rows of a family: their bounds, and how their end is told.
 */
#include "engine/store/store.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
    char dir[64];
    struct store *store;
    struct family *family;
};

static void place_open(struct place *p)
{
    struct store_options options = {.path = p->dir, .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    struct family *old = NULL;

    strcpy(p->dir, "/tmp/cairn-cursor-XXXXXX");
    ck_assert(mkdtemp(p->dir) != NULL);
    ck_assert(store_open(&options, &p->store) == OK);
    ck_assert(store_family_create(p->store, 1, 1, &old) == OK);
    ck_assert(old == NULL);
    p->family = store_family(p->store, 1);
}

static void place_close(struct place *p)
{
    char command[96];

    store_close(p->store);
    snprintf(command, sizeof command, "rm -rf %s", p->dir);
    ck_assert(system(command) == 0);
}

static void put(struct place *p, struct slice key)
{
    struct batch *b = batch_new();

    batch_put(b, p->family, key, SLICE_LITERAL("v"));
    ck_assert(store_write(p->store, b) == OK);
    batch_free(b);
}

/* How many rows the walk sees. */
static int count(struct place *p, struct slice prefix, enum err *end)
{
    struct cursor *c = NULL;
    int rows = 0;

    ck_assert(cursor_open_prefix(p->store, p->family, STORE_DISK, prefix, &c) == OK);
    for (cursor_first(c); cursor_valid(c); cursor_next(c)) {
        ck_assert(slice_equal(slice_of(cursor_key(c).data, prefix.size), prefix));
        rows++;
    }
    *end = cursor_end(c);
    cursor_close(c);
    return rows;
}

START_TEST(cursor__a_walk_over_a_prefix_sees_its_rows_and_no_others)
{
    struct place p;
    enum err end;

    place_open(&p);
    put(&p, SLICE_LITERAL("a\xfe"));
    put(&p, SLICE_LITERAL("a\xff"));
    put(&p, SLICE_LITERAL("a\xff\x00"));
    put(&p, SLICE_LITERAL("a\xff\xff\xff"));
    put(&p, SLICE_LITERAL("b"));
    put(&p, SLICE_LITERAL("b\x00"));
    ck_assert_int_eq(count(&p, SLICE_LITERAL("a"), &end), 4);
    ck_assert(end == OK);
    ck_assert_int_eq(count(&p, SLICE_LITERAL("a\xff"), &end), 3);
    ck_assert(end == OK);
    ck_assert_int_eq(count(&p, SLICE_LITERAL("b"), &end), 2);
    ck_assert(end == OK);
    ck_assert_int_eq(count(&p, SLICE_LITERAL("c"), &end), 0);
    ck_assert(end == OK);
    place_close(&p);
}
END_TEST

START_TEST(cursor__a_walk_that_was_left_early_has_no_error)
{
    struct place p;
    struct cursor *c = NULL;

    place_open(&p);
    put(&p, SLICE_LITERAL("a1"));
    put(&p, SLICE_LITERAL("a2"));
    ck_assert(cursor_open_prefix(p.store, p.family, STORE_DISK, SLICE_LITERAL("a"), &c) == OK);
    cursor_first(c);
    ck_assert(cursor_valid(c));
    ck_assert(cursor_end(c) == OK);
    cursor_seek(c, SLICE_LITERAL("a2"));
    ck_assert(slice_equal(cursor_key(c), SLICE_LITERAL("a2")));
    cursor_next(c);
    ck_assert(!cursor_valid(c));
    ck_assert(cursor_error(c) == ERR_NOT_FOUND);
    cursor_close(c);
    place_close(&p);
}
END_TEST

START_TEST(cursor__a_walk_that_would_need_the_disk_does_not_end_well)
{
    struct place p;
    struct cursor *c = NULL;
    struct store_options options = {.path = p.dir, .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};

    place_open(&p);
    put(&p, SLICE_LITERAL("a1"));
    ck_assert(store_flush_begin(p.store) == OK);
    ck_assert(store_flush_await(p.store) == OK);
    store_close(p.store);
    ck_assert(store_open(&options, &p.store) == OK);
    p.family = store_family(p.store, 1);
    ck_assert(cursor_open_prefix(p.store, p.family, STORE_CACHED, SLICE_LITERAL("a"), &c) == OK);
    cursor_first(c);
    ck_assert(!cursor_valid(c));
    ck_assert(cursor_end(c) == ERR_COLD);
    cursor_close(c);
    place_close(&p);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("cursor");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, cursor__a_walk_over_a_prefix_sees_its_rows_and_no_others);
    tcase_add_test(tests, cursor__a_walk_that_was_left_early_has_no_error);
    tcase_add_test(tests, cursor__a_walk_that_would_need_the_disk_does_not_end_well);
    return suite_run("cursor", tests);
}
