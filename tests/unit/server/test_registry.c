/*
 * test_registry.c - every published command is found with its facts, and its keys are where Redis says they are.
 */
#include "server/run/registry.h"

#include <check.h>
#include <ctype.h>
#include <stdlib.h>

#include "base/buf.h"
#include "server/run/keys.h"
#include "tests/unit/suite.h"

static struct registry *registry;
static struct command_binding *rows;
static struct command_table table;

static enum err nothing(struct call *c)
{
    (void)c;
    return OK;
}

/* All that can run, bound to the same function. */
static void setup(void)
{
    const struct command_table *tables[] = {&table};

    rows = calloc(command_facts_count, sizeof *rows);
    table = (struct command_table){.rows = rows};
    for (size_t i = 0; i < command_facts_count; i++)
        if (!command_facts[i].container)
            rows[table.count++] = (struct command_binding){command_facts[i].name, nothing, 0};
    ck_assert_int_eq(registry_new(tables, 1, &registry), OK);
}

static void teardown(void)
{
    registry_free(registry);
    free(rows);
}

/* Splits at spaces; "" stays an empty word. */
static size_t split(const char *line, struct slice argv[32])
{
    size_t argc = 0;

    for (const char *at = line;; at++) {
        const char *end = strchr(at, ' ');
        size_t size = end != NULL ? (size_t)(end - at) : strlen(at);

        argv[argc++] = size == 2 && at[0] == '"' ? slice_of(at, 0) : slice_of(at, size);
        if (end == NULL)
            return argc;
        at = end;
    }
}

/* "1rw 3ro": places of the keys. */
static const char *keys_of(const char *line)
{
    static struct buf text;
    struct slice argv[32];
    size_t argc = split(line, argv);
    const struct command *c = registry_resolve(registry, argv, argc, NULL);
    struct key_places places = {0};
    enum err e;

    ck_assert_ptr_nonnull(c);
    buf_clear(&text);
    e = keys_find(c, argv, argc, &places);
    for (size_t i = 0; i < places.count; i++) {
        const struct key_place *p = key_places_at(&places, i);

        buf_append_format(&text, "%s%u", i > 0 ? " " : "", p->index);
        for (int bit = 0; bit < 4; bit++)
            if (p->flags & 1 << bit)
                buf_append_str(&text, key_flag_names[bit]);
    }
    if (e != OK)
        buf_append_str(&text, "!");
    buf_append_byte(&text, 0);
    key_places_free(&places);
    return (const char *)text.data;
}

START_TEST(registry__finds_every_published_command_in_any_case)
{
    for (size_t i = 0; i < command_facts_count; i++) {
        const char *name = command_facts[i].name;
        const struct command *c = registry_find(registry, slice_str(name));
        char upper[64];
        size_t size = 0;

        for (; name[size] != '\0'; size++)
            upper[size] = (char)toupper((unsigned char)name[size]);
        ck_assert_ptr_nonnull(c);
        ck_assert_str_eq(c->name, name);
        ck_assert_ptr_eq(c->facts, &command_facts[i]);
        ck_assert_ptr_eq(registry_find(registry, slice_of(upper, size)), c);
        ck_assert_ptr_eq(registry_at(registry, c->index), c);
    }
    ck_assert_uint_eq(registry_count(registry), command_facts_count);
    ck_assert_ptr_null(registry_find(registry, SLICE_LITERAL("nosuch")));
    ck_assert_ptr_null(registry_find(registry, SLICE_LITERAL("")));
}
END_TEST

START_TEST(registry__resolves_subcommands)
{
    struct slice argv[32];
    const struct command *container = NULL;

    ck_assert_str_eq(registry_resolve(registry, argv, split("CONFIG Get x", argv), NULL)->name, "config|get");
    ck_assert_str_eq(registry_resolve(registry, argv, split("CONFIG Get x", argv), NULL)->parent->name, "config");
    ck_assert_ptr_null(registry_resolve(registry, argv, split("CONFIG nope", argv), &container));
    ck_assert_str_eq(container->name, "config");
    ck_assert_str_eq(registry_resolve(registry, argv, split("CONFIG", argv), &container)->name, "config");
    ck_assert_ptr_null(registry_resolve(registry, argv, split("config|get x", argv), &container));
    ck_assert_ptr_null(container);
    ck_assert_str_eq(registry_resolve(registry, argv, split("COMMAND COUNT", argv), NULL)->name, "command|count");
    ck_assert_str_eq(registry_resolve(registry, argv, split("get a", argv), NULL)->name, "get");
}
END_TEST

START_TEST(registry__arity_counts_the_name)
{
    const struct command *get = registry_find(registry, SLICE_LITERAL("get"));
    const struct command *del = registry_find(registry, SLICE_LITERAL("del"));

    ck_assert(!command_arity_fits(get, 1));
    ck_assert(command_arity_fits(get, 2));
    ck_assert(!command_arity_fits(get, 3));
    ck_assert(!command_arity_fits(del, 1));
    ck_assert(command_arity_fits(del, 9));
}
END_TEST

