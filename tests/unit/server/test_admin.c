/*
 * test_admin.c - the commands of an operator on a whole node without a network: CONFIG, INFO, SLOWLOG, LATENCY, MEMORY,
 * COMMAND, ACL, SAVE, DEBUG.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/conf/config.h"
#include "server/node_priv.h"
#include "server/options.h"
#include "server/run/execute.h"
#include "server/run/pool.h"
#include "server/stat/latency.h"
#include "server/stat/slowlog.h"
#include "server/stat/watch.h"
#include "tests/unit/suite.h"

static char dir[64], file[128];
static struct config *config;
static struct options start;
static struct node *node;
static struct executor executor;
static struct session session;

static void open_node(void)
{
    char *argv[] = {"cairn-server",           file,  "--dir",       dir, "--port", "0", "--maxmemory", "64mb",
                    "--enable-debug-command", "yes", "--databases", "4"};

    config = config_new();
    ck_assert_msg(config_load(config, 12, argv) == OK, "%s", err_text());
    options_from(&start, config);
    ck_assert_msg(node_open(&start, &node) == OK, "%s", err_text());
    executor_init(&executor, node, 1, true);
    session_init(&session, node, NULL);
}

static void close_node(void)
{
    session_fini(&session);
    executor_fini(&executor);
    node_close(node, true);
    options_fini(&start);
    config_free(config);
}

static void setup(void)
{
    FILE *f;

    strcpy(dir, "/tmp/cairn_admin_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/node.conf", dir);
    f = fopen(file, "w");
    ck_assert_ptr_nonnull(f);
    fputs("# the test's node\ntimeout 3\nrename-command memory \"\"\n", f);
    fclose(f);
    open_node();
}

static void teardown(void)
{
    char command[128];

    close_node();
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

/* Words are separated by single spaces; '' is an empty one. The whole reply, line breaks as they are. */
static struct slice raw(const char *line)
{
    static struct buf out;
    struct slice argv[32];
    size_t argc = 0;

    for (const char *at = line; *at != '\0';) {
        size_t size = strcspn(at, " ");

        argv[argc++] = size == 2 && memcmp(at, "''", 2) == 0 ? slice_of(at, 0) : slice_of(at, size);
        at += size + (at[size] == ' ');
    }
    buf_clear(&out);
    executor.clock_ns = 0;
    executor.now_ms = node_now(node);
    ck_assert_int_eq(execute(&executor, &session, argv, argc, (struct slice){0}, NULL, &out), EXECUTE_DONE);
    return buf_slice(&out);
}

/* The reply with spaces for line breaks. */
static const char *run(const char *line)
{
    static struct buf text;
    struct slice reply = raw(line);

    buf_clear(&text);
    for (size_t i = 0; i + 2 < reply.size; i++)
        if (reply.data[i] != '\n')
            buf_append_byte(&text, reply.data[i] == '\r' ? ' ' : reply.data[i]);
    buf_append_byte(&text, 0);
    return (const char *)text.data;
}

#define EXPECT(line, reply) ck_assert_str_eq(run(line), reply)
#define EXPECT_PART(line, part) ck_assert_msg(strstr(run(line), part) != NULL, "%s: %s", line, run(line))

/* ---- CONFIG ---- */

#define FAILED(name, why) "-ERR CONFIG SET failed (possibly related to argument '" name "') - " why

