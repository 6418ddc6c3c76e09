/*
 * test_reply.c - replies in both protocols, and errors on the wire.
 */
#include "server/run/reply.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "server/run/call.h"
#include "server/run/errors.h"
#include "server/run/registry.h"
#include "tests/unit/suite.h"

static struct buf out;
static struct reply reply;
static struct command command;
static struct call call;

static void setup(void)
{
    buf_clear(&out);
    command = (struct command){.name = "get"};
    reply = (struct reply){.out = &out, .protocol = 2, .error_at = SIZE_MAX};
    call = (struct call){.reply = &reply, .command = &command};
}

static void teardown(void)
{
    buf_free(&out);
}

/* What was written since the last call. */
static const char *wire(void)
{
    buf_append_byte(&out, 0);
    out.size = 0;
    reply.error_at = SIZE_MAX;
    return (const char *)out.data;
}

#define BOTH(statement, resp2, resp3)            \
    do {                                         \
        reply.protocol = 2;                      \
        ck_assert_int_eq(statement, OK);         \
        ck_assert_str_eq(wire(), resp2);         \
        reply.protocol = 3;                      \
        ck_assert_int_eq(statement, OK);         \
        ck_assert_str_eq(wire(), resp3);         \
    } while (0)

START_TEST(reply__scalars)
{
    BOTH(reply_ok(&call), "+OK\r\n", "+OK\r\n");
    BOTH(reply_int(&call, 0), ":0\r\n", ":0\r\n");
    BOTH(reply_int(&call, INT64_MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n");
    BOTH(reply_bulk_str(&call, "abc"), "$3\r\nabc\r\n", "$3\r\nabc\r\n");
    BOTH(reply_bulk(&call, (struct slice){0}), "$0\r\n\r\n", "$0\r\n\r\n");
    BOTH(reply_bulk_int(&call, -12), "$3\r\n-12\r\n", "$3\r\n-12\r\n");
    BOTH(reply_null(&call), "$-1\r\n", "_\r\n");
    BOTH(reply_null_array(&call), "*-1\r\n", "_\r\n");
    BOTH(reply_double(&call, 0.1), "$3\r\n0.1\r\n", ",0.1\r\n");
    BOTH(reply_double(&call, -INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
    BOTH(reply_bool(&call, true), ":1\r\n", "#t\r\n");
    BOTH(reply_verbatim(&call, SLICE_LITERAL("hi")), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n");
}
END_TEST

START_TEST(reply__headers)
{
    BOTH(reply_array(&call, 12), "*12\r\n", "*12\r\n");
    BOTH(reply_map(&call, 3), "*6\r\n", "%3\r\n");
    BOTH(reply_set(&call, 3), "*3\r\n", "~3\r\n");
    BOTH(reply_push(&call, 2), "*2\r\n", ">2\r\n");
}
END_TEST

START_TEST(reply__deferred_headers_close_their_gap)
{
    size_t outer, inner;

    outer = reply_defer(&call);
    ck_assert_int_eq(reply_bulk_str(&call, "a"), OK);
    inner = reply_defer(&call);
    ck_assert_int_eq(reply_int(&call, 1), OK);
    reply_defer_map(&call, inner, 1);
    reply_defer_array(&call, outer, 2);
    ck_assert_str_eq(wire(), "*2\r\n$1\r\na\r\n*2\r\n:1\r\n");
    reply.protocol = 3;
    outer = reply_defer(&call);
    reply_defer_set(&call, outer, 123456);
    ck_assert_str_eq(wire(), "~123456\r\n");
    outer = reply_defer(&call);
    reply_defer_map(&call, outer, 2);
    ck_assert_str_eq(wire(), "%2\r\n");
}
END_TEST

START_TEST(reply__an_error_is_one_line_and_remembers_its_place)
{
    ck_assert_int_eq(reply_array(&call, 1), OK);
    ck_assert_int_eq(reply_error(&call, "ERR no %s", "good\r\nway"), ERR_REPLIED);
    ck_assert_uint_eq(reply.error_at, 4);
    ck_assert_str_eq(wire(), "*1\r\n-ERR no good  way\r\n");
    ck_assert_int_eq(reply_arity(&call), ERR_REPLIED);
    ck_assert_str_eq(wire(), "-ERR wrong number of arguments for 'get' command\r\n");
}
END_TEST

START_TEST(errors__every_outcome_has_its_text)
{
    errors_reply(&call, ERR_WRONG_TYPE);
    ck_assert_str_eq(wire(), "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    errors_reply(&call, ERR_SYNTAX);
    ck_assert_str_eq(wire(), "-ERR syntax error\r\n");
    errors_reply(&call, err_set(ERR_INVALID, "offset is out of range"));
    ck_assert_str_eq(wire(), "-ERR offset is out of range\r\n");
    errors_reply(&call, err_set(ERR_INVALID, "WRONGTYPE Key is not a valid HyperLogLog string value."));
    ck_assert_str_eq(wire(), "-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n");
}
END_TEST

START_TEST(errors__unknown_commands_show_the_beginning_of_their_words)
{
    char long_word[300];
    struct slice argv[4] = {SLICE_LITERAL("FOO"), SLICE_LITERAL("a"), SLICE_LITERAL("b"), {0}};
    struct command container = {.name = "config"};

    memset(long_word, 'x', sizeof long_word);
    argv[3] = slice_of(long_word, sizeof long_word);
    call.argv = argv;
    call.argc = 3;
    ck_assert_int_eq(errors_unknown(&call, NULL), ERR_REPLIED);
    ck_assert_str_eq(wire(), "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n");
    call.argc = 4;
    ck_assert_int_eq(errors_unknown(&call, NULL), ERR_REPLIED);
    ck_assert_uint_lt(strlen(wire()), 200);
    ck_assert_int_eq(errors_unknown(&call, &container), ERR_REPLIED);
    ck_assert_str_eq(wire(), "-ERR unknown subcommand 'a'. Try CONFIG HELP.\r\n");
}
END_TEST

START_TEST(errors__code_is_the_first_word)
{
    ck_assert(slice_equal(errors_code(SLICE_LITERAL("-WRONGTYPE Op\r\n")), SLICE_LITERAL("WRONGTYPE")));
    ck_assert(slice_equal(errors_code(SLICE_LITERAL("-X\r\n")), SLICE_LITERAL("X")));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, reply__scalars);
    tcase_add_test(tests, reply__headers);
    tcase_add_test(tests, reply__deferred_headers_close_their_gap);
    tcase_add_test(tests, reply__an_error_is_one_line_and_remembers_its_place);
    tcase_add_test(tests, errors__every_outcome_has_its_text);
    tcase_add_test(tests, errors__unknown_commands_show_the_beginning_of_their_words);
    tcase_add_test(tests, errors__code_is_the_first_word);
    return suite_run("reply", tests);
}
