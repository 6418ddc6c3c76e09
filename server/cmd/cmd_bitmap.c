/*
 * cmd_bitmap.c - the bit commands. All but BITOP are about one key and deterministic, so they are logged as they came.
 */
#include "server/cmd/cmd_bitmap.h"

#include "engine/type/bitmap.h"
#include "engine/type/string.h"
#include "server/cmd/args.h"

enum { BITOP_SOURCES_INLINE = 16 };

/* ---- Words ---- */

/* A bit offset; "#n" means n * width when width is not 0. */
static enum err offset_parse(struct call *c, struct slice word, unsigned width, uint64_t *out)
{
    bool multiplied = width != 0 && word.size > 0 && word.data[0] == '#';
    uint64_t offset;

    if (multiplied)
        word = slice_of(word.data + 1, word.size - 1);
    if (!num_parse_u64(word, &offset) || (multiplied && __builtin_mul_overflow(offset, width, &offset)) ||
        offset > INT64_MAX || (offset / 8 >= txn_string_max(c->txn) && !txn_is_replay(c->txn)))
        return reply_error(c, "ERR bit offset is not an integer or out of range");
    *out = offset;
    return OK;
}

/* Reads a string for a bit command; *out is NULL if the key is absent. */
static enum err lookup(struct call *c, struct slice key, struct obj **out)
{
    enum err e = txn_read(c->txn, key, OBJ_STRING, out);

    if (e == ERR_NOT_FOUND)
        *out = NULL;
    return e == ERR_NOT_FOUND ? OK : e;
}

/* ---- One bit ---- */

static enum err setbit(struct call *c) /* SETBIT key offset value */
{
    uint64_t offset;
    struct obj *o;
    bool old;

    TRY(offset_parse(c, c->argv[2], 0, &offset));
    if (c->argv[3].size != 1 || (c->argv[3].data[0] | 1) != '1')
        return reply_error(c, "ERR bit is not an integer or out of range");
    TRY(txn_write_or_create(c->txn, c->argv[1], OBJ_STRING, &o, NULL));
    TRY(bitmap_set(c->txn, o, offset, c->argv[3].data[0] == '1', &old));
    return reply_int(c, old);
}

static enum err getbit(struct call *c) /* GETBIT key offset */
{
    uint64_t offset;
    struct obj *o;
    bool bit;

    TRY(offset_parse(c, c->argv[2], 0, &offset));
    TRY(lookup(c, c->argv[1], &o));
    TRY(bitmap_get(c->txn, o, offset, &bit));
    return reply_int(c, bit);
}

/* ---- BITCOUNT, BITPOS ---- */

struct range {
    int64_t start, end;
    bool bits;      /* start and end count bits, not bytes */
    bool end_given;
};

/* [start [end [BYTE|BIT]]] from word `at` on. */
static enum err range_parse(struct call *c, size_t at, struct range *out)
{
    *out = (struct range){.end = -1};
    if (c->argc > at + 3)
        return ERR_SYNTAX;
    if (c->argc > at)
        TRY(arg_i64(c, at, &out->start));
    if (c->argc > at + 1)
        TRY(arg_i64(c, at + 1, &out->end));
    out->end_given = c->argc > at + 1;
    if (c->argc > at + 2) {
        out->bits = slice_is(c->argv[at + 2], "BIT");
        if (!out->bits && !slice_is(c->argv[at + 2], "BYTE"))
            return ERR_SYNTAX;
    }
    return OK;
}

/* The range in bits, [from, to), of a value of `length` bytes; empty if from >= to. */
static void range_resolve(const struct range *r, uint64_t length, uint64_t *from, uint64_t *to)
{
    int64_t units = (int64_t)(r->bits ? length * 8 : length), start = r->start, end = r->end;
    uint64_t width = r->bits ? 1 : 8;

    *from = *to = 0;
    if (start < 0)
        start = start + units < 0 ? 0 : start + units;
    if (end < 0)
        end = end + units < 0 ? 0 : end + units;
    if (end >= units)
        end = units - 1;
    if (start > end)
        return;
    *from = (uint64_t)start * width;
    *to = (uint64_t)(end + 1) * width;
}

static enum err bitcount(struct call *c) /* BITCOUNT key [start end [BYTE|BIT]] */
{
    uint64_t from, to, count;
    struct range range;
    struct obj *o;

    if (c->argc == 3)
        return ERR_SYNTAX;
    TRY(range_parse(c, 2, &range));
    TRY(lookup(c, c->argv[1], &o));
    if (o == NULL || (range.start < 0 && range.end < 0 && range.start > range.end))
        return reply_int(c, 0);
    range_resolve(&range, string_length(o), &from, &to);
    TRY(bitmap_count(c->txn, o, from, to, &count));
    return reply_int(c, (int64_t)count);
}

