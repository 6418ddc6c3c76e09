/*
 * check_rows.c - one walk over a family: slots in order, inside a slot elements, garbage, keys, scores, hints.
 *
 * (1) The elements of a slot come before its keys and the scores behind them, so that what belongs together is known
 *     when the slot ends.
 * (2) Only reads.
 */
#include "tools/check_rows.h"

#include "base/check.h"
#include "base/hash.h"
#include "engine/key/record.h"
#include "engine/key/row.h"
#include "engine/set/obj.h"
#include "engine/store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct id_rows { /* one id of the slot */
    uint64_t id, elements, scores, count;
    uint8_t type;
    bool named, garbage; /* by a record, by a garbage row */
};

struct walk {
    struct check_rows *out;
    check_found *found;
    void *context;
    unsigned slot;
    struct id_rows *ids; /* of the slot, ascending */
    size_t count, capacity;
};

static int by_id(const void *a, const void *b)
{
    const struct id_rows *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/* Elements bring their ids in ascending order; the others look theirs up. */
static struct id_rows *id_get(struct walk *w, uint64_t id)
{
    struct id_rows wanted = {.id = id};
    struct id_rows *at = w->count > 0 ? bsearch(&wanted, w->ids, w->count, sizeof *w->ids, by_id) : NULL;

    if (at != NULL)
        return at;
    if (w->count == w->capacity) {
        w->capacity = w->capacity != 0 ? w->capacity * 2 : 64;
        w->ids = realloc(w->ids, w->capacity * sizeof *w->ids);
        check(w->ids != NULL);
    }
    w->ids[w->count++] = wanted;
    if (w->count > 1 && w->ids[w->count - 2].id > id)
        qsort(w->ids, w->count, sizeof *w->ids, by_id);
    return bsearch(&wanted, w->ids, w->count, sizeof *w->ids, by_id);
}

static void tell(struct walk *w, const char *text)
{
    w->found(w->context, (slot_t)w->slot, text);
}

static void id_end(struct walk *w, const struct id_rows *i)
{
    char text[160];

    if (i->id > w->out->id_max)
        w->out->id_max = i->id;
    if (!i->named && !i->garbage) {
        snprintf(text, sizeof text, "id %" PRIu64 " has %" PRIu64 " elements but no key", i->id, i->elements + i->scores);
        w->out->adrift++;
        tell(w, text);
    } else if (i->named && !i->garbage &&
               (((i->type == OBJ_HASH || i->type == OBJ_SET || i->type == OBJ_ZSET) && i->elements != i->count) ||
                (i->type == OBJ_ZSET && i->scores != i->count) || (i->type == OBJ_LIST && i->elements > i->count))) {
        snprintf(text, sizeof text, "id %" PRIu64 ": the record counts %" PRIu64 ", there are %" PRIu64 " elements and %" PRIu64
                 " scores", i->id, i->count, i->elements, i->scores);
        w->out->miscounted++;
        tell(w, text);
    }
}

static void slot_end(struct walk *w)
{
    for (size_t i = 0; i < w->count; i++)
        id_end(w, &w->ids[i]);
    w->count = 0;
}

static enum err key_take(struct walk *w, const struct row *row, struct slice value)
{
    struct check_slot *slot = &w->out->slots[w->slot];
    struct record r;

    TRY(record_decode(value, &r));
    if (hash_slot(row->name) != w->slot || hash_name(row->name) != row->hash)
        return err_set(ERR_CORRUPT, "slot %u: a key that does not belong there", w->slot);
    w->out->keys++;
    slot->rows_keys++;
    slot->rows_expires += r.expire_ms != 0;
    if (r.last_change > w->out->last_change)
        w->out->last_change = r.last_change;
    if (r.form == OBJ_BIG) {
        struct id_rows *i;
        uint64_t id;

        if (r.value.size < sizeof(struct obj_big))
            return err_set(ERR_CORRUPT, "slot %u: a record of %zu bytes that names no id", w->slot, r.value.size);
        memcpy(&id, r.value.data, sizeof id);
        i = id_get(w, id);
        i->named = true;
        i->count = r.count;
        i->type = r.type;
        w->out->big++;
    }
    return OK;
}

/* "floor", 0 or "count", slot: a name, a zero byte, a number in four bytes. */
static enum err node_take(struct walk *w, struct slice key, struct slice value)
{
    uint64_t words[3];
    uint32_t number;

    if (key.size == 3 + 6 + 4 && memcmp(key.data + 3, "floor", 6) == 0 && value.size == sizeof w->out->floor) {
        memcpy(&w->out->floor, value.data, sizeof w->out->floor);
        return OK;
    }
    if (key.size != 3 + 6 + 4 || memcmp(key.data + 3, "count", 6) != 0 || value.size != sizeof words)
        return OK; /* a row of another kind: not ours to judge */
    memcpy(&number, key.data + 9, sizeof number);
    number = __builtin_bswap32(number);
    if (number >= SLOTS)
        return err_set(ERR_CORRUPT, "a count row of slot %u", number);
    memcpy(words, value.data, sizeof words);
    w->out->slots[number].count_row = true;
    w->out->slots[number].keys = words[0];
    w->out->slots[number].expires = words[1];
    w->out->slots[number].counted_at = words[2];
    return OK;
}

static enum err row_take(struct walk *w, struct slice key, struct slice value)
{
    struct row row;

    w->out->rows++;
    w->out->bytes += key.size + value.size;
    if (key.size > 3 && key.data[0] == 0xff && key.data[1] == 0xff) {
        if (w->slot < SLOTS)
            slot_end(w);
        w->slot = SLOTS;
        return node_take(w, key, value);
    }
    TRY(row_parse(key, &row));
    if (row.slot >= SLOTS)
        return err_set(ERR_CORRUPT, "a row of slot %u", row.slot);
    if (row.slot != w->slot)
        slot_end(w);
    w->slot = row.slot;
    switch (row.kind) {
    case ROW_ELEMENT:
        w->out->elements++;
        id_get(w, row.id)->elements++;
        return OK;
    case ROW_SCORE:
        w->out->scores++;
        id_get(w, row.id)->scores++;
        return OK;
    case ROW_GARBAGE:
        w->out->garbage++;
        id_get(w, row.id)->garbage = true;
        return OK;
    case ROW_EXPIRY:
        w->out->hints++;
        return OK;
    case ROW_KEY: return key_take(w, &row, value);
    case ROW_NODE: break;
    }
    return err_set(ERR_CORRUPT, "slot %u: a row of an unknown kind", row.slot);
}

enum err check_rows(struct store *s, struct family *f, struct check_rows *out, check_found *found, void *context)
{
    struct walk w = {.out = out, .found = found, .context = context};
    struct cursor *c = NULL;
    enum err e = cursor_open(s, f, STORE_DISK, SLICE_LITERAL("\0"), SLICE_LITERAL("\xff\xff\xff\xff"), &c);

    if (e != OK)
        return e;
    for (cursor_seek(c, SLICE_LITERAL("\0")); cursor_valid(c) && e == OK; cursor_next(c))
        e = row_take(&w, cursor_key(c), cursor_value(c));
    if (e == OK && (e = cursor_error(c)) == ERR_NOT_FOUND)
        e = OK;
    if (e == OK)
        slot_end(&w);
    cursor_close(c);
    free(w.ids);
    return e;
}
