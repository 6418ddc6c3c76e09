/*
 * disk.c - what the disk would forget, kept so that a cut can take it back.
 *
 * (1) Of a file: the size that is durable, and the old bytes of whatever overwrote them, the youngest first.
 * (2) Of a folder: each create, unlink, rename and mkdir in it, the youngest first. What one of them would destroy lives on
 *     under a hidden name.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 65536 };

struct old_bytes { /* What stood at offset before it was overwritten. */
    struct old_bytes *older;
    off_t offset;
    size_t count;
    char bytes[];
};

struct file { /* Found by (device, inode). */
    dev_t dev;
    ino_t ino;
    bool used;
    bool dirty;
    off_t durable_size;
    int fd; /* a descriptor of our own while dirty, else -1 */
    struct old_bytes *old;
    struct file *next_dirty;
};

pthread_mutex_t disk_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char root[PATH_MAX / 2]; /* "" while the shim sleeps */
static size_t root_length;
static struct file files[FILES_MAX];
static struct file *dirty_files;
static struct change *changes;
static unsigned hidden_count;
static uint64_t seed;

void disk_complain(const char *what, const char *path)
{
    char text[PATH_MAX + 128];
    int n = snprintf(text, sizeof text, "powercut: %s %s\n", what, path);

    REAL(write)(2, text, (size_t)n);
}

static void *must_alloc(size_t size)
{
    void *p = calloc(1, size);

    if (p == NULL)
        abort();
    return p;
}

/* ---- Paths ---- */

/* The absolute path without "." and "..": false when it is not below root. */
bool disk_path(int folder, const char *path, char out[PATH_MAX])
{
    char joined[2 * PATH_MAX];
    size_t length = 0;

    if (root_length == 0 || path == NULL)
        return false;
    if (path[0] == '/') {
        snprintf(joined, sizeof joined, "%s", path);
    } else {
        char base[PATH_MAX];

        if (folder == AT_FDCWD) {
            if (getcwd(base, sizeof base) == NULL)
                return false;
        } else {
            char link_name[64];
            ssize_t n;

            snprintf(link_name, sizeof link_name, "/proc/self/fd/%d", folder);
            if ((n = readlink(link_name, base, sizeof base - 1)) < 0)
                return false;
            base[n] = '\0';
        }
        snprintf(joined, sizeof joined, "%s/%s", base, path);
    }
    for (const char *at = joined; *at != '\0';) {
        size_t part;

        while (*at == '/')
            at++;
        part = strcspn(at, "/");
        if (part == 2 && memcmp(at, "..", 2) == 0) {
            while (length > 0 && out[--length] != '/')
                ;
        } else if (part > 0 && !(part == 1 && *at == '.')) {
            if (length + part + 2 > PATH_MAX)
                return false;
            out[length++] = '/';
            memcpy(out + length, at, part);
            length += part;
        }
        at += part;
    }
    out[length] = '\0';
    if (strncmp(out, root, root_length) != 0 || out[root_length] != '/' || strstr(out, "/.powercut") != NULL)
        return false;
    /* A log for people, never read back, is worth keeping: it tells what happened before the cut. */
    return strncmp(strrchr(out, '/'), "/LOG", 4) != 0 || strstr(strrchr(out, '/'), "LOCK") != NULL;
}

static bool same_folder(const char *path, const char *folder)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);

    return strlen(folder) == length && memcmp(path, folder, length) == 0;
}

void disk_hidden_name(char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/.powercut/%u", root, hidden_count++);
}

/* ---- Files ---- */

struct file *disk_file(int fd, bool fresh)
{
    struct stat st;
    size_t at;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return NULL;
    at = (size_t)(st.st_ino * 0x9e3779b97f4a7c15u >> 40) % FILES_MAX;
    for (size_t tries = 0; tries < FILES_MAX; tries++, at = (at + 1) % FILES_MAX) {
        struct file *f = &files[at];

        if (!f->used) {
            *f = (struct file){.dev = st.st_dev, .ino = st.st_ino, .used = true, .fd = -1,
                               .durable_size = fresh ? 0 : st.st_size};
            return f;
        }
        if (f->ino == st.st_ino && f->dev == st.st_dev) {
            if (fresh && !f->dirty)
                f->durable_size = 0; /* the inode number came back with a new file */
            return f;
        }
    }
    abort();
}

static void forget_old(struct file *f)
{
    while (f->old != NULL) {
        struct old_bytes *older = f->old->older;

        free(f->old);
        f->old = older;
    }
}

static void mark_dirty(struct file *f, int fd)
{
    char name[64];

    if (f->dirty)
        return;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if ((f->fd = REAL(open)(name, O_RDWR | O_CLOEXEC)) < 0) {
        disk_complain("cannot open again", name);
        abort();
    }
    f->dirty = true;
    f->next_dirty = dirty_files;
    dirty_files = f;
}

/* Before bytes [offset, offset + count) change: keeps those of them that are durable. */
void disk_keep_old(struct file *f, int fd, off_t offset, off_t count)
{
    off_t end = offset + count < f->durable_size ? offset + count : f->durable_size;

    mark_dirty(f, fd);
    if (offset < end) {
        struct old_bytes *o = must_alloc(sizeof *o + (size_t)(end - offset));
        ssize_t n = pread(f->fd, o->bytes, (size_t)(end - offset), offset);

        o->offset = offset;
        o->count = n > 0 ? (size_t)n : 0;
        o->older = f->old;
        f->old = o;
    }
}

