/*
 * check_log.c - reads a log directory from its beginning (or a position) to its end, and says what it is.
 *
 * Only reads, except with --fix, which does what a start does and additionally accepts the loss of whatever lies behind
 * the first damage. Never run --fix on the log of a running server.
 */
#include "tools/check_log.h"

#include "base/num.h"
#include "persistence/history.h"
#include "persistence/segment_dir.h"
#include "persistence/vfs.h"
#include "persistence/wal.h"
#include "persistence/wal_reader.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WORD_PRINTED_MAX = 128, COMMANDS_MAX = 256, COMMAND_MAX = 24, KINDS = JOURNAL_DONE + 1 };

const char *const check_log_usage =
    "  log [--stats] DIR                          verify all segments, print a summary (or figures)\n"
    "  log --print [--from LSN] [--limit N] DIR   one line per effect\n"
    "  log --fix DIR                              cut the log at the first damage; the rest is lost\n";

struct arguments {
    bool print, stats, fix;
    uint64_t from, limit;
    const char *dir;
};

struct command {
    char name[COMMAND_MAX];
    uint64_t effects, bytes;
};

struct totals {
    uint64_t segments, sealed, file_bytes, raw_bytes;
    uint64_t frames, effects, text_bytes, frame_bytes_max;
    uint64_t kinds[KINDS];
    int64_t keys;
    lsn_t begin, end;
    msec_t time_first, time_last;
    struct command commands[COMMANDS_MAX];
    size_t commands_count;
};

static const char *const kind_names[KINDS] = {"key", "mark", "flush", "swap", "drop", "begin", "done"};

static bool arguments_parse(int argc, char **argv, struct arguments *a)
{
    *a = (struct arguments){.limit = UINT64_MAX};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--print") == 0)
            a->print = true;
        else if (strcmp(argv[i], "--stats") == 0)
            a->stats = true;
        else if (strcmp(argv[i], "--fix") == 0)
            a->fix = true;
        else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc && num_parse_u64(slice_str(argv[i + 1]), &a->from))
            i++;
        else if (strcmp(argv[i], "--limit") == 0 && i + 1 < argc && num_parse_u64(slice_str(argv[i + 1]), &a->limit))
            i++;
        else if (argv[i][0] != '-' && a->dir == NULL)
            a->dir = argv[i];
        else
            return false;
    }
    return a->dir != NULL && a->print + a->stats + a->fix <= 1;
}

/* ---- RESP, only to be looked at ---- */

/* "$3\r\nSET\r\n" or "*2\r\n": the number behind `mark`; false if there is none. */
static bool number_take(struct slice *rest, char mark, uint64_t *number)
{
    const uint8_t *end;

    if (rest->size < 4 || rest->data[0] != (uint8_t)mark || (end = memchr(rest->data, '\r', rest->size - 1)) == NULL)
        return false;
    if (end[1] != '\n' || !num_parse_u64(slice_of(rest->data + 1, (size_t)(end - rest->data) - 1), number))
        return false;
    *rest = slice_of(end + 2, rest->size - (size_t)(end - rest->data) - 2);
    return true;
}

static bool word_take(struct slice *rest, struct slice *word)
{
    uint64_t size;

    if (!number_take(rest, '$', &size) || rest->size < 2 || size > rest->size - 2)
        return false;
    *word = slice_of(rest->data, size);
    *rest = slice_of(rest->data + size + 2, rest->size - size - 2);
    return true;
}

static void print_quoted(struct slice word)
{
    size_t n = word.size < WORD_PRINTED_MAX ? word.size : WORD_PRINTED_MAX;

    putchar('"');
    for (size_t i = 0; i < n; i++) {
        if (word.data[i] == '"' || word.data[i] == '\\')
            printf("\\%c", word.data[i]);
        else if (isprint(word.data[i]))
            putchar(word.data[i]);
        else
            printf("\\x%02x", word.data[i]);
    }
    putchar('"');
    if (n < word.size)
        printf("...(%zu bytes)", word.size);
}

static void print_text(struct slice text)
{
    struct slice rest = text, word;
    uint64_t count;

    if (!number_take(&rest, '*', &count)) {
        print_quoted(text);
        return;
    }
    for (uint64_t i = 0; i < count && word_take(&rest, &word); i++) {
        if (i > 0)
            putchar(' ');
        print_quoted(word);
    }
}

