/*
 * test_execute.c - requests on a whole node without a network: checks and their order, MULTI, WATCH, gates, recovery.
 */
#include "server/run/execute.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/conf/config.h"
#include "server/memory_split.h"
#include "server/node_priv.h"
#include "server/options.h"
#include "server/run/stats.h"
#include "tests/unit/suite.h"

static char dir[64];
static struct config *config;
static struct options start;
static struct node *node;
static struct executor worker, waiter; /* one that must not wait, one that may */
static struct session a, b;

static void open_node(void)
{
    char *argv[] = {"cairn-server", "--dir", dir, "--port", "0", "--maxmemory", "64mb"};

    config = config_new();
    ck_assert_int_eq(config_load(config, 7, argv), OK);
    options_from(&start, config);
    ck_assert_msg(node_open(&start, &node) == OK, "%s", err_text());
    executor_init(&worker, node, 1, false);
    executor_init(&waiter, node, 2, true);
    session_init(&a, node, NULL);
    session_init(&b, node, NULL);
}

static void close_node(bool drain)
{
    session_fini(&a);
    session_fini(&b);
    executor_fini(&worker);
    executor_fini(&waiter);
    node_close(node, drain);
    options_fini(&start);
    config_free(config);
}

static void setup(void)
{
    strcpy(dir, "/tmp/cairn_execute_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    open_node();
}

static void teardown(void)
{
    char command[128];

    close_node(false);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

/* Words are separated by single spaces. The reply without the last line break, other line breaks as spaces. */
static const char *run(struct session *s, const char *line)
{
    static struct buf out, text;
    struct slice argv[32];
    size_t argc = 0;
    enum executed result;

    for (const char *at = line;; at++) {
        const char *end = strchr(at, ' ');

        argv[argc++] = end != NULL ? slice_of(at, (size_t)(end - at)) : slice_str(at);
        if (end == NULL)
            break;
        at = end;
    }
    buf_clear(&out);
    worker.clock_ns = waiter.clock_ns = 0;
    worker.now_ms = waiter.now_ms = node_now(node);
    result = execute(&worker, s, argv, argc, (struct slice){0}, NULL, &out);
    if (result == EXECUTE_AWAY) {
        ck_assert_uint_eq(out.size, 0);
        result = execute(&waiter, s, argv, argc, (struct slice){0}, NULL, &out);
    }
    ck_assert_int_eq(result, EXECUTE_DONE);
    buf_clear(&text);
    for (size_t i = 0; i + 2 < out.size || (i < out.size && out.data[i] != '\r'); i++)
        if (out.data[i] != '\n')
            buf_append_byte(&text, out.data[i] == '\r' ? ' ' : out.data[i]);
    buf_append_byte(&text, 0);
    return (const char *)text.data;
}

#define EXPECT(session, line, reply) ck_assert_str_eq(run(session, line), reply)

START_TEST(execute__runs_commands_and_reports_mistakes)
{
    EXPECT(&a, "SET k v", "+OK");
    EXPECT(&a, "get k", "$1 v");
    EXPECT(&a, "MSET x 1 y 2 z 3", "+OK");
    EXPECT(&a, "MGET x y z none", "*4 $1 1 $1 2 $1 3 $-1");
    EXPECT(&a, "LPUSH k v", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    EXPECT(&a, "GET", "-ERR wrong number of arguments for 'get' command");
    EXPECT(&a, "NOSUCH x", "-ERR unknown command 'NOSUCH', with args beginning with: 'x' ");
    EXPECT(&a, "DBSIZE", ":4");
}
END_TEST

START_TEST(execute__databases_are_apart)
{
    EXPECT(&a, "SET k 0", "+OK");
    EXPECT(&a, "SELECT 1", "+OK");
    EXPECT(&a, "GET k", "$-1");
    EXPECT(&a, "SELECT 16", "-ERR DB index is out of range");
    EXPECT(&a, "SELECT x", "-ERR value is not an integer or out of range");
    EXPECT(&b, "GET k", "$1 0");
}
END_TEST

START_TEST(multi__queues_and_exec_runs_all)
{
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "SET k 1", "+QUEUED");
    EXPECT(&a, "INCR k", "+QUEUED");
    EXPECT(&b, "GET k", "$-1");
    EXPECT(&a, "LPUSH k x", "+QUEUED");
    EXPECT(&a, "GET k", "+QUEUED");
    EXPECT(&a, "EXEC", "*4 +OK :2 -WRONGTYPE Operation against a key holding the wrong kind of value $1 2");
    EXPECT(&b, "GET k", "$1 2");
    EXPECT(&a, "EXEC", "-ERR EXEC without MULTI");
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "EXEC", "*0");
}
END_TEST

START_TEST(multi__a_refused_command_aborts_exec)
{
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "SET k 1", "+QUEUED");
    EXPECT(&a, "GET", "-ERR wrong number of arguments for 'get' command");
    EXPECT(&a, "EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    EXPECT(&a, "GET k", "$-1");
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "SHUTDOWN", "-ERR Command not allowed inside a transaction");
    EXPECT(&a, "EXEC", "-EXECABORT Transaction discarded because of previous errors.");
}
END_TEST