START_TEST(config__refuses_with_the_words_of_redis)
{
    EXPECT("CONFIG SET nosuch 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'");
    EXPECT("CONFIG SET maxmemory 1 nosuch 2", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'");
    EXPECT("CONFIG SET user x", "-ERR Unknown option or number of arguments for CONFIG SET - 'user'");
    EXPECT("CONFIG SET a b c", "-ERR syntax error");
    EXPECT("CONFIG SET maxmemory", "-ERR wrong number of arguments for 'config|set' command");
    EXPECT("CONFIG SET MaxMemory abc", FAILED("MaxMemory", "argument must be a memory value"));
    EXPECT("CONFIG SET maxmemory 1gb maxmemory 2gb", FAILED("maxmemory", "duplicate parameter"));
    EXPECT("CONFIG SET timeout 5 databases 7", FAILED("databases", "can't set immutable config"));
    EXPECT("CONFIG GET timeout", "*2 $7 timeout $1 3");
    EXPECT("CONFIG SET dbfilename x", FAILED("dbfilename", "can't set protected config"));
    EXPECT("CONFIG SET appendonly no", FAILED("appendonly", "the log cannot be switched off"));
    EXPECT("CONFIG GET appendonly", "*2 $10 appendonly $3 yes");
    EXPECT("CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP.");
}
END_TEST

START_TEST(config__gets_by_pattern_and_by_alias)
{
    EXPECT("CONFIG GET nosuch", "*0");
    EXPECT("CONFIG GET maxmemory", "*2 $9 maxmemory $8 67108864");
    EXPECT("CONFIG GET hash-max-*-value", "*4 $23 hash-max-listpack-value $2 64 $22 hash-max-ziplist-value $2 64");
    EXPECT("CONFIG GET SLAVE-priority", "*2 $14 SLAVE-priority $3 100");
    EXPECT("CONFIG GET timeout hz timeout", "*4 $7 timeout $1 3 $2 hz $2 10");
    EXPECT("CONFIG GET user", "*0");
}
END_TEST

START_TEST(config__sets_several_at_once_and_acts)
{
    EXPECT("CONFIG SET timeout 5 slowlog-max-len 7 latency-monitor-threshold 3", "+OK");
    EXPECT("CONFIG GET timeout", "*2 $7 timeout $1 5");
    ck_assert_int_eq(latency_threshold(watch_latency(node_watch(node))), 3);
}
END_TEST

START_TEST(config__rewrites_its_file)
{
    char text[1024];
    size_t size;
    FILE *f;

    EXPECT("CONFIG SET timeout 5 appendfsync always", "+OK");
    EXPECT("CONFIG REWRITE", "+OK");
    f = fopen(file, "r");
    ck_assert_ptr_nonnull(f);
    size = fread(text, 1, sizeof text - 1, f);
    text[size] = '\0';
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "# the test's node\ntimeout 5\nrename-command memory \"\"\n# Generated by CONFIG REWRITE\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nappendfsync always\n"));
}
END_TEST

/* ---- INFO ---- */

static const char *info_field(const char *text, const char *name)
{
    static char value[256];
    char wanted[128];
    const char *at;

    snprintf(wanted, sizeof wanted, "\n%s:", name);
    at = strstr(text, wanted);
    ck_assert_msg(at != NULL, "INFO has no field %s", name);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at + strlen(wanted), "\r"), at + strlen(wanted));
    return value;
}

