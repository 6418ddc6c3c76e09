/*
 * test_codec.c - bus messages against bytes captured from real servers, and against bytes nobody should send.
 */
#include "cluster/codec.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of a hex dump; what is between them is zero. */
struct row {
    unsigned at;
    const char *hex;
};

static void fill(uint8_t *out, const struct row *rows)
{
    for (; rows->hex != NULL; rows++) {
        unsigned at = rows->at, byte;
        int used;

        for (const char *p = rows->hex; sscanf(p, "%2x%n", &byte, &used) == 1; p += used)
            out[at++] = (uint8_t)byte;
    }
}

/* A PING of Redis 7.0.15, sent by a replica, with three gossip entries (of which the first is typed here). */
static const struct row ping_rows[] = {
    {0x000, "52 43 6d 62 00 00 0a 08 00 01 1e 7c 00 00 00 03"},
    {0x010, "00 00 00 00 00 00 00 06 00 00 00 00 00 00 00 01"},
    {0x020, "00 00 00 00 00 00 00 00 61 62 34 36 65 37 38 36"},
    {0x030, "65 66 36 62 30 34 38 37 30 38 31 33 65 32 33 65"},
    {0x040, "39 36 36 39 34 37 37 30 31 63 31 30 62 66 36 31"},
    {0x2f0, "ff ff ff ff ff ff ff ff ff ff 1f"},
    {0x850, "62 66 35 65 63 34 63 62 65 63 39 65 36 38 36 34"},
    {0x860, "62 36 31 39 37 65 39 34 31 30 39 33 32 62 65 37"},
    {0x870, "63 32 32 30 66 65 36 35"},
    {0x8c0, "00 00 00 00 00 00 00 00 45 8c 00 12 00 00 00 00"},
    {0x8d0, "38 65 62 39 30 30 39 31 31 61 62 61 61 38 66 39"},
    {0x8e0, "32 66 64 64 35 32 32 33 38 37 37 62 66 63 38 32"},
    {0x8f0, "31 39 65 38 36 38 34 35 00 00 00 00 6b 01 00 96"},
    {0x900, "31 32 37 2e 30 2e 30 2e 31"},
    {0x920, "00 00 00 00 00 00 00 00 00 00 00 00 00 00 1e 7e"},
    {0x930, "45 8e 00 02 00 00 00 00 64 38 61 65 31 66 38 62"},
    {0, NULL},
};

/* A MEET of Redis 7.2.4, a master with slots 0-99, host name, node name and shard id. */
static const struct row meet_rows[] = {
    {0x000, "52 43 6d 62 00 00 09 38 00 01 1e 1f 00 02 00 00"},
    {0x028, "65 63 36 35 35 39 32 63 63 33 30 63 30 35 30 62 63 63 64 32"},
    {0x03c, "63 32 39 33 37 61 36 66 39 34 36 61 38 62 66 30 37 66 37 62"},
    {0x050, "ff ff ff ff ff ff ff ff ff ff ff ff 0f"},
    {0x8a6, "00 03"},
    {0x8c6, "00 00 45 2f 00 11 01 04 00 00"},
    {0x8d0, "00 00 00 20 00 00 00 00 6e 6f 64 65 2d 61 2e 65 78 61 6d 70 6c 65 2e 63 6f 6d"},
    {0x8f0, "00 00 00 18 00 01 00 00 6d 79 2d 6e 6f 64 65 2d 31"},
    {0x908, "00 00 00 30 00 03 00 00"},
    {0x910, "66 32 66 30 33 33 64 36 37 38 30 39 32 31 65 38 37 63 65 62"},
    {0x924, "66 66 31 66 32 38 32 65 66 66 38 63 63 36 63 30 65 32 39 36"},
    {0, NULL},
};

enum { PING_SIZE = 2568, MEET_SIZE = 2360 };

static void captured_ping(uint8_t out[PING_SIZE])
{
    memset(out, 0, PING_SIZE);
    fill(out, ping_rows);
    memset(out + 0x50, 0xff, 0x2f0 - 0x50); /* the rows that the dump repeats */
}

