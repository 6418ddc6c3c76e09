/*
 * sort.c - load the elements, find what each is compared by, sort, cut, look up what is wanted.
 *
 * Equal scores are ordered by the elements' bytes, as in Redis; equal BY strings keep the order they were loaded in.
 */
#include "engine/type/sort.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "engine/type/element_walk.h"
#include "engine/type/hash.h"
#include "engine/type/list.h"
#include "engine/type/string.h"

enum { NUMBER_TEXT_MAX = 512 };

struct item {
    size_t at, size;       /* the element in job.bytes */
    size_t by_at, by_size; /* alpha: what it is compared by */
    double score;
    bool by_missing;
    size_t order;          /* as loaded */
};

struct job {
    struct txn *txn;
    const struct sort_options *options;
    struct item *items;
    size_t count, capacity;
    struct buf bytes;
    struct buf key, scratch; /* of look-ups */
    bool sorted, by_bytes, by_pattern;
    uint64_t skip, want; /* LIMIT */
    size_t begin;        /* the first item wanted; the last one is items[count - 1] */
};

void sort_result_free(struct sort_result *r)
{
    free(r->words);
    buf_free(&r->bytes);
    *r = (struct sort_result){0};
}

bool sort_pattern_varies(struct slice pattern)
{
    return pattern.size > 0 && memchr(pattern.data, '*', pattern.size) != NULL;
}

/* ---- Loading ---- */

static void item_add(struct job *j, struct slice element)
{
    if (j->count == j->capacity) {
        j->capacity = j->capacity != 0 ? j->capacity * 2 : 64;
        j->items = realloc(j->items, j->capacity * sizeof *j->items);
        check(j->items != NULL);
    }
    j->items[j->count] = (struct item){.at = j->bytes.size, .size = element.size, .order = j->count};
    j->count++;
    buf_append_slice(&j->bytes, element);
}

static struct slice element_of(const struct job *j, const struct item *i)
{
    return slice_of(j->bytes.data + i->at, i->size);
}

/* Nothing is sorted: only what LIMIT lets through is loaded, in the natural order or against it. */
static enum err load_list_part(struct job *j, struct obj *o)
{
    bool down = j->options->descending;
    struct list_walk w;
    enum err e = ERR_NOT_FOUND;

    if (j->skip >= o->count || j->want == 0)
        return OK;
    TRY(list_walk_begin(j->txn, o, down ? o->count - 1 - j->skip : j->skip, down, &w));
    while (j->count < j->want && (e = list_walk_next(&w)) == OK)
        item_add(j, w.element);
    list_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* By score; a PACKED sorted set has that order itself. */
static enum err load_scores_part(struct job *j, struct obj *o)
{
    bool down = j->options->descending;
    struct txn_cursor c;
    enum err e = OK;

