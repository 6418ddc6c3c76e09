/*
 * test_nodes_conf.c - the file that survives, against files of real servers and against damaged ones.
 */
#include "lab.h"

#include "cluster/nodes_conf.h"
#include "tests/unit/suite.h"

#include <stdlib.h>

#define A40 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char redis_7_0[] =
    "d8ae1f8b3cbc8b6321fc874842138584442a3f5a 127.0.0.1:7805@17805 slave bf5ec4cbec9e6864b6197e9410932be7c220fe65 0 "
    "1795227791056 2 connected\n"
    "bf5ec4cbec9e6864b6197e9410932be7c220fe65 127.0.0.1:7801@17801 myself,master - 0 1795227790000 1 connected "
    "0-5460\n"
    "vars currentEpoch 6 lastVoteEpoch 5\n\n\n";

static const char redis_7_2[] =
    "ec65592cc30c050bccd2c2937a6f946a8bf07f7b 127.0.0.1:7711@17711,node-a.example.com,tls-port=0,nodename=my-node-1,"
    "shard-id=f2f033d6780921e87cebff1f282eff8cc6c0e296 myself,master - 0 0 0 connected 0-99\n"
    "vars currentEpoch 0 lastVoteEpoch 0\n";

static struct cluster *load(const char *text, enum err expected)
{
    struct cluster_options options = {.seed = 1, .nodes_conf = slice_str(text)};
    struct cluster *c = NULL;

    cluster_config_default(&options.config);
    options.config.port = 7711;
    ck_assert_int_eq(cluster_new(&options, &c), expected);
    return c;
}

START_TEST(nodes_conf__loads_a_file_of_redis_7_0)
{
    struct cluster *c = load(redis_7_0, OK);
    struct node *replica = node_find(c, "d8ae1f8b3cbc8b6321fc874842138584442a3f5a");

    ck_assert_str_eq(cluster_my_id(c), "bf5ec4cbec9e6864b6197e9410932be7c220fe65");
    ck_assert_uint_eq(c->current_epoch, 6);
    ck_assert_uint_eq(c->last_vote_epoch, 5);
    ck_assert_uint_eq(c->myself->config_epoch, 1);
    ck_assert_uint_eq(c->myself->slot_count, 5461);
    ck_assert_ptr_eq(c->owner[5460], c->myself);
    ck_assert_ptr_null(c->owner[5461]);
    ck_assert_ptr_eq(replica->master, c->myself);
    ck_assert_uint_eq(replica->config_epoch, 0);
    ck_assert_uint_eq(replica->port, 7805);
    ck_assert_uint_eq(replica->bus_port, 17805);
    cluster_free(c);
}
END_TEST

START_TEST(nodes_conf__loads_the_auxiliary_fields_of_redis_7_2)
{
    struct cluster *c = load(redis_7_2, OK);

    ck_assert_str_eq(c->myself->shard_id, "f2f033d6780921e87cebff1f282eff8cc6c0e296");
    ck_assert_uint_eq(c->myself->slot_count, 100);
    cluster_free(c);
}
END_TEST

START_TEST(nodes_conf__prints_the_line_that_redis_7_2_prints)
{
    struct cluster_options options = {.seed = 1, .nodes_conf = slice_str(redis_7_2)};
    struct cluster *c = NULL;
    struct buf out = {0};

    cluster_config_default(&options.config);
    options.config.port = 7711;
    strcpy(options.config.announce_hostname, "node-a.example.com");
    strcpy(options.config.announce_human_nodename, "my-node-1");
    ck_assert_int_eq(cluster_new(&options, &c), OK);
    nodes_conf_print(c, &out);
    buf_append_byte(&out, '\0');
    ck_assert_str_eq((char *)out.data, redis_7_2);
    buf_free(&out);
    cluster_free(c);
}
END_TEST

START_TEST(nodes_conf__what_is_printed_loads_to_the_same_text)
{
    struct lab l;
    struct peer *a, *b;
    struct buf again = {0};
    struct cluster *c;

    lab_open(&l);
    a = lab_peer(&l, 0, 'a', 3, 100, 199);
    b = lab_peer(&l, 1, 'b', 2, -1, 0);
    b->master = a;
    lab_say(&l, b, CODEC_PING);
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_ADDSLOTS, "1 2 3 7 9 16383"), "OK");
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "7 migrating " A40), "OK");
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_SETSLOT, "150 importing " A40), "OK");
    ck_assert_str_eq(lab_reply(&l, CLUSTER_CMD_BUMPEPOCH, ""), "BUMPED 4");
    buf_append_byte(&l.persisted, '\0');
    ck_assert_ptr_nonnull(strstr((char *)l.persisted.data, " 1-3 7 9 16383 [7->-aaaaaaaa"));
    ck_assert_ptr_nonnull(strstr((char *)l.persisted.data, " [150-<-aaaaaaaa"));
    c = load((char *)l.persisted.data, OK);
    ck_assert_ptr_eq(c->migrating[7], node_find(c, a->id));
    ck_assert_ptr_eq(c->importing[150], node_find(c, a->id));
    ck_assert_uint_eq(c->current_epoch, 4);
    ck_assert_uint_eq(c->myself->config_epoch, 4);
    ck_assert_ptr_eq(node_find(c, b->id)->master, node_find(c, a->id));
    nodes_conf_print(c, &again);
    ck_assert_ptr_nonnull(memmem(again.data, again.size, " 1-3 7 9 16383 [7->-aaaaaaaa", 28));
    buf_free(&again);
    cluster_free(c);
    lab_close(&l);
}
END_TEST

