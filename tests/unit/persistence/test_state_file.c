/*
 * test_state_file.c - what is saved survives a power cut, what is noted the process, and a torn note leaves the one before.
 */
#include "fake_vfs.h"
#include "persistence/state_file.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* What a new process finds; "none", or the text with '*' behind it if it was noted. */
static const char *found(struct fake *f)
{
    static char text[64];
    struct state_file *s = state_file_new(&f->vfs, "d", "x");
    struct buf content = {0};
    bool noted = false;
    enum err e = state_file_read(s, 1000, &content, &noted);

    ck_assert(e == OK || e == ERR_NOT_FOUND);
    snprintf(text, sizeof text, "%.*s%s", (int)content.size, (const char *)content.data, noted ? "*" : "");
    buf_free(&content);
    state_file_free(s);
    return e == OK ? text : "none";
}

static void save(struct state_file *s, const char *text)
{
    ck_assert_int_eq(state_file_save(s, slice_str(text)), OK);
}

static void note(struct state_file *s, const char *text)
{
    ck_assert_int_eq(state_file_note(s, slice_str(text)), OK);
}

START_TEST(state_file__notes_survive_the_process_and_saves_the_machine)
{
    struct fake *f = fake_new(1), *cut;
    struct state_file *s = state_file_new(&f->vfs, "d", "x");

    ck_assert_str_eq(found(f), "none");
    note(s, "first"); /* there is nothing to lie beside: it is saved */
    ck_assert_str_eq(found(f), "first");
    note(s, "second");
    note(s, "third");
    ck_assert_str_eq(found(f), "third*");
    cut = fake_clone(f);
    fake_power_cut(cut, FAKE_CUT_DROP);
    ck_assert_str_eq(found(cut), "first");
    fake_free(cut);
    save(s, "fourth");
    ck_assert_str_eq(found(f), "fourth");
    note(s, "fifth");
    state_file_free(s);
    fake_process_end(f);
    ck_assert_str_eq(found(f), "fifth*");
    fake_free(f);
}
END_TEST

START_TEST(state_file__a_note_of_before_the_machine_restarted_counts_no_more)
{
    struct fake *f = fake_new(1);
    struct state_file *s = state_file_new(&f->vfs, "d", "x");

    save(s, "saved");
    note(s, "noted");
    for (size_t i = 0; i < f->now.count; i++) { /* as if the kernel had written all of it */
        buf_clear(&f->now.all[i].file->stable);
        buf_append_slice(&f->now.all[i].file->stable, buf_slice(&f->now.all[i].file->now));
    }
    ck_assert_int_eq(f->vfs.sync_dir(&f->vfs, "d"), OK);
    state_file_free(s);
    fake_power_cut(f, FAKE_CUT_DROP);
    ck_assert_str_eq(found(f), "saved");
    fake_free(f);
}
END_TEST

START_TEST(state_file__a_torn_note_leaves_the_one_before_it)
{
    struct fake *f = fake_new(1);
    struct state_file *s = state_file_new(&f->vfs, "d", "x");
    struct buf *notes;
    size_t one;

    save(s, "saved");
    note(s, "one");
    notes = fake_bytes(f, "d/x.noted");
    one = notes->size;
    note(s, "two");
    ck_assert_str_eq(found(f), "two*");
    notes->data[notes->size - 1] ^= 1;
    ck_assert_str_eq(found(f), "one*");
    for (size_t size = notes->size - 1;; size--) {
        notes->size = size;
        ck_assert_str_eq(found(f), size >= one ? "one*" : "saved");
        if (size == 0)
            break;
    }
    state_file_free(s);
    fake_free(f);
}
END_TEST

START_TEST(state_file__notes_count_behind_the_file_they_were_written_behind_only)
{
    struct fake *f = fake_new(1);
    struct state_file *s = state_file_new(&f->vfs, "d", "x");

    save(s, "saved");
    note(s, "noted");
    ck_assert_ptr_nonnull(fake_bytes(f, "d/x"));
    buf_clear(fake_bytes(f, "d/x"));
    buf_append_str(fake_bytes(f, "d/x"), "an operator's");
    ck_assert_str_eq(found(f), "an operator's");
    ck_assert_int_eq(f->vfs.unlink(f->vfs.context, "d/x"), OK);
    ck_assert_str_eq(found(f), "none");
    state_file_free(s);
    fake_free(f);
}
END_TEST

START_TEST(state_file__what_is_durable_is_not_written_again)
{
    struct fake *f = fake_new(1);
    struct state_file *s = state_file_new(&f->vfs, "d", "x");
    uint64_t syncs;

    save(s, "a");
    syncs = f->syncs;
    save(s, "a");
    ck_assert_uint_eq(f->syncs, syncs);
    for (int i = 0; i < 100; i++)
        note(s, i % 2 == 0 ? "b" : "a");
    ck_assert_uint_eq(f->syncs, syncs);
    save(s, "a");
    ck_assert_uint_eq(f->syncs, syncs);
    ck_assert_str_eq(found(f), "a");
    save(s, "b");
    ck_assert_uint_gt(f->syncs, syncs);
    state_file_free(s);
    fake_free(f);
}
END_TEST

START_TEST(state_file__is_old_or_new_after_every_failure)
{
    for (uint64_t at = 1; at < 12; at++) {
        struct fake *f = fake_new(at);
        struct state_file *s = state_file_new(&f->vfs, "d", "x");
        const char *text;
        enum err e;

        save(s, "old");
        f->fail_at = f->changes + at;
        f->fail_with = ERR_IO;
        e = state_file_note(s, SLICE_LITERAL("noted"));
        text = found(f);
        ck_assert_msg(strcmp(text, e == OK ? "noted*" : "old") == 0, "call %u: %s", (unsigned)at, text);
        e = state_file_save(s, SLICE_LITERAL("new"));
        text = found(f);
        ck_assert_msg(strcmp(text, "new") == 0 || (e != OK && (strcmp(text, "old") == 0 || strcmp(text, "noted*") == 0)),
                      "call %u: %s", (unsigned)at, text);
        state_file_free(s);
        fake_free(f);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, state_file__notes_survive_the_process_and_saves_the_machine);
    tcase_add_test(tests, state_file__a_note_of_before_the_machine_restarted_counts_no_more);
    tcase_add_test(tests, state_file__a_torn_note_leaves_the_one_before_it);
    tcase_add_test(tests, state_file__notes_count_behind_the_file_they_were_written_behind_only);
    tcase_add_test(tests, state_file__what_is_durable_is_not_written_again);
    tcase_add_test(tests, state_file__is_old_or_new_after_every_failure);
    return suite_run("state_file", tests);
}
