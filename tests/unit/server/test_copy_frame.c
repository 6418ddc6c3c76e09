/*
 * test_copy_frame.c - frames and notes of a whole copy: what goes in comes out, and nothing that was altered does.
 */
#include "server/drive/copy_note.h"
#include "tests/unit/suite.h"

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

START_TEST(note__gives_the_pieces_that_are_whole)
{
    struct copy_note n = {.id = "0123456789abcdef0123456789abcdef01234567", .boot = "a boot",
                          .manifest = SLICE_LITERAL("what there is")}, back;
    struct buf bytes = {0};
    struct copy_piece p;
    size_t head;

    copy_note_append(&bytes, &n);
    head = bytes.size;
    for (unsigned i = 0; i < 3; i++)
        copy_piece_append(&bytes, &(struct copy_piece){.file = i, .bytes = 7, .offset = UINT64_C(1) << 40, .sum = UINT64_MAX});
    for (size_t cut = 0; cut < head; cut++)
        ck_assert_int_eq(copy_note_parse(slice_of(bytes.data, cut), &back), ERR_CORRUPT);
    for (size_t cut = head; cut <= bytes.size; cut++) {
        unsigned found = 0;

        ck_assert_int_eq(copy_note_parse(slice_of(bytes.data, cut), &back), OK);
        ck_assert_str_eq(back.id, n.id);
        ck_assert_str_eq(back.boot, n.boot);
        ck_assert(slice_equal(back.manifest, n.manifest));
        while (copy_piece_take(&back.pieces, &p)) {
            ck_assert_uint_eq(p.file, found++);
            ck_assert_uint_eq(p.bytes, 7);
            ck_assert_uint_eq(p.offset, UINT64_C(1) << 40);
            ck_assert_uint_eq(p.sum, UINT64_MAX);
        }
        ck_assert_uint_eq(found, (cut - head) / ((bytes.size - head) / 3));
    }
    bytes.data[bytes.size - 40] ^= 1; /* the second of three */
    ck_assert_int_eq(copy_note_parse(buf_slice(&bytes), &back), OK);
    ck_assert(copy_piece_take(&back.pieces, &p) && !copy_piece_take(&back.pieces, &p));
    buf_free(&bytes);
}
END_TEST

START_TEST(progress__takes_each_piece_at_its_place_only)
{
    const uint64_t file_bytes[] = {10, 4};
    struct copy_progress at = {.file_bytes = file_bytes, .files = 2};

    ck_assert(!copy_progress_fits(&at, 0, 0, 0));
    ck_assert(!copy_progress_fits(&at, 0, 0, 11));
    ck_assert(!copy_progress_fits(&at, 0, 1, 1));
    ck_assert(!copy_progress_fits(&at, 1, 0, 1));
    ck_assert(copy_progress_fits(&at, 0, 0, 6) && !copy_progress_add(&at, 6));
    ck_assert(!copy_progress_fits(&at, 0, 6, UINT64_MAX));
    ck_assert(copy_progress_fits(&at, 0, 6, 4) && copy_progress_add(&at, 4));
    ck_assert(copy_progress_fits(&at, 1, 0, 4) && copy_progress_add(&at, 4));
    ck_assert_uint_eq(at.file, 2);
    ck_assert_uint_eq(at.have, 14);
    ck_assert(!copy_progress_fits(&at, 2, 0, 1));
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("all");

    tcase_add_test(c, manifest__comes_out_as_it_went_in);
    tcase_add_test(c, frame__comes_out_as_it_went_in_and_not_before_it_is_whole);
    tcase_add_test(c, frame__with_any_bit_altered_is_refused);
    tcase_add_test(c, place__comes_out_as_it_went_in);
    tcase_add_test(c, note__gives_the_pieces_that_are_whole);
    tcase_add_test(c, progress__takes_each_piece_at_its_place_only);
    return suite_run("copy_frame", c);
}
