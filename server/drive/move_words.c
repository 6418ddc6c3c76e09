/*
 * move_words.c - a key of a view as the commands that make it: SET, RPUSH, SADD, HSET, ZADD, APPEND, PEXPIREAT; and slots as text.
 *
 * Commands and no dump: what the target's log then holds is one-key effects of bounded size, whatever the size of the value, as any
 * client's writes; its replicas may be Redis.
 */
#include <string.h>

#include "base/num.h"
#include "base/words.h"
#include "engine/set/view.h"
#include "persistence/rdb/rdb_save.h"
#include "server/drive/move_priv.h"

enum { PIECE_BYTES = 32 << 10, PIECE_ELEMENTS = 512 };

void move_words_expiry(struct buf *out, struct slice name, msec_t expire_ms)
{
    words_head(out, 3);
    words_add(out, SLICE_LITERAL("PEXPIREAT"));
    words_add(out, name);
    words_add_number(out, expire_ms);
}

/* The words of one piece are in `piece`: `count` of them. */
static enum err close_piece(struct buf *out, const char *command, struct slice name, struct buf *piece, size_t count,
                            move_flush *flush, void *context)
{
    words_head(out, 2 + count);
    words_add(out, slice_str(command));
    words_add(out, name);
    buf_append_slice(out, buf_slice(piece));
    buf_clear(piece);
    return out->size >= 8 * PIECE_BYTES ? flush(context, out) : OK;
}

static size_t add_element(struct buf *piece, enum obj_type type, const struct rdb_element *e)
{
    char text[NUM_TEXT_MAX];

    switch (type) {
    case OBJ_HASH:
        words_add(piece, e->name);
        words_add(piece, e->value);
        return 2;
    case OBJ_ZSET:
        words_add(piece, slice_of(text, num_format_double(text, e->score)));
        words_add(piece, e->name);
        return 2;
    default:
        words_add(piece, e->name);
        return 1;
    }
}

static const char *command_of(enum obj_type type, bool first)
{
    switch (type) {
    case OBJ_STRING: return first ? "SET" : "APPEND";
    case OBJ_LIST: return "RPUSH";
    case OBJ_SET: return "SADD";
    case OBJ_ZSET: return "ZADD";
    case OBJ_HASH: return "HSET";
    default: return NULL;
    }
}

static enum err large(struct set_view *view, const struct set_view_key *key, struct buf *out, struct buf *piece,
                      move_flush *flush, void *context)
{
    struct rdb_view_walk walk;
    struct rdb_value value;
    struct rdb_element element;
    size_t words = 0;
    bool first = true;
    enum err e;

    rdb_view_value(&walk, view, key, &value);
    while ((e = value.next(value.context, &element)) == OK) {
        words += add_element(piece, key->type, &element);
        if (piece->size < PIECE_BYTES && words < PIECE_ELEMENTS && key->type != OBJ_STRING)
            continue;
        TRY(close_piece(out, command_of(key->type, first), key->name, piece, words, flush, context));
        first = false;
        words = 0;
    }
    if (e == ERR_NOT_FOUND && words > 0)
        return close_piece(out, command_of(key->type, first), key->name, piece, words, flush, context);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err move_words_key(struct set_view *view, const struct set_view_key *key, struct buf *out, move_flush *flush, void *context)
{
    struct buf piece = {0};
    enum err e = OK;

    if (key->type == OBJ_STRING && key->form == OBJ_PLAIN) {
        WORDS(out, SLICE_LITERAL("SET"), key->name, key->value);
    } else if (command_of(key->type, true) == NULL) {
        return err_set(ERR_INVALID, "a value of type %d cannot be moved", key->type);
    } else {
        e = large(view, key, out, &piece, flush, context);
        buf_free(&piece);
    }
    if (e == OK && key->expire_ms != 0)
        move_words_expiry(out, key->name, key->expire_ms);
    return e;
}

/* ---- Slots as text ---- */

static bool cut_number(struct slice *text, char end, int64_t *out)
{
    const uint8_t *at = memchr(text->data, end, text->size);
    size_t size = at != NULL ? (size_t)(at - text->data) : text->size;

    if (text->size == 0 || !num_parse_i64(slice_of(text->data, size), out) || *out < 0 || *out >= SLOTS)
        return false;
    size += at != NULL;
    *text = slice_of(text->data + size, text->size - size);
    return true;
}

bool move_ranges_parse(struct slice text, uint8_t bits[SLOTS / 8])
{
    int64_t a, b;

    while (text.size > 0) {
        if (!cut_number(&text, '-', &a) || !cut_number(&text, ',', &b))
            return false;
        for (int64_t s = a; s <= b; s++)
            bits[s / 8] = (uint8_t)(bits[s / 8] | 1u << s % 8);
    }
    return true;
}
