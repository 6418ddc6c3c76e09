/*
 * digest.c - SHA1 over values as Redis' DEBUG DIGEST takes it: what has an order is mixed (the sum so far and the next piece are digested
 * together), what has none is added by xor.
 */
#include "server/cmd/digest.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/check.h"
#include "engine/type/element_walk.h"
#include "engine/type/list.h"
#include "engine/type/string.h"
#include "engine/type/zset_walk.h"

static struct digest sha1(struct slice bytes)
{
    struct digest d;

    check(EVP_Digest(bytes.data != NULL ? bytes.data : (const uint8_t *)"", bytes.size, d.bytes, NULL, EVP_sha1(), NULL) == 1);
    return d;
}

void digest_add(struct digest *sum, struct slice bytes)
{
    struct digest more = sha1(bytes);

    for (size_t i = 0; i < DIGEST_BYTES; i++)
        sum->bytes[i] ^= more.bytes[i];
}

void digest_mix(struct digest *sum, struct slice bytes)
{
    digest_add(sum, bytes);
    *sum = sha1(slice_of(sum->bytes, DIGEST_BYTES));
}

void digest_mix_number(struct digest *sum, uint32_t number)
{
    uint32_t bytes = htonl(number);

    digest_mix(sum, slice_of(&bytes, sizeof bytes));
}

static enum err string_digest(struct txn *t, struct obj *o, struct buf *scratch, struct digest *sum)
{
    struct slice value;

    TRY(string_get(t, o, scratch, &value));
    digest_mix(sum, value);
    return OK;
}

static enum err list_digest(struct txn *t, struct obj *o, struct digest *sum)
{
    struct list_walk w;
    enum err e;

    TRY(list_walk_begin(t, o, 0, false, &w));
    while ((e = list_walk_next(&w)) == OK)
        digest_mix(sum, w.element);
    list_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static void add_pair(struct digest *sum, struct slice left, struct slice right)
{
    struct digest pair = {{0}};

    digest_mix(&pair, left);
    digest_mix(&pair, right);
    digest_add(sum, slice_of(pair.bytes, DIGEST_BYTES));
}

static enum err elements_digest(struct txn *t, struct obj *o, struct digest *sum)
{
    struct element_walk w;
    enum err e;

    TRY(element_walk_begin(t, o, &w));
    while ((e = element_walk_next(&w)) == OK) {
        if (o->type == OBJ_HASH)
            add_pair(sum, w.name, w.value);
        else
            digest_add(sum, w.name);
    }
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
            char score[64];

            add_pair(sum, w->member, slice_of(score, (size_t)snprintf(score, sizeof score, "%.17g", w->score)));
        }
        zset_walk_end(w);
    }
    free(w);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err digest_value(struct txn *t, struct obj *o, struct buf *scratch, struct digest *out)
{
    enum err e = OK;

    digest_mix_number(out, (uint32_t)o->type); /* the same numbers as there */
    switch ((enum obj_type)o->type) {
    case OBJ_STRING: e = string_digest(t, o, scratch, out); break;
    case OBJ_LIST: e = list_digest(t, o, out); break;
    case OBJ_SET:
    case OBJ_HASH: e = elements_digest(t, o, out); break;
    case OBJ_ZSET: e = zset_digest(t, o, out); break;
    default: digest_mix(out, obj_value(o)); break;
    }
    if (o->expire_ms != 0)
        digest_add(out, SLICE_LITERAL("!!expire!!"));
    return e;
}

void digest_text(const struct digest *d, struct buf *out)
{
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        buf_append_format(out, "%02x", d->bytes[i]);
}