static enum err bitpos(struct call *c) /* BITPOS key bit [start [end [BYTE|BIT]]] */
{
    uint64_t from, to, at;
    struct range range;
    struct obj *o;
    int64_t bit;
    enum err e;

    TRY(arg_i64(c, 2, &bit));
    if (bit != 0 && bit != 1)
        return reply_error(c, "ERR The bit argument must be 1 or 0.");
    TRY(range_parse(c, 3, &range));
    TRY(lookup(c, c->argv[1], &o));
    if (o == NULL)
        return reply_int(c, bit == 1 ? -1 : 0);
    range_resolve(&range, string_length(o), &from, &to);
    if (from >= to)
        return reply_int(c, -1);
    e = bitmap_find(c->txn, o, bit == 1, from, to, &at);
    if (e == ERR_NOT_FOUND) /* without an end, a value is followed by zeros without end */
        return reply_int(c, bit == 0 && !range.end_given ? (int64_t)to : -1);
    if (e != OK)
        return e;
    return reply_int(c, (int64_t)at);
}

/* ---- BITOP ---- */

static enum err bitop_store(struct call *c, struct slice result)
{
    struct obj *o;

    if (result.size == 0) {
        enum err e = txn_write(c->txn, c->argv[2], OBJ_ANY, &o);

        if (e == OK)
            txn_delete(c->txn, o);
        return e == ERR_NOT_FOUND ? OK : e;
    }
    TRY(string_store(c->txn, c->argv[2], result, &o));
    o->marks |= OBJ_MARK_RAW;
    TXN_EFFECT(c->txn, o, SLICE_LITERAL("SET"), c->argv[2], result);
    return OK;
}

static enum err bitop_run(struct call *c, enum bitmap_operation operation, struct obj **sources)
{
    size_t count = c->argc - 3;
    struct obj *before;
    enum err e;

    for (size_t i = 0; i < count; i++)
        TRY(lookup(c, c->argv[3 + i], &sources[i]));
    e = txn_read(c->txn, c->argv[2], OBJ_ANY, &before); /* may be cold: before anything is read in vain */
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    TRY(bitmap_combine(c->txn, operation, sources, count, c->scratch));
    TRY(bitop_store(c, buf_slice(c->scratch)));
    return reply_int(c, (int64_t)c->scratch->size);
}

static enum err bitop(struct call *c) /* BITOP AND|OR|XOR|NOT destination key [key ...] */
{
    static const char *const names[] = {
        [BITMAP_AND] = "AND", [BITMAP_OR] = "OR", [BITMAP_XOR] = "XOR", [BITMAP_NOT] = "NOT"};
    struct obj *few[BITOP_SOURCES_INLINE], **sources = few;
    unsigned operation = 0;
    struct buf more = {0};
    enum err e;

    while (operation <= BITMAP_NOT && !slice_is(c->argv[1], names[operation]))
        operation++;
    if (operation > BITMAP_NOT)
        return ERR_SYNTAX;
    if (operation == BITMAP_NOT && c->argc != 4)
        return reply_error(c, "ERR BITOP NOT must be called with a single source key.");
    if (c->argc - 3 > BITOP_SOURCES_INLINE)
        sources = (struct obj **)(void *)buf_reserve(&more, (c->argc - 3) * sizeof *sources);
    e = bitop_run(c, operation, sources);
    buf_free(&more);
    return e;
}

/* ---- BITFIELD ---- */

enum field_verb { FIELD_GET, FIELD_SET, FIELD_INCRBY };

struct field_op {
    struct bitmap_field field;
    enum field_verb verb;
    enum bitmap_overflow overflow;
    int64_t value;
};

static enum err type_parse(struct call *c, struct slice word, struct bitmap_field *out)
{
    bool is_signed = word.size > 0 && word.data[0] == 'i';
    uint64_t bits;

    if (word.size < 2 || (!is_signed && word.data[0] != 'u') ||
        !num_parse_u64(slice_of(word.data + 1, word.size - 1), &bits) || bits < 1 || bits > (is_signed ? 64 : 63))
        return reply_error(c, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported "
                              "but i64 is.");
    out->is_signed = is_signed;
    out->bits = (uint8_t)bits;
    return OK;
}

/* One subcommand from word *at on. OVERFLOW only changes the rule in *op for those that follow: *is_op is false then. */
static enum err field_parse(struct call *c, size_t *at, struct field_op *op, bool *is_op)
{
    struct slice verb = c->argv[*at];
    size_t left = c->argc - *at - 1;

