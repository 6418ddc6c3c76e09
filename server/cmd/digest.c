/*
 * digest.c - SHA1 over length-prefixed pieces; sums of those for what has no order.
 */
#include "server/cmd/digest.h"

#include <openssl/evp.h>

#include "base/check.h"
#include "engine/type/element_walk.h"
#include "engine/type/keyspace.h"
#include "engine/type/list.h"
#include "engine/type/string.h"
#include "engine/type/zset_walk.h"

struct digest digest_of(const struct slice *pieces, size_t count)
{
    struct digest d;
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    check(context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1);
    for (size_t i = 0; i < count; i++) {
        uint64_t size = pieces[i].size;

        check(EVP_DigestUpdate(context, &size, sizeof size) == 1 &&
              EVP_DigestUpdate(context, pieces[i].data, pieces[i].size) == 1);
    }
    check(EVP_DigestFinal_ex(context, d.bytes, NULL) == 1);
    EVP_MD_CTX_free(context);
    return d;
}

/* Little-endian addition: unlike xor, equal parts do not cancel out. */
void digest_add(struct digest *sum, const struct digest *more)
{
    unsigned carry = 0;

    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        carry += (unsigned)sum->bytes[i] + more->bytes[i];
        sum->bytes[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

static void add_pieces(struct digest *sum, const struct slice *pieces, size_t count)
{
    struct digest d = digest_of(pieces, count);

    digest_add(sum, &d);
}

static enum err string_digest(struct txn *t, struct obj *o, struct buf *scratch, struct digest *sum)
{
    struct slice value;

    TRY(string_get(t, o, scratch, &value));
    add_pieces(sum, &value, 1);
    return OK;
}

static enum err list_digest(struct txn *t, struct obj *o, struct digest *sum)
{
    struct list_walk w;
    enum err e;

    TRY(list_walk_begin(t, o, 0, false, &w));
    while ((e = list_walk_next(&w)) == OK)
        add_pieces(sum, (struct slice[]){slice_of(&w.index, sizeof w.index), w.element}, 2);
    list_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err elements_digest(struct txn *t, struct obj *o, struct digest *sum)
{
    struct element_walk w;
    enum err e;

    TRY(element_walk_begin(t, o, &w));
    while ((e = element_walk_next(&w)) == OK)
        add_pieces(sum, (struct slice[]){w.name, w.value}, o->type == OBJ_HASH ? 2 : 1);
    element_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err zset_digest(struct txn *t, struct obj *o, struct digest *sum)
{
    struct zset_walk *w = malloc(sizeof *w);
    enum err e;

    check(w != NULL);
    e = zset_walk_first(t, o, false, w);
    if (e == OK) {
        while ((e = zset_walk_next(w)) == OK) {
            double score = w->score + 0.0; /* -0 and 0 are one score */

            add_pieces(sum, (struct slice[]){w->member, slice_of(&score, sizeof score)}, 2);
        }
        zset_walk_end(w);
    }
    free(w);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err digest_value(struct txn *t, struct obj *o, struct buf *scratch, struct digest *out)
{
    struct digest sum = {{0}};
    const char *type = keyspace_type_name((enum obj_type)o->type);
    enum err e = OK;

    switch ((enum obj_type)o->type) {
    case OBJ_STRING: e = string_digest(t, o, scratch, &sum); break;
    case OBJ_LIST: e = list_digest(t, o, &sum); break;
    case OBJ_SET:
    case OBJ_HASH: e = elements_digest(t, o, &sum); break;
    case OBJ_ZSET: e = zset_digest(t, o, &sum); break;
    default: add_pieces(&sum, (struct slice[]){obj_value(o)}, 1); break;
    }
    TRY(e);
    *out = digest_of((struct slice[]){slice_str(type), slice_of(sum.bytes, sizeof sum.bytes),
                                      slice_str(o->expire_ms != 0 ? "expires" : "")},
                     3);
    return OK;
}

void digest_text(const struct digest *d, struct buf *out)
{
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        buf_append_format(out, "%02x", d->bytes[i]);
}
