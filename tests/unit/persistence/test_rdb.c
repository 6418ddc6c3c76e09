/*
 * test_rdb.c - the dump format: payloads that Redis 7.0 made, hand-made old encodings, files written and read again, and
 * damage of every kind.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/rng.h"
#include "persistence/rdb/rdb.h"
#include "persistence/rdb/rdb_object.h"
#include "persistence/rdb/rdb_reader.h"
#include "persistence/rdb/rdb_writer.h"
#include "tests/unit/suite.h"

/* ---- Helpers ---- */

static struct buf from_hex(const char *text)
{
    struct buf out = {0};
    int digits = 0, value = 0;

    for (; *text != 0; text++) {
        if (*text == ' ')
            continue;
        value = value * 16 + (*text <= '9' ? *text - '0' : *text - 'a' + 10);
        if (++digits % 2 == 0) {
            buf_append_byte(&out, (uint8_t)value);
            value = 0;
        }
    }
    return out;
}

/* A value as text: "type(a,b)" or "type(a=1,b=2)". */
struct shown {
    struct buf text;
    enum obj_type type;
    bool first;
};

static enum err show_begin(void *context, enum obj_type type, uint64_t count)
{
    static const char *const names[] = {"string", "list", "set", "zset", "hash"};
    struct shown *s = context;

    (void)count;
    s->type = type;
    s->first = true;
    buf_append_format(&s->text, "%s(", names[type]);
    return OK;
}

static enum err show_element(void *context, struct slice name, struct slice value, double score)
{
    struct shown *s = context;
    char text[NUM_TEXT_MAX];

    if (!s->first && s->type != OBJ_STRING)
        buf_append_byte(&s->text, ',');
    s->first = false;
    buf_append_slice(&s->text, name);
    if (s->type == OBJ_HASH || s->type == OBJ_ZSET)
        buf_append_byte(&s->text, '=');
    if (s->type == OBJ_HASH)
        buf_append_slice(&s->text, value);
    if (s->type == OBJ_ZSET)
        buf_append(&s->text, text, num_format_double(text, score));
    return OK;
}

static enum err show(struct slice value, unsigned type, struct buf *text)
{
    struct shown s = {0};
    const struct rdb_sink sink = {&s, show_begin, show_element};
    struct rdb_input in;
    enum err e;

    rdb_input_memory(&in, value);
    e = rdb_decode(&in, type, &sink);
    rdb_input_fini(&in);
    buf_append_byte(&s.text, ')');
    buf_append_byte(&s.text, 0);
    *text = s.text;
    return e;
}

static const struct {
    const char *hex, *shown;
} payloads[] = { /* made by Redis 7.0.15 */
    {"000568656c6c6f 0a00 6372df766534200a", "string(hello)"},
    {"00c00c 0a00 3c2af8515c04bcd5", "string(12)"},
    {"00c17fff 0a00 1760822854808480", "string(-129)"},
    {"00c270110100 0a00 01a408fe953095a5", "string(70000)"},
    {"000a34323934393637323936 0a00 a5a389c81a8c4656", "string(4294967296)"},
    {"0000 0a00 5d9b5c400f7fa2da", "string()"},
    {"0003303037 0a00 7258e27b4c69bad9", "string(007)"},
    {"00c30928016161e01b00016161 0a00 cf092faaae25831d", "string(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa)"},
    {"1201021e 1e0000000500 816102 0101 dffb02 c12c02 8a6162636465666768696a0b ff 0a00 8a10cbd016d26e31",
     "list(a,1,-5,300,abcdefghij)"},
    {"120302 0d 0d0000000200816102816202ff 02 0d 0d0000000200816302816402ff 02 0a 0a0000000100816502ff 0a00 "
     "ec5236a76020a1db",
     "list(a,b,c,d,e)"},
    {"0b0e 02000000 03000000 0100 0200 2c01 0a00 e510b28e7b9529aa", "set(1,2,300)"},
    {"0b10 04000000 02000000 01000000 70110100 0a00 2735436efd6656c4", "set(1,70000)"},
    {"0b18 08000000 02000000 0100000000000000 00f2052a01000000 0a00 54f5a26ae707b5fc", "set(1,5000000000)"},
    {"0202 0162 0161 0a00 75d99d835ef85f65", "set(b,a)"},
    {"1015 15000000 0400 82663103 82763103 82663203 6401 ff 0a00 d6c981a26e1cdba6", "hash(f1=v1,f2=100)"},
    {"111d 1d000000 0600 816302 842d696e6605 816102 0101 816202 83322e3504 ff 0a00 3992339be11f323d",
     "zset(c=-inf,a=1,b=2.5)"},
};

