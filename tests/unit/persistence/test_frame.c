/*
 * test_frame.c - the codecs: frames, segment names and headers, the history file, atomic files.
 */
#include "fake_vfs.h"
#include "persistence/atomic_file.h"
#include "persistence/frame.h"
#include "persistence/history.h"
#include "persistence/segment.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* A frame of two effects; returns its size. */
static size_t build(uint8_t *out)
{
    const char *text = "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n";
    struct journal_effect effects[2] = {
        {.bytes = 14, .slot = SLOT_NODE, .db = 3, .kind = JOURNAL_MARK},
        {.bytes = (uint32_t)strlen(text) - 14, .slot = 15495, .db = 3, .keys = -1, .expires = -1},
    };
    struct frame_head head = {.start = 1000, .history = 0x1122334455667788, .time_ms = 1700000000123, .unsynced = 77};

    memcpy(out + FRAME_HEADER_BYTES, effects, sizeof effects);
    memcpy(out + FRAME_HEADER_BYTES + sizeof effects, text, strlen(text));
    frame_seal(out, &head, 2, (uint32_t)strlen(text), (struct slice){0});
    return frame_size(2, strlen(text));
}

START_TEST(frame__gives_back_what_was_sealed)
{
    uint8_t bytes[256];
    size_t size = build(bytes);
    struct frame f;

    ck_assert_int_eq(frame_decode(slice_of(bytes, sizeof bytes), &f), OK);
    ck_assert_uint_eq(f.head.start, 1000);
    ck_assert_uint_eq(f.end, 1000 + size - FRAME_HEADER_BYTES - 40);
    ck_assert_uint_eq(f.head.history, 0x1122334455667788);
    ck_assert_int_eq(f.head.time_ms, 1700000000123);
    ck_assert_uint_eq(f.head.unsynced, 77);
    ck_assert_uint_eq(f.effects, 2);
    ck_assert_uint_eq(f.bytes.size, size);
    ck_assert_uint_eq(frame_effect(&f, 0).slot, SLOT_NODE);
    ck_assert_int_eq(frame_effect(&f, 1).keys, -1);
    ck_assert_int_eq(frame_effect(&f, 1).expires, -1);
    ck_assert_uint_eq(frame_effect(&f, 1).slot, 15495);
    ck_assert_uint_eq(frame_last_db(&f), 3);
    ck_assert(memcmp(f.text.data, "*1\r\n$4\r\nPING\r\n", 14) == 0);
}
END_TEST

/* The format does not change by accident: these are the bytes of the drawing in frame.h. */
START_TEST(frame__has_the_drawn_layout)
{
    static const uint8_t expected[] = {
        'C', 'F', 'R', 'M', 0x22, 0, 0, 0, 0xe8, 3, 0, 0, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        0x7b, 0x68, 0xe5, 0xcf, 0x8b, 1, 0, 0, 2, 0, 0, 0, 77, 0, 0, 0,
        14, 0, 0, 0, 0xff, 0xff, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        20, 0, 0, 0, 0x87, 0x3c, 3, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    };
    uint8_t bytes[256];

    build(bytes);
    ck_assert(memcmp(bytes + 8, expected, sizeof expected) == 0);
}
END_TEST

START_TEST(frame__cut_anywhere_asks_for_more)
{
    uint8_t bytes[256];
    size_t size = build(bytes);
    struct frame f;

    for (size_t n = 0; n < size; n++) {
        uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees a read beyond it */

        memcpy(exact, bytes, n);
        ck_assert_int_eq(frame_decode(slice_of(exact, n), &f), ERR_AGAIN);
        free(exact);
    }
}
END_TEST