    *is_op = true;
    if (slice_is(verb, "GET") && left >= 2) {
        op->verb = FIELD_GET;
    } else if (slice_is(verb, "SET") && left >= 3) {
        op->verb = FIELD_SET;
    } else if (slice_is(verb, "INCRBY") && left >= 3) {
        op->verb = FIELD_INCRBY;
    } else if (slice_is(verb, "OVERFLOW") && left >= 1) {
        struct slice rule = c->argv[*at + 1];

        if (slice_is(rule, "WRAP"))
            op->overflow = BITMAP_WRAP;
        else if (slice_is(rule, "SAT"))
            op->overflow = BITMAP_SATURATE;
        else if (slice_is(rule, "FAIL"))
            op->overflow = BITMAP_FAIL;
        else
            return reply_error(c, "ERR Invalid OVERFLOW type specified");
        *is_op = false;
        *at += 2;
        return OK;
    } else {
        return ERR_SYNTAX;
    }
    TRY(type_parse(c, c->argv[*at + 1], &op->field));
    TRY(offset_parse(c, c->argv[*at + 2], op->field.bits, &op->field.offset));
    if (op->verb != FIELD_GET)
        TRY(arg_i64(c, *at + 3, &op->value));
    *at += op->verb == FIELD_GET ? 3 : 4;
    return OK;
}

static enum err field_run(struct call *c, struct obj *o, const struct field_op *op)
{
    int64_t old, value = 0;
    bool held;

    TRY(bitmap_field_get(c->txn, o, op->field, &old));
    if (op->verb == FIELD_GET)
        return reply_int(c, old);
    if (op->verb == FIELD_SET)
        held = bitmap_field_add(op->field, op->value, 0, op->overflow, &value);
    else
        held = bitmap_field_add(op->field, old, op->value, op->overflow, &value);
    if (!held)
        return reply_null(c);
    /* Like SETBIT, SET changes nothing when the bits are there already; INCRBY counts as a change in Redis. */
    if (op->verb != FIELD_SET || value != old || op->field.offset + op->field.bits > 8 * string_length(o))
        TRY(bitmap_field_set(c->txn, o, op->field, value));
    return reply_int(c, op->verb == FIELD_SET ? old : value);
}

static enum err fields_run(struct call *c, struct obj *o, const struct field_op *ops, size_t count)
{
    size_t mark = reply_mark(c);
    enum err e = reply_array(c, count);

    for (size_t i = 0; i < count && e == OK; i++)
        e = field_run(c, o, &ops[i]);
    return e == OK ? OK : reply_take_back(c, mark, e);
}

/* Warms what the operations will read: once one has written, a look-up would wait for the disk. */
static enum err fields_warm(struct call *c, struct obj *o, const struct field_op *ops, size_t count)
{
    for (size_t i = 0; o->form == OBJ_BIG && i < count; i++) {
        int64_t value;

        TRY(bitmap_field_get(c->txn, o, ops[i].field, &value));
    }
    return OK;
}

static enum err bitfield_any(struct call *c, bool read_only)
{
    struct field_op op = {.overflow = BITMAP_WRAP};
    const struct field_op *ops;
    uint64_t write_end = 0; /* bits: behind the last bit that may be written */
    size_t count;
    struct obj *o;

    for (size_t at = 2; at < c->argc;) {
        uint64_t end;
        bool is_op;

        TRY(field_parse(c, &at, &op, &is_op));
        if (!is_op)
            continue;
        if (op.verb != FIELD_GET && read_only)
            return reply_error(c, "ERR BITFIELD_RO only supports the GET subcommand");
        end = op.field.offset + op.field.bits;
        if (op.verb != FIELD_GET && end > write_end)
            write_end = end;
        buf_append(c->scratch, &op, sizeof op);
    }
    ops = (const struct field_op *)(const void *)c->scratch->data;
    count = c->scratch->size / sizeof *ops;
    if (write_end == 0) {
        TRY(lookup(c, c->argv[1], &o));
        return fields_run(c, o, ops, count);
    }
    TRY(string_size_check(c->txn, 0, (write_end + 7) / 8));
    TRY(txn_write_or_create(c->txn, c->argv[1], OBJ_STRING, &o, NULL));
    TRY(fields_warm(c, o, ops, count));
    TRY(string_grow(c->txn, o, (write_end + 7) / 8));
    return fields_run(c, o, ops, count);
}

/* BITFIELD key [GET type offset] [SET type offset value] [INCRBY type offset n] [OVERFLOW WRAP|SAT|FAIL] ... */
static enum err bitfield(struct call *c)
{
    return bitfield_any(c, false);
}

static enum err bitfield_ro(struct call *c) /* BITFIELD_RO key [GET type offset ...] */
{
    return bitfield_any(c, true);
}

static const struct command_binding rows[] = {
    {"bitcount", bitcount, 0},
    {"bitfield", bitfield, 0},
    {"bitfield_ro", bitfield_ro, 0},
    {"bitop", bitop, 0},
    {"bitpos", bitpos, 0},
    {"getbit", getbit, 0},
    {"setbit", setbit, 0},
};

const struct command_table cmd_bitmap_table = COMMAND_TABLE(rows);