START_TEST(multi__nested_multi_and_watch_are_errors_that_do_not_abort)
{
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "MULTI", "-ERR MULTI calls can not be nested");
    EXPECT(&a, "WATCH k", "-ERR WATCH inside MULTI is not allowed");
    EXPECT(&a, "PING", "+QUEUED");
    EXPECT(&a, "EXEC", "*1 +PONG");
    EXPECT(&a, "DISCARD", "-ERR DISCARD without MULTI");
}
END_TEST

START_TEST(multi__select_inside_stays_selected)
{
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "SET k 0", "+QUEUED");
    EXPECT(&a, "SELECT 3", "+QUEUED");
    EXPECT(&a, "SET k 3", "+QUEUED");
    EXPECT(&a, "EXEC", "*3 +OK +OK +OK");
    EXPECT(&a, "GET k", "$1 3");
    EXPECT(&b, "GET k", "$1 0");
}
END_TEST

START_TEST(multi__whole_database_commands_run_in_their_place)
{
    EXPECT(&a, "SET old 1", "+OK");
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "SET k 1", "+QUEUED");
    EXPECT(&a, "DBSIZE", "+QUEUED");
    EXPECT(&a, "FLUSHALL", "+QUEUED");
    EXPECT(&a, "SET n 1", "+QUEUED");
    EXPECT(&a, "KEYS *", "+QUEUED");
    EXPECT(&a, "EXEC", "*5 +OK :2 +OK +OK *1 $1 n");
}
END_TEST

START_TEST(watch__sees_every_change_of_others)
{
    static const char *const changes[] = {"SET k 2", "SET k 1", "DEL k", "EXPIRE k 100", "FLUSHALL", "RENAME k j"};

    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        EXPECT(&a, "SET k 1", "+OK");
        EXPECT(&a, "WATCH other k", "+OK");
        (void)run(&b, changes[i]);
        EXPECT(&a, "MULTI", "+OK");
        EXPECT(&a, "SET k 9", "+QUEUED");
        ck_assert_msg(strcmp(run(&a, "EXEC"), "*-1") == 0, "%s", changes[i]);
    }
}
END_TEST

START_TEST(watch__lets_exec_run_when_nothing_changed)
{
    static const char *const harmless[] = {"GET k", "SET another 1", "DEL missing", "EXPIRE missing 10", "FLUSHDB ASYNC x"};

    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        EXPECT(&a, "SET k 1", "+OK");
        EXPECT(&a, "WATCH k missing", "+OK");
        (void)run(&b, harmless[i]);
        EXPECT(&a, "MULTI", "+OK");
        EXPECT(&a, "INCR k", "+QUEUED");
        ck_assert_msg(strcmp(run(&a, "EXEC"), "*1 :2") == 0, "%s", harmless[i]);
    }
}
END_TEST

START_TEST(watch__is_of_one_database_and_forgotten_in_time)
{
    EXPECT(&a, "WATCH k", "+OK");
    EXPECT(&b, "SELECT 1", "+OK");
    EXPECT(&b, "SET k 1", "+OK");
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "EXEC", "*0");
    EXPECT(&b, "SELECT 0", "+OK");
    EXPECT(&a, "WATCH k", "+OK");
    EXPECT(&a, "UNWATCH", "+OK");
    EXPECT(&b, "SET k 1", "+OK");
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "EXEC", "*0");
    EXPECT(&a, "WATCH k", "+OK");
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "DISCARD", "+OK");
    EXPECT(&b, "SET k 2", "+OK");
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "EXEC", "*0");
}
END_TEST

