/*
 * rdb_blob.c - one step over each of the four layouts. Drawings: README.md.
 */
#include "persistence/rdb/rdb_blob.h"

#include "base/buf.h"

enum {
    LISTPACK_HEAD = 6,
    ZIPLIST_HEAD = 10,
    INTSET_HEAD = 8,
    COUNT_UNKNOWN = 0xFFFF,
    ZIPMAP_UNKNOWN = 254,
    END = 0xFF,
    LONG_SIZE = 254, /* ziplist and zipmap: 4 more bytes hold the size */
};

static enum err bad(const struct rdb_blob *b, const char *what)
{
    static const char *const names[] = {"listpack", "ziplist", "intset", "zipmap"};

    return err_set(ERR_CORRUPT, "%s: %s at byte %zu of %zu", names[b->form], what, b->at, b->bytes.size);
}

static uint64_t little(const uint8_t *p, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = size; i-- > 0;)
        value = value << 8 | p[i];
    return value;
}

static int64_t little_signed(const uint8_t *p, unsigned size)
{
    unsigned shift = 64 - 8 * size;

    return (int64_t)(little(p, size) << shift) >> shift;
}

static bool has(const struct rdb_blob *b, uint64_t bytes)
{
    return bytes <= b->bytes.size - b->at;
}

static void set_number(struct rdb_blob *b, int64_t number)
{
    b->is_number = true;
    b->number = number;
    b->entry = slice_of(b->text, num_format_i64(b->text, number));
}

static void set_text(struct rdb_blob *b, size_t at, size_t size)
{
    b->is_number = false;
    b->entry = slice_of(b->bytes.data + at, size);
}

enum err rdb_blob_open(struct rdb_blob *b, enum rdb_blob_form form, struct slice bytes)
{
    const uint8_t *p = bytes.data;

    *b = (struct rdb_blob){.form = form, .bytes = bytes};
    switch (form) {
    case RDB_BLOB_LISTPACK:
        if (bytes.size < LISTPACK_HEAD + 1 || little(p, 4) != bytes.size || p[bytes.size - 1] != END)
            return bad(b, "its head does not fit");
        b->count = little(p + 4, 2);
        b->at = LISTPACK_HEAD;
        break;
    case RDB_BLOB_ZIPLIST:
        if (bytes.size < ZIPLIST_HEAD + 1 || little(p, 4) != bytes.size || p[bytes.size - 1] != END)
            return bad(b, "its head does not fit");
        b->last = little(p + 4, 4);
        b->count = little(p + 8, 2);
        b->at = ZIPLIST_HEAD;
        break;
    case RDB_BLOB_INTSET:
        if (bytes.size < INTSET_HEAD)
            return bad(b, "too short");
        b->last_size = little(p, 4);
        b->count = little(p + 4, 4);
        if ((b->last_size != 2 && b->last_size != 4 && b->last_size != 8) ||
            bytes.size - INTSET_HEAD != (uint64_t)b->count * b->last_size)
            return bad(b, "its head does not fit");
        b->at = INTSET_HEAD;
        break;
    case RDB_BLOB_ZIPMAP:
        if (bytes.size < 2 || p[bytes.size - 1] != END)
            return bad(b, "no end");
        b->count = p[0];
        b->at = 1;
        break;
    }
    return OK;
}

/* ---- Listpack: encoding and data, then their size again, to be read backwards ---- */

static unsigned back_bytes(size_t size)
{
    return size < 128 ? 1 : size < 16384 ? 2 : size < 2097152 ? 3 : size < 268435456 ? 4 : 5;
}

static bool back_fits(const uint8_t *p, size_t size)
{
    unsigned n = back_bytes(size);

    for (unsigned i = 0; i < n; i++)
        if (p[i] != ((size >> 7 * (n - 1 - i) & 127) | (i > 0 ? 128 : 0)))
            return false;
    return true;
}

/* The head of the entry: bytes of encoding, and of data behind it; a number is read. */
static bool listpack_head(struct rdb_blob *b, size_t *head, uint64_t *data)
{
    const uint8_t *p = b->bytes.data + b->at;
    uint8_t first = p[0];

    *head = 1;
    *data = 0;
    if (first < 0x80) {
        set_number(b, first);
    } else if (first < 0xC0) {
        b->is_number = false;
        *data = first & 63;
    } else if (first < 0xE0) {
        if (!has(b, *head = 2))
            return false;
        set_number(b, (int64_t)((uint64_t)((first & 31) << 8 | p[1]) << 51) >> 51);
    } else if (first < 0xF0) {
        if (!has(b, *head = 2))
            return false;
        b->is_number = false;
        *data = (uint64_t)(first & 15) << 8 | p[1];
    } else if (first == 0xF0) {
        if (!has(b, *head = 5))
            return false;
        b->is_number = false;
        *data = little(p + 1, 4);
    } else if (first <= 0xF4) {
        unsigned size = first == 0xF4 ? 8 : first - 0xEFu;

        if (!has(b, *head = 1 + size))
            return false;
        set_number(b, little_signed(p + 1, size));
    } else {
        return false;
    }
    return true;
}

static enum err listpack_next(struct rdb_blob *b)
{
    size_t head, size;
    uint64_t data;