START_TEST(rdb__reads_what_redis_dumped)
{
    struct buf payload = from_hex(payloads[_i].hex), text;
    uint64_t count;

    ck_assert_int_eq(rdb_payload_verify(buf_slice(&payload)), OK);
    ck_assert_int_eq(show(slice_of(payload.data + 1, payload.size - 11), payload.data[0], &text), OK);
    ck_assert_str_eq((char *)text.data, payloads[_i].shown);
    ck_assert_int_eq(rdb_payload_check(buf_slice(&payload), &count), OK);
    buf_free(&payload);
    buf_free(&text);
}
END_TEST

static const struct {
    unsigned type;
    const char *hex, *shown;
} olds[] = {
    {RDB_LIST, "02 0161 c005", "list(a,5)"},
    {RDB_ZSET, "02 0161 03312e35 0162 fe", "zset(a=1.5,b=inf)"},
    {RDB_ZSET_2, "01 0161 000000000000f8bf", "zset(a=-1.5)"},
    {RDB_HASH, "01 0161 0162", "hash(a=b)"},
    /* zipmap: a = b with one spare byte, c = de */
    {RDB_HASH_ZIPMAP, "0e 02 0161 01 01 62 00 01 63 02 00 6465 ff", "hash(a=b,c=de)"},
    /* ziplist: "ab", 12, int8 -100, int16 1000, int24, int32, int64 */
    {RDB_LIST_ZIPLIST,
     "2d 2d000000 22000000 0700 00 02 6162 04 fd 02 fe 9c 03 c0 e803 04 f0 000001 05 d0 00000001 06 e0 00000000 01000000 "
     "ff",
     "list(ab,12,-100,1000,65536,16777216,4294967296)"},
    {RDB_ZSET_ZIPLIST, "10 10000000 0d000000 0200 00 01 61 03 f3 ff", "zset(a=2)"},
    {RDB_LIST_QUICKLIST, "01 0f 0f000000 0a000000 0100 00 02 7879 ff", "list(xy)"},
    {RDB_LIST_QUICKLIST_2, "01 01 03 787978", "list(xyx)"},
    {RDB_SET_LISTPACK, "0c 0c000000 0200 816102 05 01 ff", "set(a,5)"},
};

START_TEST(rdb__reads_the_encodings_of_older_and_newer_versions)
{
    struct buf value = from_hex(olds[_i].hex), text;

    ck_assert_msg(show(buf_slice(&value), olds[_i].type, &text) == OK, "%s", err_text());
    ck_assert_str_eq((char *)text.data, olds[_i].shown);
    buf_free(&value);
    buf_free(&text);
}
END_TEST

START_TEST(rdb__refuses_every_truncation_of_a_value)
{
    struct buf whole = from_hex(olds[_i].hex), text;

    for (size_t size = 0; size < whole.size; size++) {
        uint8_t *part = malloc(size + 1); /* behind it a sanitizer sees every step too far */

        memcpy(part, whole.data, size);
        part = realloc(part, size > 0 ? size : 1);
        ck_assert_int_eq(show(slice_of(part, size), olds[_i].type, &text), ERR_CORRUPT);
        buf_free(&text);
        free(part);
    }
    buf_free(&whole);
}
END_TEST