START_TEST(reset__drops_what_the_session_had)
{
    EXPECT(&a, "SELECT 2", "+OK");
    EXPECT(&a, "HELLO 3 x", "-ERR Syntax error in HELLO option 'x'");
    ck_assert_int_eq(strncmp(run(&a, "HELLO 3"), "%7", 2), 0);
    EXPECT(&a, "GET none", "_");
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "RESET", "+RESET");
    EXPECT(&a, "GET none", "$-1");
    ck_assert_uint_eq(a.db, 0);
    ck_assert(!a.multi.open);
    EXPECT(&a, "HELLO 4", "-NOPROTO unsupported protocol version");
    EXPECT(&a, "HELLO x", "-ERR Protocol version is not an integer or out of range");
}
END_TEST

START_TEST(replies__are_left_out_as_client_reply_says)
{
    a.reply = SESSION_REPLY_OFF;
    EXPECT(&a, "PING", "");
    EXPECT(&a, "NOSUCH", "");
    a.reply = SESSION_REPLY_SKIP;
    EXPECT(&a, "PING", "");
    EXPECT(&a, "PING", "+PONG");
}
END_TEST

/* ---- Gates ---- */

static const char *refuse_text;
static unsigned asked;

static enum err refuse_writes(void *context, const struct gate *g)
{
    (void)context;
    asked++;
    if ((g->command->flags & FACT_WRITE) == 0 || refuse_text == NULL)
        return OK;
    return gate_refuse(g, "%s", refuse_text);
}

START_TEST(gates__order_is_arity_then_route_then_state)
{
    node_set_route(node, refuse_writes, NULL);
    refuse_text = "MOVED 1 h:1";
    EXPECT(&a, "SET k", "-ERR wrong number of arguments for 'set' command");
    EXPECT(&a, "SET k v", "-MOVED 1 h:1");
    asked = 0;
    EXPECT(&a, "GET k", "$-1");
    ck_assert_uint_eq(asked, 1);
    EXPECT(&a, "PING", "+PONG");
    ck_assert_uint_eq(asked, 1); /* nothing to route */
}
END_TEST

START_TEST(gates__a_refusal_while_queueing_aborts)
{
    node_set_route(node, refuse_writes, NULL);
    refuse_text = "MOVED 1 h:1";
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "SET k v", "-MOVED 1 h:1");
    EXPECT(&a, "EXEC", "-EXECABORT Transaction discarded because of previous errors.");
}
END_TEST

START_TEST(gates__a_refusal_at_exec_is_told_with_its_reason)
{
    node_add_admit(node, refuse_writes, NULL);
    refuse_text = NULL;
    EXPECT(&a, "MULTI", "+OK");
    EXPECT(&a, "SET k v", "+QUEUED");
    refuse_text = "READONLY You can't write against a read only replica.";
    EXPECT(&a, "EXEC", "-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.");
    ck_assert(!a.multi.open);
    EXPECT(&a, "GET k", "$-1");
}
END_TEST

static enum err one_user(void *context, struct session *s, struct slice user, struct slice password)
{
    (void)context;
    (void)s;
    (void)user;
    return slice_is(password, "secret") ? OK : ERR_NOT_FOUND;
}

static bool needs_password(void *context, struct session *s)
{
    (void)context;
    (void)s;
    return false;
}

START_TEST(auth__comes_before_everything_but_arity)
{
    struct session s;

    node_set_authentication(node, one_user, needs_password, NULL);
    session_init(&s, node, NULL);
    EXPECT(&s, "GET", "-ERR wrong number of arguments for 'get' command");
    EXPECT(&s, "GET k", "-NOAUTH Authentication required.");
    EXPECT(&s, "PING", "-NOAUTH Authentication required.");
    ck_assert_int_eq(strncmp(run(&s, "HELLO 3"), "-NOAUTH HELLO must be called", 28), 0);
    EXPECT(&s, "AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.");
    EXPECT(&s, "AUTH secret", "+OK");
    EXPECT(&s, "GET k", "$-1");
    EXPECT(&s, "RESET", "+RESET");
    EXPECT(&s, "GET k", "-NOAUTH Authentication required.");
    ck_assert_int_eq(strncmp(run(&s, "HELLO 3 AUTH u secret"), "%7", 2), 0);
    session_fini(&s);
}
END_TEST

