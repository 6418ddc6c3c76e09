/*
 * wal_help.c - see wal_help.h.
 */
#include "wal_help.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static void remember(void *context, enum err e, const char *text)
{
    struct help_fatal *f = context;

    f->count++;
    f->e = e;
    snprintf(f->text, sizeof f->text, "%s", text);
}

struct wal_options help_options(struct help_fatal *fatal)
{
    struct wal_options o = wal_options_default();

    *fatal = (struct help_fatal){0};
    o.segment_bytes = 2000;
    o.raw_bytes = UINT64_MAX;
    o.seal_age_ms = 0;
    o.foreground = true;
    o.seed = 7;
    o.fatal = remember;
    o.fatal_context = fatal;
    return o;
}

void wal_help_quiet(void)
{
    log_level_set(LOG_NOTHING);
}

static void set_text(struct buf *text, unsigned number, size_t size, struct journal_effect *effect, unsigned db)
{
    size_t before = text->size;
    char key[32];
    int n = snprintf(key, sizeof key, "key:%u", number);

    buf_append_format(text, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%zu\r\n", n, key, size);
    memset(buf_reserve(text, size), 'a' + (int)(number % 26), size);
    text->size += size;
    buf_append_str(text, "\r\n");
    *effect = (struct journal_effect){
        .bytes = (uint32_t)(text->size - before), .slot = hash_slot(slice_str(key)), .db = (uint16_t)db, .keys = 1};
}

lsn_t help_set(struct wal *wal, unsigned db, unsigned number, size_t size, struct buf *stream)
{
    struct journal_effect effect;
    struct buf text = {0};
    lsn_t end;

    set_text(&text, number, size, &effect, db);
    end = wal == NULL ? 0 : wal_append(wal, &effect, 1, buf_slice(&text)) + text.size;
    if (stream != NULL)
        buf_append_slice(stream, buf_slice(&text));
    buf_free(&text);
    return end;
}

static void mark(struct buf *text, const char *word, unsigned db, struct journal_effect *effect)
{
    size_t before = text->size;

    buf_append_format(text, "*1\r\n$%zu\r\n%s\r\n", strlen(word), word);
    *effect = (struct journal_effect){
        .bytes = (uint32_t)(text->size - before), .slot = SLOT_NODE, .db = (uint16_t)db, .kind = JOURNAL_MARK};
}

lsn_t help_multi(struct wal *wal, unsigned db, unsigned n, struct buf *stream)
{
    struct journal_effect *effects = calloc(n + 2, sizeof *effects);
    struct buf text = {0};
    lsn_t end;

    check(effects != NULL);
    mark(&text, "MULTI", db, &effects[0]);
    for (unsigned i = 0; i < n; i++)
        set_text(&text, i, 3, &effects[i + 1], db);
    mark(&text, "EXEC", db, &effects[n + 1]);
    end = wal_append(wal, effects, n + 2, buf_slice(&text)) + text.size;
    if (stream != NULL)
        buf_append_slice(stream, buf_slice(&text));
    buf_free(&text);
    free(effects);
    return end;
}

void help_select(struct buf *stream, unsigned db)
{
    char digits[16];
    int n = snprintf(digits, sizeof digits, "%u", db);

    buf_append_format(stream, "*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", n, digits);
}

static enum err read_all(struct wal_reader *r, lsn_t from, struct buf *stream)
{
    lsn_t position = UINT64_MAX;
    struct frame f;
    enum err e;

    while ((e = wal_reader_next(r, &f)) == OK) {
        uint64_t skip = from > f.head.start ? from - f.head.start : 0;

        ck_assert(position == UINT64_MAX || position == f.head.start);
        ck_assert_uint_eq(f.end - f.head.start, f.text.size);
        position = f.end;
        buf_append(stream, f.text.data + skip, f.text.size - skip);
    }
    wal_reader_close(r);
    return e;
}

enum err help_read(struct wal *wal, lsn_t from, struct buf *stream)
{
    struct wal_reader *r;

    TRY(wal_reader_open(wal, from, &r));
    return read_all(r, from, stream);
}

enum err help_read_dir(struct vfs *vfs, const char *dir, struct buf *stream)
{
    struct wal_reader *r;

    TRY(wal_reader_open_dir(vfs, dir, 0, &r));
    return read_all(r, 0, stream);
}