START_TEST(info__parses_and_has_what_exporters_read)
{
    static const char *const fields[] = {"redis_version",
                                         "redis_mode",
                                         "os",
                                         "arch_bits",
                                         "process_id",
                                         "run_id",
                                         "tcp_port",
                                         "uptime_in_seconds",
                                         "uptime_in_days",
                                         "hz",
                                         "executable",
                                         "config_file",
                                         "server_name",
                                         "cairn_version",
                                         "connected_clients",
                                         "cluster_connections",
                                         "maxclients",
                                         "blocked_clients",
                                         "tracking_clients",
                                         "used_memory",
                                         "used_memory_human",
                                         "used_memory_rss",
                                         "used_memory_peak",
                                         "used_memory_lua",
                                         "used_memory_dataset",
                                         "used_memory_startup",
                                         "used_memory_overhead",
                                         "total_system_memory",
                                         "maxmemory",
                                         "maxmemory_human",
                                         "maxmemory_policy",
                                         "mem_fragmentation_ratio",
                                         "mem_allocator",
                                         "mem_clients_normal",
                                         "mem_clients_slaves",
                                         "lazyfree_pending_objects",
                                         "loading",
                                         "async_loading",
                                         "rdb_changes_since_last_save",
                                         "rdb_bgsave_in_progress",
                                         "rdb_last_save_time",
                                         "rdb_last_bgsave_status",
                                         "rdb_last_bgsave_time_sec",
                                         "aof_enabled",
                                         "aof_rewrite_in_progress",
                                         "aof_last_bgrewrite_status",
                                         "aof_last_write_status",
                                         "aof_current_size",
                                         "aof_base_size",
                                         "total_connections_received",
                                         "total_commands_processed",
                                         "instantaneous_ops_per_sec",
                                         "total_net_input_bytes",
                                         "total_net_output_bytes",
                                         "rejected_connections",
                                         "sync_full",
                                         "sync_partial_ok",
                                         "sync_partial_err",
                                         "expired_keys",
                                         "evicted_keys",
                                         "keyspace_hits",
                                         "keyspace_misses",
                                         "pubsub_channels",
                                         "pubsub_patterns",
                                         "latest_fork_usec",
                                         "total_error_replies",
                                         "total_reads_processed",
                                         "total_writes_processed",
                                         "role",
                                         "connected_slaves",
                                         "master_replid",
                                         "master_repl_offset",
                                         "second_repl_offset",
                                         "repl_backlog_active",
                                         "repl_backlog_size",
                                         "repl_backlog_first_byte_offset",
                                         "repl_backlog_histlen",
                                         "used_cpu_sys",
                                         "used_cpu_user",
                                         "used_cpu_sys_children",
                                         "used_cpu_user_children",
                                         "cluster_enabled",
                                         "set_bytes",
                                         "wal_tail",
                                         "wal_floor",
                                         "store_sst_bytes"};
    struct slice reply = raw("INFO everything");
    char *text = strndup((const char *)reply.data, reply.size), *line, *rest = NULL;
    size_t sections = 0;

    ck_assert_int_eq(text[0], '$');
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        ck_assert_msg(info_field(text, fields[i]) != NULL, "%s", fields[i]);
    ck_assert_str_eq(info_field(text, "redis_version"), "7.2.4");
    ck_assert_str_eq(info_field(text, "maxmemory"), "67108864");
    for (line = strtok_r(strchr(text, '\n') + 1, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
        sections += line[0] == '#';
        ck_assert_msg(line[0] == '#' || strchr(line, ':') != NULL, "not a field: %s", line);
    }
    ck_assert_uint_eq(sections, 14);
    free(text);
}
END_TEST

START_TEST(info__counts_keys_hits_errors_and_calls)
{
    struct slice reply;
    char *text;

    EXPECT("SET k v", "+OK");
    EXPECT("SET e v EX 1000", "+OK");
    EXPECT("GET k", "$1 v");
    EXPECT("GET none", "$-1");
    EXPECT("LPUSH k x", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    reply = raw("INFO everything");
    text = strndup((const char *)reply.data, reply.size);
    /* The average is known once the keeper has looked. */
    ck_assert_ptr_eq(strstr(info_field(text, "db0"), "keys=2,expires=1,avg_ttl="), info_field(text, "db0"));
    ck_assert_str_eq(info_field(text, "keyspace_hits"), "1");
    ck_assert_str_eq(info_field(text, "keyspace_misses"), "1");
    ck_assert_str_eq(info_field(text, "errorstat_WRONGTYPE"), "count=1");
    ck_assert_ptr_nonnull(strstr(info_field(text, "cmdstat_set"), "calls=2,usec="));
    ck_assert_ptr_nonnull(strstr(info_field(text, "latency_percentiles_usec_set"), ",p99.9="));
    free(text);
    EXPECT("CONFIG RESETSTAT", "+OK");
    reply = raw("INFO stats");
    text = strndup((const char *)reply.data, reply.size);
    ck_assert_str_eq(info_field(text, "keyspace_hits"), "0");
    ck_assert_str_eq(info_field(text, "total_error_replies"), "0");
    free(text);
}
END_TEST

START_TEST(info__shows_the_sections_asked_for)
{
    EXPECT("INFO nosuch", "$0 ");
    EXPECT("INFO Cluster", "$30 # Cluster cluster_enabled:0 ");
    EXPECT_PART("INFO cluster modules", "# Modules");
    EXPECT_PART("INFO default", "# Keyspace");
    ck_assert_ptr_null(strstr(run("INFO"), "# Commandstats"));
    ck_assert_ptr_nonnull(strstr(run("INFO all"), "# Commandstats"));
}
END_TEST

/* ---- SLOWLOG, LATENCY ---- */

START_TEST(slowlog__tells_slow_commands_without_passwords)
{
    EXPECT("SLOWLOG LEN", ":0");
    EXPECT("CONFIG SET slowlog-log-slower-than 0", "+OK");
    EXPECT("CONFIG SET requirepass hush", "+OK");
    EXPECT("CONFIG SET slowlog-log-slower-than -1", "+OK");
    EXPECT("PING", "+PONG");
    EXPECT("SLOWLOG LEN", ":2");
    EXPECT_PART("SLOWLOG GET 1", "*4 $6 CONFIG $3 SET $11 requirepass $10 (redacted)");
    EXPECT("SLOWLOG GET 0", "*0");
    EXPECT("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1");
    EXPECT("SLOWLOG GET x", "-ERR count should be greater than or equal to -1");
    EXPECT("SLOWLOG RESET", "+OK");
    EXPECT("SLOWLOG LEN", ":0");
}
END_TEST

START_TEST(latency__samples_slow_commands_and_counts_all)
{
    EXPECT("LATENCY LATEST", "*0");
    EXPECT("LATENCY HISTORY command", "*0");
    EXPECT("LATENCY GRAPH command", "-ERR No samples available for event 'command'");
    EXPECT("CONFIG SET latency-monitor-threshold 1", "+OK");
    EXPECT("DEBUG SLEEP 0.01", "+OK");
    EXPECT_PART("LATENCY LATEST", "*1 *4 $7 command :");
    EXPECT_PART("LATENCY HISTORY command", "*1 *2 :");
    EXPECT("LATENCY RESET command nosuch", ":1");
    EXPECT("PING", "+PONG");
    EXPECT("PING", "+PONG");
    EXPECT_PART("LATENCY HISTOGRAM ping", "*2 $4 ping *4 $5 calls :2 $14 histogram_usec *");
    EXPECT_PART("LATENCY HISTOGRAM latency nosuch", "$14 latency|latest");
    EXPECT("LATENCY HISTOGRAM nosuch", "*0");
}
END_TEST

/* ---- MEMORY ---- */

START_TEST(memory__usage_is_that_of_the_key)
{
    EXPECT("MEMORY USAGE none", "$-1");
    EXPECT("SET k v", "+OK");
    EXPECT_PART("MEMORY USAGE k", ":");
    EXPECT("MEMORY USAGE k SAMPLES", "-ERR syntax error");
    EXPECT("MEMORY USAGE k SAMPLES -1", "-ERR syntax error");
    EXPECT("MEMORY USAGE k SAMPLES x", "-ERR value is not an integer or out of range");
    for (int i = 0; i < 300; i++) {
        char line[64];

        snprintf(line, sizeof line, "HSET big field-number-%03d the-value-%03d", i, i);
        EXPECT(line, ":1");
    }
    ck_assert_int_gt(atoll(run("MEMORY USAGE big SAMPLES 0") + 1), 300 * 29);
    ck_assert_int_gt(atoll(run("MEMORY USAGE big") + 1), 300 * 29);
    ck_assert_int_lt(atoll(run("MEMORY USAGE big") + 1), 300 * 200);
    EXPECT_PART("MEMORY STATS", "$14 peak.allocated :");
    EXPECT("MEMORY PURGE", "+OK");
}
END_TEST

/* ---- COMMAND ---- */

START_TEST(command__finds_keys_and_their_flags)
{
    EXPECT("COMMAND GETKEYS MSET a 1 b 2", "*2 $1 a $1 b");
    EXPECT("COMMAND GETKEYSANDFLAGS SET a b", "*1 *2 $1 a *2 +OW +update");
    EXPECT("COMMAND GETKEYSANDFLAGS SET a b GET", "*1 *2 $1 a *3 +RW +access +update");
    EXPECT("COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0", "*1 *2 $1 a *2 +RO +access");
    EXPECT("COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0 OVERFLOW SAT SET u8 0 1", "*1 *2 $1 a *3 +RW +access +update");
    EXPECT("COMMAND GETKEYS NOSUCH a", "-ERR Invalid command specified");
    EXPECT("COMMAND GETKEYS PING", "-ERR The command has no key arguments");
    EXPECT("COMMAND GETKEYS GET", "-ERR Invalid number of arguments specified for command");
    EXPECT("COMMAND GETKEYS SINTERCARD 5 a", "-ERR Invalid arguments specified for command");
}
END_TEST

START_TEST(command__describes_commands)
{
    EXPECT("COMMAND INFO GET",
           "*1 *10 $3 get :2 *2 +readonly +fast :1 :1 :1 *3 +@read +@string +@fast *0 *1 *6 $5 flags *2 +RO +access "
           "$12 begin_search *4 $4 type $5 index $4 spec *2 $5 index :1 $9 find_keys *4 $4 type $5 range $4 spec *6 "
           "$7 lastkey :0 $7 keystep :1 $5 limit :0 *0");
    EXPECT("COMMAND INFO nosuch", "*1 $-1");
    EXPECT_PART("COMMAND INFO config", "$10 config|get :-3");
    EXPECT("COMMAND LIST FILTERBY PATTERN memory|u*", "*1 $12 memory|usage");
    EXPECT("COMMAND LIST FILTERBY MODULE x", "*0");
    EXPECT("COMMAND LIST FILTERBY x y", "-ERR syntax error");
    EXPECT("COMMAND DOCS GET",
           "*2 $3 get *10 $7 summary $21 The value of a string $5 since $5 1.0.0 $5 group $6 string "
           "$10 complexity $4 O(1) $9 arguments *1 *8 $4 name $3 key $4 type $3 key $12 display_text $3 key "
           "$14 key_spec_index :0");
    EXPECT("COMMAND DOCS nosuch", "*0");
}
END_TEST

START_TEST(command__disabled_ones_are_unknown_to_clients_only)
{
    const struct registry *r = node_registry(node);

    ck_assert_uint_ne(registry_find(r, SLICE_LITERAL("memory"))->how & COMMAND_DISABLED, 0);
    ck_assert_uint_ne(registry_find(r, SLICE_LITERAL("memory|usage"))->how & COMMAND_DISABLED, 0);
    ck_assert_uint_eq(registry_find(r, SLICE_LITERAL("config|get"))->how & COMMAND_DISABLED, 0);
    EXPECT("MEMORY USAGE none", "$-1"); /* this session has no client: as replay and scripts */
}
END_TEST

/* ---- ACL ---- */

START_TEST(acl__tells_about_the_default_user)
{
    struct slice unknown = {0};

    EXPECT("ACL WHOAMI", "$7 default");
    EXPECT("ACL LIST", "*1 $51 user default on nopass sanitize-payload ~* &* +@all");
    EXPECT("ACL GETUSER nobody", "$-1");
    EXPECT("ACL DELUSER default", "-ERR The 'default' user cannot be removed");
    EXPECT("ACL CAT nosuch", "-ERR Unknown category 'nosuch'");
    EXPECT("ACL DRYRUN default GET k", "+OK");
    ck_assert_int_eq(node->authenticate(node->authentication_context, &session, unknown, SLICE_LITERAL("x")),
                     ERR_INVALID);
    EXPECT("CONFIG SET requirepass hush", "+OK");
    EXPECT("ACL LIST", "*1 $110 user default on sanitize-payload "
                       "#dc8331bcb2283e89d275a1c2fe66f7bf5ac3163ec1967f149dd7e27906365f0c ~* &* +@all");
}
END_TEST

START_TEST(acl__a_password_guards_new_sessions)
{
    struct session s;

    EXPECT("CONFIG SET requirepass hush", "+OK");
    session_init(&s, node, NULL);
    ck_assert(!s.authenticated);
    session_fini(&s);
    ck_assert_int_eq(node->authenticate(node, &session, (struct slice){0}, SLICE_LITERAL("hush")), OK);
    ck_assert_int_eq(node->authenticate(node, &session, (struct slice){0}, SLICE_LITERAL("hus")), ERR_NOT_FOUND);
    ck_assert_int_eq(node->authenticate(node, &session, SLICE_LITERAL("default"), SLICE_LITERAL("hush")), OK);
    ck_assert_int_eq(node->authenticate(node, &session, SLICE_LITERAL("bob"), SLICE_LITERAL("hush")), ERR_NOT_FOUND);
}
END_TEST

/* ---- SAVE, DEBUG ---- */

START_TEST(save__makes_everything_durable_and_says_when)
{
    int64_t before = node_now(node) / 1000;

    EXPECT("SET k v", "+OK");
    EXPECT_PART("INFO persistence", "rdb_changes_since_last_save:1 ");
    EXPECT("SAVE", "+OK");
    EXPECT_PART("INFO persistence", "rdb_changes_since_last_save:0 ");
    ck_assert_int_ge(atoll(run("LASTSAVE") + 1), before);
    EXPECT("BGSAVE nonsense", "-ERR syntax error");
    EXPECT("BGSAVE", "+Background saving started");
}
END_TEST

START_TEST(debug__reload_keeps_all_values)
{
    char before[64];

    EXPECT("SET k v", "+OK");
    EXPECT("RPUSH l a b c", ":3");
    EXPECT("HSET h f 1 g 2", ":2");
    EXPECT("SADD s a b", ":2");
    EXPECT("ZADD z 1 a 2 b", ":2");
    EXPECT("DEBUG POPULATE 200 p 300", "+OK");
    EXPECT("DBSIZE", ":205");
    snprintf(before, sizeof before, "%s", run("DEBUG DIGEST"));
    EXPECT("DEBUG RELOAD", "+OK");
    EXPECT("DEBUG DIGEST", before);
    EXPECT("LSET l 1 x", "+OK");
    ck_assert_str_ne(run("DEBUG DIGEST"), before);
    EXPECT("LSET l 1 b", "+OK");
    EXPECT("DEBUG DIGEST", before);
    EXPECT("PEXPIRE k 100000", ":1");
    ck_assert_str_ne(run("DEBUG DIGEST"), before);
}
END_TEST

START_TEST(debug__digest_of_a_value_does_not_depend_on_its_form)
{
    char small[128];

    EXPECT("SADD a x y z", ":3");
    snprintf(small, sizeof small, "%s", run("DEBUG DIGEST-VALUE a"));
    for (int i = 0; i < 300; i++) {
        char line[64];

        snprintf(line, sizeof line, "SADD b m%d", i);
        EXPECT(line, ":1");
    }
    EXPECT("SADD b z y x", ":3");
    for (int i = 0; i < 300; i++) {
        char line[64];

        snprintf(line, sizeof line, "SREM b m%d", i);
        EXPECT(line, ":1");
    }
    EXPECT("DEBUG DIGEST-VALUE b", small);
    EXPECT("DEBUG DIGEST-VALUE none", "*1 +0000000000000000000000000000000000000000");
}
END_TEST

START_TEST(debug__refuses_what_it_does_not_know)
{
    EXPECT("DEBUG NOSUCH", "-ERR unknown subcommand or wrong number of arguments for 'NOSUCH'. Try DEBUG HELP.");
    EXPECT("DEBUG OBJECT none", "-ERR no such key");
    EXPECT("SET k v", "+OK");
    EXPECT_PART("DEBUG OBJECT k", "refcount:1 encoding:embstr serializedlength:1");
    EXPECT("DEBUG ERROR FOO", "-FOO");
    EXPECT("DEBUG PROTOCOL integer", ":12345");
    EXPECT("DEBUG STRINGMATCH-LEN 10 a*", ":1");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, config__refuses_with_the_words_of_redis);
    tcase_add_test(tests, config__gets_by_pattern_and_by_alias);
    tcase_add_test(tests, config__sets_several_at_once_and_acts);
    tcase_add_test(tests, config__rewrites_its_file);
    tcase_add_test(tests, info__parses_and_has_what_exporters_read);
    tcase_add_test(tests, info__counts_keys_hits_errors_and_calls);
    tcase_add_test(tests, info__shows_the_sections_asked_for);
    tcase_add_test(tests, slowlog__tells_slow_commands_without_passwords);
    tcase_add_test(tests, latency__samples_slow_commands_and_counts_all);
    tcase_add_test(tests, memory__usage_is_that_of_the_key);
    tcase_add_test(tests, command__finds_keys_and_their_flags);
    tcase_add_test(tests, command__describes_commands);
    tcase_add_test(tests, command__disabled_ones_are_unknown_to_clients_only);
    tcase_add_test(tests, acl__tells_about_the_default_user);
    tcase_add_test(tests, acl__a_password_guards_new_sessions);
    tcase_add_test(tests, save__makes_everything_durable_and_says_when);
    tcase_add_test(tests, debug__reload_keeps_all_values);
    tcase_add_test(tests, debug__digest_of_a_value_does_not_depend_on_its_form);
    tcase_add_test(tests, debug__refuses_what_it_does_not_know);
    return suite_run("admin", tests);
}