/* ---- Walking ---- */

static void print_effect(const struct frame *f, const struct journal_effect *effect, lsn_t lsn, struct slice text)
{
    printf("%" PRIu64 " time=%" PRId64 " db=%u slot=", lsn, f->head.time_ms, effect->db);
    if (effect->slot == SLOT_NODE)
        printf("-");
    else
        printf("%u", effect->slot);
    printf(" kind=%s%s keys=%+d expires=%+d ", journal_is_local(effect) ? "local-" : "",
           kind_names[journal_kind_of(effect)], effect->keys, effect->expires);
    print_text(text);
    putchar('\n');
}

static void count_command(struct totals *t, struct slice text)
{
    struct slice rest = text, word = {0};
    char name[COMMAND_MAX] = "?";
    uint64_t count;
    size_t i = 0;

    if (number_take(&rest, '*', &count) && word_take(&rest, &word) && word.size < COMMAND_MAX) {
        for (size_t k = 0; k < word.size; k++)
            name[k] = (char)(isprint(word.data[k]) ? toupper(word.data[k]) : '?');
        name[word.size] = '\0';
    }
    while (i < t->commands_count && strcmp(t->commands[i].name, name) != 0)
        i++;
    if (i == COMMANDS_MAX)
        return;
    if (i == t->commands_count)
        memcpy(t->commands[t->commands_count++].name, name, sizeof name);
    t->commands[i].effects++;
    t->commands[i].bytes += text.size;
}

/* False: the limit is reached. */
static bool frame_take(const struct arguments *a, const struct frame *f, struct totals *t)
{
    struct frame_walk at = frame_walk_begin(f);
    struct journal_effect effect;

    if (t->frames == 0) {
        t->begin = f->head.start;
        t->time_first = f->head.time_ms;
    }
    while (frame_walk_next(&at, &effect)) {
        struct slice words = at.text;
        lsn_t lsn = at.lsn;

        t->keys += effect.keys;
        t->kinds[journal_kind_of(&effect)]++;
        if (a->stats)
            count_command(t, words);
        if (a->print && lsn > a->from) {
            if (t->effects >= a->limit)
                return false;
            print_effect(f, &effect, lsn, words);
            t->effects++;
        } else if (!a->print) {
            t->effects++;
        }
    }
    t->frames++;
    t->text_bytes += f->text.size;
    t->raw_bytes += f->bytes.size;
    if (f->bytes.size > t->frame_bytes_max)
        t->frame_bytes_max = f->bytes.size;
    t->end = f->end;
    t->time_last = f->head.time_ms;
    return true;
}

static void segment_take(struct wal_reader *r, struct wal_reader_place *last, struct totals *t)
{
    struct wal_reader_place place;

    wal_reader_place(r, &place);
    if (strcmp(place.file, last->file) != 0) {
        t->segments++;
        t->sealed += place.sealed;
        t->file_bytes += place.file_bytes;
    }
    *last = place;
}

static enum err walk(const struct arguments *a, struct wal_reader *r, struct totals *t)
{
    struct wal_reader_place last = {.file = ""};
    struct frame f;
    enum err e;

    wal_reader_place(r, &last);
    t->begin = t->end = last.position;
    last.file[0] = '\0';
    segment_take(r, &last, t);
    while ((e = wal_reader_next(r, &f)) == OK) {
        segment_take(r, &last, t);
        if (!frame_take(a, &f, t))
            return OK;
    }
    segment_take(r, &last, t);
    return e;
}

/* ---- Reporting ---- */

static void print_stats(const struct totals *t)
{
    for (int i = 0; i < KINDS; i++)
        if (t->kinds[i] > 0)
            printf("kind_%s:%" PRIu64 "\n", kind_names[i], t->kinds[i]);
    for (size_t i = 0; i < t->commands_count; i++)
        printf("command_%s:effects=%" PRIu64 ",bytes=%" PRIu64 "\n", t->commands[i].name, t->commands[i].effects,
               t->commands[i].bytes);
    printf("keys_added:%" PRId64 "\n", t->keys);
    printf("frame_bytes_average:%.1f\nframe_bytes_max:%" PRIu64 "\n",
           t->frames == 0 ? 0 : (double)t->raw_bytes / (double)t->frames, t->frame_bytes_max);
    printf("text_share:%.3f\n", t->raw_bytes == 0 ? 0 : (double)t->text_bytes / (double)t->raw_bytes);
    printf("disk_share:%.3f\n", t->raw_bytes == 0 ? 0 : (double)t->file_bytes / (double)t->raw_bytes);
    printf("time_first_ms:%" PRId64 "\ntime_last_ms:%" PRId64 "\n", t->time_first, t->time_last);
}

