/*
 * test_config_files.c - settings in files: redis.conf and TOML, the command line, REWRITE.
 */
#include "tests/unit/server/config_harness.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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
    ck_assert_str_eq(setting(c, "bind"), "127.0.0.1 -::1");
    ck_assert_str_eq(setting(c, "requirepass"), "a b\"A\n");
    ck_assert_str_eq(setting(c, "masterauth"), "it's");
    ck_assert_str_eq(setting(c, "save"), "900 1 300 10");
    ck_assert_str_eq(setting(c, "client-output-buffer-limit"),
                     "normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 2097152 3");
    ck_assert_str_eq(setting(c, "unixsocketperm"), "700");
    ck_assert_int_eq(config_int(c, "unixsocketperm"), 0700);
    ck_assert_int_eq(config_int(c, "replica-priority"), 7);
    ck_assert(config_bool(c, "cluster-enabled"));
    config_free(c);
}
END_TEST

START_TEST(redis_conf__save_with_nothing_forgets_the_pairs)
{
    struct config *c = read_redis("save 900 1\nsave \"\"\n");

    ck_assert_str_eq(setting(c, "save"), "");
    config_free(c);
}
END_TEST

START_TEST(redis_conf__lines_that_repeat_are_kept_apart)
{
    struct config *c = read_redis("user alice on >secret ~* +@all\nuser bob off\nrename-command FLUSHALL \"\"\n");
    char **words;
    size_t count;

    ck_assert_str_eq(setting(c, "user"), "alice on >secret ~* +@all\nbob off");
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
    ck_assert_str_eq(setting(c, "bind"), "127.0.0.1 ::1");
    ck_assert_str_eq(setting(c, "save"), "");
    ck_assert_str_eq(setting(c, "replicaof"), "10.0.0.1 6379");
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
    ck_assert_str_eq(setting(c, "dir"), want);
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
    ck_assert_str_eq(setting(c, "bind"), "127.0.0.1 -::1");
    ck_assert_str_eq(setting(c, "dir"), "/data\t");
    ck_assert_int_eq(config_int(c, "maxmemory"), 1 << 30);
    ck_assert_int_eq(config_int(c, "tcp-backlog"), 100);
    ck_assert(config_bool(c, "cluster-enabled"));
    ck_assert_str_eq(setting(c, "cluster-announce-ip"), "10.0.0.5");
    ck_assert_int_eq(config_int(c, "cluster-announce-port"), 7010);
    ck_assert_int_eq(config_int(c, "cluster-port"), 12000);
    ck_assert_str_eq(setting(c, "cluster-config-file"), "nodes-7000.conf");
    ck_assert_int_eq(config_int(c, "cluster-node-timeout"), 5000);
    ck_assert_int_eq(config_int(c, "cluster-announce-bus-port"), 17000);
    ck_assert_int_eq(config_int(c, "cluster-replica-validity-factor"), 0);
    ck_assert_int_eq(config_int(c, "cluster-migration-barrier"), 2);
    ck_assert(!config_bool(c, "cluster-require-full-coverage"));
    ck_assert(config_bool(c, "cluster-allow-reads-when-down"));
    ck_assert_int_eq(config_int(c, "tls-port"), 7443);
    ck_assert_str_eq(setting(c, "tls-cert-file"), "c.pem");
    ck_assert_str_eq(setting(c, "tls-auth-clients"), "no");
    ck_assert(config_bool(c, "metrics-enabled"));
    ck_assert_str_eq(setting(c, "metrics-bind"), "0.0.0.0");
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
    static const char rewritten[] = "# head\n\nport 7000\ntimeout 5\n# middle\nmaxmemory 100mb\nsave 900 1\nsave 300 10\n"
                                    "user alice on\nhz 10\n# Generated by CONFIG REWRITE\n"
                                    "requirepass \"a \\\"b\\\"\\n\"\nappendfsync always\n";
    struct config *c = config_new();
    char *argv[] = {"cairn-server", NULL, NULL};

    folder_make();
    argv[1] = strdup(file_put("node.conf", "# head\n\nport 7000\ntimeout  3\n# middle\nmaxmemory 100mb\nsave 900 1\n"
                                           "save 300 10\nuser alice on\nhz 10"));
    ck_assert_int_eq(config_load(c, 2, argv), OK);
    ck_assert_int_eq(setting_change(c, "timeout", "5"), OK);
    ck_assert_int_eq(setting_change(c, "requirepass", "a \"b\"\n"), OK);
    ck_assert_int_eq(setting_change(c, "slowlog-max-len", "128"), OK); /* the default */
    ck_assert_int_eq(setting_change(c, "appendfsync", "always"), OK);
    ck_assert_msg(config_rewrite(c) == OK, "%s", err_text());
    ck_assert_str_eq(file_get(argv[1]), rewritten);
    config_free(c);
    c = config_new();
    ck_assert_int_eq(config_load(c, 2, argv), OK);
    ck_assert_str_eq(setting(c, "requirepass"), "a \"b\"\n");
    ck_assert_int_eq(config_int(c, "timeout"), 5);
    ck_assert_str_eq(setting(c, "save"), "900 1 300 10");
    ck_assert_int_eq(config_rewrite(c), OK); /* the second time nothing changes */
    ck_assert_str_eq(file_get(argv[1]), rewritten);
    free(argv[1]);
    config_free(c);
    folder_remove();
}
END_TEST

START_TEST(rewrite__writes_lines_as_people_do)
{
    struct config *c = config_new();
    char *argv[] = {"cairn-server", NULL, NULL};

    folder_make();
    argv[1] = strdup(file_put("node.conf", "client-output-buffer-limit normal 0 0 0\nmaxmemory 50mb\n"
                                           "client-output-buffer-limit pubsub 32mb 8mb 60\n# end\n"));
    ck_assert_int_eq(config_load(c, 2, argv), OK);
    ck_assert_int_eq(setting_change(c, "maxmemory", "104857600"), OK);
    ck_assert_int_eq(setting_change(c, "save", "60 5 30 2"), OK);
    ck_assert_int_eq(setting_change(c, "client-query-buffer-limit", "1048577"), OK);
    ck_assert_int_eq(setting_change(c, "client-output-buffer-limit", "replica 1gb 1500 3"), OK);
    for (int times = 0; times < 2; times++) {
        ck_assert_msg(config_rewrite(c) == OK, "%s", err_text());
        ck_assert_str_eq(file_get(argv[1]), "client-output-buffer-limit normal 0 0 0\nclient-output-buffer-limit replica 1gb 1500 3\n"
                                            "client-output-buffer-limit pubsub 32mb 8mb 60\nmaxmemory 100mb\n# end\n"
                                            "# Generated by CONFIG REWRITE\nclient-query-buffer-limit 1048577\n"
                                            "save 60 5\nsave 30 2\n");
        config_free(c);
        c = config_new();
        ck_assert_int_eq(config_load(c, 2, argv), OK);
        ck_assert_str_eq(setting(c, "save"), "60 5 30 2");
        ck_assert_str_eq(setting(c, "client-output-buffer-limit"),
                         "normal 0 0 0 slave 1073741824 1500 3 pubsub 33554432 8388608 60");
    }
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

int main(void)
{
    TCase *tests = tcase_create("all");

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
    tcase_add_test(tests, rewrite__writes_lines_as_people_do);
    tcase_add_test(tests, rewrite__needs_a_file_that_is_no_toml);
    return suite_run("config_files", tests);
}
