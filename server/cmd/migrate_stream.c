/*
 * migrate_stream.c - two walks over a view of one key.
 *
 * (1) Both walks give the same bytes: the view does not change, and the encoder has no memory.
 */
#include "server/cmd/migrate_stream.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/words.h"
#include "engine/set/view.h"
#include "persistence/rdb/rdb.h"
#include "persistence/rdb/rdb_save.h"

struct migrate_stream {
    struct set_view *view;
    struct slice key; /* borrowed from the command */
    slot_t slot;
    uint64_t bytes;   /* of the payload */
};

struct sink {
    struct remote *to; /* NULL: the bytes are only counted */
    msec_t timeout_ms;
};

static enum err push(void *context, struct slice bytes)
{
    const struct sink *sink = context;

    return sink->to != NULL ? remote_write(sink->to, bytes, sink->timeout_ms) : OK;
}

/* Type, value, version, checksum. */
static enum err walk(struct migrate_stream *s, struct sink *sink, uint64_t *bytes)
{
    struct set_view_key key;
    struct rdb_view_walk rows;
    struct rdb_value value;
    struct rdb_output out;
    uint64_t crc = 0;
    enum err e;

    set_view_seek(s->view, 0, s->slot, s->slot);
    TRY(set_view_next(s->view, &key));
    rdb_output_init(&out, push, sink, true);
    rdb_view_value(&rows, s->view, &key, &value);
    rdb_put_byte(&out, (uint8_t)rdb_encode_type(&value));
    e = rdb_encode(&value, &out);
    if (e == OK) {
        rdb_put_byte(&out, RDB_VERSION & 0xff);
        rdb_put_byte(&out, RDB_VERSION >> 8);
        e = rdb_output_crc(&out, &crc);
    }
    if (e == OK) {
        rdb_put_u64(&out, crc);
        e = rdb_output_flush(&out);
    }
    *bytes = rdb_output_size(&out);
    rdb_output_fini(&out);
    return e;
}

enum err migrate_stream_open(struct set *set, unsigned db, struct slice key, struct migrate_stream **out)
{
    struct migrate_stream *s = calloc(1, sizeof *s);
    struct sink nowhere = {0};
    enum err e;

    check(s != NULL);
    s->key = key;
    e = set_view_open_key(set, db, key, &s->slot, &s->view);
    if (e == OK)
        e = walk(s, &nowhere, &s->bytes);
    if (e != OK) {
        migrate_stream_close(s);
        return e;
    }
    *out = s;
    return OK;
}

void migrate_stream_close(struct migrate_stream *s)
{
    if (s == NULL)
        return;
    set_view_close(s->view);
    free(s);
}

static enum err send_head(struct migrate_stream *s, const char *command, msec_t ttl, bool replace, struct sink *sink)
{
    struct buf head = {0};
    enum err e;

    words_head(&head, replace ? 5 : 4);
    words_add(&head, slice_str(command));
    words_add(&head, s->key);
    words_add_number(&head, ttl);
    words_size(&head, s->bytes);
    e = push(sink, buf_slice(&head));
    buf_free(&head);
    return e;
}

enum err migrate_stream_send(struct migrate_stream *s, const char *command, msec_t ttl, bool replace, struct remote *to,
                             msec_t timeout_ms)
{
    struct sink sink = {to, timeout_ms};
    uint64_t bytes;

    TRY(send_head(s, command, ttl, replace, &sink));
    TRY(walk(s, &sink, &bytes));
    check(bytes == s->bytes);
    return push(&sink, slice_str(replace ? "\r\n$7\r\nREPLACE\r\n" : "\r\n"));
}