START_TEST(frame__any_flipped_bit_is_noticed)
{
    uint8_t bytes[256];
    size_t size = build(bytes);
    struct frame f;

    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_ne(frame_decode(slice_of(bytes, size), &f), OK);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

START_TEST(frame__refuses_effects_that_do_not_add_up)
{
    uint8_t bytes[256];
    struct frame_head head = {.start = 0};
    struct frame f;

    build(bytes);
    bytes[FRAME_HEADER_BYTES] = 13;
    frame_seal(bytes, &head, 2, 34, (struct slice){0});
    ck_assert_int_eq(frame_decode(slice_of(bytes, sizeof bytes), &f), ERR_CORRUPT);
    build(bytes);
    bytes[FRAME_HEADER_BYTES + 8] = 99; /* kind */
    frame_seal(bytes, &head, 2, 34, (struct slice){0});
    ck_assert_int_eq(frame_decode(slice_of(bytes, sizeof bytes), &f), ERR_CORRUPT);
    build(bytes);
    bytes[FRAME_HEADER_BYTES + 5] = 0x40; /* slot 16639 */
    frame_seal(bytes, &head, 2, 34, (struct slice){0});
    ck_assert_int_eq(frame_decode(slice_of(bytes, sizeof bytes), &f), ERR_CORRUPT);
}
END_TEST

/* What a replica writes for a command of its primary that is no effect by itself. */
START_TEST(frame__counts_no_local_effect_in_its_positions)
{
    const char *stream = "*3\r\n$6\r\nRENAME\r\n$1\r\na\r\n$1\r\nb\r\n", *local = "*2\r\n$3\r\nDEL\r\n$1\r\na\r\n";
    struct journal_effect effects[2] = {
        {.bytes = (uint32_t)strlen(stream), .slot = SLOT_NODE, .db = 3, .kind = JOURNAL_MARK},
        {.bytes = (uint32_t)strlen(local), .slot = 15495, .db = 5, .kind = JOURNAL_KEY | JOURNAL_LOCAL, .keys = -1},
    };
    struct frame_head head = {.start = 1000};
    uint8_t bytes[256];
    struct journal_effect effect;
    struct frame_walk walk;
    struct frame f;

    memcpy(bytes + FRAME_HEADER_BYTES, effects, sizeof effects);
    memcpy(bytes + FRAME_HEADER_BYTES + sizeof effects, stream, strlen(stream));
    memcpy(bytes + FRAME_HEADER_BYTES + sizeof effects + strlen(stream), local, strlen(local));
    frame_seal(bytes, &head, 2, (uint32_t)(strlen(stream) + strlen(local)), (struct slice){0});
    ck_assert_int_eq(frame_decode(slice_of(bytes, sizeof bytes), &f), OK);
    ck_assert_uint_eq(f.end, 1000 + strlen(stream));
    ck_assert(slice_equal(f.text, slice_str(stream)));
    ck_assert_uint_eq(frame_last_db(&f), 3);
    walk = frame_walk_begin(&f);
    ck_assert(frame_walk_next(&walk, &effect) && slice_equal(walk.text, slice_str(stream)));
    ck_assert_uint_eq(walk.lsn, f.end);
    ck_assert(frame_walk_next(&walk, &effect) && slice_equal(walk.text, slice_str(local)));
    ck_assert_uint_eq(walk.lsn, f.end);
    ck_assert(journal_is_local(&effect) && journal_kind_of(&effect) == JOURNAL_KEY);
    ck_assert(!frame_walk_next(&walk, &effect));
}
END_TEST

START_TEST(frame__of_local_effects_alone_is_refused)
{
    struct journal_effect effects[1] = {{.bytes = 4, .slot = 1, .kind = JOURNAL_KEY | JOURNAL_LOCAL}};
    struct frame_head head = {.start = 1000};
    uint8_t bytes[128];
    struct frame f;

    memcpy(bytes + FRAME_HEADER_BYTES, effects, sizeof effects);
    memcpy(bytes + FRAME_HEADER_BYTES + sizeof effects, "*0\r\n", 4);
    frame_seal(bytes, &head, 1, 4, (struct slice){0});
    ck_assert_int_eq(frame_decode(slice_of(bytes, sizeof bytes), &f), ERR_CORRUPT);
}
END_TEST

START_TEST(segment_name__is_read_back_and_nothing_else_is)
{
    char name[SEGMENT_NAME_MAX];
    uint32_t generation;
    lsn_t first;

    segment_name(name, 0xab, UINT64_MAX);
    ck_assert_str_eq(name, "000000ab-18446744073709551615.log");
    ck_assert(segment_name_parse(name, &generation, &first));
    ck_assert_uint_eq(generation, 0xab);
    ck_assert_uint_eq(first, UINT64_MAX);
    ck_assert(!segment_name_parse("000000ab-18446744073709551615.log.cut", &generation, &first));
    ck_assert(!segment_name_parse("000000AB-00000000000000000001.log", &generation, &first));
    ck_assert(!segment_name_parse("1-1.log", &generation, &first));
    ck_assert(!segment_name_parse("history", &generation, &first));
}
END_TEST

static struct history example(void)
{
    struct history h = {.generation = 4, .first = 12345, .clean = true, .clean_end = 99999, .boot = "boot-1"};

    strcpy(h.replid, "0123456789abcdef0123456789abcdef01234567");
    history_fork(&h, "ffffffff89abcdef0123456789abcdef01234567", 500);
    history_fork(&h, "eeeeeeee89abcdef0123456789abcdef01234567", 700);
    return h;
}

START_TEST(history__survives_its_file)
{
    struct history h = example(), back;
    struct buf text = {0};

    history_format(&h, &text);
    ck_assert_int_eq(history_parse(buf_slice(&text), &back), OK);
    ck_assert_str_eq(back.replid, h.replid);
    ck_assert_uint_eq(back.generation, 4);
    ck_assert_uint_eq(back.first, 12345);
    ck_assert(back.clean);
    ck_assert_uint_eq(back.clean_end, 99999);
    ck_assert_str_eq(back.boot, "boot-1");
    ck_assert_uint_eq(back.ancestors_count, 2);
    ck_assert_str_eq(back.ancestors[1].replid, "0123456789abcdef0123456789abcdef01234567");
    ck_assert_uint_eq(back.ancestors[1].end, 500);
    for (size_t i = 0; i < text.size; i++) {
        text.data[i] ^= 4;
        ck_assert_int_eq(history_parse(buf_slice(&text), &back), ERR_CORRUPT);
        text.data[i] ^= 4;
        ck_assert_int_eq(history_parse(slice_of(text.data, i), &back), ERR_CORRUPT);
    }
    buf_free(&text);
}
END_TEST

START_TEST(history__holds_its_ancestors_up_to_their_end)
{
    struct history h = example();

    ck_assert(history_holds(&h, h.replid, 1000, 1000));
    ck_assert(!history_holds(&h, h.replid, 1001, 1000));
    ck_assert(history_holds(&h, "ffffffff89abcdef0123456789abcdef01234567", 700, 1000));
    ck_assert(!history_holds(&h, "ffffffff89abcdef0123456789abcdef01234567", 701, 1000));
    ck_assert(history_holds(&h, "0123456789abcdef0123456789abcdef01234567", 500, 1000));
    ck_assert(!history_holds(&h, "0123456789abcdef0123456789abcdef01234567", 501, 1000));
    ck_assert(!history_holds(&h, "aaaaaaaa89abcdef0123456789abcdef01234567", 1, 1000));
    ck_assert_uint_eq(history_number(h.replid), 0xeeeeeeee89abcdef);
}
END_TEST

START_TEST(history__forgets_the_oldest_ancestor)
{
    struct history h = example();
    char replid[HISTORY_ID_BYTES + 1];

    for (unsigned i = 0; i < 40; i++) {
        snprintf(replid, sizeof replid, "%040x", i);
        history_fork(&h, replid, 1000 + i);
    }
    ck_assert_uint_eq(h.ancestors_count, HISTORY_ANCESTORS_MAX);
    ck_assert_uint_eq(h.ancestors[0].end, 1039);
    ck_assert_uint_eq(h.ancestors[15].end, 1024);
}
END_TEST

/* Whatever fails and whenever the power goes: the old content or the new one, and the new one if it said OK. */
START_TEST(atomic_file__is_old_or_new_after_every_failure)
{
    for (uint64_t n = 1; n < 8; n++) {
        struct fake *f = fake_new(n);
        struct buf content = {0};
        enum err e;

        ck_assert_int_eq(atomic_file_write(&f->vfs, "d", "x", SLICE_LITERAL("old")), OK);
        f->fail_at = f->changes + n;
        e = atomic_file_write(&f->vfs, "d", "x", SLICE_LITERAL("new!"));
        ck_assert(n > 5 || e != OK);
        f->fail_at = 0;
        fake_power_cut(f, FAKE_CUT_TEAR);
        ck_assert_int_eq(atomic_file_read(&f->vfs, "d", "x", 100, &content), OK);
        if (e == OK)
            ck_assert(slice_equal(buf_slice(&content), SLICE_LITERAL("new!")));
        else
            ck_assert(slice_equal(buf_slice(&content), SLICE_LITERAL("new!")) ||
                      slice_equal(buf_slice(&content), SLICE_LITERAL("old")));
        buf_free(&content);
        fake_free(f);
    }
}
END_TEST

START_TEST(atomic_file__reads_no_more_than_allowed)
{
    struct fake *f = fake_new(1);
    struct buf content = {0};

    ck_assert_int_eq(atomic_file_read(&f->vfs, "d", "x", 100, &content), ERR_NOT_FOUND);
    ck_assert_int_eq(atomic_file_write(&f->vfs, "d", "x", SLICE_LITERAL("123456")), OK);
    ck_assert_int_eq(atomic_file_read(&f->vfs, "d", "x", 5, &content), ERR_TOO_BIG);
    ck_assert_uint_eq(content.size, 0);
    buf_free(&content);
    fake_free(f);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, frame__gives_back_what_was_sealed);
    tcase_add_test(tests, frame__has_the_drawn_layout);
    tcase_add_test(tests, frame__cut_anywhere_asks_for_more);
    tcase_add_test(tests, frame__any_flipped_bit_is_noticed);
    tcase_add_test(tests, frame__refuses_effects_that_do_not_add_up);
    tcase_add_test(tests, frame__counts_no_local_effect_in_its_positions);
    tcase_add_test(tests, frame__of_local_effects_alone_is_refused);
    tcase_add_test(tests, segment_name__is_read_back_and_nothing_else_is);
    tcase_add_test(tests, history__survives_its_file);
    tcase_add_test(tests, history__holds_its_ancestors_up_to_their_end);
    tcase_add_test(tests, history__forgets_the_oldest_ancestor);
    tcase_add_test(tests, atomic_file__is_old_or_new_after_every_failure);
    tcase_add_test(tests, atomic_file__reads_no_more_than_allowed);
    return suite_run("frame", tests);
}
