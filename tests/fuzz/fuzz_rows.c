/*
 * fuzz_rows.c - hostile bytes as rows of slots that another node sends: frames, rows, records.
 *
 * The input is used three ways: as a frame; as rows of a frame with a right sum, of which one bit is altered where the input says so;
 * and as (name size, record size, name, record) of keys whose rows are right. What is accepted must be put into exactly one command.
 */
#include "base/check.h"
#include "base/hash.h"
#include "engine/key/row.h"
#include "server/drive/move_priv.h"
#include "server/drive/move_rows.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err never_flush(void *context, struct buf *out)
{
    (void)context;
    (void)out;
    return OK;
}

/* The text is one request, whole. */
static void is_one_command(struct slice text)
{
    const char *p = (const char *)text.data, *end = p + text.size;
    char *next;
    unsigned long words = strtoul(p + 1, &next, 10);

    check(p[0] == '*' && words >= 3);
    for (p = next + 2; words > 0; words--) {
        unsigned long bytes = strtoul(p + 1, &next, 10);

        check(p[0] == '$');
        p = next + 2 + bytes + 2;
        check(p <= end);
    }
    check(p == end);
}

static void key_of(struct slice row, struct slice record)
{
    struct set_view_key key;
    struct buf text = {0};

    if (move_rows_key(row, record, &key) != OK)
        return;
    check(key.slot == hash_slot(key.name) && move_rows_suits(&key));
    key.expire_ms = 0;
    check(move_words_key(NULL, &key, &text, never_flush, NULL) == OK);
    buf_append_byte(&text, 0); /* strtoul */
    is_one_command(slice_of(text.data, text.size - 1));
    buf_free(&text);
}

static enum err frame(struct slice bytes)
{
    struct move_rows rows;
    struct slice row, record;
    enum err e;

    TRY(move_rows_open(bytes, &rows));
    while ((e = move_rows_next(&rows, &row, &record)) == OK)
        key_of(row, record);
    return e;
}

static void made(const uint8_t *data, size_t size, bool keys)
{
    struct buf out = {0}, row = {0};
    uint32_t rows = 0;
    size_t altered = 0;

    move_rows_begin(&out);
    while (size >= 4) {
        size_t name = data[0], record = (size_t)(data[1] | data[2] << 8);

        altered = altered * 256 + data[3];
        data += 4;
        size -= 4;
        name = name < size ? name : size;
        record = record < size - name ? record : size - name;
        if (keys)
            row_key(&row, hash_slot(slice_of(data, name)), hash_name(slice_of(data, name)), slice_of(data, name));
        move_rows_add(&out, keys ? buf_slice(&row) : slice_of(data, name), slice_of(data + name, record));
        data += name + record;
        size -= name + record;
        rows++;
    }
    if (rows > 0) {
        move_rows_end(&out, rows);
        check(frame(buf_slice(&out)) == ERR_NOT_FOUND);
        out.data[altered / 8 % out.size] ^= (uint8_t)(1 << altered % 8);
        check(frame(buf_slice(&out)) == ERR_CORRUPT);
        check(frame(slice_of(out.data, altered % out.size)) == ERR_CORRUPT);
    }
    buf_free(&out);
    buf_free(&row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(frame(slice_of(data, size)) != OK);
    made(data, size, false);
    made(data, size, true);
    return 0;
}
