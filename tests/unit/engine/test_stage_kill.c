/*
 * test_stage_kill.c - kill -9 at every step of the stage's commit, and again at every step of its completion: what is found
 * is the old set with the old history, or the new set with the new one, whole and counted, and it can be written to.
 *
 * Steps are in front of and behind each call into the store that changes something durable, and each changing call of the
 * log on its files: they are wrapped (by the linker, and by a vfs in front of the real one), and the n-th ends the process.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "engine/set/set.h"
#include "engine/set/stage.h"
#include "engine/set/txn.h"
#include "engine/store/store.h"
#include "persistence/recovery.h"
#include "persistence/vfs.h"
#include "persistence/wal.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEW_ID "0123456789012345678901234567890123456789"

enum { DBS = 2, NOW = 1000, KEYS = 30, NEW_LSN = 100000, KILLED = 9, KILLED_DECIDED = 8, WRONG = 3, OLD = 10, NEW = 11, STEPS_MAX = 2000 };

/* Every kill point; but instrumented processes begin and end slowly, and have each fifth. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STRIDE = 5 };
#else
enum { STRIDE = 1 };
#endif

/* ---- Steps ---- */

static unsigned kill_at;    /* of this process; 0: not armed */
static atomic_uint steps;
static atomic_bool decided;  /* the row that decides is on disk */

static void step(void)
{
    if (kill_at != 0 && atomic_fetch_add(&steps, 1) + 1 == kill_at)
        _exit(atomic_load(&decided) ? KILLED_DECIDED : KILLED); /* as kill -9: nothing is flushed or closed */
}

#define AROUND(call)              \
    do {                          \
        enum err e_;              \
        step();                   \
        e_ = (call);              \
        step();                   \
        return e_;                \
    } while (0)