START_TEST(rdb__survives_every_changed_byte)
{
    struct buf whole = from_hex(olds[_i].hex), text;

    for (size_t at = 0; at < whole.size; at++)
        for (unsigned value = 0; value < 256; value++) {
            uint8_t old = whole.data[at];
            enum err e;

            whole.data[at] = (uint8_t)value;
            e = show(buf_slice(&whole), olds[_i].type, &text);
            ck_assert(e == OK || e == ERR_CORRUPT);
            buf_free(&text);
            whole.data[at] = old;
        }
    buf_free(&whole);
}
END_TEST

START_TEST(rdb__refuses_by_name_what_it_does_not_know)
{
    struct buf text;
    struct {
        unsigned type;
        const char *name;
    } cases[] = {{RDB_STREAM_LISTPACKS_2, "stream"}, {RDB_MODULE_2, "module"}, {24, "field expiry"}, {99, "unknown"}};

    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(show(SLICE_LITERAL("\1\1\1"), cases[i].type, &text), ERR_INVALID);
        ck_assert_ptr_nonnull(strstr(err_text(), cases[i].name));
        buf_free(&text);
    }
}
END_TEST

static bool payload_taken(const char *hex)
{
    struct buf payload = from_hex(hex);
    uint64_t count;
    bool taken;

    rdb_payload_finish(&payload, 0);
    ck_assert_int_eq(rdb_payload_verify(buf_slice(&payload)), OK);
    taken = rdb_payload_check(buf_slice(&payload), &count) == OK;
    buf_free(&payload);
    return taken;
}

START_TEST(rdb__refuses_payloads_that_no_server_writes)
{
    ck_assert(payload_taken("02 02 0161 0162"));
    ck_assert(!payload_taken("02 02 0161 0161"));                            /* a member twice */
    ck_assert(!payload_taken("02 00"));                                      /* nothing in it */
    ck_assert(!payload_taken("12 00"));
    ck_assert(!payload_taken("0b 08 02000000 00000000"));
    ck_assert(!payload_taken("04 02 0161 0162 0161 0163"));                  /* a field twice */
    ck_assert(!payload_taken("05 01 0161 000000000000f87f"));                /* a score that is no number */
    ck_assert(!payload_taken("0b 0c 02000000 02000000 0200 0100"));          /* not ascending */
    ck_assert(!payload_taken("10 0a 0a000000 0100 816102 ff"));              /* a field without its value */
    ck_assert(!payload_taken("00 81ffffffffffffffff"));                      /* more bytes than there are */
    ck_assert(!payload_taken("00 c3 05 8040000000 0000000000"));             /* compressed: an impossible ratio */
    ck_assert(!payload_taken("01 81ffffffffffffffff 0161"));
    ck_assert(!payload_taken("12 81ffffffffffffffff"));
    ck_assert(payload_taken("00 0161 ffffff"));                              /* what follows a whole value is ignored */
}
END_TEST

START_TEST(rdb__payload_with_a_wrong_checksum_or_a_newer_version_is_refused)
{
    struct buf payload = from_hex(payloads[0].hex);
    uint64_t crc;

    payload.data[payload.size - 1] ^= 1;
    ck_assert_int_eq(rdb_payload_verify(buf_slice(&payload)), ERR_INVALID);
    payload.data[payload.size - 10] = 12;
    crc = hash_crc64(0, slice_of(payload.data, payload.size - 8));
    memcpy(payload.data + payload.size - 8, &crc, 8);
    ck_assert_int_eq(rdb_payload_verify(buf_slice(&payload)), ERR_INVALID);
    ck_assert_int_eq(rdb_payload_verify(slice_of(payload.data, 9)), ERR_INVALID);
    buf_free(&payload);
}
END_TEST

/* ---- Files ---- */

struct source {
    struct slice bytes;
    size_t at, piece;
};

static enum err pull(void *context, uint8_t *out, size_t room, size_t *got)
{
    struct source *s = context;
    size_t n = s->bytes.size - s->at;

