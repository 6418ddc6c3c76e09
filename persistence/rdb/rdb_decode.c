/*
 * rdb_decode.c - the encodings, one function for each shape they have.
 */
#include "persistence/rdb/rdb_decode.h"

#include "base/num.h"
#include "persistence/rdb/rdb.h"
#include "persistence/rdb/rdb_blob.h"
#include "persistence/rdb/rdb_input.h"

enum { RUN_BYTES = 64 << 10, NODE_PLAIN = 1, NODE_PACKED = 2 };

struct decode {
    struct rdb_input *in;
    const struct rdb_sink *sink;
    struct buf name, value; /* scratch */
};

const char *rdb_type_name(unsigned type)
{
    static const char *const names[] = {
        "string", "list", "set", "sorted set (text scores)", "hash", "sorted set", "module (version 1)", "module",
        "number 8", "hash (zipmap)", "list (ziplist)", "set (intset)", "sorted set (ziplist)", "hash (ziplist)",
        "list (quicklist)", "stream", "hash (listpack)", "sorted set (listpack)", "list (quicklist 2)",
        "stream (version 2)", "set (listpack)", "stream (version 3)"};

    if (type < sizeof names / sizeof *names)
        return names[type];
    return type <= 25 ? "hash with field expiry" : "unknown";
}

bool rdb_type_of(unsigned type, enum obj_type *out)
{
    static const uint8_t types[] = {
        [RDB_STRING] = OBJ_STRING,         [RDB_LIST] = OBJ_LIST,
        [RDB_SET] = OBJ_SET,               [RDB_ZSET] = OBJ_ZSET,
        [RDB_HASH] = OBJ_HASH,             [RDB_ZSET_2] = OBJ_ZSET,
        [RDB_MODULE] = OBJ_ANY,            [RDB_MODULE_2] = OBJ_ANY,
        [8] = OBJ_ANY,                     [RDB_HASH_ZIPMAP] = OBJ_HASH,
        [RDB_LIST_ZIPLIST] = OBJ_LIST,     [RDB_SET_INTSET] = OBJ_SET,
        [RDB_ZSET_ZIPLIST] = OBJ_ZSET,     [RDB_HASH_ZIPLIST] = OBJ_HASH,
        [RDB_LIST_QUICKLIST] = OBJ_LIST,   [RDB_STREAM_LISTPACKS] = OBJ_ANY,
        [RDB_HASH_LISTPACK] = OBJ_HASH,    [RDB_ZSET_LISTPACK] = OBJ_ZSET,
        [RDB_LIST_QUICKLIST_2] = OBJ_LIST, [RDB_STREAM_LISTPACKS_2] = OBJ_ANY,
        [RDB_SET_LISTPACK] = OBJ_SET,      [RDB_STREAM_LISTPACKS_3] = OBJ_ANY,
    };

    if (type >= sizeof types || types[type] == OBJ_ANY)
        return false;
    *out = (enum obj_type)types[type];
    return true;
}

static enum err begin(struct decode *d, enum obj_type type, uint64_t count)
{
    return d->sink == NULL ? OK : d->sink->begin(d->sink->context, type, count);
}

static enum err element(struct decode *d, struct slice name, struct slice value, double score)
{
    return d->sink == NULL ? OK : d->sink->element(d->sink->context, name, value, score);
}

static enum err decode_string(struct decode *d)
{
    struct slice whole;
    uint64_t rest;

    TRY(rdb_get_string_head(d->in, RDB_STRING_WHOLE_MAX, &d->name, &whole, &rest));
    if (rest == 0) {
        TRY(begin(d, OBJ_STRING, whole.size));
        return element(d, whole, (struct slice){0}, 0);
    }
    TRY(begin(d, OBJ_STRING, rest));
    while (rest > 0) {
        struct slice run;

        TRY(rdb_get_run(d->in, rest < RUN_BYTES ? rest : RUN_BYTES, &run));
        TRY(element(d, run, (struct slice){0}, 0));
        rest -= run.size;
    }
    return OK;
}

/* A name must outlive the reading of what follows it: out of the window, into scratch. */
static enum err get_kept(struct decode *d, struct slice *out)
{
    TRY(rdb_get_string(d->in, &d->name, out));
    if (out->data != d->name.data) {
        buf_clear(&d->name);
        buf_append_slice(&d->name, *out);
        *out = buf_slice(&d->name);
    }
    return OK;
}

static enum err decode_names(struct decode *d, enum obj_type type, unsigned rdb_type)
{
    uint64_t count;

    TRY(rdb_get_length(d->in, &count));
    TRY(begin(d, type, count));
    for (uint64_t i = 0; i < count; i++) {
        struct slice name, value = {0};
        double score = 0;

        if (type == OBJ_LIST || type == OBJ_SET) {
            TRY(rdb_get_string(d->in, &d->name, &name));
        } else {
            TRY(get_kept(d, &name));
            if (type == OBJ_HASH)
                TRY(rdb_get_string(d->in, &d->value, &value));
            else if (rdb_type == RDB_ZSET)
                TRY(rdb_get_double_text(d->in, &score));
            else
                TRY(rdb_get_double(d->in, &score));
        }
        TRY(element(d, name, value, score));
    }
    return OK;
}

/* ---- Runs ---- */

static enum err blob_pair(struct decode *d, struct rdb_blob *b, bool scored)
{
    struct slice name;
    double score = 0;
    enum err e;

