/*
 * resp.h - requests out of a stream of bytes: arrays of bulk strings, and inline lines.
 *
 * Nothing is copied: words point into the caller's bytes. A request that is whole is parsed in one go; of one that is
 * not, the parser remembers how far it came, so that bytes are looked at once however they are cut. No more is kept per
 * connection than this struct.
 */
#ifndef CAIRN_SERVER_NET_RESP_H
#define CAIRN_SERVER_NET_RESP_H

#include "base/slice.h"

enum {
    RESP_INLINE_BYTES_MAX = 64 << 10,
    RESP_WORDS_UNAUTHENTICATED_MAX = 10,
    RESP_BULK_UNAUTHENTICATED_MAX = 16384,
};

/* A word of an unfinished request, by its distance from the request's first byte. */
struct resp_place {
    size_t at, size;
};

struct resp_parser {
    uint64_t bulk_bytes_max; /* proto-max-bulk-len; set by the owner, as is authenticated */
    bool authenticated;
    /* Progress inside an unfinished request; all zero between requests. */
    bool in_array;
    bool in_bulk;     /* bulk is known */
    bool not_plain;   /* the bytes are no canonical array: not to be logged as they came */
    uint32_t words;   /* of the array */
    uint32_t count;   /* words found */
    uint64_t bulk;    /* size of the word under way */
    size_t scanned;   /* bytes of the request that need no second look */
    struct resp_place *places; /* owned */
    uint32_t capacity;
};

void resp_init(struct resp_parser *p, uint64_t bulk_bytes_max);
void resp_fini(struct resp_parser *p);

/* Words of the requests parsed in one go, one behind the other. Zeroed is empty. */
struct resp_words {
    struct slice *words; /* owned */
    size_t count, capacity;
};
void resp_words_free(struct resp_words *w);

struct resp_request {
    size_t first, argc; /* words[first .. first + argc) */
    struct slice raw;   /* the request's bytes if they are a canonical array, else empty */
    size_t used;        /* bytes of the input that it took */
};

enum resp_status {
    RESP_REQUEST, /* *out is filled; argc 0: an empty line or array, to be skipped */
    RESP_MORE,    /* the request is not whole */
    RESP_ERROR,   /* *error is the reply's text without "-": send it and close */
};

/*
 * Parses the request that begins at data. After RESP_MORE call again with the same bytes (moved or not) and more behind
 * them. Inline words are unescaped in place, which is why data is not const; whole requests behind it stay untouched.
 */
enum resp_status resp_parse(struct resp_parser *p, uint8_t *data, size_t size, struct resp_words *words,
                            struct resp_request *out, const char **error);

/* Forgets the unfinished request: it will be given again from its first byte. */
void resp_rewind(struct resp_parser *p);

/* After RESP_MORE: how many bytes the request has at least, from its beginning; a hint for the buffer's size. */
size_t resp_wanted(const struct resp_parser *p);

#endif
