/*
 * keys.c - key specifications applied to words. What the specifications cannot say (SORT's STORE, MIGRATE's empty key)
 * is said here by name.
 */
#include "server/run/keys.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"

static void add(struct key_places *k, size_t index, unsigned flags)
{
    if (k->count == KEY_PLACES_INLINE && k->more == NULL) {
        k->capacity = 4 * KEY_PLACES_INLINE;
        k->more = malloc(k->capacity * sizeof *k->more);
        check(k->more != NULL);
        memcpy(k->more, k->few, sizeof k->few);
    } else if (k->more != NULL && k->count == k->capacity) {
        k->capacity *= 2;
        k->more = realloc(k->more, k->capacity * sizeof *k->more);
        check(k->more != NULL);
    }
    (k->more != NULL ? k->more : k->few)[k->count++] = (struct key_place){(uint32_t)index, (uint16_t)flags};
}

void key_places_free(struct key_places *k)
{
    free(k->more);
    k->more = NULL;
    k->count = k->capacity = 0;
}

static enum err find_range(const struct key_spec *spec, size_t first, size_t argc, struct key_places *k)
{
    size_t last;

    if (first >= argc)
        return ERR_INVALID;
    if (spec->last >= 0) {
        last = first + (size_t)spec->last;
    } else {
        if ((size_t)-spec->last > argc - first)
            return ERR_INVALID;
        last = argc - (size_t)-spec->last;
        /* limit n: only the first 1/n of what is left are keys (XREAD). */
        if (spec->limit > 1)
            last = first + (argc - first) / (size_t)spec->limit - 1;
    }
    if (last >= argc || last + 1 < first + 1)
        return ERR_INVALID;
    for (size_t i = first; i <= last; i += (size_t)(spec->step > 0 ? spec->step : 1))
        add(k, i, spec->flags);
    return OK;
}

static enum err find_keynum(const struct key_spec *spec, size_t begin, const struct slice *argv, size_t argc,
                            struct key_places *k)
{
    size_t number_at = begin + (size_t)spec->number_at, first = begin + (size_t)spec->first_at;
    size_t step = (size_t)(spec->step > 0 ? spec->step : 1);
    int64_t number;

    if (number_at >= argc || !num_parse_i64(argv[number_at], &number) || number < 0)
        return ERR_INVALID;
    if (number > 0 && (first >= argc || (uint64_t)number > (argc - first + step - 1) / step))
        return ERR_INVALID;
    for (size_t i = 0; i < (size_t)number; i++)
        add(k, first + i * step, spec->flags);
    return OK;
}

/* Where the keyword's keys begin; 0 if the word is absent. */
static size_t keyword_begin(const struct key_spec *spec, const struct slice *argv, size_t argc)
{
    if (spec->position >= 0) {
        for (size_t i = (size_t)spec->position; i + 1 < argc; i++)
            if (slice_is(argv[i], spec->keyword))
                return i + 1;
    } else if ((size_t)-spec->position <= argc) {
        for (size_t i = argc - (size_t)-spec->position; i > 0; i--)
            if (slice_is(argv[i], spec->keyword))
                return i + 1;
    }
    return 0;
}

/* SORT key [...] STORE destination: the last STORE counts. */
static void sort_store(const struct slice *argv, size_t argc, struct key_places *k)
{
    size_t store = 0;

    for (size_t i = 2; i < argc; i++) {
        if (slice_is(argv[i], "limit"))
            i += 2;
        else if (slice_is(argv[i], "get") || slice_is(argv[i], "by"))
            i += 1;
        else if (slice_is(argv[i], "store") && i + 1 < argc)
            store = ++i;
    }
    if (store != 0)
        add(k, store, KEY_OW | KEY_UPDATE);
}

/* MIGRATE host port key|"" db timeout [...] [KEYS key ...]: with KEYS the third word is empty and no key. */
static void migrate_keys(const struct slice *argv, size_t argc, struct key_places *k)
{
    unsigned flags = KEY_RW | KEY_ACCESS | KEY_DELETE;
    size_t i = 6;

    for (; i < argc; i++) {
        if (slice_is(argv[i], "keys"))
            break;
        if (slice_is(argv[i], "auth"))
            i += 1;
        else if (slice_is(argv[i], "auth2"))
            i += 2;
    }
    if (argv[3].size == 0 && i < argc) {
        while (++i < argc)
            add(k, i, flags);
        return;
    }
    add(k, 3, flags);
}

enum err keys_find(const struct command *c, const struct slice *argv, size_t argc, struct key_places *k)
{
    const struct command_facts *facts = c->facts;

    k->count = 0;
    if (c->single_key > 0) {
        if ((size_t)c->single_key < argc)
            add(k, (size_t)c->single_key, facts->specs[0].flags);
        return OK;
    }
    if (facts->spec_count == 0)
        return OK;
    if (strcmp(c->name, "migrate") == 0) {
        migrate_keys(argv, argc, k);
        return OK;
    }
    for (size_t i = 0; i < facts->spec_count; i++) {
        const struct key_spec *spec = &facts->specs[i];
        size_t begin = 0;

        if (spec->begin == KEY_BEGIN_UNKNOWN || spec->find == KEY_FIND_UNKNOWN)
            continue;
        if (spec->begin == KEY_BEGIN_KEYWORD) {
            if ((begin = keyword_begin(spec, argv, argc)) == 0)
                continue;
        } else {
            begin = (size_t)spec->position;
        }
        if (spec->find == KEY_FIND_RANGE)
            TRY(find_range(spec, begin, argc, k));
        else
            TRY(find_keynum(spec, begin, argv, argc, k));
    }
    if (strcmp(c->name, "sort") == 0)
        sort_store(argv, argc, k);
    return OK;
}

bool keys_everywhere(const struct command *c, const struct slice *argv, size_t argc, bool cluster)
{
    if ((c->how & COMMAND_ALL_SLOTS) == 0)
        return false;
    if (strcmp(c->name, "sort") != 0 && strcmp(c->name, "sort_ro") != 0)
        return true;
    for (size_t i = 2; i + 1 < argc && !cluster; i++)
        if ((slice_is(argv[i], "by") || slice_is(argv[i], "get")) && argv[i + 1].size > 0 &&
            memchr(argv[i + 1].data, '*', argv[i + 1].size) != NULL)
            return true;
    return false;
}