static void captured_meet(uint8_t out[MEET_SIZE])
{
    memset(out, 0, MEET_SIZE);
    fill(out, meet_rows);
}

static bool slot_set(const uint8_t *slots, unsigned s)
{
    return slots[s / 8] >> (s % 8) & 1;
}

START_TEST(codec__reads_the_captured_ping_of_a_redis_7_0_replica)
{
    uint8_t bytes[PING_SIZE] = {0};
    struct slice m = slice_of(bytes, PING_SIZE);
    struct codec_header h;
    struct codec_gossip g;

    captured_ping(bytes);
    ck_assert_int_eq(codec_check(m), OK);
    codec_read_header(m, &h);
    ck_assert_uint_eq(h.type, CODEC_PING);
    ck_assert_uint_eq(h.count, 3);
    ck_assert_uint_eq(h.port, 7804);
    ck_assert_uint_eq(h.bus_port, 17804);
    ck_assert_uint_eq(h.current_epoch, 6);
    ck_assert_uint_eq(h.config_epoch, 1);
    ck_assert_str_eq(h.sender, "ab46e786ef6b04870813e23e966947701c10bf61");
    ck_assert_str_eq(h.master, "bf5ec4cbec9e6864b6197e9410932be7c220fe65");
    ck_assert_str_eq(h.ip, "");
    ck_assert_uint_eq(h.flags, 0x12);
    ck_assert_uint_eq(h.state, 0);
    ck_assert_uint_eq(h.mflags, 0);
    ck_assert(slot_set(h.slots, 0) && slot_set(h.slots, 5460) && !slot_set(h.slots, 5461));
    ck_assert(codec_read_gossip(m, 0, &g));
    ck_assert_str_eq(g.id, "8eb900911abaa8f92fdd5223877bfc8219e86845");
    ck_assert_uint_eq(g.ping_sent_s, 0);
    ck_assert_uint_eq(g.pong_received_s, 0x6b010096);
    ck_assert_str_eq(g.ip, "127.0.0.1");
    ck_assert_uint_eq(g.port, 7806);
    ck_assert_uint_eq(g.bus_port, 17806);
    ck_assert_uint_eq(g.flags, 2);
    ck_assert_uint_eq(g.second_port, 0);
}
END_TEST

START_TEST(codec__reads_the_captured_meet_of_redis_7_2_with_its_extensions)
{
    uint8_t bytes[MEET_SIZE] = {0};
    struct slice m = slice_of(bytes, MEET_SIZE);
    struct codec_header h;
    struct codec_extensions ext;

    captured_meet(bytes);
    ck_assert_int_eq(codec_check(m), OK);
    codec_read_header(m, &h);
    ck_assert_uint_eq(h.type, CODEC_MEET);
    ck_assert_uint_eq(h.port, 7711);
    ck_assert_uint_eq(h.bus_port, 17711);
    ck_assert_uint_eq(h.extensions, 3);
    ck_assert_uint_eq(h.flags, 0x11);
    ck_assert_uint_eq(h.state, 1);
    ck_assert_uint_eq(h.mflags, CODEC_MFLAG_EXTENSIONS);
    ck_assert_str_eq(h.master, "");
    ck_assert(slot_set(h.slots, 99) && !slot_set(h.slots, 100));
    codec_read_extensions(m, &ext);
    ck_assert_str_eq(ext.hostname, "node-a.example.com");
    ck_assert_str_eq(ext.nodename, "my-node-1");
    ck_assert(ext.has_shard_id);
    ck_assert_str_eq(ext.shard_id, "f2f033d6780921e87cebff1f282eff8cc6c0e296");
}
END_TEST

