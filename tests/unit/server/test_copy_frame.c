/*
 * test_copy_frame.c - frames of a whole copy: what goes in comes out, and nothing that was altered does.
 */
#include "server/drive/copy_frame.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void example(struct set_checkpoint *c)
{
    static const struct store_file first[] = {{.level = 0, .bytes = 100, .smallest_seqno = 5, .largest_seqno = 5},
                                              {.level = 6, .bytes = UINT64_C(1) << 40, .largest_seqno = 77}};
    static const struct store_file second[] = {{.level = 1, .bytes = 7, .smallest_seqno = 1, .largest_seqno = 2}};

    *c = (struct set_checkpoint){.lsn = 123456789, .id_limit = 1 << 20, .count = 2};
    c->dbs = calloc(2, sizeof *c->dbs);
    c->dbs[0] = (struct set_checkpoint_db){.db = 0, .list = {.files = malloc(sizeof first), .count = 2}};
    c->dbs[1] = (struct set_checkpoint_db){.db = 15, .list = {.files = malloc(sizeof second), .count = 1}};
    memcpy(c->dbs[0].list.files, first, sizeof first);
    memcpy(c->dbs[1].list.files, second, sizeof second);
}

START_TEST(manifest__comes_out_as_it_went_in)
{
    struct set_checkpoint c, back = {0};
    struct buf bytes = {0};
    int selected = 0;

    example(&c);
    copy_manifest_append(&bytes, &c, -1);
    ck_assert_int_eq(copy_manifest_parse(buf_slice(&bytes), &back, &selected), OK);
    ck_assert_int_eq(selected, -1);
    ck_assert_uint_eq(back.lsn, c.lsn);
    ck_assert_uint_eq(back.id_limit, c.id_limit);
    ck_assert_uint_eq(back.count, 2);
    ck_assert_uint_eq(back.dbs[1].db, 15);
    ck_assert_uint_eq(set_checkpoint_files(&back), 3);
    ck_assert_uint_eq(set_checkpoint_bytes(&back), set_checkpoint_bytes(&c));
    ck_assert_uint_eq(back.dbs[0].list.files[0].smallest_seqno, 5);
    ck_assert_uint_eq(back.dbs[0].list.files[1].level, 6);
    ck_assert_uint_eq(back.dbs[0].list.files[1].largest_seqno, 77);
    set_checkpoint_free(&back);
    for (size_t cut = 0; cut < bytes.size; cut++)
        ck_assert_int_eq(copy_manifest_parse(slice_of(bytes.data, cut), &back, &selected), ERR_CORRUPT);
    set_checkpoint_free(&c);
    buf_free(&bytes);
}
END_TEST

START_TEST(frame__comes_out_as_it_went_in_and_not_before_it_is_whole)
{
    const struct copy_frame f = {.kind = COPY_CHUNK, .file = 3, .offset = UINT64_C(1) << 33, .payload = SLICE_LITERAL("bytes of a file")};
    struct buf bytes = {0};
    struct copy_frame back;
    size_t used = 0;

    copy_frame_append(&bytes, &f);
    copy_frame_append(&bytes, &(struct copy_frame){.kind = COPY_END, .offset = 9});
    for (size_t n = 0; n < COPY_HEAD_BYTES + f.payload.size; n++)
        ck_assert_int_eq(copy_frame_parse(slice_of(bytes.data, n), &back, &used), ERR_AGAIN);
    ck_assert_int_eq(copy_frame_parse(buf_slice(&bytes), &back, &used), OK);
    ck_assert_uint_eq(used, COPY_HEAD_BYTES + f.payload.size);
    ck_assert_int_eq(back.kind, COPY_CHUNK);
    ck_assert_uint_eq(back.file, 3);
    ck_assert_uint_eq(back.offset, f.offset);
    ck_assert(slice_equal(back.payload, f.payload));
    ck_assert_int_eq(copy_frame_parse(slice_of(bytes.data + used, bytes.size - used), &back, &used), OK);
    ck_assert_int_eq(back.kind, COPY_END);
    ck_assert_uint_eq(back.offset, 9);
    buf_free(&bytes);
}
END_TEST

START_TEST(frame__with_any_bit_altered_is_refused)
{
    const struct copy_frame f = {.kind = COPY_CHUNK, .file = 3, .offset = 4096, .payload = SLICE_LITERAL("bytes of a file")};
    struct buf bytes = {0};
    struct copy_frame back;
    size_t used;

    copy_frame_append(&bytes, &f);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(copy_frame_parse(buf_slice(&bytes), &back, &used), ERR_CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_free(&bytes);
}
END_TEST

START_TEST(place__comes_out_as_it_went_in)
{
    const char *const wrong[] = {"", "x", "0123456789abcdef0123456789abcdef01234567", "0123456789abcdef0123456789abcdef01234567:",
                                 "0123456789abcdef0123456789abcdef01234567:1", "0123456789abcdef0123456789abcdef01234567:-1:0",
                                 "0123456789abcdef0123456789abcdef01234567:1:x", "0123456789abcdef0123456789ABCDEF01234567:1:1",
                                 "0123456789abcdef0123456789abcdef01234567:4294967296:1"};
    struct copy_place p = {.id = "0123456789abcdef0123456789abcdef01234567", .file = UINT32_MAX, .offset = INT64_MAX}, back;
    char text[COPY_PLACE_BYTES];

    copy_place_format(&p, text);
    ck_assert_int_eq(copy_place_parse(slice_str(text), &back), OK);
    ck_assert_str_eq(back.id, p.id);
    ck_assert_uint_eq(back.file, p.file);
    ck_assert_uint_eq(back.offset, p.offset);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_int_eq(copy_place_parse(slice_str(wrong[i]), &back), ERR_SYNTAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("copy_frame");
    TCase *c = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(c, manifest__comes_out_as_it_went_in);
    tcase_add_test(c, frame__comes_out_as_it_went_in_and_not_before_it_is_whole);
    tcase_add_test(c, frame__with_any_bit_altered_is_refused);
    tcase_add_test(c, place__comes_out_as_it_went_in);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