void disk_keep_behind(struct file *f, int fd, off_t size)
{
    disk_keep_old(f, fd, size, f->durable_size > size ? f->durable_size - size : 0);
}

void disk_make_durable(struct file *f)
{
    struct stat st;

    if (!f->dirty)
        return;
    if (fstat(f->fd, &st) == 0)
        f->durable_size = st.st_size;
    forget_old(f);
    REAL(close)(f->fd);
    f->fd = -1;
    f->dirty = false;
    for (struct file **at = &dirty_files; *at != NULL; at = &(*at)->next_dirty)
        if (*at == f) {
            *at = f->next_dirty;
            break;
        }
}

static bool is_sync_fd(int fd)
{
    return (fcntl(fd, F_GETFL) & (O_SYNC | O_DSYNC)) != 0;
}

void disk_before_write(int fd, off_t offset, off_t count)
{
    struct file *f = disk_file(fd, false);

    if (f == NULL)
        return;
    if (offset < 0) {
        struct stat st;

        if (fcntl(fd, F_GETFL) & O_APPEND)
            offset = fstat(fd, &st) == 0 ? st.st_size : 0;
        else
            offset = lseek(fd, 0, SEEK_CUR);
    }
    disk_keep_old(f, fd, offset, count);
}

void disk_after_write(int fd)
{
    if (is_sync_fd(fd))
        disk_make_durable(disk_file(fd, false));
}

/* ---- Folders ---- */

struct change *disk_remember(enum change_kind kind, const char *path)
{
    struct change *c = must_alloc(sizeof *c);

    c->kind = kind;
    snprintf(c->path, sizeof c->path, "%s", path);
    c->older = changes;
    changes = c;
    return c;
}

void disk_folder_durable(const char *folder)
{
    for (struct change **at = &changes; *at != NULL;) {
        struct change *c = *at;

        if (same_folder(c->path, folder)) {
            if (c->hidden[0] != '\0')
                REAL(unlink)(c->hidden);
            *at = c->older;
            free(c);
        } else {
            at = &c->older;
        }
    }
}

/* ---- The cut ---- */

static uint64_t random_next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void undo_change(const struct change *c)
{
    switch (c->kind) {
    case CREATED:
        REAL(unlink)(c->path);
        break;
    case UNLINKED:
        REAL(rename)(c->hidden, c->path);
        break;
    case RENAMED:
        REAL(rename)(c->path, c->from);
        if (c->hidden[0] != '\0')
            REAL(rename)(c->hidden, c->path);
        break;
    case MADE_DIR:
        rmdir(c->path);
        break;
    }
}

static void undo_file(struct file *f)
{
    struct stat st;
    off_t size = f->durable_size;

    if (fstat(f->fd, &st) == 0 && seed != 0 && f->old == NULL && st.st_size > size)
        size += (off_t)(random_next() % (uint64_t)(st.st_size - size + 1));
    if (REAL(ftruncate)(f->fd, size) != 0)
        disk_complain("cannot truncate", strerror(errno));
    for (struct old_bytes *o = f->old; o != NULL; o = o->older)
        if (REAL(pwrite)(f->fd, o->bytes, o->count, o->offset) != (ssize_t)o->count)
            disk_complain("cannot restore", strerror(errno));
}

static void cut(void)
{
    size_t count = 0, undo;
    char text[128];
    int n;

    pthread_mutex_lock(&disk_lock); /* for ever: nobody writes any more */
    for (struct change *c = changes; c != NULL; c = c->older)
        count++;
    undo = seed == 0 ? count : random_next() % (count + 1);
    for (struct file *f = dirty_files; f != NULL; f = f->next_dirty)
        undo_file(f);
    n = snprintf(text, sizeof text, "powercut: the power is cut; %zu of %zu folder changes lost\n", undo, count);
    REAL(write)(2, text, (size_t)n);
    for (struct change *c = changes; c != NULL && undo > 0; c = c->older, undo--)
        undo_change(c);
    _exit(99);
}

static void *wait_for_cut(void *path)
{
    char byte;
    int fd = REAL(open)(path, O_RDWR | O_CLOEXEC); /* also a writer, so that read waits for one */

    if (fd < 0) {
        disk_complain("cannot open", path);
        return NULL;
    }
    if (read(fd, &byte, 1) == 1)
        cut();
    return NULL;
}

void disk_begin(const char *folder, const char *fifo, uint64_t keep)
{
    char hidden[PATH_MAX], whole[PATH_MAX];
    pthread_t thread;

    if (realpath(folder, whole) == NULL || strlen(whole) >= sizeof root)
        return;
    memcpy(root, whole, strlen(whole) + 1);
    seed = keep;
    root_length = strlen(root);
    snprintf(hidden, sizeof hidden, "%s/.powercut", root);
    REAL(mkdir)(hidden, 0700);
    hidden_count = (unsigned)getpid() * 100000u;
    if (pthread_create(&thread, NULL, wait_for_cut, strdup(fifo)) != 0)
        abort();
}

bool disk_awake(void)
{
    return root_length > 0;
}