    buf_clear(&d->value);
    buf_append_slice(&d->value, b->entry); /* a number's text does not outlive the next step */
    name = buf_slice(&d->value);
    e = rdb_blob_next(b);
    if (e != OK)
        return e == ERR_NOT_FOUND ? err_set(ERR_CORRUPT, "a name without its value") : e;
    if (!scored)
        return element(d, name, b->entry, 0);
    if (b->is_number)
        score = (double)b->number;
    else if (!num_parse_double(b->entry, &score))
        return err_set(ERR_CORRUPT, "a score is no number");
    return element(d, name, (struct slice){0}, score);
}

static enum err blob_elements(struct decode *d, enum obj_type type, enum rdb_blob_form form, struct slice bytes)
{
    struct rdb_blob b;
    enum err e;

    TRY(rdb_blob_open(&b, form, bytes));
    while ((e = rdb_blob_next(&b)) == OK) {
        if (type == OBJ_HASH || type == OBJ_ZSET)
            TRY(blob_pair(d, &b, type == OBJ_ZSET));
        else
            TRY(element(d, b.entry, (struct slice){0}, 0));
    }
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err placed(struct decode *d, enum err e)
{
    return e == ERR_CORRUPT ? err_context(e, "before offset %llu", (unsigned long long)rdb_input_offset(d->in)) : e;
}

static enum err decode_blob(struct decode *d, enum obj_type type, enum rdb_blob_form form)
{
    struct slice bytes;
    size_t entries = 0;
    enum err e;

    TRY(rdb_get_string(d->in, &d->name, &bytes));
    e = rdb_blob_check(form, bytes, &entries);
    if (e == OK && (type == OBJ_HASH || type == OBJ_ZSET)) {
        if (entries % 2 != 0)
            e = err_set(ERR_CORRUPT, "a name without its value");
        entries /= 2;
    }
    if (e == OK)
        e = begin(d, type, entries);
    if (e == OK)
        e = blob_elements(d, type, form, bytes);
    return placed(d, e);
}

static enum err decode_quicklist(struct decode *d, bool second)
{
    uint64_t nodes;

    TRY(rdb_get_length(d->in, &nodes));
    TRY(begin(d, OBJ_LIST, 0));
    for (uint64_t i = 0; i < nodes; i++) {
        uint64_t container = NODE_PACKED;
        struct slice bytes;
        size_t entries = 0;
        enum err e;

        if (second)
            TRY(rdb_get_length(d->in, &container));
        if (container != NODE_PLAIN && container != NODE_PACKED)
            return rdb_bad(d->in, "a list node of unknown kind %llu", (unsigned long long)container);
        TRY(rdb_get_string(d->in, &d->name, &bytes));
        if (container == NODE_PLAIN) {
            TRY(element(d, bytes, (struct slice){0}, 0));
            continue;
        }
        e = rdb_blob_check(second ? RDB_BLOB_LISTPACK : RDB_BLOB_ZIPLIST, bytes, &entries);
        if (e == OK)
            e = blob_elements(d, OBJ_LIST, second ? RDB_BLOB_LISTPACK : RDB_BLOB_ZIPLIST, bytes);
        TRY(placed(d, e));
    }
    return OK;
}

static enum err decode_any(struct decode *d, unsigned type)
{
    switch (type) {
    case RDB_STRING:
        return decode_string(d);
    case RDB_LIST:
        return decode_names(d, OBJ_LIST, type);
    case RDB_SET:
        return decode_names(d, OBJ_SET, type);
    case RDB_ZSET:
    case RDB_ZSET_2:
        return decode_names(d, OBJ_ZSET, type);
    case RDB_HASH:
        return decode_names(d, OBJ_HASH, type);
    case RDB_HASH_ZIPMAP:
        return decode_blob(d, OBJ_HASH, RDB_BLOB_ZIPMAP);
    case RDB_LIST_ZIPLIST:
        return decode_blob(d, OBJ_LIST, RDB_BLOB_ZIPLIST);
    case RDB_SET_INTSET:
        return decode_blob(d, OBJ_SET, RDB_BLOB_INTSET);
    case RDB_ZSET_ZIPLIST:
        return decode_blob(d, OBJ_ZSET, RDB_BLOB_ZIPLIST);
    case RDB_HASH_ZIPLIST:
        return decode_blob(d, OBJ_HASH, RDB_BLOB_ZIPLIST);
    case RDB_HASH_LISTPACK:
        return decode_blob(d, OBJ_HASH, RDB_BLOB_LISTPACK);
    case RDB_ZSET_LISTPACK:
        return decode_blob(d, OBJ_ZSET, RDB_BLOB_LISTPACK);
    case RDB_SET_LISTPACK:
        return decode_blob(d, OBJ_SET, RDB_BLOB_LISTPACK);
    case RDB_LIST_QUICKLIST:
        return decode_quicklist(d, false);
    case RDB_LIST_QUICKLIST_2:
        return decode_quicklist(d, true);
    default:
        return err_set(ERR_INVALID, "a value of type %s (%u) is not taken", rdb_type_name(type), type);
    }
}

enum err rdb_decode(struct rdb_input *in, unsigned type, const struct rdb_sink *sink)
{
    struct decode d = {.in = in, .sink = sink};
    enum err e = decode_any(&d, type);

    buf_free(&d.name);
    buf_free(&d.value);
    return e;
}