    if (b->at == b->bytes.size - 1)
        return b->count == COUNT_UNKNOWN || b->entries == b->count ? ERR_NOT_FOUND : bad(b, "another count");
    if (!listpack_head(b, &head, &data) || !has(b, head + data))
        return bad(b, "an entry does not fit");
    size = head + (size_t)data;
    if (!has(b, (uint64_t)size + back_bytes(size) + 1) || !back_fits(b->bytes.data + b->at + size, size))
        return bad(b, "an entry's back length does not fit");
    if (!b->is_number)
        set_text(b, b->at + head, (size_t)data);
    b->at += size + back_bytes(size);
    b->entries++;
    return OK;
}

/* ---- Ziplist: the size of the entry before, encoding, data ---- */

static bool ziplist_head(struct rdb_blob *b, size_t at, size_t *head, uint64_t *data)
{
    const uint8_t *p = b->bytes.data + at;
    uint64_t left = b->bytes.size - at;
    uint8_t first = p[0];
    unsigned number = 0;

    *data = 0;
    *head = 1;
    if (first < 0xC0) {
        b->is_number = false;
        *head = first < 0x40 ? 1 : first < 0x80 ? 2 : 5;
        if (left < *head || (first >= 0x80 && first != 0x80))
            return false;
        *data = first < 0x40   ? first
                : first < 0x80 ? (uint64_t)(first & 63) << 8 | p[1]
                               : (uint64_t)p[1] << 24 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 8 | p[4];
        return true;
    }
    if (first >= 0xF1 && first <= 0xFD) {
        set_number(b, (first & 15) - 1);
        return true;
    }
    number = first == 0xC0 ? 2 : first == 0xD0 ? 4 : first == 0xE0 ? 8 : first == 0xF0 ? 3 : first == 0xFE ? 1 : 0;
    *head = 1 + number;
    if (number == 0 || left < *head)
        return false;
    set_number(b, little_signed(p + 1, number));
    return true;
}

static enum err ziplist_next(struct rdb_blob *b)
{
    const uint8_t *p = b->bytes.data + b->at;
    size_t before, head, start = b->at;
    uint64_t data;

    if (b->at == b->bytes.size - 1) {
        if (b->entries > 0 && b->last != b->at - b->last_size)
            return bad(b, "another last entry");
        return b->count == COUNT_UNKNOWN || b->entries == b->count ? ERR_NOT_FOUND : bad(b, "another count");
    }
    if (p[0] == END || !has(b, p[0] < LONG_SIZE ? 2 : 6))
        return bad(b, "an entry does not fit");
    before = p[0] < LONG_SIZE ? p[0] : little(p + 1, 4);
    if (before != b->last_size)
        return bad(b, "an entry's link does not fit");
    start += p[0] < LONG_SIZE ? 1 : 5;
    if (!ziplist_head(b, start, &head, &data) || (uint64_t)b->bytes.size - start < head + data + 1)
        return bad(b, "an entry does not fit");
    if (!b->is_number)
        set_text(b, start + head, (size_t)data);
    b->last_size = start + head + (size_t)data - b->at;
    b->at += b->last_size;
    b->entries++;
    return OK;
}

/* ---- Intset and zipmap ---- */

static enum err intset_next(struct rdb_blob *b)
{
    int64_t before = b->number;

    if (b->at == b->bytes.size)
        return ERR_NOT_FOUND;
    set_number(b, little_signed(b->bytes.data + b->at, (unsigned)b->last_size));
    if (b->entries > 0 && b->number <= before)
        return bad(b, "not ascending");
    b->at += b->last_size;
    b->entries++;
    return OK;
}

static enum err zipmap_next(struct rdb_blob *b)
{
    const uint8_t *p = b->bytes.data + b->at;
    bool is_value = b->entries % 2 == 1;
    uint64_t size, head, spare = 0;

    if (b->at == b->bytes.size - 1) {
        if (is_value || (b->count < ZIPMAP_UNKNOWN && b->entries != 2 * b->count))
            return bad(b, "another count");
        return ERR_NOT_FOUND;
    }
    head = p[0] < LONG_SIZE ? 1 : 5;
    if (p[0] == END || !has(b, head + is_value + 1))
        return bad(b, "an entry does not fit");
    size = head == 1 ? p[0] : little(p + 1, 4);
    if (is_value)
        spare = p[head++];
    if (!has(b, head + size + spare + 1))
        return bad(b, "an entry does not fit");
    set_text(b, b->at + (size_t)head, (size_t)size);
    b->at += (size_t)(head + size + spare);
    b->entries++;
    return OK;
}

enum err rdb_blob_next(struct rdb_blob *b)
{
    switch (b->form) {
    case RDB_BLOB_LISTPACK:
        return listpack_next(b);
    case RDB_BLOB_ZIPLIST:
        return ziplist_next(b);
    case RDB_BLOB_INTSET:
        return intset_next(b);
    default:
        return zipmap_next(b);
    }
}

enum err rdb_blob_check(enum rdb_blob_form form, struct slice bytes, size_t *entries)
{
    struct rdb_blob b;
    enum err e;

    TRY(rdb_blob_open(&b, form, bytes));
    while ((e = rdb_blob_next(&b)) == OK)
        continue;
    if (e != ERR_NOT_FOUND)
        return e;
    *entries = b.entries;
    return OK;
}
