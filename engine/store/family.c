/*
 * family.c - column families: one generation of one logical database each, named "u<uid>.<born>".
 *
 * (1) Creating and dropping a family is durable at once.
 * (2) Of two generations of one uid, the newest counts; a crash between create and drop leaves both, and open drops
 *     the older.
 */
#include "engine/store/store_priv.h"

#include "base/check.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool name_parse(const char *name, unsigned *uid, lsn_t *born)
{
    int end = 0;

    return sscanf(name, "u%u.%lu%n", uid, born, &end) == 2 && name[end] == '\0' && *uid < FAMILY_UIDS_MAX;
}

static struct family *family_new(rocksdb_column_family_handle_t *handle, unsigned uid, lsn_t born)
{
    struct family *f = calloc(1, sizeof *f);

    check(f != NULL);
    f->handle = handle;
    f->uid = uid;
    f->born = born;
    return f;
}

static void end_raise(struct store *s, unsigned uid)
{
    if (atomic_load(&s->families_end) <= uid)
        atomic_store(&s->families_end, uid + 1);
}

/* Makes f current if it is the newest of its uid; whichever generation loses is dropped. */
static enum err keep_newest(struct store *s, struct family *f)
{
    struct family *other = atomic_load(&s->families[f->uid]), *loser = f;

    if (other == NULL || other->born < f->born) {
        atomic_store(&s->families[f->uid], f);
        end_raise(s, f->uid);
        loser = other;
    }
    if (loser == NULL)
        return OK;
    if (s->read_only) {
        rocksdb_column_family_handle_destroy(loser->handle);
        free(loser);
        return OK;
    }
    log_event(LOG_NOTICE, "store: drops generation %lu of database family %u", (unsigned long)loser->born, loser->uid);
    return store_family_drop(s, loser);
}

enum err family_open_all(struct store *s)
{
    char *error = NULL, **names = NULL;
    const char *only_default[] = {"default"};
    const char **open_names;
    size_t count = 0;
    const rocksdb_options_t **options = NULL;
    rocksdb_column_family_handle_t **handles = NULL;
    enum err e = OK;

    names = rocksdb_list_column_families(s->options, s->path, &count, &error);
    if (error != NULL && s->read_only) {
        rocksdb_free(error);
        return err_set(ERR_NOT_FOUND, "%s: there is no database", s->path);
    }
    if (error != NULL) { /* a new database */
        rocksdb_free(error);
        error = NULL;
        rocksdb_list_column_families_destroy(names, count);
        names = NULL;
        count = 1;
    }
    open_names = names != NULL ? (const char **)names : only_default;
    options = calloc(count, sizeof *options);
    handles = calloc(count, sizeof *handles);
    check(options != NULL && handles != NULL);
    for (size_t i = 0; i < count; i++)
        options[i] = s->options;
    if (s->read_only)
        s->db = rocksdb_open_for_read_only_column_families(s->options, s->path, (int)count, open_names, options, handles,
                                                           0, &error);
    else
        s->db = rocksdb_open_column_families(s->options, s->path, (int)count, open_names, options, handles, &error);
    if (error != NULL) {
        e = store_error(error, "open the database");
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        unsigned uid;
        lsn_t born;

        if (strcmp(open_names[i], "default") == 0) {
            s->meta = handles[i];
        } else if (name_parse(open_names[i], &uid, &born)) {
            enum err kept = keep_newest(s, family_new(handles[i], uid, born));

            if (e == OK)
                e = kept;
        } else {
            rocksdb_column_family_handle_destroy(handles[i]);
            if (e == OK)
                e = err_set(ERR_CORRUPT, "the database has a family \"%s\" that is not ours", open_names[i]);
        }
    }
done:
    if (names != NULL)
        rocksdb_list_column_families_destroy(names, count);
    free(options);
    free(handles);
    return e;
}

struct family *store_family(struct store *s, unsigned uid)
{
    check(uid < FAMILY_UIDS_MAX);
    return atomic_load_explicit(&s->families[uid], memory_order_acquire);
}

lsn_t store_family_born(const struct family *f)
{
    return f->born;
}

struct family *family_put(struct store *s, rocksdb_column_family_handle_t *handle, unsigned uid, lsn_t born)
{
    struct family *old;

    pthread_mutex_lock(&s->lock);
    old = atomic_exchange(&s->families[uid], family_new(handle, uid, born));
    end_raise(s, uid);
    pthread_mutex_unlock(&s->lock);
    return old;
}

enum err store_family_create(struct store *s, unsigned uid, lsn_t born, struct family **old)
{
    char name[FAMILY_NAME_BYTES], *error = NULL;
    rocksdb_column_family_handle_t *handle;

    check(uid < FAMILY_UIDS_MAX);
    snprintf(name, sizeof name, "u%u.%lu", uid, (unsigned long)born);
    handle = rocksdb_create_column_family(s->db, s->options, name, &error);
    if (error != NULL)
        return store_error(error, "create a family");
    *old = family_put(s, handle, uid, born);
    return OK;
}

/* Lets the lock go; frees a generation that is gone and has no user. */
static void release(struct store *s, struct family *f)
{
    bool last = f->gone && f->users == 0;

    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    rocksdb_column_family_handle_destroy(f->handle);
    free(f);
}

enum err store_family_drop(struct store *s, struct family *f)
{
    char *error = NULL;

    rocksdb_drop_column_family(s->db, f->handle, &error);
    pthread_mutex_lock(&s->lock);
    f->gone = true;
    release(s, f);
    return store_error(error, "drop a family");
}

void store_compact(struct store *s, unsigned uid, struct slice from, struct slice to)
{
    rocksdb_compactoptions_t *options;
    struct family *f;

    check(uid < FAMILY_UIDS_MAX);
    pthread_mutex_lock(&s->lock);
    if ((f = atomic_load(&s->families[uid])) != NULL)
        f->users++;
    pthread_mutex_unlock(&s->lock);
    if (f == NULL)
        return;
    options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0); /* or no other compaction would run meanwhile */
    rocksdb_compact_range_cf_opt(s->db, f->handle, options, (const char *)from.data, from.size, (const char *)to.data, to.size);
    rocksdb_compactoptions_destroy(options);
    pthread_mutex_lock(&s->lock);
    f->users--;
    release(s, f);
}

enum err store_family_remove(struct store *s, unsigned uid)
{
    struct family *old;

    check(uid < FAMILY_UIDS_MAX);
    old = atomic_exchange(&s->families[uid], NULL);
    return old != NULL ? store_family_drop(s, old) : OK;
}