#define WRAP(name, parameters, arguments)      \
    enum err __real_##name parameters;         \
    enum err __wrap_##name parameters;         \
    enum err __wrap_##name parameters          \
    {                                          \
        AROUND(__real_##name arguments);       \
    }

enum err __real_store_meta_put(struct store *s, struct slice key, struct slice value);
enum err __wrap_store_meta_put(struct store *s, struct slice key, struct slice value);
enum err __wrap_store_meta_put(struct store *s, struct slice key, struct slice value)
{
    enum err e;

    step();
    e = __real_store_meta_put(s, key, value);
    if (e == OK && slice_is(key, "stage") && value.size > 0)
        atomic_store(&decided, true);
    step();
    return e;
}

WRAP(store_write, (struct store *s, struct batch *b), (s, b))
WRAP(store_family_create, (struct store *s, unsigned uid, lsn_t born, struct family **old), (s, uid, born, old))
WRAP(store_family_remove, (struct store *s, unsigned uid), (s, uid))
WRAP(store_ingest, (struct store *s, struct family *f, const char *path), (s, f, path))
WRAP(store_flush_begin, (struct store *s), (s))

static struct vfs files; /* the real one's functions, with steps around those that change something */

static enum err write_at(void *context, int handle, struct slice bytes, uint64_t offset)
{
    AROUND(vfs_posix()->write_at(context, handle, bytes, offset));
}

static enum err sync_file(void *context, int handle)
{
    AROUND(vfs_posix()->sync(context, handle));
}

static enum err rename_file(void *context, const char *from, const char *to)
{
    AROUND(vfs_posix()->rename(context, from, to));
}

static enum err unlink_file(void *context, const char *path)
{
    AROUND(vfs_posix()->unlink(context, path));
}

static enum err truncate_file(void *context, int handle, uint64_t size)
{
    AROUND(vfs_posix()->truncate(context, handle, size));
}

/* ---- A node ---- */

struct node {
    struct store *store;
    struct wal *wal;
    struct journal journal;
    struct set *set;
    struct txn *txn;
};

#define WANT(x)                                                                        \
    do {                                                                               \
        if (!(x)) {                                                                    \
            fprintf(stderr, "line %d: " #x ": %s\n", __LINE__, err_text());            \
            _exit(WRONG);                                                              \
        }                                                                              \
    } while (0)

static struct slice key_name(unsigned i, char out[32])
{
    return slice_of(out, (size_t)snprintf(out, 32, "key:%u", i));
}

static void put(struct node *n, unsigned db, unsigned i, const char *value, bool replay)
{
    const struct txn_options options = {.now_ms = NOW, .db = db, .may_wait = true, .replay = replay};
    char name[32];
    struct slice key = key_name(i, name);
    slot_t slot = hash_slot(key);
    struct obj *o = NULL;
    bool created = false;
    lsn_t end;

    WANT(txn_begin(n->txn, &slot, 1, &options) == OK);
    if (replay)
        txn_replay_at(n->txn, 1);
    WANT(txn_write_or_create(n->txn, key, OBJ_STRING, &o, &created) == OK);
    obj_value_set(o, slice_str(value));
    txn_changed(n->txn, o);
    if (!replay)
        TXN_EFFECT(n->txn, o, SLICE_LITERAL("SET"), key, slice_str(value));
    txn_command_end(n->txn, (struct slice){0}, NULL, 0);
    WANT(txn_commit(n->txn, &end) == OK);
    txn_end(n->txn);
    if (replay && created)
        set_replay_count(n->set, db, slot, 1, 1, 0);
}

static lsn_t floor_of(void *context, unsigned db)
{
    return set_replay_floor(((struct node *)context)->set, db);
}

static void count(void *context, unsigned db, slot_t slot, lsn_t lsn, int64_t keys, int64_t expires)
{
    set_replay_count(((struct node *)context)->set, db, slot, lsn, keys, expires);
}

static size_t words_of(struct slice text, struct slice words[4])
{
    const char *p = (const char *)text.data;
    size_t words_count = strtoul(p + 1, (char **)&p, 10);

    p += 2;
    for (size_t i = 0; i < words_count && i < 4; i++) {
        size_t size = strtoul(p + 1, (char **)&p, 10);

        words[i] = slice_of(p + 2, size);
        p += 2 + size + 2;
    }
    return words_count;
}

static enum err apply(void *context, const struct recovery_effect *e)
{
    struct node *n = context;
    const struct txn_options options = {.now_ms = NOW, .db = e->db, .may_wait = true, .replay = true};
    struct slice words[4];
    struct obj *o = NULL;
    bool needed;
    lsn_t end;

    set_replay_position(n->set, e->lsn);
    WANT(words_of(e->text, words) == 3 && slice_is(words[0], "SET"));
    WANT(txn_begin(n->txn, &e->slot, 1, &options) == OK);
    WANT(set_replay_overwrite(n->txn, words[1], e->lsn, &needed) == OK);
    if (needed) {
        txn_replay_at(n->txn, e->lsn);
        WANT(txn_write_or_create(n->txn, words[1], OBJ_STRING, &o, NULL) == OK);
        obj_value_set(o, words[2]);
        txn_changed(n->txn, o);
        txn_command_end(n->txn, (struct slice){0}, words, 3);
        WANT(txn_commit(n->txn, &end) == OK);
    }
    txn_end(n->txn);
    return OK;
}

/* As the server's start does it (server/drive/repl_load.c, repl_load_resume). */
static void resume(struct node *n)
{
    char id[STAGE_ID_BYTES + 1] = "";
    struct history h;
    bool pending = false;
    lsn_t lsn = 0;

    WANT(set_stage_pending(n->store, &pending, id, &lsn) == OK);
    if (!pending)
        return;
    wal_history(n->wal, &h);
    if (strcmp(h.replid, id) != 0 || h.first != lsn)
        WANT(wal_reset(n->wal, id, lsn, -1) == OK);
    WANT(set_stage_complete(n->store) == OK);
}

static void node_open(struct node *n, const char *dir)
{
    char path[128];
    struct store_options store = {.path = path, .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    struct set_options set = {.databases = DBS, .budget_bytes = 1 << 20, .dirty_bytes_max = 1 << 18, .log_bytes_max = 1 << 20};
    struct wal_options wal = wal_options_default();
    struct recovery_options recovery = {.databases = DBS, .context = n, .floor = floor_of, .count = count, .apply = apply};

    wal.segment_bytes = 1024;
    wal.foreground = true;
    wal.seed = 5;
    wal.fsync = WAL_FSYNC_NO;
    snprintf(path, sizeof path, "%s/log", dir);
    mkdir(path, 0755);
    WANT(wal_open(&files, path, &wal, NULL, &n->wal) == OK);
    n->journal = wal_journal(n->wal);
    snprintf(path, sizeof path, "%s/store", dir);
    WANT(store_open(&store, &n->store) == OK);
    resume(n);
    set.store = n->store;
    set.journal = &n->journal;
    WANT(set_open(&set, &n->set) == OK);
    n->txn = txn_new(n->set, 9);
    WANT(recovery_run(n->wal, &recovery, NULL) == OK);
    WANT(set_start(n->set) == OK);
}

/* ---- Lives ---- */

static enum err reset(void *context)
{
    struct node *n = context;

    return wal_reset(n->wal, NEW_ID, NEW_LSN, -1);
}

/* Old keys, half of them in the store; a copy on the stage; the commit, with kill point n. */
static void first_life(const char *dir, unsigned n_th)
{
    struct node n = {0};

    node_open(&n, dir);
    for (unsigned i = 0; i < KEYS; i++) {
        put(&n, i % 2, i, "old", false);
        if (i == KEYS / 2)
            WANT(set_drain(n.set) == OK);
    }
    WANT(wal_write(n.wal) == OK);
    WANT(set_stage_clear(n.set) == OK);
    for (unsigned i = KEYS / 2; i < 2 * KEYS; i++)
        put(&n, set_stage_first(n.set) + i % 2, i, "new", true);
    kill_at = n_th;
    WANT(set_stage_commit(n.set, NEW_ID, NEW_LSN, reset, &n) == OK);
    _exit(0);
}

static bool holds(struct node *n, const char *value, unsigned first, unsigned end)
{
    uint64_t keys[DBS] = {0};

    for (unsigned i = 0; i < 2 * KEYS; i++) {
        const struct txn_options options = {.now_ms = NOW, .db = i % 2, .may_wait = true};
        char name[32];
        struct slice key = key_name(i, name);
        slot_t slot = hash_slot(key);
        struct obj *o = NULL;
        bool wanted = i >= first && i < end, same;
        enum err e;

        WANT(txn_begin(n->txn, &slot, 1, &options) == OK);
        e = txn_read(n->txn, key, OBJ_STRING, &o);
        same = wanted ? e == OK && slice_equal(obj_value(o), slice_str(value)) : e == ERR_NOT_FOUND;
        txn_end(n->txn);
        if (!same)
            return false;
        keys[i % 2] += wanted;
    }
    return set_keys(n->set, 0) == keys[0] && set_keys(n->set, 1) == keys[1];
}

/* What is found: _exit(OLD) or _exit(NEW), after it was written to. m_th: kill point of the start. */
static void second_life(const char *dir, unsigned m_th)
{
    struct node n = {0};
    struct history h;
    bool new;

    kill_at = m_th;
    node_open(&n, dir);
    kill_at = 0;
    wal_history(n.wal, &h);
    new = strcmp(h.replid, NEW_ID) == 0;
    WANT(new ? wal_tail(n.wal) == NEW_LSN : wal_tail(n.wal) < NEW_LSN);
    WANT(new ? holds(&n, "new", KEYS / 2, 2 * KEYS) : holds(&n, "old", 0, KEYS));
    _exit(new ? NEW : OLD);
}

static void third_life(const char *dir)
{
    struct node n = {0};

    node_open(&n, dir);
    put(&n, 1, 1, "later", false);
    WANT(set_drain(n.set) == OK);
    _exit(0);
}

static int life(void (*run)(const char *, unsigned), const char *dir, unsigned n)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        log_level_set(LOG_NOTHING);
        run(dir, n);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status), "kill point %u: the child was ended by signal %d", n, WTERMSIG(status));
    return WEXITSTATUS(status);
}