START_TEST(codec__writes_the_captured_ping_back_byte_for_byte)
{
    uint8_t bytes[PING_SIZE] = {0};
    struct slice m = slice_of(bytes, PING_SIZE);
    struct codec_header h;
    struct codec_gossip g;
    struct buf b = {0};

    captured_ping(bytes);
    memcpy(bytes + 0x938, bytes + 0x8d0, CODEC_GOSSIP_SIZE); /* entries that the dump leaves out */
    memcpy(bytes + 0x9a0, bytes + 0x8d0, CODEC_GOSSIP_SIZE);
    codec_read_header(m, &h);
    codec_write_header(&b, &h);
    for (unsigned i = 0; i < h.count; i++) {
        ck_assert(codec_read_gossip(m, i, &g));
        codec_write_gossip(&b, &g);
    }
    codec_finish(&b, h.count, 0);
    ck_assert_uint_eq(b.size, PING_SIZE);
    ck_assert_mem_eq(b.data, bytes, PING_SIZE);
    buf_free(&b);
}
END_TEST

START_TEST(codec__writes_the_captured_meet_back_byte_for_byte)
{
    uint8_t bytes[MEET_SIZE] = {0};
    struct codec_header h;
    struct buf b = {0};

    captured_meet(bytes);
    codec_read_header(slice_of(bytes, MEET_SIZE), &h);
    codec_write_header(&b, &h);
    codec_write_extension_text(&b, CODEC_EXT_HOSTNAME, "node-a.example.com");
    codec_write_extension_text(&b, CODEC_EXT_NODENAME, "my-node-1");
    codec_write_extension_shard_id(&b, "f2f033d6780921e87cebff1f282eff8cc6c0e296");
    codec_finish(&b, 0, 3);
    ck_assert_uint_eq(b.size, MEET_SIZE);
    ck_assert_mem_eq(b.data, bytes, MEET_SIZE);
    buf_free(&b);
}
END_TEST

static void start(struct buf *b, enum codec_type type)
{
    static const uint8_t slots[CODEC_SLOTS_SIZE];
    struct codec_header h = {.type = (uint16_t)type, .slots = slots};

    memset(h.sender, 'a', CLUSTER_ID_SIZE);
    codec_write_header(b, &h);
}

START_TEST(codec__publish_of_hello_to_chan_is_2273_bytes)
{
    struct codec_publish p = {SLICE_LITERAL("chan"), SLICE_LITERAL("hello")}, back;
    struct buf b = {0};

    start(&b, CODEC_PUBLISH);
    codec_write_publish(&b, &p);
    codec_finish(&b, 0, 0);
    ck_assert_uint_eq(b.size, 2273);
    ck_assert_mem_eq(b.data + CODEC_HEADER_SIZE, "\0\0\0\4\0\0\0\5chanhello", 17);
    ck_assert_int_eq(codec_check(buf_slice(&b)), OK);
    codec_read_publish(buf_slice(&b), &back);
    ck_assert(slice_equal(back.channel, p.channel) && slice_equal(back.message, p.message));
    buf_free(&b);
}
END_TEST

START_TEST(codec__fail_is_2296_and_update_4352_bytes)
{
    char id[CLUSTER_ID_SIZE + 1];
    uint8_t slots[CODEC_SLOTS_SIZE] = {[7] = 0x81};
    struct codec_update u = {.config_epoch = 0x0102030405060708, .slots = slots}, back;
    struct buf b = {0};

    start(&b, CODEC_FAIL);
    codec_write_fail(&b, "cccccccccccccccccccccccccccccccccccccccc");
    codec_finish(&b, 0, 0);
    ck_assert_uint_eq(b.size, 2296);
    ck_assert_int_eq(codec_check(buf_slice(&b)), OK);
    ck_assert(codec_read_fail(buf_slice(&b), id));
    ck_assert_str_eq(id, "cccccccccccccccccccccccccccccccccccccccc");
    buf_clear(&b);
    start(&b, CODEC_UPDATE);
    memset(u.id, 'd', CLUSTER_ID_SIZE);
    codec_write_update(&b, &u);
    codec_finish(&b, 0, 0);
    ck_assert_uint_eq(b.size, 4352);
    ck_assert_int_eq(codec_check(buf_slice(&b)), OK);
    ck_assert(codec_read_update(buf_slice(&b), &back));
    ck_assert_uint_eq(back.config_epoch, u.config_epoch);
    ck_assert_str_eq(back.id, u.id);
    ck_assert_mem_eq(back.slots, slots, sizeof slots);
    buf_free(&b);
}
END_TEST

