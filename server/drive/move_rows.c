/*
 * move_rows.c - see move_rows.h. Outside bytes: nothing is believed before the sum is right, and no length or record even then.
 */
#include "server/drive/move_rows.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "engine/key/record.h"
#include "engine/type/packed.h"

struct head {
    uint64_t sum;
    char magic[4];
    uint16_t version, zero;
    uint32_t rows, bytes;
};
_Static_assert(sizeof(struct head) == MOVE_ROWS_HEAD_BYTES, "the head is as drawn");

static const char MAGIC[4] = {'C', 'N', 'm', 'r'};

void move_rows_begin(struct buf *out)
{
    memset(buf_reserve(out, MOVE_ROWS_HEAD_BYTES), 0, MOVE_ROWS_HEAD_BYTES);
    out->size += MOVE_ROWS_HEAD_BYTES;
}

void move_rows_add(struct buf *out, struct slice key, struct slice value)
{
    uint32_t sizes[2] = {(uint32_t)key.size, (uint32_t)value.size};

    buf_append(out, sizes, sizeof sizes);
    buf_append_slice(out, key);
    buf_append_slice(out, value);
}

void move_rows_end(struct buf *out, uint32_t rows)
{
    struct head h = {.version = MOVE_ROWS_VERSION, .rows = rows, .bytes = (uint32_t)(out->size - sizeof h)};

    memcpy(h.magic, MAGIC, sizeof MAGIC);
    memcpy(out->data, &h, sizeof h);
    h.sum = hash_sum(slice_of(out->data + sizeof h.sum, out->size - sizeof h.sum));
    memcpy(out->data, &h.sum, sizeof h.sum);
}

enum err move_rows_open(struct slice frame, struct move_rows *out)
{
    struct head h;

    if (frame.size < sizeof h)
        return err_set(ERR_CORRUPT, "a frame of rows of %zu bytes", frame.size);
    memcpy(&h, frame.data, sizeof h);
    if (memcmp(h.magic, MAGIC, sizeof MAGIC) != 0 || h.version != MOVE_ROWS_VERSION || h.zero != 0)
        return err_set(ERR_CORRUPT, "no frame of rows, or one of another version");
    if (h.bytes != frame.size - sizeof h || h.rows == 0)
        return err_set(ERR_CORRUPT, "a frame of %u rows in %u bytes has %zu", h.rows, h.bytes, frame.size - sizeof h);
    if (h.sum != hash_sum(slice_of(frame.data + sizeof h.sum, frame.size - sizeof h.sum)))
        return err_set(ERR_CORRUPT, "a frame of rows was altered on its way");
    *out = (struct move_rows){.rest = slice_of(frame.data + sizeof h, h.bytes), .left = h.rows};
    return OK;
}

enum err move_rows_next(struct move_rows *r, struct slice *key, struct slice *value)
{
    uint32_t sizes[2];
    struct slice rest = r->rest;

    if (r->left == 0)
        return rest.size == 0 ? ERR_NOT_FOUND : err_set(ERR_CORRUPT, "bytes behind the last row");
    if (rest.size < sizeof sizes)
        return err_set(ERR_CORRUPT, "the rows end early");
    memcpy(sizes, rest.data, sizeof sizes);
    rest = slice_of(rest.data + sizeof sizes, rest.size - sizeof sizes);
    if (rest.size < sizes[0] || rest.size - sizes[0] < sizes[1])
        return err_set(ERR_CORRUPT, "a row of %u and %u bytes where %zu are left", sizes[0], sizes[1], rest.size);
    *key = slice_of(rest.data, sizes[0]);
    *value = slice_of(rest.data + sizes[0], sizes[1]);
    rest = slice_of(value->data + sizes[1], rest.size - sizes[0] - sizes[1]);
    *r = (struct move_rows){.rest = rest, .left = r->left - 1};
    return OK;
}

/* Members and scores of a small sorted set: every second entry is a number. */
static bool scores_sound(struct slice run)
{
    struct packed p = packed_begin(run);

    while (packed_next(&p)) {
        double score;

        if (!packed_next(&p) || p.entry.size != sizeof score)
            return false;
        memcpy(&score, p.entry.data, sizeof score);
        if (isnan(score))
            return false;
    }
    return true;
}

bool move_rows_suits(const struct set_view_key *key)
{
    if (key->type == OBJ_STRING)
        return key->form == OBJ_PLAIN && key->value.size <= OBJ_STRING_PLAIN_MAX;
    return key->type <= OBJ_HASH && key->form == OBJ_PACKED && key->count > 0 && key->count <= MOVE_ROWS_PACKED_ELEMENTS &&
           key->value.size <= MOVE_ROWS_PACKED_BYTES;
}

static bool is_sound(const struct set_view_key *key)
{
    size_t entries, each = key->type == OBJ_HASH || key->type == OBJ_ZSET ? 2 : 1;

    if (!move_rows_suits(key) || key->expire_ms < 0)
        return false;
    if (key->type == OBJ_STRING)
        return true;
    if (!packed_valid(key->value, &entries) || entries != each * key->count)
        return false;
    return key->type != OBJ_ZSET || scores_sound(key->value);
}

enum err move_rows_key(struct slice bytes, struct slice value, struct set_view_key *out)
{
    struct set_view_key key;
    struct record record;
    struct row row;

    TRY(row_parse(bytes, &row));
    TRY(record_decode(value, &record));
    if (row.kind != ROW_KEY || row.slot >= SLOTS || row.hash != hash_name(row.name) || row.slot != hash_slot(row.name))
        return err_set(ERR_CORRUPT, "a row that is no key of its slot");
    key = (struct set_view_key){.slot = row.slot, .type = (enum obj_type)record.type, .form = (enum obj_form)record.form,
                                 .marks = record.marks, .expire_ms = record.expire_ms, .count = record.count, .name = row.name,
                                 .value = record.value, .row = bytes, .record = value};
    if (!is_sound(&key))
        return err_set(ERR_CORRUPT, "a record of type %u, form %u that is damaged", record.type, record.form);
    *out = key;
    return OK;
}
