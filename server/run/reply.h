/*
 * reply.h - writes RESP2 or RESP3, whichever the client speaks.
 *
 * Every function appends to the reply's buffer. Those returning enum err return OK (or ERR_REPLIED for errors) so that
 * a command can end with `return reply_int(c, n)`.
 */
#ifndef CAIRN_SERVER_RUN_REPLY_H
#define CAIRN_SERVER_RUN_REPLY_H

#include "base/buf.h"
#include "base/err.h"

struct call;

struct reply {
    struct buf *out;
    int protocol;          /* 2 or 3 */
    size_t error_at;       /* where the last error reply begins in out, for statistics; SIZE_MAX: none */
};

/* ---- On a call ---- */
enum err reply_ok(struct call *c);
enum err reply_status(struct call *c, const char *text);
enum err reply_int(struct call *c, int64_t value);
enum err reply_bulk(struct call *c, struct slice value);
enum err reply_bulk_str(struct call *c, const char *text);
enum err reply_bulk_int(struct call *c, int64_t value);  /* the number as a bulk string */
enum err reply_null(struct call *c);                     /* $-1 or _ */
enum err reply_null_array(struct call *c);               /* *-1 or _ */
enum err reply_double(struct call *c, double value);     /* bulk string or , */
enum err reply_bool(struct call *c, bool value);         /* :1 :0 or #t #f */
enum err reply_verbatim(struct call *c, struct slice text); /* bulk or =txt: */
enum err reply_array(struct call *c, size_t count);      /* the header; the elements follow */
enum err reply_map(struct call *c, size_t pairs);        /* array of 2 * pairs, or %pairs */
enum err reply_set(struct call *c, size_t count);        /* array, or ~ */
enum err reply_push(struct call *c, size_t count);       /* array, or > */

/* "-" is added; text carries its code ("ERR ..."). Line breaks become spaces. Returns ERR_REPLIED. */
enum err reply_error(struct call *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum err reply_arity(struct call *c);
enum err reply_syntax(struct call *c);

/* A header whose count is known only later: mark first, write the elements, then fill in. */
size_t reply_defer(struct call *c);
void reply_defer_array(struct call *c, size_t mark, size_t count);
void reply_defer_map(struct call *c, size_t mark, size_t pairs);
void reply_defer_set(struct call *c, size_t mark, size_t count);

/* 2 or 3. */
int reply_protocol(const struct call *c);

#endif
