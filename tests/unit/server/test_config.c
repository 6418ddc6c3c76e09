/*
 * test_config.c - the table of settings, and changes while the server runs (CONFIG SET).
 */
#include "tests/unit/server/config_harness.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>

/* The value is refused with this text, and the old one stays. */
static void refuses(const char *name, const char *value, const char *text)
{
    struct config *c = config_new();
    char before[256];

    snprintf(before, sizeof before, "%s", setting(c, name));
    ck_assert_int_eq(setting_change(c, name, value), ERR_INVALID);
    ck_assert_str_eq(err_text(), text);
    ck_assert_str_eq(setting(c, name), before);
    config_free(c);
}

/* The value is taken and given back like this. */
static void takes(const char *name, const char *value, const char *text)
{
    struct config *c = config_new();

    ck_assert_msg(setting_change(c, name, value) == OK, "%s %s: %s", name, value, err_text());
    ck_assert_str_eq(setting(c, name), text);
    config_free(c);
}

/* ---- The table ---- */

START_TEST(table__names_and_aliases_are_unique)
{
    for (size_t i = 0; i < option_count; i++) {
        ck_assert_uint_eq(option_find(TEXT(option_table[i].name)), i);
        ck_assert_msg(option_table[i].help != NULL && option_table[i].help[0] != '\0', "%s has no help",
                      option_table[i].name);
        if (option_table[i].alias != NULL)
            ck_assert_uint_eq(option_find(TEXT(option_table[i].alias)), i);
    }
    ck_assert_uint_eq(option_find(TEXT("PORT")), option_find(TEXT("port")));
    ck_assert_uint_eq(option_find(TEXT("por")), SIZE_MAX);
}
END_TEST

/* What CONFIG GET says is what a file may say, for every option. */
START_TEST(table__every_value_survives_a_round_trip)
{
    struct config *c = config_new(), *again = config_new();
    struct buf file = {0}, text = {0}, other = {0};

    for (size_t i = 0; i < option_count; i++) {
        if ((option_table[i].flags & OPTION_MANY) != 0)
            continue;
        buf_clear(&text);
        config_text(c, i, &text);
        buf_append_str(&file, option_table[i].name);
        if (option_table[i].type == OPTION_LIST && text.size > 0)
            buf_append_format(&file, " %.*s\n", (int)text.size, (const char *)text.data);
        else
            buf_append_format(&file, " \"%.*s\"\n", (int)text.size, text.size > 0 ? (const char *)text.data : "");
    }
    ck_assert_msg(config_read_redis(again, "again.conf", buf_slice(&file)) == OK, "%s", err_text());
    for (size_t i = 0; i < option_count; i++) {
        buf_clear(&text);
        buf_clear(&other);
        config_text(c, i, &text);
        config_text(again, i, &other);
        ck_assert_msg(slice_equal(buf_slice(&text), buf_slice(&other)), "%s: %.*s", option_table[i].name,
                      (int)other.size, (const char *)other.data);
    }
    buf_free(&file);
    buf_free(&text);
    buf_free(&other);
    config_free(c);
    config_free(again);
}
END_TEST