START_TEST(codec__forgotten_node_extension_has_id_and_ttl_in_56_bytes_and_each_is_found)
{
    struct codec_forgotten f = {.ttl_s = 59}, second = {.ttl_s = 1}, back = {0};
    struct codec_extensions ext;
    struct buf b = {0};
    size_t before;

    memset(f.id, 'e', CLUSTER_ID_SIZE);
    start(&b, CODEC_PING);
    b.data[2253] = CODEC_MFLAG_EXTENSIONS;
    before = b.size;
    codec_write_extension_forgotten(&b, &f);
    ck_assert_uint_eq(b.size - before, 56);
    codec_write_extension_text(&b, CODEC_EXT_HOSTNAME, "between");
    memset(second.id, 'd', CLUSTER_ID_SIZE);
    codec_write_extension_forgotten(&b, &second);
    codec_finish(&b, 0, 3);
    ck_assert_int_eq(codec_check(buf_slice(&b)), OK);
    codec_read_extensions(buf_slice(&b), &ext);
    ck_assert_uint_eq(ext.forgotten, 2);
    ck_assert(codec_read_forgotten(buf_slice(&b), 0, &back));
    ck_assert_str_eq(back.id, f.id);
    ck_assert_uint_eq(back.ttl_s, 59);
    ck_assert(codec_read_forgotten(buf_slice(&b), 1, &back));
    ck_assert_str_eq(back.id, second.id);
    ck_assert(!codec_read_forgotten(buf_slice(&b), 2, &back));
    buf_free(&b);
}
END_TEST

START_TEST(codec__skips_extensions_of_later_versions)
{
    uint8_t bytes[MEET_SIZE] = {0};
    struct codec_extensions ext;

    captured_meet(bytes);
    bytes[0x8f5] = 99; /* the node name becomes an unknown type */
    ck_assert_int_eq(codec_check(slice_of(bytes, MEET_SIZE)), OK);
    codec_read_extensions(slice_of(bytes, MEET_SIZE), &ext);
    ck_assert_str_eq(ext.hostname, "node-a.example.com");
    ck_assert_str_eq(ext.nodename, "");
    ck_assert(ext.has_shard_id);
}
END_TEST

START_TEST(codec__refuses_every_wrong_length_and_version)
{
    uint8_t bytes[PING_SIZE + 8];

    captured_ping(bytes);
    for (size_t size = 0; size < PING_SIZE; size++)
        ck_assert_int_eq(codec_check(slice_of(bytes, size)), ERR_PROTOCOL);
    bytes[15] = 4; /* one gossip entry more than there is */
    ck_assert_int_eq(codec_check(slice_of(bytes, PING_SIZE)), ERR_PROTOCOL);
    bytes[15] = 2;
    ck_assert_int_eq(codec_check(slice_of(bytes, PING_SIZE)), ERR_PROTOCOL);
    captured_ping(bytes);
    bytes[9] = 2;
    ck_assert_int_eq(codec_check(slice_of(bytes, PING_SIZE)), ERR_PROTOCOL);
    captured_ping(bytes);
    bytes[16] = 0x80; /* an epoch from which nobody could count on */
    ck_assert_int_eq(codec_check(slice_of(bytes, PING_SIZE)), ERR_PROTOCOL);
    captured_ping(bytes);
    bytes[40] = '\n'; /* the sender's id */
    ck_assert_int_eq(codec_check(slice_of(bytes, PING_SIZE)), ERR_PROTOCOL);
}
END_TEST