    n = n < room ? n : room;
    n = n < s->piece ? n : s->piece;
    memcpy(out, s->bytes.data + s->at, n);
    s->at += n;
    *got = n;
    return OK;
}

/* All of a file as text. */
static enum err show_file(struct slice bytes, size_t piece, struct buf *out)
{
    struct source source = {.bytes = bytes, .piece = piece};
    const struct rdb_reader_options options = {pull, &source};
    struct shown s = {0};
    const struct rdb_sink sink = {&s, show_begin, show_element};
    struct rdb_reader *r;
    struct rdb_item item;
    enum err e;

    rdb_reader_open(&options, &r);
    while ((e = rdb_reader_next(r, &item)) == OK) {
        switch (item.kind) {
        case RDB_ITEM_AUX:
            break;
        case RDB_ITEM_RESIZE:
            buf_append_format(&s.text, "db%u:%d/%d ", item.db, (int)item.keys, (int)item.expires);
            break;
        case RDB_ITEM_FUNCTION:
            buf_append_format(&s.text, "function:%d ", (int)item.value.size);
            break;
        case RDB_ITEM_KEY:
            buf_append_format(&s.text, "%u.%.*s", item.db, (int)item.name.size, (const char *)item.name.data);
            if (item.expire_ms != 0)
                buf_append_format(&s.text, "@%lld", (long long)item.expire_ms);
            if (item.idle_s >= 0)
                buf_append_format(&s.text, "~%d", (int)item.idle_s);
            buf_append_str(&s.text, "=");
            if ((e = rdb_reader_value(r, &sink)) != OK)
                goto done;
            buf_append_str(&s.text, ") ");
            break;
        }
    }
done:
    rdb_reader_close(r);
    buf_append_byte(&s.text, 0);
    *out = s.text;
    return e;
}

static const char file_hex[] =
    "52454449533030 3130 fa 09 72656469732d766572 06 372e302e3135 fa 0a 72656469732d62697473 c040 fa 05 6374696d65 c2 fd02016b"
    "fa 08 757365642d6d656d c2 981f1500 fa 08 616f662d62617365 c000 f5 4048"
    "23216c7561206e616d653d6d796c69620a72656469732e72656769737465725f66756e6374696f6e282766272c66756e6374696f6e286b2c6129207265"
    "7475726e203120656e6429"
    "fe00 fb0201 00016b0176 fc00b4c5dab8010000 0001650178 fe03 fb0100 00016ec005 ff d2b2b38467d6e561";

START_TEST(rdb__reads_a_file_of_redis_in_pieces_of_any_size)
{
    static const size_t pieces[] = {1, 2, 3, 7, 100, 1 << 20};
    struct buf file = from_hex(file_hex), text;

    for (size_t i = 0; i < 6; i++) {
        ck_assert_int_eq(show_file(buf_slice(&file), pieces[i], &text), ERR_NOT_FOUND);
        ck_assert_str_eq((char *)text.data, "function:72 db0:2/1 0.k=string(v) 0.e@1893456000000=string(x) "
                                            "db3:1/0 3.n=string(5) ");
        buf_free(&text);
    }
    buf_free(&file);
}
END_TEST

START_TEST(rdb__takes_files_of_known_versions_only)
{
    static const struct {
        const char *version;
        enum err e;
    } cases[] = {{"REDIS0001", ERR_NOT_FOUND}, {"REDIS0009", ERR_NOT_FOUND}, {"REDIS0012", ERR_NOT_FOUND},
                 {"REDIS0013", ERR_INVALID},   {"REDIS0000", ERR_INVALID},   {"VALKEY080", ERR_INVALID},
                 {"REDIS00x9", ERR_CORRUPT},   {"redis0009", ERR_CORRUPT}};
    struct buf text;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char file[64];
        /* a database, a key, the end, no checksum */
        size_t size = (size_t)snprintf(file, sizeof file, "%s", cases[i].version);

        memcpy(file + size, "\xfe\x00\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0", 16);
        ck_assert_msg(show_file(slice_of(file, size + 16), 64, &text) == cases[i].e, "%s", cases[i].version);
        buf_free(&text);
    }
}
END_TEST

