/*
 * rdb_reader.c - opcodes one after the other; what belongs to the next key is remembered until it comes.
 */
#include "persistence/rdb/rdb_reader.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "persistence/rdb/rdb.h"

enum { VERSION_WITH_SUM = 5, VERSION_WITH_LE_EXPIRY = 9, DATABASES_MAX = 1 << 20 };

struct rdb_reader {
    struct rdb_input in;
    unsigned version, db;
    bool begun, ended, value_due;
    uint8_t type;
    struct buf name, value; /* of the item */
    struct buf scratch;
};

void rdb_reader_open(const struct rdb_reader_options *options, struct rdb_reader **out)
{
    struct rdb_reader *r = calloc(1, sizeof *r);

    check(r != NULL);
    rdb_input_stream(&r->in, options->pull, options->context);
    r->in.sums = true;
    *out = r;
}

void rdb_reader_close(struct rdb_reader *r)
{
    if (r == NULL)
        return;
    rdb_input_fini(&r->in);
    buf_free(&r->name);
    buf_free(&r->value);
    buf_free(&r->scratch);
    free(r);
}

uint64_t rdb_reader_offset(const struct rdb_reader *r)
{
    return rdb_input_offset(&r->in);
}

unsigned rdb_reader_version(const struct rdb_reader *r)
{
    return r->version;
}

struct slice rdb_reader_rest(const struct rdb_reader *r)
{
    return slice_of(r->in.data + r->in.at, r->in.size - r->in.at);
}

static enum err read_magic(struct rdb_reader *r)
{
    uint8_t magic[RDB_MAGIC_BYTES];
    int64_t version = 0;

    TRY(rdb_get_bytes(&r->in, magic, sizeof magic));
    if (memcmp(magic, "VALKEY", 6) == 0)
        return err_set(ERR_INVALID, "an RDB file of Valkey 9 or later (%.9s) is not taken", (const char *)magic);
    if (memcmp(magic, "REDIS", 5) != 0)
        return err_set(ERR_CORRUPT, "offset 0: not an RDB file");
    for (int i = 5; i < RDB_MAGIC_BYTES; i++) {
        if (magic[i] < '0' || magic[i] > '9')
            return err_set(ERR_CORRUPT, "offset %d: not an RDB file", i);
        version = version * 10 + (magic[i] - '0');
    }
    if (version < 1 || version > RDB_FILE_VERSION_MAX)
        return err_set(ERR_INVALID, "RDB version %d is not taken (1 to %d are)", (int)version,
                       RDB_FILE_VERSION_MAX);
    r->version = (unsigned)version;
    r->begun = true;
    return OK;
}

/* A string that must outlive what is read after it. */
static enum err get_kept(struct rdb_reader *r, struct buf *keep, struct slice *out)
{
    struct slice text;

    TRY(rdb_get_string(&r->in, &r->scratch, &text));
    buf_clear(keep);
    buf_append_slice(keep, text);
    *out = buf_slice(keep);
    return OK;
}

static enum err read_end(struct rdb_reader *r)
{
    uint64_t stored, sum = rdb_input_crc(&r->in), at = rdb_reader_offset(r);

    r->ended = true;
    if (r->version < VERSION_WITH_SUM)
        return ERR_NOT_FOUND;
    TRY(rdb_get_u64(&r->in, &stored));
    if (stored != 0 && stored != sum)
        return err_set(ERR_CORRUPT, "offset %llu: wrong RDB checksum", (unsigned long long)at);
    return ERR_NOT_FOUND;
}

static enum err skip_module_aux(struct rdb_reader *r)
{
    uint64_t id, opcode, value;
    struct slice text;
    uint8_t bytes[8];

    TRY(rdb_get_length(&r->in, &id));
    for (int i = 0; i < 2; i++) /* "when": an opcode and a number */
        TRY(rdb_get_length(&r->in, &value));
    for (;;) {
        TRY(rdb_get_length(&r->in, &opcode));
        switch (opcode) {
        case 0:
            return OK;
        case 1:
        case 2:
            TRY(rdb_get_length(&r->in, &value));
            break;
        case 3:
            TRY(rdb_get_bytes(&r->in, bytes, 4));
            break;
        case 4:
            TRY(rdb_get_bytes(&r->in, bytes, 8));
            break;
        case 5:
            TRY(rdb_get_string(&r->in, &r->scratch, &text));
            break;
        default:
            return rdb_bad(&r->in, "a module's data of unknown kind %llu", (unsigned long long)opcode);
        }
    }
}