static void last(const char *dir, unsigned n)
{
    (void)n;
    third_life(dir);
}

static void folder_new(char dir[64])
{
    snprintf(dir, 64, "%s/cairn-stage-XXXXXX", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    ck_assert(mkdtemp(dir) != NULL);
}

static void folder_remove(const char *dir)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert(system(command) == 0);
}

START_TEST(stage__is_old_or_new_after_a_kill_at_every_step)
{
    unsigned found[2] = {0}, again = 0;
    bool done = false;

    for (unsigned n = 1; !done; n += STRIDE) {
        char dir[64];
        int how, was;

        ck_assert_uint_lt(n, STEPS_MAX);
        folder_new(dir);
        how = life(first_life, dir, n);
        done = how == 0;
        ck_assert_msg(done || how == KILLED || how == KILLED_DECIDED, "kill point %u: exit %d", n, how);
        /* Behind the decision the start is killed too, at its first step, at its second ... until it gets through. */
        for (unsigned m = how == KILLED_DECIDED; (was = life(second_life, dir, m)) == KILLED; m += STRIDE)
            again++;
        ck_assert_msg(was == OLD || was == NEW, "kill point %u: exit %d", n, was);
        ck_assert_msg((was == NEW) == (how != KILLED), "kill point %u: exit %d, then %d", n, how, was);
        found[was == NEW]++;
        ck_assert_int_eq(life(last, dir, 0), 0);
        folder_remove(dir);
    }
    printf("%u kill points before the decision, %u behind it, %u more at starts\n", found[0], found[1], again);
    ck_assert(found[0] > 1 && found[1] > 2);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    files = *vfs_posix();
    files.write_at = write_at;
    files.sync = sync_file;
    files.rename = rename_file;
    files.unlink = unlink_file;
    files.truncate = truncate_file;
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, stage__is_old_or_new_after_a_kill_at_every_step);
    return suite_run("stage_kill", tests);
}