    TRY(txn_scores(j->txn, o, down ? INFINITY : -INFINITY, down ? TXN_MEMBER_LAST : (struct slice){0}, down, &c));
    for (uint64_t i = 0; j->count < j->want && (e = txn_cursor_next(&c)) == OK; i++)
        if (i >= j->skip)
            item_add(j, c.name);
    txn_cursor_close(&c);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err load_list(struct job *j, struct obj *o)
{
    struct list_walk w;
    enum err e;

    TRY(list_walk_begin(j->txn, o, 0, false, &w));
    while ((e = list_walk_next(&w)) == OK)
        item_add(j, w.element);
    list_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err load_elements(struct job *j, struct obj *o)
{
    struct element_walk w;
    enum err e;

    TRY(element_walk_begin(j->txn, o, &w));
    while ((e = element_walk_next(&w)) == OK)
        item_add(j, w.name);
    element_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static void reverse(struct job *j)
{
    for (size_t a = 0, b = j->count; a + 1 < b; a++) {
        struct item item = j->items[a];

        j->items[a] = j->items[--b];
        j->items[b] = item;
    }
}

static void cut(struct job *j)
{
    uint64_t skip = j->skip < j->count ? j->skip : j->count;

    j->begin = skip;
    if (j->count - skip > j->want)
        j->count = skip + j->want;
}

static enum err load(struct job *j, struct slice key)
{
    const struct sort_options *options = j->options;
    struct obj *o;
    enum err e = txn_read(j->txn, key, OBJ_ANY, &o);

    if (e != OK)
        return e == ERR_NOT_FOUND ? OK : e;
    if (o->type != OBJ_LIST && o->type != OBJ_SET && o->type != OBJ_ZSET)
        return ERR_WRONG_TYPE;
    if (elements_too_many(j->txn, o->count))
        return ERR_COLD;
    j->sorted = !options->has_by || sort_pattern_varies(options->by);
    j->by_pattern = options->has_by && j->sorted;
    j->by_bytes = options->alpha;
    if (!j->sorted && o->type == OBJ_SET && options->deterministic)
        j->sorted = j->by_bytes = true;
    if (!j->sorted && o->type == OBJ_LIST)
        return load_list_part(j, o);
    if (!j->sorted && o->type == OBJ_ZSET && o->form == OBJ_BIG)
        return load_scores_part(j, o);
    TRY(o->type == OBJ_LIST ? load_list(j, o) : load_elements(j, o));
    if (j->sorted)
        return OK;
    if (options->descending && o->type == OBJ_ZSET) /* a set has no order that could be turned round */
        reverse(j);
    cut(j);
    return OK;
}

/* ---- Other keys ---- */

/*
 * The value at the pattern, its * replaced by the element: a string, or with ->field a hash's field. ERR_NOT_FOUND:
 * there is none, or the key has another type. Borrowed until the next look-up.
 */
static enum err look_up(struct job *j, struct slice pattern, struct slice element, struct slice *value)
{
    const uint8_t *star = pattern.size > 0 ? memchr(pattern.data, '*', pattern.size) : NULL, *arrow = NULL;
    size_t head, tail;
    struct slice field = {0};
    struct obj *o;

    if (star == NULL)
        return ERR_NOT_FOUND;
    head = (size_t)(star - pattern.data);
    tail = pattern.size - head - 1;
    if (tail > 2)
        arrow = memmem(star + 1, tail, "->", 2);
    if (arrow != NULL && arrow + 2 < pattern.data + pattern.size) {
        field = slice_of(arrow + 2, (size_t)(pattern.data + pattern.size - arrow - 2));
        tail = (size_t)(arrow - star - 1);
    }
    buf_clear(&j->key);
    buf_append(&j->key, pattern.data, head);
    buf_append_slice(&j->key, element);
    buf_append(&j->key, star + 1, tail);
    TRY(txn_read(j->txn, buf_slice(&j->key), OBJ_ANY, &o));
    if (field.size > 0)
        return o->type == OBJ_HASH ? hash_get(j->txn, o, field, value) : ERR_NOT_FOUND;
    return o->type == OBJ_STRING ? string_get(j->txn, o, &j->scratch, value) : ERR_NOT_FOUND;
}

/* As strtod reads it: blanks in front and an empty text (0) are accepted. */
static bool number_of(struct slice text, double *out)
{
    char copy[NUMBER_TEXT_MAX], *end;

    if (text.size >= sizeof copy)
        return false;
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    errno = 0;
    *out = strtod(copy, &end);
    return *end == '\0' && errno != ERANGE && !isnan(*out);
}

static enum err weigh(struct job *j, struct item *item)
{
    struct slice by = element_of(j, item);

    if (j->by_pattern) {
        enum err e = look_up(j, j->options->by, by, &by);

        if (e == ERR_NOT_FOUND) {
            item->by_missing = true; /* score 0; in front of all strings */
            return OK;
        }
        TRY(e);
    }
    if (!j->by_bytes)
        return number_of(by, &item->score) ? OK : ERR_NOT_FLOAT;
    if (j->by_pattern) {
        item->by_at = j->bytes.size;
        item->by_size = by.size;
        buf_append_slice(&j->bytes, by);
    } else {
        item->by_at = item->at;
        item->by_size = item->size;
    }
    return OK;
}

/* ---- Sorting ---- */

static int compare(const struct job *j, const struct item *a, const struct item *b)
{
    if (!j->by_bytes) {
        if (a->score != b->score)
            return a->score < b->score ? -1 : 1;
        return slice_compare(element_of(j, a), element_of(j, b));
    }
    if (a->by_missing || b->by_missing)
        return (int)b->by_missing - (int)a->by_missing;
    return slice_compare(slice_of(j->bytes.data + a->by_at, a->by_size),
                         slice_of(j->bytes.data + b->by_at, b->by_size));
}

static int compare_items(const void *x, const void *y, void *job)
{
    const struct job *j = job;
    const struct item *a = x, *b = y;
    int order = compare(j, a, b);

    if (order != 0)
        return j->options->descending ? -order : order;
    return (a->order > b->order) - (a->order < b->order);
}

/* ---- What is wanted ---- */

static struct sort_word *word_add(struct sort_result *r)
{
    if (r->count == r->capacity) {
        r->capacity = r->capacity != 0 ? r->capacity * 2 : 64;
        r->words = realloc(r->words, r->capacity * sizeof *r->words);
        check(r->words != NULL);
    }
    return &r->words[r->count++];
}

static void word_found(struct sort_result *r, struct slice value)
{
    *word_add(r) = (struct sort_word){.at = r->bytes.size, .size = value.size};
    buf_append_slice(&r->bytes, value);
}

static enum err answer(struct job *j, const struct item *item, struct sort_result *out)
{
    struct slice element = element_of(j, item), value;

    if (j->options->get_count == 0)
        word_found(out, element);
    for (size_t i = 0; i < j->options->get_count; i++) {
        struct slice pattern = j->options->gets[i];
        enum err e;

        if (slice_equal(pattern, SLICE_LITERAL("#"))) {
            word_found(out, element);
            continue;
        }
        e = look_up(j, pattern, element, &value);
        if (e == OK)
            word_found(out, value);
        else if (e == ERR_NOT_FOUND)
            *word_add(out) = (struct sort_word){.missing = true};
        else
            return e;
    }
    return OK;
}

static enum err run(struct job *j, struct slice key, struct sort_result *out)
{
    const struct sort_options *options = j->options;

    j->skip = options->offset > 0 ? (uint64_t)options->offset : 0;
    j->want = options->limit >= 0 ? (uint64_t)options->limit : UINT64_MAX;
    TRY(load(j, key));
    if (j->sorted) {
        for (size_t i = 0; i < j->count; i++)
            TRY(weigh(j, &j->items[i]));
        if (j->count > 1)
            qsort_r(j->items, j->count, sizeof *j->items, compare_items, j);
        cut(j);
    }
    for (size_t i = j->begin; i < j->count; i++)
        TRY(answer(j, &j->items[i], out));
    return OK;
}

enum err sort_run(struct txn *t, struct slice key, const struct sort_options *options, struct sort_result *out)
{
    struct job j = {.txn = t, .options = options};
    enum err e = run(&j, key, out);

    free(j.items);
    buf_free(&j.bytes);
    buf_free(&j.key);
    buf_free(&j.scratch);
    return e;
}

enum err sort_store(struct txn *t, struct slice key, const struct sort_result *result)
{
    struct slice *elements = malloc((result->count + 1) * sizeof *elements);
    enum err e;

    check(elements != NULL);
    for (size_t i = 0; i < result->count; i++)
        elements[i] = sort_result_at(result, i);
    e = list_store_all(t, key, elements, result->count);
    free(elements);
    return e;
}