START_TEST(rdb__damaged_file_is_refused_with_its_offset)
{
    struct buf file = from_hex(file_hex), text;

    for (size_t size = 0; size < file.size; size++) {
        ck_assert_int_eq(show_file(slice_of(file.data, size), 64, &text), ERR_CORRUPT);
        ck_assert_ptr_nonnull(strstr(err_text(), "offset"));
        buf_free(&text);
    }
    for (size_t at = 0; at + 8 < file.size; at++) { /* the checksum notices what nothing else does */
        file.data[at] ^= 4;
        ck_assert_int_ne(show_file(buf_slice(&file), 64, &text), ERR_NOT_FOUND);
        buf_free(&text);
        file.data[at] ^= 4;
    }
    buf_free(&file);
}
END_TEST

/* ---- Written and read again ---- */

struct made {
    struct rng rng;
    uint64_t left, size, number;
    struct buf name, value;
    bool numbers;
};

static void random_text(struct made *m, struct buf *out)
{
    buf_clear(out);
    if (m->numbers) {
        buf_append_format(out, "%lld", (long long)(m->number * 7919) - 100000);
        return;
    }
    buf_append_format(out, "%llu:", (unsigned long long)m->number);
    for (uint64_t n = rng_below(&m->rng, m->size); n > 0; n--)
        buf_append_byte(out, (uint8_t)('a' + rng_below(&m->rng, 3)));
}

static enum err make(void *context, struct rdb_element *x)
{
    struct made *m = context;

    if (m->left-- == 0)
        return ERR_NOT_FOUND;
    m->number++;
    random_text(m, &m->name);
    random_text(m, &m->value);
    *x = (struct rdb_element){buf_slice(&m->name), buf_slice(&m->value), (double)m->number / 4};
    return OK;
}

static enum err keep(void *context, struct slice bytes)
{
    buf_append_slice(context, bytes);
    return OK;
}

/* Writes a database of random keys; *expected gets what show_file must say. */
static void write_file(uint64_t seed, bool compress, struct buf *file, struct buf *expected)
{
    struct rng rng;
    const struct rdb_writer_options options = {.push = keep, .context = file, .compress = compress};
    struct rdb_writer *w;

    rng_seed(&rng, seed);
    ck_assert_int_eq(rdb_writer_open(&options, &w), OK);
    ck_assert_int_eq(rdb_writer_aux(w, SLICE_LITERAL("redis-ver"), SLICE_LITERAL("7.0.15")), OK);
    ck_assert_int_eq(rdb_writer_db(w, 2, 40, 1), OK);
    buf_append_str(expected, "db2:40/1 ");
    for (int i = 0; i < 40; i++) {
        enum obj_type type = (enum obj_type)(1 + rng_below(&rng, 4));
        uint8_t marks = (uint8_t)rng_below(&rng, 8);
        struct made m = {.left = 1 + rng_below(&rng, 300), .size = 1 + rng_below(&rng, 80),
                         .numbers = type == OBJ_SET && !(marks & (OBJ_MARK_MIXED | OBJ_MARK_LARGE))};
        struct rdb_value v = {.type = type, .marks = marks, .count = m.left, .context = &m, .next = make};
        struct shown s = {0};
        struct made again;
        struct rdb_element x;
        char key[16];

        rng_seed(&m.rng, seed + (uint64_t)i);
        again = m;
        snprintf(key, sizeof key, "key%d", i);
        ck_assert_msg(rdb_writer_key(w, slice_str(key), i == 7 ? 1893456000000 : 0, &v) == OK, "%s", err_text());
        buf_append_format(expected, i == 7 ? "2.%s@1893456000000=" : "2.%s=", key);
        (void)show_begin(&s, type, 0);
        while (make(&again, &x) == OK)
            (void)show_element(&s, x.name, x.value, x.score);
        buf_append_slice(expected, buf_slice(&s.text));
        buf_append_str(expected, ") ");
        buf_free(&s.text);
        buf_free(&m.name);
        buf_free(&m.value);
        buf_free(&again.name);
        buf_free(&again.value);
    }
    ck_assert_int_eq(rdb_writer_end(w), OK);
    ck_assert_uint_eq(rdb_writer_bytes(w), file->size);
    rdb_writer_close(w);
    buf_append_byte(expected, 0);
}