static enum err read_select(struct rdb_reader *r)
{
    uint64_t db;

    TRY(rdb_get_length(&r->in, &db));
    if (db >= DATABASES_MAX)
        return rdb_bad(&r->in, "database %llu", (unsigned long long)db);
    r->db = (unsigned)db;
    return OK;
}

/* One opcode that says something about the key to come. ERR_NOT_FOUND: it is another one. */
static enum err read_attribute(struct rdb_reader *r, uint8_t opcode, struct rdb_item *item)
{
    uint64_t number;
    uint32_t seconds;
    uint8_t byte;

    switch (opcode) {
    case RDB_EXPIRE_MS:
        TRY(rdb_get_u64(&r->in, &number));
        item->expire_ms = (msec_t)number > 0 ? (msec_t)number : 1; /* long ago, not none */
        return OK;
    case RDB_EXPIRE_S:
        TRY(rdb_get_u32(&r->in, &seconds));
        item->expire_ms = (int32_t)seconds > 0 ? (msec_t)(int32_t)seconds * 1000 : 1;
        return OK;
    case RDB_IDLE:
        TRY(rdb_get_length(&r->in, &number));
        item->idle_s = (int64_t)(number & INT64_MAX);
        return OK;
    case RDB_FREQ:
        TRY(rdb_get_byte(&r->in, &byte));
        item->freq = byte;
        return OK;
    case RDB_MODULE_AUX:
        return skip_module_aux(r);
    case RDB_SELECTDB:
        return read_select(r);
    case RDB_SLOT_INFO:
        for (int i = 0; i < 3; i++)
            TRY(rdb_get_length(&r->in, &number));
        return OK;
    default:
        return ERR_NOT_FOUND;
    }
}

static enum err read_item(struct rdb_reader *r, uint8_t opcode, struct rdb_item *item)
{
    item->db = r->db;
    switch (opcode) {
    case RDB_EOF:
        return read_end(r);
    case RDB_AUX:
        item->kind = RDB_ITEM_AUX;
        TRY(get_kept(r, &r->name, &item->name));
        return get_kept(r, &r->value, &item->value);
    case RDB_RESIZEDB:
        item->kind = RDB_ITEM_RESIZE;
        TRY(rdb_get_length(&r->in, &item->keys));
        return rdb_get_length(&r->in, &item->expires);
    case RDB_FUNCTION2:
        item->kind = RDB_ITEM_FUNCTION;
        return get_kept(r, &r->value, &item->value);
    default:
        break;
    }
    if (opcode > RDB_TYPE_LAST)
        return opcode >= RDB_SLOT_INFO - 1
                   ? err_set(ERR_INVALID, "offset %llu: opcode %u is not taken",
                             (unsigned long long)rdb_reader_offset(r), opcode)
                   : err_set(ERR_INVALID, "offset %llu: a value of unknown type %u",
                             (unsigned long long)rdb_reader_offset(r), opcode);
    item->kind = RDB_ITEM_KEY;
    item->type = r->type = opcode;
    r->value_due = true;
    return get_kept(r, &r->name, &item->name);
}

enum err rdb_reader_next(struct rdb_reader *r, struct rdb_item *item)
{
    enum err e = OK;

    check(!r->value_due);
    if (r->ended)
        return ERR_NOT_FOUND;
    if (!r->begun)
        TRY(read_magic(r));
    *item = (struct rdb_item){.idle_s = -1, .freq = -1};
    for (;;) {
        uint8_t opcode;

        TRY(rdb_get_byte(&r->in, &opcode));
        e = read_attribute(r, opcode, item);
        if (e == ERR_NOT_FOUND)
            return read_item(r, opcode, item);
        TRY(e);
    }
}

enum err rdb_reader_value(struct rdb_reader *r, const struct rdb_sink *sink)
{
    enum err e;

    check(r->value_due);
    r->value_due = false;
    e = rdb_decode(&r->in, r->type, sink);
    if (e == ERR_CORRUPT || e == ERR_INVALID) {
        int shown = (int)(r->name.size < 100 ? r->name.size : 100);

        return err_context(e, "offset %llu, key \"%.*s\"", (unsigned long long)rdb_reader_offset(r), shown,
                           (const char *)r->name.data);
    }
    return e;
}
