/*
 * powercut.c - a disk that forgets what was not synced. Loaded with LD_PRELOAD into a server.
 *
 * Below the folder POWERCUT_DIR every change goes through to the file system, and what would be needed to take it back is
 * kept until an fsync makes it durable:
 *
 * (1) Of a file: the size that is durable, and the old bytes of whatever overwrote them. fsync, fdatasync, an O_SYNC
 *     write forget them. sync_file_range makes nothing durable.
 * (2) Of a folder: each create, link, unlink, rename and mkdir in it. fsync of the folder forgets them. What an unlink or
 *     rename would destroy lives on under a hidden name in POWERCUT_DIR/.powercut until then.
 * (3) When a byte arrives on the FIFO POWERCUT_FIFO, everything not yet durable is taken back, youngest first, and the
 *     process ends at once with status 99, as if the plug had been pulled.
 *
 * POWERCUT_KEEP=N with N > 0: appended bytes survive in part: a prefix, whose length comes from the seed N. And of the
 * folder changes, the younger ones are lost and the older kept, as a journal would. 0: everything unsynced is lost.
 *
 * POWERCUT_BOOT=UUID: what the program reads as the kernel's boot id, so that a start after a cut looks like one.
 *
 * One lock around everything: tests care for truth, not speed. Writes by stdio are not seen (glibc does not call write
 * through its table), so files written so count as durable; of mappings a shared writable one is reported on stderr.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real_##name)
#define DECLARE(name) static void *real_##name
#define RESOLVE(name) real_##name = dlsym(RTLD_NEXT, #name)

enum { FDS_MAX = 65536, FILES_MAX = 65536 };

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

enum change_kind { CREATED, UNLINKED, RENAMED, MADE_DIR };

struct change { /* Of a folder; the youngest first. */
    struct change *older;
    enum change_kind kind;
    char path[PATH_MAX];   /* created, unlinked, made: the name. renamed: the new name */
    char from[PATH_MAX];   /* renamed: the old name */
    char hidden[PATH_MAX]; /* where the destroyed file lives on, or "" */
};

DECLARE(open);
DECLARE(openat);
DECLARE(creat);
DECLARE(close);
DECLARE(write);
DECLARE(pwrite);
DECLARE(writev);
DECLARE(pwritev);
DECLARE(fsync);
DECLARE(fdatasync);
DECLARE(ftruncate);
DECLARE(fallocate);
DECLARE(posix_fallocate);
DECLARE(rename);
DECLARE(renameat);
DECLARE(unlink);
DECLARE(unlinkat);
DECLARE(link);
DECLARE(mkdir);
DECLARE(fopen);
DECLARE(dup);
DECLARE(dup2);
DECLARE(sync_file_range);

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char root[PATH_MAX / 2]; /* "" while the shim sleeps */
static size_t root_length;
static struct file files[FILES_MAX];
static struct file *dirty_files;
static struct change *changes;
static unsigned char tracked[FDS_MAX]; /* the descriptor is a regular file below root */
static unsigned hidden_count;
static uint64_t seed;
static bool resolved;

static void resolve(void)
{
    RESOLVE(open);
    RESOLVE(openat);
    RESOLVE(creat);
    RESOLVE(close);
    RESOLVE(write);
    RESOLVE(pwrite);
    RESOLVE(writev);
    RESOLVE(pwritev);
    RESOLVE(fsync);
    RESOLVE(fdatasync);
    RESOLVE(ftruncate);
    RESOLVE(fallocate);
    RESOLVE(posix_fallocate);
    RESOLVE(rename);
    RESOLVE(renameat);
    RESOLVE(unlink);
    RESOLVE(unlinkat);
    RESOLVE(link);
    RESOLVE(mkdir);
    RESOLVE(fopen);
    RESOLVE(dup);
    RESOLVE(dup2);
    RESOLVE(sync_file_range);
    resolved = true;
}

static inline void ready(void)
{
    if (!resolved)
        resolve();
}