START_TEST(codec__refuses_extensions_that_do_not_fit)
{
    static const uint8_t sizes[] = {0, 4, 9, 0x28, 0xff};
    uint8_t bytes[MEET_SIZE] = {0};

    for (size_t i = 0; i < sizeof sizes; i++) {
        captured_meet(bytes);
        bytes[0x8d3] = sizes[i];
        ck_assert_int_eq(codec_check(slice_of(bytes, MEET_SIZE)), ERR_PROTOCOL);
    }
}
END_TEST

START_TEST(codec__unknown_type_is_well_formed_but_not_found)
{
    uint8_t bytes[PING_SIZE] = {0};

    captured_ping(bytes);
    bytes[13] = 11;
    ck_assert_int_eq(codec_check(slice_of(bytes, PING_SIZE)), ERR_NOT_FOUND);
}
END_TEST

START_TEST(codec__names_with_separators_of_nodes_conf_read_as_empty)
{
    uint8_t bytes[MEET_SIZE] = {0};
    struct codec_extensions ext;

    captured_meet(bytes);
    bytes[0x8d8 + 4] = '\n';
    bytes[0x8f8 + 2] = ',';
    codec_read_extensions(slice_of(bytes, MEET_SIZE), &ext);
    ck_assert_str_eq(ext.hostname, "");
    ck_assert_str_eq(ext.nodename, "");
}
END_TEST

START_TEST(frame__asks_for_more_until_the_message_is_whole)
{
    uint8_t bytes[PING_SIZE + 100];
    size_t size = 0;

    captured_ping(bytes);
    for (size_t have = 0; have < PING_SIZE; have++)
        ck_assert_int_eq(cluster_frame(slice_of(bytes, have), &size), ERR_AGAIN);
    ck_assert_uint_eq(size, 0);
    ck_assert_int_eq(cluster_frame(slice_of(bytes, sizeof bytes), &size), OK);
    ck_assert_uint_eq(size, PING_SIZE);
}
END_TEST

START_TEST(frame__closes_on_a_bad_signature_or_length)
{
    uint8_t bytes[16] = "RCmb";
    size_t size = 0;

    bytes[6] = 2255 >> 8;
    bytes[7] = 2255 & 0xff;
    ck_assert_int_eq(cluster_frame(slice_of(bytes, 8), &size), ERR_PROTOCOL);
    bytes[7]++;
    ck_assert_int_eq(cluster_frame(slice_of(bytes, 8), &size), ERR_AGAIN);
    bytes[4] = 0xff;
    ck_assert_int_eq(cluster_frame(slice_of(bytes, 8), &size), ERR_PROTOCOL);
    bytes[0] = 'X';
    ck_assert_int_eq(cluster_frame(slice_of(bytes, 8), &size), ERR_PROTOCOL);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, codec__reads_the_captured_ping_of_a_redis_7_0_replica);
    tcase_add_test(tests, codec__reads_the_captured_meet_of_redis_7_2_with_its_extensions);
    tcase_add_test(tests, codec__writes_the_captured_ping_back_byte_for_byte);
    tcase_add_test(tests, codec__writes_the_captured_meet_back_byte_for_byte);
    tcase_add_test(tests, codec__publish_of_hello_to_chan_is_2273_bytes);
    tcase_add_test(tests, codec__fail_is_2296_and_update_4352_bytes);
    tcase_add_test(tests, codec__forgotten_node_extension_has_id_and_ttl_in_56_bytes_and_each_is_found);
    tcase_add_test(tests, codec__skips_extensions_of_later_versions);
    tcase_add_test(tests, codec__refuses_every_wrong_length_and_version);
    tcase_add_test(tests, codec__refuses_extensions_that_do_not_fit);
    tcase_add_test(tests, codec__unknown_type_is_well_formed_but_not_found);
    tcase_add_test(tests, codec__names_with_separators_of_nodes_conf_read_as_empty);
    tcase_add_test(tests, frame__asks_for_more_until_the_message_is_whole);
    tcase_add_test(tests, frame__closes_on_a_bad_signature_or_length);
    return suite_run("codec", tests);
}
