/*
 * rdb_writer.c - the order of a file's parts.
 */
#include "persistence/rdb/rdb_writer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "persistence/rdb/rdb.h"

struct rdb_writer {
    struct rdb_output out;
    bool no_checksum;
};

enum err rdb_writer_open(const struct rdb_writer_options *options, struct rdb_writer **out)
{
    struct rdb_writer *w = calloc(1, sizeof *w);
    char magic[RDB_MAGIC_BYTES + 1];

    if (w == NULL)
        return ERR_NO_MEMORY;
    rdb_output_init(&w->out, options->push, options->context, options->compress);
    w->no_checksum = options->no_checksum;
    snprintf(magic, sizeof magic, "REDIS%04d", RDB_VERSION);
    buf_append(&w->out.buf, magic, RDB_MAGIC_BYTES);
    *out = w;
    return OK;
}

void rdb_writer_close(struct rdb_writer *w)
{
    if (w == NULL)
        return;
    rdb_output_fini(&w->out);
    free(w);
}

enum err rdb_writer_aux(struct rdb_writer *w, struct slice name, struct slice value)
{
    rdb_put_byte(&w->out, RDB_AUX);
    rdb_put_string(&w->out, name);
    rdb_put_string(&w->out, value);
    return rdb_output_flush_some(&w->out);
}

enum err rdb_writer_aux_number(struct rdb_writer *w, struct slice name, int64_t value)
{
    char text[NUM_TEXT_MAX];

    return rdb_writer_aux(w, name, slice_of(text, num_format_i64(text, value)));
}

enum err rdb_writer_function(struct rdb_writer *w, struct slice source)
{
    rdb_put_byte(&w->out, RDB_FUNCTION2);
    rdb_put_string(&w->out, source);
    return rdb_output_flush_some(&w->out);
}

enum err rdb_writer_db(struct rdb_writer *w, unsigned db, uint64_t keys, uint64_t expires)
{
    rdb_put_byte(&w->out, RDB_SELECTDB);
    rdb_put_length(&w->out, db);
    rdb_put_byte(&w->out, RDB_RESIZEDB);
    rdb_put_length(&w->out, keys);
    rdb_put_length(&w->out, expires);
    return OK;
}

enum err rdb_writer_key(struct rdb_writer *w, struct slice key, msec_t expire_ms, const struct rdb_value *value)
{
    if (expire_ms != 0) {
        rdb_put_byte(&w->out, RDB_EXPIRE_MS);
        rdb_put_u64(&w->out, (uint64_t)expire_ms);
    }
    rdb_put_byte(&w->out, (uint8_t)rdb_encode_type(value));
    rdb_put_string(&w->out, key);
    TRY(rdb_encode(value, &w->out));
    return rdb_output_flush_some(&w->out);
}

enum err rdb_writer_end(struct rdb_writer *w)
{
    uint64_t crc;

    rdb_put_byte(&w->out, RDB_EOF);
    TRY(rdb_output_crc(&w->out, &crc));
    rdb_put_u64(&w->out, w->no_checksum ? 0 : crc);
    return rdb_output_flush(&w->out);
}

uint64_t rdb_writer_bytes(const struct rdb_writer *w)
{
    return rdb_output_size(&w->out);
}