static void complain(const char *what, const char *path)
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
static bool path_below(int folder, const char *path, char out[PATH_MAX])
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

static void hidden_name(char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/.powercut/%u", root, hidden_count++);
}

/* ---- Files ---- */

static struct file *file_of(int fd, bool fresh)
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
        complain("cannot open again", name);
        abort();
    }
    f->dirty = true;
    f->next_dirty = dirty_files;
    dirty_files = f;
}

/* Before bytes [offset, offset + count) change: keeps those of them that are durable. */
static void keep_old(struct file *f, int fd, off_t offset, off_t count)
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

static void make_durable(struct file *f)
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

static bool is_tracked(int fd)
{
    return fd >= 0 && fd < FDS_MAX && tracked[fd];
}

static bool is_sync_fd(int fd)
{
    return (fcntl(fd, F_GETFL) & (O_SYNC | O_DSYNC)) != 0;
}

static void before_write(int fd, off_t offset, off_t count)
{
    struct file *f = file_of(fd, false);

    if (f == NULL)
        return;
    if (offset < 0) {
        struct stat st;

        if (fcntl(fd, F_GETFL) & O_APPEND)
            offset = fstat(fd, &st) == 0 ? st.st_size : 0;
        else
            offset = lseek(fd, 0, SEEK_CUR);
    }
    keep_old(f, fd, offset, count);
}

static void after_write(int fd)
{
    if (is_sync_fd(fd))
        make_durable(file_of(fd, false));
}

/* ---- Folders ---- */

static struct change *remember(enum change_kind kind, const char *path)
{
    struct change *c = must_alloc(sizeof *c);

    c->kind = kind;
    snprintf(c->path, sizeof c->path, "%s", path);
    c->older = changes;
    changes = c;
    return c;
}

static void folder_durable(const char *folder)
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
        complain("cannot truncate", strerror(errno));
    for (struct old_bytes *o = f->old; o != NULL; o = o->older)
        if (REAL(pwrite)(f->fd, o->bytes, o->count, o->offset) != (ssize_t)o->count)
            complain("cannot restore", strerror(errno));
}

static void cut(void)
{
    size_t count = 0, undo;
    char text[128];
    int n;

    pthread_mutex_lock(&lock); /* for ever: nobody writes any more */
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
        complain("cannot open", path);
        return NULL;
    }
    if (read(fd, &byte, 1) == 1)
        cut();
    return NULL;
}

__attribute__((constructor)) static void start(void)
{
    const char *folder = getenv("POWERCUT_DIR"), *fifo = getenv("POWERCUT_FIFO"), *keep = getenv("POWERCUT_KEEP");
    char hidden[PATH_MAX], whole[PATH_MAX];
    pthread_t thread;

    ready();
    if (folder == NULL || fifo == NULL || realpath(folder, whole) == NULL || strlen(whole) >= sizeof root)
        return;
    memcpy(root, whole, strlen(whole) + 1);
    seed = keep == NULL ? 0 : strtoull(keep, NULL, 10);
    root_length = strlen(root);
    snprintf(hidden, sizeof hidden, "%s/.powercut", root);
    REAL(mkdir)(hidden, 0700);
    hidden_count = (unsigned)getpid() * 100000u;
    if (pthread_create(&thread, NULL, wait_for_cut, strdup(fifo)) != 0)
        abort();
}

/* ---- What the program calls ---- */

static int opened(int fd, const char *path, bool existed, int flags)
{
    struct stat st;

    if (fd < 0 || fd >= FDS_MAX)
        return fd;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return fd;
    tracked[fd] = 1;
    file_of(fd, !existed);
    if (!existed && (flags & O_CREAT))
        remember(CREATED, path);
    return fd;
}

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    struct stat st;
    bool existed;
    int fd;

    ready();
    if (!path_below(folder, path, full))
        return REAL(openat)(folder, path, flags, mode);
    pthread_mutex_lock(&lock);
    existed = stat(full, &st) == 0;
    if (existed && (flags & O_TRUNC) && S_ISREG(st.st_mode)) {
        int old = REAL(open)(full, O_RDWR | O_CLOEXEC);

        if (old >= 0) {
            struct file *f = file_of(old, false);

            keep_old(f, old, 0, st.st_size);
            REAL(close)(old);
        }
    }
    fd = opened(REAL(openat)(folder, path, flags, mode), full, existed, flags);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE_OF(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list ap; \
        va_start(ap, flags); \
        mode = va_arg(ap, mode_t); \
        va_end(ap); \
    }