START_TEST(nodes_conf__damage_is_refused_with_a_text)
{
    static const char *const bad[] = {
        "garbage\n",
        "vars currentEpoch 1 lastVoteEpoch 0\n",                                                  /* no myself */
        "ec65592cc30c050bccd2c2937a6f946a8bf07f7b 127.0.0.1:1@2 myself,king - 0 0 0 connected\n",  /* flag */
        "ec65592cc30c050bccd2c2937a6f946a8bf07f7b 127.0.0.1:1@2 myself,master - 0 0 0\n",          /* fields */
        "EC65592cc30c050bccd2c2937a6f946a8bf07f7b 127.0.0.1:1@2 myself,master - 0 0 0 connected\n", /* id */
        "ec65592cc30c050bccd2c2937a6f946a8bf07f7b 127.0.0.1:1@2 myself,master - 0 0 0 connected 16384\n",
        "ec65592cc30c050bccd2c2937a6f946a8bf07f7b 127.0.0.1:1@2 myself,master - 0 0 0 connected 9-3\n",
        "ec65592cc30c050bccd2c2937a6f946a8bf07f7b 127.0.0.1:1@2 myself,master - 0 0 0 connected [3->-x]\n",
        "ec65592cc30c050bccd2c2937a6f946a8bf07f7b 127.0.0.1:1@2,,colour=red myself,master - 0 0 0 connected\n",
        "ec65592cc30c050bccd2c2937a6f946a8bf07f7b 127.0.0.1:99999@2 myself,master - 0 0 0 connected\n",
        ("ec65592cc30c050bccd2c2937a6f946a8bf07f7b :1@2 myself,master - 0 0 0 connected\n"
         "ec65592cc30c050bccd2c2937a6f946a8bf07f7b :1@2 master - 0 0 0 connected\n"),
        "ec65592cc30c050bccd2c2937a6f946a8bf07f7b :1@2 myself,master - 0 0 0 connected\nvars currentEpoch\n",
        "ec65592cc30c050bccd2c2937a6f946a8bf07f7b :1@2 myself,master - 0 0 0 connected\nvars currentEpoch x\n",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err_clear();
        load(bad[i], ERR_CORRUPT);
        ck_assert_msg(strncmp(err_text(), "corrupted cluster config file", 29) == 0, "%s", err_text());
    }
}
END_TEST

START_TEST(nodes_conf__variables_of_a_later_version_are_refused_by_name_unless_they_are_numbers)
{
    err_clear();
    load("ec65592cc30c050bccd2c2937a6f946a8bf07f7b :1@2 myself,master - 0 0 0 connected\nvars currentEpoch 1 shoes 42-43\n", ERR_CORRUPT);
    ck_assert_str_eq(err_text(), "corrupted cluster config file: variable of a later version: \"shoes\"");
}
END_TEST

START_TEST(nodes_conf__unknown_variables_quotes_and_missing_bus_ports_are_fine)
{
    struct cluster *c = load("\"ec65592cc30c050bccd2c2937a6f946a8bf07f7b\"  ::1:7000 myself,master - 0 0 3 connected\n"
                             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 10.0.0.9:7001 noflags - 0 0 0 disconnected\n"
                             "vars currentEpoch 1 lastVoteEpoch 0 shoeSize 43\n", OK);

    ck_assert_uint_eq(node_find(c, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")->bus_port, 17001);
    ck_assert_str_eq(c->myself->ip, "::1");
    ck_assert_uint_eq(c->current_epoch, 3); /* raised to the greatest config epoch */
    cluster_free(c);
}
END_TEST

START_TEST(nodes_conf__any_cut_of_a_file_loads_or_is_refused)
{
    char text[sizeof redis_7_0];

    for (size_t size = 0; size < sizeof redis_7_0 - 1; size++) {
        struct cluster_options options = {.seed = 1, .nodes_conf = slice_of(redis_7_0, size)};
        struct cluster *c = NULL;
        enum err e;

        memcpy(text, redis_7_0, size);
        cluster_config_default(&options.config);
        e = cluster_new(&options, &c);
        ck_assert(e == OK || e == ERR_CORRUPT);
        ck_assert((e == OK) == (c != NULL));
        cluster_free(c);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, nodes_conf__loads_a_file_of_redis_7_0);
    tcase_add_test(tests, nodes_conf__loads_the_auxiliary_fields_of_redis_7_2);
    tcase_add_test(tests, nodes_conf__prints_the_line_that_redis_7_2_prints);
    tcase_add_test(tests, nodes_conf__what_is_printed_loads_to_the_same_text);
    tcase_add_test(tests, nodes_conf__damage_is_refused_with_a_text);
    tcase_add_test(tests, nodes_conf__variables_of_a_later_version_are_refused_by_name_unless_they_are_numbers);
    tcase_add_test(tests, nodes_conf__unknown_variables_quotes_and_missing_bus_ports_are_fine);
    tcase_add_test(tests, nodes_conf__any_cut_of_a_file_loads_or_is_refused);
    return suite_run("nodes_conf", tests);
}
