/*
 * test_config.c - the settings: the table, both dialects, the command line, changes, REWRITE.
 */
#include "server/conf/config.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT(literal) slice_str(literal)

static char folder[64];

static void folder_make(void)
{
    strcpy(folder, "/tmp/cairn-config-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void folder_remove(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static const char *file_put(const char *name, const char *text)
{
    static char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static char *file_get(const char *path)
{
    static char text[65536];
    FILE *f = fopen(path, "r");
    size_t size;

    ck_assert_ptr_nonnull(f);
    size = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[size] = '\0';
    return text;
}

static const char *get(struct config *c, const char *name)
{
    static struct buf text;

    return config_string(c, name, &text);
}

static enum err set_as(struct config *c, const char *name, const char *value, bool may_protected)
{
    struct config_change change = {option_find(TEXT(name)), TEXT(value), TEXT(name)};
    size_t failed;

    ck_assert_uint_ne(change.option, SIZE_MAX);
    return config_set(c, &change, 1, may_protected, &failed);
}

static enum err set(struct config *c, const char *name, const char *value)
{
    return set_as(c, name, value, false);
}

/* The value is refused with this text, and the old one stays. */
static void refuses(const char *name, const char *value, const char *text)
{
    struct config *c = config_new();
    char before[256];

    snprintf(before, sizeof before, "%s", get(c, name));
    ck_assert_int_eq(set(c, name, value), ERR_INVALID);
    ck_assert_str_eq(err_text(), text);
    ck_assert_str_eq(get(c, name), before);
    config_free(c);
}

/* The value is taken and given back like this. */
static void takes(const char *name, const char *value, const char *text)
{
    struct config *c = config_new();

    ck_assert_msg(set(c, name, value) == OK, "%s %s: %s", name, value, err_text());
    ck_assert_str_eq(get(c, name), text);
    config_free(c);
}

static struct config *read_redis(const char *text)
{
    struct config *c = config_new();

    ck_assert_msg(config_read_redis(c, "test.conf", TEXT(text)) == OK, "%s", err_text());
    return c;
}

static struct config *read_toml(const char *text)
{
    struct config *c = config_new();

    ck_assert_msg(config_read_toml(c, "test.toml", TEXT(text)) == OK, "%s", err_text());
    return c;
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
    ck_assert_str_eq(get(c, "bind"), "* -::*");
    ck_assert_str_eq(get(c, "save"), "3600 1 300 100 60 10000");
    ck_assert_str_eq(get(c, "appendfsync"), "everysec");
    ck_assert_str_eq(get(c, "maxmemory-policy"), "noeviction");
    ck_assert_str_eq(get(c, "client-output-buffer-limit"),
                     "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
    ck_assert_str_eq(get(c, "repl-backlog-size"), "1048576");
    ck_assert_str_eq(get(c, "loglevel"), "notice");
    ck_assert_str_eq(get(c, "unixsocketperm"), "0");
    ck_assert_str_eq(get(c, "supervised"), "no");
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

    ck_assert_int_eq(set(c, "dbfilename", "x.rdb"), ERR_INVALID);
    ck_assert_str_eq(err_text(), "can't set protected config");
    ck_assert_int_eq(set_as(c, "dbfilename", "x.rdb", true), OK);
    ck_assert_str_eq(get(c, "dbfilename"), "x.rdb");
    ck_assert_int_eq(set_as(c, "dbfilename", "a/b", true), ERR_INVALID);
    ck_assert_str_eq(err_text(), "dbfilename can't be a path, just a filename");
    config_free(c);
}
END_TEST

START_TEST(set__numbers_of_shapes_are_for_the_program)
{
    struct config *c = config_new();

    ck_assert_int_eq(set(c, "notify-keyspace-events", "KA"), OK);
    ck_assert_int_eq(config_int(c, "notify-keyspace-events"), NOTIFY_KEYSPACE | NOTIFY_ALL);
    ck_assert_int_eq(set(c, "maxmemory-clients", "5%"), OK);
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
    ck_assert_int_eq(set(c, "hz", "11"), OK);
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

/* ---- redis.conf ---- */

START_TEST(redis_conf__reads_quotes_comments_and_lists)
{
    struct config *c = read_redis("# a comment\n"
                                  "\n"
                                  "  port 7000\r\n"
                                  "bind 127.0.0.1 -::1\n"
                                  "requirepass \"a b\\\"\\x41\\n\"\n"
                                  "masterauth 'it\\'s'\n"
                                  "save 900 1\nsave 300 10\n"
                                  "client-output-buffer-limit pubsub 1mb 2mb 3\n"
                                  "unixsocketperm 700\n"
                                  "slave-priority 7\n"
                                  "CLUSTER-ENABLED YES");

    ck_assert_int_eq(config_int(c, "port"), 7000);
    ck_assert_str_eq(get(c, "bind"), "127.0.0.1 -::1");
    ck_assert_str_eq(get(c, "requirepass"), "a b\"A\n");
    ck_assert_str_eq(get(c, "masterauth"), "it's");
    ck_assert_str_eq(get(c, "save"), "900 1 300 10");
    ck_assert_str_eq(get(c, "client-output-buffer-limit"),
                     "normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 2097152 3");
    ck_assert_str_eq(get(c, "unixsocketperm"), "700");
    ck_assert_int_eq(config_int(c, "unixsocketperm"), 0700);
    ck_assert_int_eq(config_int(c, "replica-priority"), 7);
    ck_assert(config_bool(c, "cluster-enabled"));
    config_free(c);
}
END_TEST

START_TEST(redis_conf__save_with_nothing_forgets_the_pairs)
{
    struct config *c = read_redis("save 900 1\nsave \"\"\n");

    ck_assert_str_eq(get(c, "save"), "");
    config_free(c);
}
END_TEST

START_TEST(redis_conf__lines_that_repeat_are_kept_apart)
{
    struct config *c = read_redis("user alice on >secret ~* +@all\nuser bob off\nrename-command FLUSHALL \"\"\n");
    char **words;
    size_t count;

    ck_assert_str_eq(get(c, "user"), "alice on >secret ~* +@all\nbob off");
    count = config_words(c, "rename-command", &words);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(words[0], "FLUSHALL");
    ck_assert_str_eq(words[1], "");
    config_words_free(words, count);
    config_free(c);
}
END_TEST

static void stops_at(const char *text, const char *message)
{
    struct config *c = config_new();

    ck_assert_int_eq(config_read_redis(c, "x.conf", TEXT(text)), ERR_INVALID);
    ck_assert_str_eq(err_text(), message);
    config_free(c);
}

#define FATAL "*** FATAL CONFIG FILE ERROR (Cairn " CAIRN_VERSION ") ***\nReading the configuration file "

START_TEST(redis_conf__a_bad_line_is_named)
{
    stops_at("port 1\n\nfoo bar\n",
             FATAL "x.conf, at line 3\n>>> 'foo bar'\nBad directive or wrong number of arguments");
    stops_at("port", FATAL "x.conf, at line 1\n>>> 'port'\nwrong number of arguments");
    stops_at("port 1 2", FATAL "x.conf, at line 1\n>>> 'port 1 2'\nwrong number of arguments");
    stops_at("loglevel x",
             FATAL "x.conf, at line 1\n>>> 'loglevel x'\nargument(s) must be one of the following: debug, "
                   "verbose, notice, warning, nothing");
    stops_at("requirepass \"a",
             FATAL "x.conf, at line 1\n>>> 'requirepass \"a'\nUnbalanced quotes in configuration line");
    stops_at("requirepass \"a\"b",
             FATAL "x.conf, at line 1\n>>> 'requirepass \"a\"b'\nUnbalanced quotes in configuration "
                   "line");
    stops_at("loadmodule x.so", FATAL "x.conf, at line 1\n>>> 'loadmodule x.so'\nModules are not supported");
    stops_at("rename-command GET",
             FATAL "x.conf, at line 1\n>>> 'rename-command GET'\nBad directive or wrong number of "
                   "arguments");
    stops_at("rename-command GET B", FATAL "x.conf, at line 1\n>>> 'rename-command GET B'\na command can be disabled "
                                           "(rename-command NAME \"\") but not renamed: the log keeps requests as they "
                                           "came");
    stops_at("replicaof a", FATAL "x.conf, at line 1\n>>> 'replicaof a'\nwrong number of arguments");
}
END_TEST

START_TEST(redis_conf__includes_files_and_names_the_inner_line)
{
    struct config *c = config_new();
    char text[256];
    char *argv[] = {"cairn-server", NULL, NULL};

    folder_make();
    file_put("inner-a.conf", "timeout 7\n");
    file_put("inner-b.conf", "hz 20\n");
    snprintf(text, sizeof text, "include %s/inner-*.conf\ninclude %s/none-*.conf\nport 1\n", folder, folder);
    argv[1] = strdup(file_put("outer.conf", text));
    ck_assert_msg(config_load(c, 2, argv) == OK, "%s", err_text());
    ck_assert_int_eq(config_int(c, "timeout"), 7);
    ck_assert_int_eq(config_int(c, "hz"), 20);
    ck_assert_int_eq(config_int(c, "port"), 1);
    ck_assert_str_eq(config_file(c), argv[1]);
    file_put("inner-b.conf", "hz 20\nbad\n");
    ck_assert_int_eq(config_load(c, 2, argv), ERR_INVALID);
    snprintf(text, sizeof text, "%s%s/inner-b.conf, at line 2\n>>> 'bad'\nBad directive or wrong number of arguments",
             FATAL, folder);
    ck_assert_str_eq(err_text(), text);
    free(argv[1]);
    config_free(c);
    folder_remove();
}
END_TEST

START_TEST(redis_conf__a_file_that_includes_itself_is_refused)
{
    struct config *c = config_new();
    char text[256];
    char *argv[] = {"cairn-server", NULL, NULL};

    folder_make();
    snprintf(text, sizeof text, "include %s/a.conf\n", folder);
    argv[1] = (char *)file_put("a.conf", text);
    ck_assert_int_eq(config_load(c, 2, argv), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err_text(), "includes are nested too deeply"));
    config_free(c);
    folder_remove();
}
END_TEST

/* ---- The command line ---- */

START_TEST(command_line__wins_over_the_file)
{
    struct config *c = config_new();
    char *argv[] = {"cairn-server", NULL, "--port",      "7001",     "--bind", "127.0.0.1", "::1",
                    "--save",       "",   "--replicaof", "10.0.0.1", "6379",   NULL};

    folder_make();
    argv[1] = (char *)file_put("node.conf", "port 7000\nsave 900 1\ntimeout 3\n");
    ck_assert_msg(config_load(c, 12, argv) == OK, "%s", err_text());
    ck_assert_int_eq(config_int(c, "port"), 7001);
    ck_assert_int_eq(config_int(c, "timeout"), 3);
    ck_assert_str_eq(get(c, "bind"), "127.0.0.1 ::1");
    ck_assert_str_eq(get(c, "save"), "");
    ck_assert_str_eq(get(c, "replicaof"), "10.0.0.1 6379");
    config_free(c);
    folder_remove();
}
END_TEST

START_TEST(command_line__takes_a_toml_file)
{
    struct config *c = config_new();
    char *argv[] = {"cairn-server", "--config", NULL, "--timeout", "9", NULL};

    folder_make();
    argv[2] = (char *)file_put("node.toml", "[server]\nport = 7000\n");
    ck_assert_msg(config_load(c, 5, argv) == OK, "%s", err_text());
    ck_assert_int_eq(config_int(c, "port"), 7000);
    ck_assert_int_eq(config_int(c, "timeout"), 9);
    config_free(c);
    folder_remove();
}
END_TEST

static void arguments_stop(int argc, char **argv, enum err e, const char *part)
{
    struct config *c = config_new();

    ck_assert_int_eq(config_load(c, argc, argv), e);
    ck_assert_msg(strstr(err_text(), part) != NULL, "%s", err_text());
    config_free(c);
}

START_TEST(command_line__names_what_is_wrong)
{
    arguments_stop(3, (char *[]){"x", "--port", "y"}, ERR_INVALID,
                   "Reading the command line\n>>> 'port \"y\"'\nargument couldn't be parsed into an integer");
    arguments_stop(2, (char *[]){"x", "--nonsense"}, ERR_INVALID, "Bad directive or wrong number of arguments");
    arguments_stop(2, (char *[]){"x", "/nonexistent/file"}, ERR_IO,
                   "Fatal error, can't open config file '/nonexistent/file': No such file or directory");
    arguments_stop(3, (char *[]){"x", "--port", "1"}, OK, "");
    arguments_stop(2, (char *[]){"x", "-port"}, ERR_INVALID, "Options begin with --");
}
END_TEST

START_TEST(command_line__the_data_folder_becomes_absolute)
{
    struct config *c = config_new();
    char here[4096], want[4200];
    char *argv[] = {"cairn-server", "--dir", "not/yet/there", NULL};

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    snprintf(want, sizeof want, "%s/not/yet/there", here);
    ck_assert_int_eq(config_load(c, 3, argv), OK);
    ck_assert_str_eq(get(c, "dir"), want);
    config_free(c);
}
END_TEST

/* ---- TOML ---- */

START_TEST(toml__maps_onto_the_same_table)
{
    struct config *c = read_toml("# a node\n"
                                 "[server]\n"
                                 "port = 7_000 # the client port\n"
                                 "bind = [\"127.0.0.1\", # one\n  '-::1',\n]\n"
                                 "dir = \"/data\\t\"\n"
                                 "maxmemory = \"1gb\"\n"
                                 "tcp_backlog = 100\n"
                                 "[cluster]\n"
                                 "enabled = true\n"
                                 "node_addr = \"10.0.0.5:7010\"\n"
                                 "bus_port_offset = 5000\n"
                                 "config_file = 'nodes-7000.conf'\n"
                                 "node_timeout = 5000\n"
                                 "announce_bus_port = 17000\n"
                                 "replica_validity_factor = 0\n"
                                 "migration_barrier = 2\n"
                                 "require_full_coverage = false\n"
                                 "allow_reads_when_down = true\r\n"
                                 "[tls]\n"
                                 "enabled = true\n"
                                 "port = 7443\n"
                                 "cert_file = \"c.pem\"\nkey_file = \"k.pem\"\nca_file = \"ca.pem\"\n"
                                 "require_client_cert = false\n"
                                 "[metrics]\n"
                                 "enabled = true\nbind = \"0.0.0.0\"\nport = 9100\n");

    ck_assert_int_eq(config_int(c, "port"), 7000);
    ck_assert_str_eq(get(c, "bind"), "127.0.0.1 -::1");
    ck_assert_str_eq(get(c, "dir"), "/data\t");
    ck_assert_int_eq(config_int(c, "maxmemory"), 1 << 30);
    ck_assert_int_eq(config_int(c, "tcp-backlog"), 100);
    ck_assert(config_bool(c, "cluster-enabled"));
    ck_assert_str_eq(get(c, "cluster-announce-ip"), "10.0.0.5");
    ck_assert_int_eq(config_int(c, "cluster-announce-port"), 7010);
    ck_assert_int_eq(config_int(c, "cluster-port"), 12000);
    ck_assert_str_eq(get(c, "cluster-config-file"), "nodes-7000.conf");
    ck_assert_int_eq(config_int(c, "cluster-node-timeout"), 5000);
    ck_assert_int_eq(config_int(c, "cluster-announce-bus-port"), 17000);
    ck_assert_int_eq(config_int(c, "cluster-replica-validity-factor"), 0);
    ck_assert_int_eq(config_int(c, "cluster-migration-barrier"), 2);
    ck_assert(!config_bool(c, "cluster-require-full-coverage"));
    ck_assert(config_bool(c, "cluster-allow-reads-when-down"));
    ck_assert_int_eq(config_int(c, "tls-port"), 7443);
    ck_assert_str_eq(get(c, "tls-cert-file"), "c.pem");
    ck_assert_str_eq(get(c, "tls-auth-clients"), "no");
    ck_assert(config_bool(c, "metrics-enabled"));
    ck_assert_str_eq(get(c, "metrics-bind"), "0.0.0.0");
    ck_assert_int_eq(config_int(c, "metrics-port"), 9100);
    config_free(c);
}
END_TEST

START_TEST(toml__tls_that_is_not_enabled_has_no_port)
{
    struct config *c = read_toml("[tls]\nport = 7443\nenabled = false\n");

    ck_assert_int_eq(config_int(c, "tls-port"), 0);
    config_free(c);
}
END_TEST

static void toml_stops(const char *text, const char *message)
{
    struct config *c = config_new();

    ck_assert_int_eq(config_read_toml(c, "x.toml", TEXT(text)), ERR_INVALID);
    ck_assert_msg(strcmp(err_text(), message) == 0, "%s", err_text());
    config_free(c);
}

START_TEST(toml__a_bad_line_is_named)
{
    toml_stops("[server]\nport = 1\nprot = 2\n",
               FATAL "x.toml, at line 3\n>>> 'prot = 2'\nunknown key 'prot' in [server]");
    toml_stops("[nonsense]\nx = 1\n", FATAL "x.toml, at line 2\n>>> 'x = 1'\nunknown key 'x' in [nonsense]");
    toml_stops("port 1", FATAL "x.toml, at line 1\n>>> 'port 1'\nexpected '=' behind 'port'");
    toml_stops("port = 1.5",
               FATAL "x.toml, at line 1\n>>> 'port = 1.5'\na value must be a string, a whole number, true, "
                     "false or an array of those");
    toml_stops("port = 1 2", FATAL "x.toml, at line 1\n>>> 'port = 1 2'\nsomething stands behind the value");
    toml_stops("port = 99999",
               FATAL "x.toml, at line 1\n>>> 'port = 99999'\nargument must be between 0 and 65535 inclusive");
    toml_stops("bind = [\"a\"", FATAL "x.toml, at line 1\n>>> 'bind = [\"a\"'\narray without its closing bracket");
    toml_stops("dir = \"a", FATAL "x.toml, at line 1\n>>> 'dir = \"a'\nstring without its closing quote");
    toml_stops("dir = \"\\q\"", FATAL "x.toml, at line 1\n>>> 'dir = \"\\q\"'\nunknown escape in a string");
    toml_stops("[server\n", FATAL "x.toml, at line 1\n>>> '[server'\ntable name without its closing bracket");
    toml_stops("port = [1, 2]", FATAL "x.toml, at line 1\n>>> 'port = [1, 2]'\nwrong number of arguments");
}
END_TEST

/* ---- REWRITE ---- */

START_TEST(rewrite__keeps_comments_order_and_untouched_lines)
{
    struct config *c = config_new();
    char *argv[] = {"cairn-server", NULL, NULL};

    folder_make();
    argv[1] = strdup(file_put("node.conf", "# head\n\nport 7000\ntimeout  3\n# middle\nmaxmemory 100mb\nsave 900 1\n"
                                           "save 300 10\nuser alice on\nhz 10"));
    ck_assert_int_eq(config_load(c, 2, argv), OK);
    ck_assert_int_eq(set(c, "timeout", "5"), OK);
    ck_assert_int_eq(set(c, "requirepass", "a \"b\"\n"), OK);
    ck_assert_int_eq(set(c, "slowlog-max-len", "128"), OK); /* the default */
    ck_assert_int_eq(set(c, "appendfsync", "always"), OK);
    ck_assert_msg(config_rewrite(c) == OK, "%s", err_text());
    ck_assert_str_eq(file_get(argv[1]), "# head\n\nport 7000\ntimeout 5\n# middle\nmaxmemory 100mb\nsave 900 1 300 10\n"
                                        "user alice on\nhz 10\n# Generated by CONFIG REWRITE\n"
                                        "requirepass \"a \\\"b\\\"\\n\"\nappendfsync always\n");
    config_free(c);
    c = config_new();
    ck_assert_int_eq(config_load(c, 2, argv), OK);
    ck_assert_str_eq(get(c, "requirepass"), "a \"b\"\n");
    ck_assert_int_eq(config_int(c, "timeout"), 5);
    ck_assert_str_eq(get(c, "save"), "900 1 300 10");
    ck_assert_int_eq(config_rewrite(c), OK); /* the second time nothing changes */
    ck_assert_str_eq(file_get(argv[1]), "# head\n\nport 7000\ntimeout 5\n# middle\nmaxmemory 100mb\nsave 900 1 300 10\n"
                                        "user alice on\nhz 10\n# Generated by CONFIG REWRITE\n"
                                        "requirepass \"a \\\"b\\\"\\n\"\nappendfsync always\n");
    free(argv[1]);
    config_free(c);
    folder_remove();
}
END_TEST

START_TEST(rewrite__needs_a_file_that_is_no_toml)
{
    struct config *c = config_new();
    char *argv[] = {"cairn-server", "--config", NULL, NULL};

    ck_assert_int_eq(config_rewrite(c), ERR_INVALID);
    ck_assert_str_eq(err_text(), "The server is running without a config file");
    folder_make();
    argv[2] = (char *)file_put("node.toml", "port = 1\n");
    ck_assert_int_eq(config_load(c, 3, argv), OK);
    ck_assert_int_eq(config_rewrite(c), ERR_INVALID);
    config_free(c);
    folder_remove();
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
    Suite *suite = suite_create("config");
    TCase *tests = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tests);
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
    tcase_add_test(tests, redis_conf__reads_quotes_comments_and_lists);
    tcase_add_test(tests, redis_conf__save_with_nothing_forgets_the_pairs);
    tcase_add_test(tests, redis_conf__lines_that_repeat_are_kept_apart);
    tcase_add_test(tests, redis_conf__a_bad_line_is_named);
    tcase_add_test(tests, redis_conf__includes_files_and_names_the_inner_line);
    tcase_add_test(tests, redis_conf__a_file_that_includes_itself_is_refused);
    tcase_add_test(tests, command_line__wins_over_the_file);
    tcase_add_test(tests, command_line__takes_a_toml_file);
    tcase_add_test(tests, command_line__names_what_is_wrong);
    tcase_add_test(tests, command_line__the_data_folder_becomes_absolute);
    tcase_add_test(tests, toml__maps_onto_the_same_table);
    tcase_add_test(tests, toml__tls_that_is_not_enabled_has_no_port);
    tcase_add_test(tests, toml__a_bad_line_is_named);
    tcase_add_test(tests, rewrite__keeps_comments_order_and_untouched_lines);
    tcase_add_test(tests, rewrite__needs_a_file_that_is_no_toml);
    tcase_add_test(tests, help__has_a_line_for_every_option);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