START_TEST(stats__count_calls_failures_and_refusals)
{
    const struct command *get = registry_find(node->registry, SLICE_LITERAL("get"));
    struct stats_command c;

    (void)run(&a, "LPUSH l x");
    (void)run(&a, "GET k");
    (void)run(&a, "GET l");
    (void)run(&a, "GET");
    stats_command(node->stats, get->index, &c);
    ck_assert_uint_eq(c.calls, 2);
    ck_assert_uint_eq(c.failed, 1);
    ck_assert_uint_eq(c.rejected, 1);
    ck_assert_uint_eq(stats_errors(node->stats), 2);
    stats_reset(node->stats);
    (void)run(&a, "GET k");
    stats_command(node->stats, get->index, &c);
    ck_assert_uint_eq(c.calls, 1);
    ck_assert_uint_eq(c.failed, 0);
    ck_assert_uint_eq(stats_errors(node->stats), 0);
}
END_TEST

START_TEST(recovery__finds_everything_that_was_committed)
{
    for (int drain = 0; drain < 2; drain++) {
        EXPECT(&a, "FLUSHALL", "+OK");
        EXPECT(&a, "SET k v", "+OK");
        EXPECT(&a, "RPUSH l a b c", ":3");
        EXPECT(&a, "LPOP l", "$1 a");
        EXPECT(&a, "SET gone 1", "+OK");
        EXPECT(&a, "DEL gone", ":1");
        EXPECT(&a, "MULTI", "+OK");
        EXPECT(&a, "INCR n", "+QUEUED");
        EXPECT(&a, "HSET h f 1", "+QUEUED");
        EXPECT(&a, "EXEC", "*2 :1 :1");
        EXPECT(&a, "SELECT 2", "+OK");
        EXPECT(&a, "SET other 2", "+OK");
        close_node(drain != 0);
        open_node();
        EXPECT(&a, "GET k", "$1 v");
        EXPECT(&a, "LRANGE l 0 -1", "*2 $1 b $1 c");
        EXPECT(&a, "GET n", "$1 1");
        EXPECT(&a, "HGET h f", "$1 1");
        EXPECT(&a, "DBSIZE", ":4");
        EXPECT(&a, "SELECT 2", "+OK");
        EXPECT(&a, "DBSIZE", ":1");
        EXPECT(&a, "SELECT 0", "+OK");
    }
}
END_TEST

START_TEST(memory__split_never_exceeds_the_whole)
{
    for (uint64_t total = 1 << 20; total < (uint64_t)1 << 40; total *= 2) {
        struct memory_split m = memory_split_of(total, 0);

        ck_assert_uint_gt(m.set, 0);
        ck_assert_uint_lt(m.dirty, m.set);
        if (total >= 64 << 20)
            ck_assert_uint_le(m.set + m.cache + 2 * m.buffers + total / 16, total);
    }
    ck_assert_uint_eq(memory_split_of(0, (uint64_t)8 << 30).total, (uint64_t)4 << 30);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, execute__runs_commands_and_reports_mistakes);
    tcase_add_test(tests, execute__databases_are_apart);
    tcase_add_test(tests, multi__queues_and_exec_runs_all);
    tcase_add_test(tests, multi__a_refused_command_aborts_exec);
    tcase_add_test(tests, multi__nested_multi_and_watch_are_errors_that_do_not_abort);
    tcase_add_test(tests, multi__select_inside_stays_selected);
    tcase_add_test(tests, multi__whole_database_commands_run_in_their_place);
    tcase_add_test(tests, watch__sees_every_change_of_others);
    tcase_add_test(tests, watch__lets_exec_run_when_nothing_changed);
    tcase_add_test(tests, watch__is_of_one_database_and_forgotten_in_time);
    tcase_add_test(tests, reset__drops_what_the_session_had);
    tcase_add_test(tests, replies__are_left_out_as_client_reply_says);
    tcase_add_test(tests, gates__order_is_arity_then_route_then_state);
    tcase_add_test(tests, gates__a_refusal_while_queueing_aborts);
    tcase_add_test(tests, gates__a_refusal_at_exec_is_told_with_its_reason);
    tcase_add_test(tests, auth__comes_before_everything_but_arity);
    tcase_add_test(tests, stats__count_calls_failures_and_refusals);
    tcase_add_test(tests, recovery__finds_everything_that_was_committed);
    tcase_add_test(tests, memory__split_never_exceeds_the_whole);
    return suite_run("execute", tests);
}