START_TEST(table__defaults_are_those_of_redis)
{
    struct config *c = config_new();

    ck_assert_int_eq(config_int(c, "port"), 6379);
    ck_assert_str_eq(setting(c, "bind"), "* -::*");
    ck_assert_str_eq(setting(c, "save"), "3600 1 300 100 60 10000");
    ck_assert_str_eq(setting(c, "appendfsync"), "everysec");
    ck_assert_str_eq(setting(c, "maxmemory-policy"), "noeviction");
    ck_assert_str_eq(setting(c, "client-output-buffer-limit"),
                     "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
    ck_assert_str_eq(setting(c, "repl-backlog-size"), "1048576");
    ck_assert_str_eq(setting(c, "loglevel"), "notice");
    ck_assert_str_eq(setting(c, "unixsocketperm"), "0");
    ck_assert_str_eq(setting(c, "supervised"), "no");
    ck_assert_int_eq(config_int(c, "slowlog-log-slower-than"), 10000);
    ck_assert_int_eq(config_int(c, "cluster-node-timeout"), 15000);
    ck_assert_int_eq(config_int(c, "hash-max-ziplist-entries"), 512);
    ck_assert(config_bool(c, "protected-mode"));
    ck_assert(!config_bool(c, "cluster-enabled"));
    config_free(c);
}
END_TEST

/* ---- CONFIG SET ---- */

START_TEST(set__refuses_with_the_words_of_redis)
{
    refuses("maxmemory", "abc", "argument must be a memory value");
    refuses("maxmemory", "-1", "argument must be a memory value");
    refuses("maxmemory", "1.5gb", "argument must be a memory value");
    refuses("maxmemory", "99999999999gb", "argument must be a memory value");
    refuses("daemonize", "yes", "can't set immutable config");
    refuses("dir", "/", "can't set protected config");
    refuses("timeout", "-1", "argument must be between 0 and 2147483647 inclusive");
    refuses("timeout", "5 ", "argument couldn't be parsed into an integer");
    refuses("slowlog-max-len", "0x10", "argument couldn't be parsed into an integer");
    refuses("slowlog-max-len", "", "argument couldn't be parsed into an integer");
    refuses("slowlog-log-slower-than", "18446744073709551616", "argument couldn't be parsed into an integer");
    refuses("maxclients", "0", "argument must be between 1 and 4294967295 inclusive");
    refuses("loglevel", "foo", "argument(s) must be one of the following: debug, verbose, notice, warning, nothing");
    refuses("appendfsync", "foo", "argument(s) must be one of the following: everysec, always, no");
    refuses("maxmemory-policy", "bla",
            "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, "
            "allkeys-lru, allkeys-lfu, allkeys-random, noeviction");
    refuses("appendonly", "maybe", "argument must be 'yes' or 'no'");
    refuses("hz", "abc", "argument couldn't be parsed into an integer");
    refuses("proto-max-bulk-len", "1", "argument must be between 1048576 and 9223372036854775807 inclusive");
}
END_TEST

START_TEST(set__refuses_bad_shapes)
{
    refuses("save", "foo", "Invalid save parameters");
    refuses("save", "900 1 300", "Invalid save parameters");
    refuses("save", "0 1", "Invalid save parameters");
    refuses("save", "1 -1", "Invalid save parameters");
    refuses("client-output-buffer-limit", "foo 1 2 3", "Invalid client class specified in buffer limit configuration.");
    refuses("client-output-buffer-limit", "normal 1 2", "Wrong number of arguments in buffer limit configuration.");
    refuses("client-output-buffer-limit", "normal a 2 3",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    refuses("client-output-buffer-limit", "normal 1 0 -1",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    refuses("notify-keyspace-events", "KEq", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    refuses("latency-tracking-info-percentiles", "50 101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
    refuses("latency-tracking-info-percentiles", "50 abc", "Invalid latency-tracking-info-percentiles parameters");
    refuses("oom-score-adj-values", "1 2", "wrong number of arguments");
    refuses("oom-score-adj-values", "1 2 3000",
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
    refuses("maxmemory-clients", "101%", "percentage argument must be less or equal to 100");
    refuses("maxmemory-clients", "-5", "argument must be a memory or percent value");
    refuses("shutdown-on-sigterm", "nosave bla",
            "argument(s) must be one of the following: default, save, nosave, now, force");
    refuses("shutdown-on-sigterm", "save nosave", "shutdown options SAVE and NOSAVE can't be used simultaneously");
    refuses("cluster-announce-hostname", "a b", "Hostnames may only contain alphanumeric characters, hyphens or dots");
}
END_TEST

START_TEST(set__gives_back_canonical_texts)
{
    takes("maxmemory", "100mB", "104857600");
    takes("maxmemory", "1k", "1000");
    takes("maxmemory", "", "0");
    takes("protected-mode", "NO", "no");
    takes("maxmemory-policy", "ALLKEYS-LRU", "allkeys-lru");
    takes("hz", "100000", "500");
    takes("hz", "0", "1");
    takes("save", "900 1 300 10", "900 1 300 10");
    takes("save", "", "");
    takes("client-output-buffer-limit", "normal 10mb 2mb 30 replica 1 2 3",
          "normal 10485760 2097152 30 slave 1 2 3 pubsub 33554432 8388608 60");
    takes("notify-keyspace-events", "KEA", "AKE");
    takes("notify-keyspace-events", "Kg$", "g$K");
    takes("notify-keyspace-events", "KEmn", "nKEm");
    takes("notify-keyspace-events", "nmAE", "AEm");
    takes("notify-keyspace-events", "Eg$lshzxetd", "AE");
    takes("latency-tracking-info-percentiles", "50 99.99 100.0", "50 99.99 100");
    takes("latency-tracking-info-percentiles", "", "");
    takes("maxmemory-clients", "5%", "5%");
    takes("maxmemory-clients", "1mb", "1048576");
    takes("shutdown-on-sigterm", "nosave now", "nosave now");
    takes("shutdown-on-sigint", "default save", "save");
    takes("masterauth", "a b", "a b");
    takes("hash-max-ziplist-entries", "100", "100");
}
END_TEST

START_TEST(set__changes_all_or_nothing)
{
    struct config *c = config_new();
    struct config_change changes[] = {
        {option_find(TEXT("timeout")), TEXT("5"), TEXT("timeout")},
        {option_find(TEXT("maxmemory")), TEXT("x"), TEXT("maxmemory")},
    };
    size_t failed = 99;

    ck_assert_int_eq(config_set(c, changes, 2, false, &failed), ERR_INVALID);
    ck_assert_uint_eq(failed, 1);
    ck_assert_int_eq(config_int(c, "timeout"), 0);
    changes[1].value = TEXT("7");
    ck_assert_int_eq(config_set(c, changes, 2, false, &failed), OK);
    ck_assert_int_eq(config_int(c, "timeout"), 5);
    ck_assert_int_eq(config_int(c, "maxmemory"), 7);
    changes[1] = changes[0];
    ck_assert_int_eq(config_set(c, changes, 2, false, &failed), ERR_INVALID);
    ck_assert_str_eq(err_text(), "duplicate parameter");
    config_free(c);
}
END_TEST

START_TEST(set__protected_options_need_permission)
{
    struct config *c = config_new();

    ck_assert_int_eq(setting_change(c, "dbfilename", "x.rdb"), ERR_INVALID);
    ck_assert_str_eq(err_text(), "can't set protected config");
    ck_assert_int_eq(setting_change_as(c, "dbfilename", "x.rdb", true), OK);
    ck_assert_str_eq(setting(c, "dbfilename"), "x.rdb");
    ck_assert_int_eq(setting_change_as(c, "dbfilename", "a/b", true), ERR_INVALID);
    ck_assert_str_eq(err_text(), "dbfilename can't be a path, just a filename");
    config_free(c);
}
END_TEST

START_TEST(set__numbers_of_shapes_are_for_the_program)
{
    struct config *c = config_new();

    ck_assert_int_eq(setting_change(c, "notify-keyspace-events", "KA"), OK);
    ck_assert_int_eq(config_int(c, "notify-keyspace-events"), NOTIFY_KEYSPACE | NOTIFY_ALL);
    ck_assert_int_eq(setting_change(c, "maxmemory-clients", "5%"), OK);
    ck_assert_int_eq(config_int(c, "maxmemory-clients"), -5);
    config_free(c);
}
END_TEST

struct listening {
    int calls, seen, refuse; /* the value that it refuses */
};

static enum err listen_timeout(void *context, struct config *c)
{
    struct listening *l = context;

    l->calls++;
    l->seen = (int)config_int(c, "timeout");
    return l->seen == l->refuse ? err_set(ERR_INVALID, "I cannot live with %d", l->seen) : OK;
}

START_TEST(set__listeners_hear_once_and_may_refuse)
{
    struct config *c = config_new();
    struct listening l = {.refuse = -1};
    struct config_change changes[] = {
        {option_find(TEXT("hz")), TEXT("20"), TEXT("hz")},
        {option_find(TEXT("timeout")), TEXT("5"), TEXT("timeout")},
        {option_find(TEXT("maxclients")), TEXT("50"), TEXT("maxclients")},
    };
    size_t failed = 99;

    config_on_change(c, "timeout", listen_timeout, &l);
    config_on_change(c, "maxclients", listen_timeout, &l);
    ck_assert_int_eq(setting_change(c, "hz", "11"), OK);
    ck_assert_int_eq(l.calls, 0);
    ck_assert_int_eq(config_set(c, changes, 3, false, &failed), OK);
    ck_assert_int_eq(l.calls, 1);
    ck_assert_int_eq(l.seen, 5);
    l.refuse = 6;
    changes[0].value = TEXT("30");
    changes[1].value = TEXT("6");
    ck_assert_int_eq(config_set(c, changes, 2, false, &failed), ERR_INVALID);
    ck_assert_str_eq(err_text(), "I cannot live with 6");
    ck_assert_uint_eq(failed, 1);
    ck_assert_int_eq(config_int(c, "timeout"), 5);
    ck_assert_int_eq(config_int(c, "hz"), 20);
    ck_assert_int_eq(l.seen, 5); /* it was told of the way back */
    config_free(c);
}
END_TEST

START_TEST(help__has_a_line_for_every_option)
{
    struct buf out = {0};
    size_t lines = 0;

    config_help(&out);
    for (size_t i = 0; i < out.size; i++)
        lines += out.data[i] == '\n';
    ck_assert_uint_eq(lines, option_count + 2);
    buf_free(&out);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, table__names_and_aliases_are_unique);
    tcase_add_test(tests, table__every_value_survives_a_round_trip);
    tcase_add_test(tests, table__defaults_are_those_of_redis);
    tcase_add_test(tests, set__refuses_with_the_words_of_redis);
    tcase_add_test(tests, set__refuses_bad_shapes);
    tcase_add_test(tests, set__gives_back_canonical_texts);
    tcase_add_test(tests, set__changes_all_or_nothing);
    tcase_add_test(tests, set__protected_options_need_permission);
    tcase_add_test(tests, set__numbers_of_shapes_are_for_the_program);
    tcase_add_test(tests, set__listeners_hear_once_and_may_refuse);
    tcase_add_test(tests, help__has_a_line_for_every_option);
    return suite_run("config", tests);
}