START_TEST(rdb__reads_back_what_it_wrote)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct buf file = {0}, expected = {0}, text;
        enum err e;

        write_file(seed, seed % 2 == 0, &file, &expected);
        e = show_file(buf_slice(&file), 1 + seed * 1000, &text);
        ck_assert_msg(e == ERR_NOT_FOUND, "seed %d: %s", (int)seed, err_text());
        ck_assert_msg(strcmp((char *)text.data, (char *)expected.data) == 0, "seed %d", (int)seed);
        buf_free(&file);
        buf_free(&expected);
        buf_free(&text);
    }
}
END_TEST

START_TEST(rdb__long_string_goes_in_pieces)
{
    struct buf file = {0}, text;
    const struct rdb_writer_options options = {.push = keep, .context = &file};
    struct made m = {.left = 3000, .size = 1000};
    struct rdb_value v = {.type = OBJ_STRING, .context = &m, .next = make};
    struct made again;
    struct rdb_element x;
    struct rdb_writer *w;
    struct buf whole = {0};

    rng_seed(&m.rng, 5);
    again = m;
    while (make(&again, &x) == OK)
        buf_append_slice(&whole, x.name);
    v.count = whole.size;
    ck_assert_uint_gt(whole.size, 1 << 20);
    ck_assert_int_eq(rdb_writer_open(&options, &w), OK);
    ck_assert_int_eq(rdb_writer_key(w, SLICE_LITERAL("k"), 0, &v), OK);
    ck_assert_int_eq(rdb_writer_end(w), OK);
    rdb_writer_close(w);
    ck_assert_int_eq(show_file(buf_slice(&file), 1000, &text), ERR_NOT_FOUND);
    ck_assert_uint_eq(text.size, whole.size + sizeof "0.k=string() ");
    ck_assert_mem_eq(text.data + 11, whole.data, whole.size);
    buf_free(&file);
    buf_free(&text);
    buf_free(&whole);
    buf_free(&m.name);
    buf_free(&m.value);
    buf_free(&again.name);
    buf_free(&again.value);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("all");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, rdb__reads_what_redis_dumped, 0, sizeof payloads / sizeof payloads[0]);
    tcase_add_loop_test(c, rdb__reads_the_encodings_of_older_and_newer_versions, 0, sizeof olds / sizeof olds[0]);
    tcase_add_loop_test(c, rdb__refuses_every_truncation_of_a_value, 0, sizeof olds / sizeof olds[0]);
    tcase_add_loop_test(c, rdb__survives_every_changed_byte, 0, sizeof olds / sizeof olds[0]);
    tcase_add_test(c, rdb__refuses_by_name_what_it_does_not_know);
    tcase_add_test(c, rdb__refuses_payloads_that_no_server_writes);
    tcase_add_test(c, rdb__payload_with_a_wrong_checksum_or_a_newer_version_is_refused);
    tcase_add_test(c, rdb__reads_a_file_of_redis_in_pieces_of_any_size);
    tcase_add_test(c, rdb__takes_files_of_known_versions_only);
    tcase_add_test(c, rdb__damaged_file_is_refused_with_its_offset);
    tcase_add_test(c, rdb__reads_back_what_it_wrote);
    tcase_add_test(c, rdb__long_string_goes_in_pieces);
    return suite_run("rdb", c);
}