START_TEST(registry__refuses_what_is_bound_twice_or_unknown)
{
    const struct command_binding twice[] = {{"get", nothing, 0}, {"get", nothing, 0}};
    const struct command_binding unknown[] = {{"frobnicate", nothing, 0}};
    const struct command_binding container[] = {{"config", nothing, 0}};
    struct command_table t = {twice, 2};
    const struct command_table *tables[] = {&t};
    struct registry *r;

    ck_assert_int_eq(registry_new(tables, 1, &r), ERR_INVALID);
    t = (struct command_table){unknown, 1};
    ck_assert_int_eq(registry_new(tables, 1, &r), ERR_INVALID);
    t = (struct command_table){container, 1};
    ck_assert_int_eq(registry_new(tables, 1, &r), ERR_INVALID);
}
END_TEST

START_TEST(facts__flags_and_categories_are_those_of_the_table)
{
    const struct command *set = registry_find(registry, SLICE_LITERAL("set"));
    const struct command *eval = registry_find(registry, SLICE_LITERAL("eval"));

    ck_assert_uint_eq(set->flags, FACT_WRITE | FACT_DENYOOM);
    ck_assert_uint_eq(set->facts->categories, CATEGORY_STRING | CATEGORY_WRITE | CATEGORY_SLOW);
    ck_assert(eval->flags & FACT_MOVABLE_KEYS);
    ck_assert(eval->flags & FACT_NO_MANDATORY_KEYS);
    ck_assert_int_eq(set->single_key, 1);
    ck_assert_int_eq(eval->single_key, 0);
    ck_assert_str_eq(fact_flag_names[0], "write");
    ck_assert_str_eq(fact_category_names[FACT_CATEGORIES - 1], "scripting");
}
END_TEST

START_TEST(keys__are_found_by_index_and_range)
{
    ck_assert_str_eq(keys_of("get a"), "1RO");
    ck_assert_str_eq(keys_of("mset a 1 b 2 c 3"), "1OW 3OW 5OW");
    ck_assert_str_eq(keys_of("del a b c"), "1RM 2RM 3RM");
    ck_assert_str_eq(keys_of("blpop a b 0"), "1RW 2RW");
    ck_assert_str_eq(keys_of("bitop and d a b"), "2OW 3RO 4RO");
    ck_assert_str_eq(keys_of("rename a b"), "1RW 2OW");
    ck_assert_str_eq(keys_of("object encoding a"), "2RO");
    ck_assert_str_eq(keys_of("memory usage a"), "2RO");
    ck_assert_str_eq(keys_of("ping"), "");
}
END_TEST

START_TEST(keys__are_found_by_their_number)
{
    ck_assert_str_eq(keys_of("eval return 2 a b c"), "3RW 4RW");
    ck_assert_str_eq(keys_of("eval return 0 a"), "");
    ck_assert_str_eq(keys_of("eval return 9 a"), "!");
    ck_assert_str_eq(keys_of("eval return x a"), "!");
    ck_assert_str_eq(keys_of("zunionstore d 2 a b weights 1 2"), "1OW 3RO 4RO");
    ck_assert_str_eq(keys_of("lmpop 2 a b left"), "2RW 3RW");
    ck_assert_str_eq(keys_of("blmpop 0 1 a left"), "3RW");
    ck_assert_str_eq(keys_of("sintercard 2 a b limit 1"), "2RO 3RO");
}
END_TEST

START_TEST(keys__are_found_by_keyword)
{
    ck_assert_str_eq(keys_of("xread count 1 streams a b 0 0"), "4RO 5RO");
    ck_assert_str_eq(keys_of("xreadgroup group g c streams a >"), "5RO");
    ck_assert_str_eq(keys_of("georadius k 1 2 3 m store d"), "1RO 7OW");
    ck_assert_str_eq(keys_of("georadius k 1 2 3 m storedist d"), "1RO 7OW");
    ck_assert_str_eq(keys_of("georadius k 1 2 3 m asc"), "1RO");
    ck_assert_str_eq(keys_of("sort k by w_* get # store d"), "1RO 7OW");
    ck_assert_str_eq(keys_of("sort k get store limit 0 1"), "1RO");
    ck_assert_str_eq(keys_of("migrate h 1 k 0 100"), "3RW");
    ck_assert_str_eq(keys_of("migrate h 1 \"\" 0 100 auth keys keys a b"), "9RW 10RW");
}
END_TEST

START_TEST(keys__more_than_the_inline_places_are_kept)
{
    struct slice argv[101];
    struct key_places places = {0};

    argv[0] = SLICE_LITERAL("del");
    for (int i = 1; i < 101; i++)
        argv[i] = SLICE_LITERAL("k");
    ck_assert_int_eq(keys_find(registry_find(registry, argv[0]), argv, 101, &places), OK);
    ck_assert_uint_eq(places.count, 100);
    for (size_t i = 0; i < 100; i++)
        ck_assert_uint_eq(key_places_at(&places, i)->index, i + 1);
    key_places_free(&places);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, registry__finds_every_published_command_in_any_case);
    tcase_add_test(tests, registry__resolves_subcommands);
    tcase_add_test(tests, registry__arity_counts_the_name);
    tcase_add_test(tests, registry__refuses_what_is_bound_twice_or_unknown);
    tcase_add_test(tests, facts__flags_and_categories_are_those_of_the_table);
    tcase_add_test(tests, keys__are_found_by_index_and_range);
    tcase_add_test(tests, keys__are_found_by_their_number);
    tcase_add_test(tests, keys__are_found_by_keyword);
    tcase_add_test(tests, keys__more_than_the_inline_places_are_kept);
    return suite_run("registry", tests);
}
