/*
 * repl_held.c - checkpoints in DIR/copies/<id>/, from the first replica that needs one to a while after the last.
 *
 * (1) The log is held from before the position, so whoever has the files can go on from there.
 * (2) One is taken at a time; who comes meanwhile gets the same.
 * (3) One that lies far behind the log's end is not given to a newcomer: it would have the more to catch up.
 */
#include "server/drive/repl_held.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "server/drive/repl_priv.h"

enum { BEHIND_MAX = 64 << 20 };

struct helds {
    struct repl *repl;
    char dir[VFS_PATH_MAX];
    pthread_mutex_t taking; /* before lock */
    pthread_mutex_t lock;
    struct held *first; /* the newest */
};

/* ---- Folders ---- */

void folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL) {
        char inside[VFS_PATH_MAX];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name) >= (int)sizeof inside)
            continue;
        if (unlink(inside) != 0)
            folder_remove(inside);
    }
    closedir(folder);
    (void)rmdir(path);
}

/* ---- One ---- */

static void held_free(struct repl *r, struct held *h)
{
    folder_remove(h->dir);
    if (h->hold >= 0)
        wal_hold_drop(r->wal, h->hold);
    buf_free(&h->manifest);
    free(h->file_bytes);
    free(h);
}

static void describe(struct held *h, const struct set_checkpoint *c, int selected)
{
    copy_manifest_append(&h->manifest, c, selected);
    h->lsn = c->lsn;
    h->bytes = set_checkpoint_bytes(c);
    h->files = 0;
    h->file_bytes = calloc(set_checkpoint_files(c) + 1, sizeof *h->file_bytes);
    check(h->file_bytes != NULL);
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; k < c->dbs[i].list.count; k++)
            h->file_bytes[h->files++] = c->dbs[i].list.files[k].bytes;
}

static enum err take_files(struct helds *all, struct held *h)
{
    struct repl *r = all->repl;
    struct set_checkpoint c = {0};
    struct history history;

    (void)mkdir(all->dir, 0755);
    if (mkdir(h->dir, 0755) != 0)
        return err_set(errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, "%s: %s", h->dir, strerror(errno));
    wal_history(r->wal, &history);
    memcpy(h->replid, history.replid, sizeof h->replid);
    h->hold = wal_hold(r->wal, wal_tail(r->wal));
    if (h->hold < 0)
        return err_set(ERR_IO, "the log is held by too many");
    if (!node_is_replica(r->node))
        wal_select_again(r->wal);
    TRY(set_checkpoint_take(node_set(r->node), h->dir, &c));
    describe(h, &c, repl_selected_at(r, c.lsn));
    log_event(LOG_NOTICE, "copy_checkpoint_taken id=%.8s position=%llu files=%zu bytes=%llu paused_us=%llu", h->id,
              (unsigned long long)h->lsn, h->files, (unsigned long long)h->bytes, (unsigned long long)c.pause_us);
    set_checkpoint_free(&c);
    return OK;
}

static enum err take(struct helds *all, struct held **out)
{
    struct repl *r = all->repl;
    struct held *h;
    uint64_t random;
    struct rng rng;
    enum err e;

    if (wal_space_low(r->wal))
        return err_set(ERR_NO_SPACE, "the disk has less than disk-free-min left");
    h = calloc(1, sizeof *h);
    check(h != NULL && getrandom(&random, sizeof random, 0) == sizeof random);
    rng_seed(&rng, random);
    rng_hex(&rng, h->id, COPY_ID_BYTES);
    h->hold = -1;
    h->users = 1;
    if (snprintf(h->dir, sizeof h->dir, "%s/%s", all->dir, h->id) >= (int)sizeof h->dir)
        e = err_set(ERR_IO, "the path of the data is too long");
    else
        e = take_files(all, h);
    if (e != OK) {
        char text[512];

        snprintf(text, sizeof text, "%s", err_text());
        held_free(r, h);
        return err_set(e, "%s", text);
    }
    pthread_mutex_lock(&all->lock);
    h->next = all->first;
    all->first = h;
    pthread_mutex_unlock(&all->lock);
    *out = h;
    return OK;
}

/* ---- All ---- */

static bool of_history(struct repl *r, const struct held *h)
{
    struct history history;

    wal_history(r->wal, &history);
    return strcmp(history.replid, h->replid) == 0;
}

static bool is_young(struct repl *r, const struct held *h)
{
    return wal_tail(r->wal) - h->lsn < (h->bytes / 2 > BEHIND_MAX ? h->bytes / 2 : BEHIND_MAX);
}

static struct held *find(struct helds *all, const struct copy_place *known)
{
    struct held *found = NULL;

    pthread_mutex_lock(&all->lock);
    for (struct held *h = all->first; h != NULL && known->id[0] != '\0'; h = h->next)
        if (strcmp(h->id, known->id) == 0 && of_history(all->repl, h))
            found = h;
    if (found == NULL && all->first != NULL && of_history(all->repl, all->first) && is_young(all->repl, all->first))
        found = all->first;
    if (found != NULL)
        found->users++;
    pthread_mutex_unlock(&all->lock);
    return found;
}

enum err held_get(struct helds *all, const struct copy_place *known, struct held **out)
{
    struct held *h;
    enum err e = OK;

    pthread_mutex_lock(&all->taking);
    h = find(all, known);
    if (h == NULL)
        e = take(all, &h);
    pthread_mutex_unlock(&all->taking);
    if (e == OK)
        *out = h;
    return e;
}

void held_put(struct helds *all, struct held *h)
{
    pthread_mutex_lock(&all->lock);
    check(h->users > 0);
    if (--h->users == 0)
        h->unused_ms = node_now(all->repl->node);
    pthread_mutex_unlock(&all->lock);
}

void helds_tick(struct helds *all, msec_t now_ms)
{
    struct held *gone = NULL;
    bool low = wal_space_low(all->repl->wal);
    msec_t hold_ms = atomic_load(&all->repl->settings.copy_hold_ms);

    pthread_mutex_lock(&all->lock);
    for (struct held **at = &all->first; *at != NULL;) {
        struct held *h = *at;

        if (h->users > 0 || (!low && now_ms - h->unused_ms < hold_ms && of_history(all->repl, h))) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        h->next = gone;
        gone = h;
    }
    pthread_mutex_unlock(&all->lock);
    while (gone != NULL) {
        struct held *next = gone->next;

        log_event(LOG_NOTICE, "copy_checkpoint_dropped id=%.8s space_low=%d", gone->id, low);
        held_free(all->repl, gone);
        gone = next;
    }
}

void helds_figures(struct helds *all, size_t *count, uint64_t *bytes)
{
    *count = 0;
    *bytes = 0;
    pthread_mutex_lock(&all->lock);
    for (const struct held *h = all->first; h != NULL; h = h->next) {
        *count += 1;
        *bytes += h->bytes;
    }
    pthread_mutex_unlock(&all->lock);
}

struct helds *helds_open(struct repl *r)
{
    struct helds *all = calloc(1, sizeof *all);

    check(all != NULL);
    all->repl = r;
    pthread_mutex_init(&all->taking, NULL);
    pthread_mutex_init(&all->lock, NULL);
    vfs_path(all->dir, node_dir(r->node), "copies");
    folder_remove(all->dir);
    return all;
}

void helds_close(struct helds *all)
{
    if (all == NULL)
        return;
    for (struct held *h = all->first, *next; h != NULL; h = next) {
        next = h->next;
        held_free(all->repl, h);
    }
    folder_remove(all->dir);
    pthread_mutex_destroy(&all->taking);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