static void print_summary(const struct history *h, const struct totals *t)
{
    printf("segments:%" PRIu64 "\nsealed_segments:%" PRIu64 "\nfile_bytes:%" PRIu64 "\n", t->segments, t->sealed,
           t->file_bytes);
    printf("frames:%" PRIu64 "\neffects:%" PRIu64 "\ntext_bytes:%" PRIu64 "\n", t->frames, t->effects, t->text_bytes);
    printf("begin:%" PRIu64 "\nend:%" PRIu64 "\n", t->begin, t->end);
    if (h->replid[0] != '\0')
        printf("replid:%s\nclosed_cleanly:%d\n", h->replid, h->clean);
    for (uint32_t i = 0; i < h->ancestors_count; i++)
        printf("ancestor:%s,end=%" PRIu64 "\n", h->ancestors[i].replid, h->ancestors[i].end);
}

/* How the walk ended, in words and as the exit status. */
static int verdict(enum err e, const struct history *h, const struct totals *t)
{
    if (e != OK && e != ERR_NOT_FOUND && e != ERR_AGAIN) {
        printf("status:damaged\n");
        fprintf(stderr, "cairn-check: %s\n", err_text());
        return 1;
    }
    if (h->clean && t->end < h->clean_end) {
        printf("status:damaged\n");
        fprintf(stderr, "cairn-check: the log ends at position %" PRIu64 ", but it was closed at %" PRIu64 "\n", t->end,
                h->clean_end);
        return 1;
    }
    printf(e == ERR_AGAIN ? "status:torn\n" : "status:ok\n");
    if (e == ERR_AGAIN)
        fprintf(stderr, "cairn-check: an append that never finished, which the next start cuts: %s\n", err_text());
    return 0;
}

static int failed(void)
{
    fprintf(stderr, "cairn-check: %s\n", err_text());
    return 1;
}

static int fix(const struct arguments *a)
{
    struct wal_options options = wal_options_default();
    struct wal_found found;
    struct segment_dir there;
    struct wal *wal;

    options.accept_damage = options.foreground = true;
    options.seed = (uint64_t)time(NULL);
    if (segment_dir_read(vfs_posix(), a->dir, 0, false, &there) != OK)
        return failed();
    if (there.count == 0) { /* opening would begin a new log here */
        fprintf(stderr, "cairn-check: %s: there is no log\n", a->dir);
        return 1;
    }
    segment_dir_free(&there);
    if (wal_open(vfs_posix(), a->dir, &options, &found, &wal) != OK)
        return failed();
    printf("end:%" PRIu64 "\ncut_bytes:%" PRIu64 "\n", wal_tail(wal), found.torn_bytes);
    wal_close(wal);
    return 0;
}

int check_log(int argc, char **argv)
{
    struct totals *t = calloc(1, sizeof *t);
    struct history h = {.generation = 0};
    struct arguments a;
    struct wal_reader *r;
    enum err e;
    int status;

    if (!arguments_parse(argc, argv, &a) || t == NULL) {
        free(t);
        fprintf(stderr, "usage: cairn-check\n%s", check_log_usage);
        return 2;
    }
    if (a.fix) {
        free(t);
        return fix(&a);
    }
    e = history_load(vfs_posix(), a.dir, &h);
    if ((e != OK && e != ERR_NOT_FOUND) || wal_reader_open_dir(vfs_posix(), a.dir, a.from, &r) != OK) {
        free(t);
        return failed();
    }
    e = walk(&a, r, t);
    if (a.print && (e == OK || e == ERR_NOT_FOUND)) {
        status = 0;
    } else {
        if (!a.print)
            print_summary(&h, t);
        if (a.stats)
            print_stats(t);
        status = verdict(e, &h, t);
    }
    wal_reader_close(r);
    free(t);
    return status;
}
