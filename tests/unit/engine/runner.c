/*
 * runner.c - what server/run does around a command, as far as a test of commands needs it.
 */
#include "tests/unit/engine/runner.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"
#include "server/cmd/cmd_bitmap.h"
#include "server/cmd/cmd_hash.h"
#include "server/cmd/cmd_keys.h"
#include "server/cmd/cmd_lcs.h"
#include "server/cmd/cmd_list.h"
#include "server/cmd/cmd_random.h"
#include "server/cmd/cmd_scan.h"
#include "server/cmd/cmd_set.h"
#include "server/cmd/cmd_sort.h"
#include "server/cmd/cmd_string.h"
#include "server/cmd/cmd_zset.h"
#include "server/cmd/cmd_zset_algebra.h"
#include "server/cmd/cmd_zset_pop.h"
#include "server/cmd/cmd_zset_range.h"
#include "server/node.h"
#include "server/run/call.h"
#include "server/run/errors.h"
#include "server/run/execute.h"
#include "server/run/registry.h"
#include "server/run/session.h"

#include <stdlib.h>
#include <unistd.h>

enum { WORDS_MAX = 4096 };

static unsigned colds;
static int protocol = 2;
static struct buf reply_bytes, reply_text, scratch;

/* What commands ask of the server. */
struct set *node_set(struct node *n)
{
    (void)n;
    return NULL; /* commands about whole databases are not run here */
}

unsigned node_databases(const struct node *n)
{
    (void)n;
    return 4;
}

bool node_is_cluster(const struct node *n)
{
    (void)n;
    return false;
}

msec_t node_now(const struct node *n)
{
    (void)n;
    return 0;
}

bool call_was_blocked(const struct call *c)
{
    return c->session->waiter != NULL; /* never here */
}

enum err execute_expire(struct executor *x, unsigned db, struct slice key)
{
    (void)x, (void)db, (void)key;
    return OK; /* SCAN is not run here */
}

static enum err nothing(struct call *c)
{
    return reply_ok(c);
}

static const struct command_binding frame_rows[] = {{"multi", nothing, 0}, {"exec", nothing, 0}};
static const struct command_table frame_table = COMMAND_TABLE(frame_rows);

static const struct command_binding *find(struct slice name)
{
    const struct command_table *const tables[] = {&cmd_string_table, &cmd_bitmap_table, &cmd_lcs_table, &cmd_list_table,
                                                  &cmd_hash_table,   &cmd_set_table,    &cmd_keys_table, &cmd_sort_table,
                                                  &cmd_scan_table,   &cmd_zset_table,   &cmd_zset_range_table,
                                                  &cmd_zset_pop_table, &cmd_zset_algebra_table, &cmd_random_table, &frame_table};

    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (size_t i = 0; i < tables[t]->count; i++)
            if (slice_is(name, tables[t]->rows[i].name))
                return &tables[t]->rows[i];
    check(!"a known command");
    return NULL;
}

static int by_number(const void *a, const void *b)
{
    return (int)*(const slot_t *)a - (int)*(const slot_t *)b;
}

static size_t slots_of(const struct slice *words, size_t count, slot_t *slots)
{
    size_t unique = 0;

    for (size_t i = 0; i < count; i++)
        slots[i] = hash_slot(words[i]);
    qsort(slots, count, sizeof *slots, by_number);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || slots[i] != slots[unique - 1])
            slots[unique++] = slots[i];
    return unique;
}

struct slice run_words(struct harness *h, const struct slice *words, size_t count)
{
    const struct command_binding *binding = find(words[0]);
    struct command command = {.name = binding->name};
    struct session session = {.protocol = protocol, .db = h->db};
    static slot_t slots[WORDS_MAX];
    size_t slot_count;
    enum err e = ERR_COLD;

    check(count <= WORDS_MAX);
    slot_count = slots_of(words, count, slots);
    for (bool waits = h->may_wait; e == ERR_COLD; waits = true) {
        struct txn_options options = {.now_ms = h->now_ms, .db = h->db, .may_wait = waits};
        struct reply reply = {.out = &reply_bytes, .protocol = protocol, .error_at = SIZE_MAX};
        struct call c = {.command = &command, .argc = count, .argv = words, .txn = h->txn, .reply = &reply,
                         .session = &session, .scratch = &scratch};

        buf_clear(&reply_bytes);
        buf_clear(&scratch);
        while ((e = txn_begin(h->txn, slots, slot_count, &options)) == ERR_BUSY)
            usleep(100); /* the writer or the reaper is at one of the slots */
        check(e == OK);
        e = binding->run(&c);
        if (e != OK && e != ERR_REPLIED) {
            check(reply_bytes.size == 0 && !txn_has_changes(h->txn)); /* whatever went wrong left nothing behind */
            colds += e == ERR_COLD;
            check(e != ERR_COLD || !waits);
            errors_reply(&c, e);
        }
        if (e != ERR_COLD) {
            txn_command_end(h->txn, (struct slice){0}, words, count);
            check(txn_commit(h->txn, &h->end) == OK);
        }
        txn_end(h->txn);
    }
    return buf_slice(&reply_bytes);
}

static size_t split(const char *line, size_t size, struct slice *words)
{
    size_t count = 0, at = 0;

    while (at <= size) {
        const char *space = memchr(line + at, ' ', size - at);
        size_t end = space != NULL ? (size_t)(space - line) : size;

        check(count < WORDS_MAX);
        words[count] = slice_of(line + at, end - at);
        if (slice_equal(words[count], SLICE_LITERAL("\"\"")))
            words[count].size = 0;
        count++;
        at = end + 1;
    }
    return count;
}

const char *run(struct harness *h, const char *line)
{
    static struct slice words[WORDS_MAX];
    struct slice reply = run_words(h, words, split(line, strlen(line), words));

    buf_clear(&reply_text);
    for (size_t i = 0; i + 2 < reply.size; i++)
        if (reply.data[i] != '\r')
            buf_append_byte(&reply_text, reply.data[i] == '\n' ? ' ' : reply.data[i]);
    buf_append_byte(&reply_text, 0);
    return (const char *)reply_text.data;
}

void run_effects(struct harness *from, struct harness *to)
{
    static struct slice words[WORDS_MAX];
    const char *text = harness_text(from);

    while (*text != '\0') {
        size_t size = strcspn(text, "|");
        struct slice reply = run_words(to, words, split(text, size, words));

        check(reply.size > 0 && reply.data[0] != '-');
        text += size + 1;
    }
    harness_text_clear(from);
}

unsigned run_colds(void)
{
    return colds;
}

void run_protocol(int version)
{
    protocol = version;
}