int open(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_any(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_any(folder, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    ready();
    if (is_tracked(fd))
        tracked[fd] = 0;
    return REAL(close)(fd);
}

int dup(int fd)
{
    int copy;

    ready();
    copy = REAL(dup)(fd);
    if (is_tracked(fd) && copy >= 0 && copy < FDS_MAX)
        tracked[copy] = 1;
    return copy;
}

int dup2(int fd, int to)
{
    int copy;

    ready();
    copy = REAL(dup2)(fd, to);
    if (copy >= 0 && copy < FDS_MAX)
        tracked[copy] = (unsigned char)is_tracked(fd);
    return copy;
}

#define GUARDED(fd, offset, count, call) \
    ssize_t result; \
    ready(); \
    if (!is_tracked(fd)) \
        return call; \
    pthread_mutex_lock(&lock); \
    before_write(fd, offset, count); \
    result = call; \
    after_write(fd); \
    pthread_mutex_unlock(&lock); \
    return result

static off_t vector_bytes(const struct iovec *parts, int count)
{
    off_t total = 0;

    for (int i = 0; i < count; i++)
        total += (off_t)parts[i].iov_len;
    return total;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    GUARDED(fd, -1, (off_t)count, REAL(write)(fd, bytes, count));
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    GUARDED(fd, offset, (off_t)count, REAL(pwrite)(fd, bytes, count, offset));
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset)
{
    GUARDED(fd, offset, (off_t)count, REAL(pwrite)(fd, bytes, count, offset));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    GUARDED(fd, -1, vector_bytes(parts, count), REAL(writev)(fd, parts, count));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    GUARDED(fd, offset, vector_bytes(parts, count), REAL(pwritev)(fd, parts, count, offset));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    GUARDED(fd, offset, vector_bytes(parts, count), REAL(pwritev)(fd, parts, count, offset));
}

static int synced(int fd)
{
    struct stat st;
    char name[64], path[PATH_MAX];
    ssize_t n;

    if (root_length == 0 || fstat(fd, &st) != 0)
        return 0;
    pthread_mutex_lock(&lock);
    if (S_ISREG(st.st_mode) && is_tracked(fd)) {
        make_durable(file_of(fd, false));
    } else if (S_ISDIR(st.st_mode)) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        if ((n = readlink(name, path, sizeof path - 1)) > 0) {
            path[n] = '\0';
            folder_durable(path);
        }
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd)
{
    ready();
    return root_length == 0 ? REAL(fsync)(fd) : synced(fd);
}

int fdatasync(int fd)
{
    ready();
    return root_length == 0 ? REAL(fdatasync)(fd) : synced(fd);
}

int sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags)
{
    ready();
    return REAL(sync_file_range)(fd, offset, count, flags);
}

static int truncate_any(int fd, off_t size)
{
    struct file *f;
    int result;

    ready();
    if (!is_tracked(fd))
        return REAL(ftruncate)(fd, size);
    pthread_mutex_lock(&lock);
    if ((f = file_of(fd, false)) != NULL)
        keep_old(f, fd, size, f->durable_size > size ? f->durable_size - size : 0);
    result = REAL(ftruncate)(fd, size);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size)
{
    return truncate_any(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return truncate_any(fd, size);
}

static int allocate_any(int fd, int mode, off_t offset, off_t count)
{
    struct file *f;
    int result;

    ready();
    if (!is_tracked(fd))
        return REAL(fallocate)(fd, mode, offset, count);
    pthread_mutex_lock(&lock);
    if ((f = file_of(fd, false)) != NULL)
        keep_old(f, fd, offset, (mode & FALLOC_FL_PUNCH_HOLE) || (mode & FALLOC_FL_ZERO_RANGE) ? count : 0);
    result = REAL(fallocate)(fd, mode, offset, count);
    pthread_mutex_unlock(&lock);
    return result;
}

int fallocate(int fd, int mode, off_t offset, off_t count)
{
    return allocate_any(fd, mode, offset, count);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t count)
{
    return allocate_any(fd, mode, offset, count);
}

int posix_fallocate(int fd, off_t offset, off_t count)
{
    return allocate_any(fd, 0, offset, count) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t offset, off64_t count)
{
    return allocate_any(fd, 0, offset, count) == 0 ? 0 : errno;
}

static int rename_any(int from_folder, const char *from, int to_folder, const char *to)
{
    char old_path[PATH_MAX], new_path[PATH_MAX], hidden[PATH_MAX] = "";
    int result;

    ready();
    if (!path_below(to_folder, to, new_path) || !path_below(from_folder, from, old_path))
        return REAL(renameat)(from_folder, from, to_folder, to);
    pthread_mutex_lock(&lock);
    hidden_name(hidden);
    if (REAL(link)(new_path, hidden) != 0)
        hidden[0] = '\0';
    result = REAL(renameat)(from_folder, from, to_folder, to);
    if (result == 0) {
        struct change *c = remember(RENAMED, new_path);

        snprintf(c->from, sizeof c->from, "%s", old_path);
        snprintf(c->hidden, sizeof c->hidden, "%s", hidden);
    } else if (hidden[0] != '\0') {
        REAL(unlink)(hidden);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to)
{
    return rename_any(AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return rename_any(from_folder, from, to_folder, to);
}

static int unlink_any(int folder, const char *path, int flags)
{
    char full[PATH_MAX], hidden[PATH_MAX];
    int result;

    ready();
    if (flags != 0 || !path_below(folder, path, full))
        return REAL(unlinkat)(folder, path, flags);
    pthread_mutex_lock(&lock);
    hidden_name(hidden);
    if (REAL(link)(full, hidden) != 0)
        hidden[0] = '\0';
    result = REAL(unlinkat)(folder, path, flags);
    if (result == 0 && hidden[0] != '\0') {
        struct change *c = remember(UNLINKED, full);

        snprintf(c->hidden, sizeof c->hidden, "%s", hidden);
    } else if (hidden[0] != '\0') {
        REAL(unlink)(hidden);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path)
{
    return unlink_any(AT_FDCWD, path, 0);
}

int unlinkat(int folder, const char *path, int flags)
{
    return unlink_any(folder, path, flags);
}

/* A machine that lost its power has booted since: programs see another boot id. */
static FILE *boot_id(void)
{
    FILE *f = tmpfile();

    if (f != NULL) {
        fprintf(f, "%.36s\n", getenv("POWERCUT_BOOT"));
        rewind(f);
    }
    return f;
}

FILE *fopen(const char *path, const char *mode)
{
    ready();
    if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 && getenv("POWERCUT_BOOT") != NULL)
        return boot_id();
    return REAL(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return fopen(path, mode);
}

int link(const char *from, const char *to)
{
    char full[PATH_MAX];
    int result;

    ready();
    if (!path_below(AT_FDCWD, to, full))
        return REAL(link)(from, to);
    pthread_mutex_lock(&lock);
    if ((result = REAL(link)(from, to)) == 0)
        remember(CREATED, full);
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    char full[PATH_MAX];
    int result;

    ready();
    if (!path_below(AT_FDCWD, path, full))
        return REAL(mkdir)(path, mode);
    pthread_mutex_lock(&lock);
    if ((result = REAL(mkdir)(path, mode)) == 0)
        remember(MADE_DIR, full);
    pthread_mutex_unlock(&lock);
    return result;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (is_tracked(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE))
        complain("a shared writable mapping is not watched", "");
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset); /* allocators come here early */
}
