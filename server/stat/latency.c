/*
 * latency.c - a small table of events, each with a ring of samples.
 */
#include "server/stat/latency.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

struct latency {
    atomic_int_fast64_t threshold_ms;
    pthread_mutex_t lock; /* guards the rest */
    size_t count;
    struct latency_event *events[LATENCY_EVENTS_MAX]; /* by name */
};

struct latency *latency_new(void)
{
    struct latency *l = calloc(1, sizeof *l);

    check(l != NULL);
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void latency_free(struct latency *l)
{
    if (l == NULL)
        return;
    latency_reset(l, (struct slice){0});
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void latency_threshold_set(struct latency *l, int64_t threshold_ms)
{
    atomic_store_explicit(&l->threshold_ms, threshold_ms, memory_order_relaxed);
}

int64_t latency_threshold(const struct latency *l)
{
    return atomic_load_explicit(&l->threshold_ms, memory_order_relaxed);
}

/* Where the event is, or would be. Under the lock. */
static size_t place(const struct latency *l, struct slice name, bool *found)
{
    size_t i = 0;
    int order = 1;

    while (i < l->count && (order = slice_compare(slice_str(l->events[i]->name), name)) < 0)
        i++;
    *found = i < l->count && order == 0;
    return i;
}

/* Under the lock; NULL: too many events. */
static struct latency_event *event_of(struct latency *l, const char *name)
{
    bool found;
    size_t i = place(l, slice_str(name), &found);

    if (found)
        return l->events[i];
    if (l->count == LATENCY_EVENTS_MAX)
        return NULL;
    memmove(l->events + i + 1, l->events + i, (l->count - i) * sizeof l->events[0]);
    l->count++;
    l->events[i] = calloc(1, sizeof *l->events[i]);
    check(l->events[i] != NULL);
    l->events[i]->name = name;
    return l->events[i];
}

void latency_add(struct latency *l, const char *name, int64_t time_s, uint64_t duration_ms)
{
    int64_t threshold = latency_threshold(l);
    uint32_t ms = duration_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)duration_ms;
    struct latency_event *e;

    if (threshold <= 0 || duration_ms < (uint64_t)threshold)
        return;
    pthread_mutex_lock(&l->lock);
    if ((e = event_of(l, name)) != NULL) {
        struct latency_sample *last = e->count > 0 ? &e->samples[e->count - 1] : NULL;

        if (ms > e->worst_ms)
            e->worst_ms = ms;
        if (last != NULL && last->time_s == time_s) {
            if (ms > last->worst_ms)
                last->worst_ms = ms;
        } else {
            if (e->count == LATENCY_SAMPLES) {
                memmove(e->samples, e->samples + 1, (LATENCY_SAMPLES - 1) * sizeof e->samples[0]);
                e->count--;
            }
            e->samples[e->count++] = (struct latency_sample){time_s, ms};
        }
    }
    pthread_mutex_unlock(&l->lock);
}

size_t latency_reset(struct latency *l, struct slice name)
{
    size_t gone = 0;

    pthread_mutex_lock(&l->lock);
    for (size_t i = l->count; i-- > 0;) {
        if (name.data != NULL && !slice_equal(slice_str(l->events[i]->name), name))
            continue;
        free(l->events[i]);
        memmove(l->events + i, l->events + i + 1, (l->count - i - 1) * sizeof l->events[0]);
        l->count--;
        gone++;
    }
    pthread_mutex_unlock(&l->lock);
    return gone;
}

bool latency_event(struct latency *l, struct slice name, struct latency_event *out)
{
    bool found;
    size_t i;

    pthread_mutex_lock(&l->lock);
    i = place(l, name, &found);
    if (found)
        *out = *l->events[i];
    pthread_mutex_unlock(&l->lock);
    return found;
}

void latency_list(struct latency *l, latency_each *each, void *context)
{
    struct latency_event *copies = calloc(LATENCY_EVENTS_MAX, sizeof *copies);
    size_t count;

    check(copies != NULL);
    pthread_mutex_lock(&l->lock);
    count = l->count;
    for (size_t i = 0; i < count; i++)
        copies[i] = *l->events[i];
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < count; i++)
        each(context, &copies[i]);
    free(copies);
}

/* ---- For people ---- */

static struct latency_sample least_of(const struct latency_event *e)
{
    struct latency_sample least = e->samples[0];

    for (size_t i = 1; i < e->count; i++)
        if (e->samples[i].worst_ms < least.worst_ms)
            least = e->samples[i];
    return least;
}

static const char *age(int64_t seconds, char out[16])
{
    if (seconds < 60)
        snprintf(out, 16, "%ds", (int)seconds);
    else if (seconds < 3600)
        snprintf(out, 16, "%dm", (int)(seconds / 60));
    else if (seconds < 24 * 3600)
        snprintf(out, 16, "%dh", (int)(seconds / 3600));
    else
        snprintf(out, 16, "%dd", (int)(seconds / (24 * 3600)));
    return out;
}

/*
 *   command - high 500 ms, low 100 ms (all time high 500 ms)
 *   -----------------------------------------------------------
 *     #
 *    _#
 *   o||
 *
 *   111       the age of each sample, read downwards
 *   smh
 */
enum { GRAPH_ROWS = 4, GRAPH_STEPS = 3 };

static char bar(double share, int row)
{
    static const char tops[] = " _o#";
    double steps = share * GRAPH_ROWS * GRAPH_STEPS - (double)(row * GRAPH_STEPS);

    if (steps > GRAPH_STEPS)
        return '|';
    return tops[steps <= 0 ? (row == 0) : (int)steps];
}

void latency_graph(const struct latency_event *e, int64_t now_s, struct buf *out)
{
    uint32_t high = 0, low = least_of(e).worst_ms;
    char label[16];
    size_t longest = 0;

    for (size_t i = 0; i < e->count; i++) {
        if (e->samples[i].worst_ms > high)
            high = e->samples[i].worst_ms;
        if (strlen(age(now_s - e->samples[i].time_s, label)) > longest)
            longest = strlen(label);
    }
    buf_append_format(out, "%s - high %u ms, low %u ms (all time high %u ms)\n", e->name, high, low, e->worst_ms);
    for (int i = 0; i < 80; i++)
        buf_append_byte(out, '-');
    buf_append_byte(out, '\n');
    for (int row = GRAPH_ROWS - 1; row >= 0; row--) {
        for (size_t i = 0; i < e->count; i++)
            buf_append_byte(
                out, (uint8_t)bar(high > low ? (double)(e->samples[i].worst_ms - low) / (high - low) : 1.0, row));
        buf_append_byte(out, '\n');
    }
    buf_append_byte(out, '\n');
    for (size_t k = 0; k < longest; k++) {
        for (size_t i = 0; i < e->count; i++) {
            age(now_s - e->samples[i].time_s, label);
            buf_append_byte(out, (uint8_t)(k < strlen(label) ? label[k] : ' '));
        }
        buf_append_byte(out, '\n');
    }
}

struct diagnosis {
    struct buf *out;
    int64_t now_s;
    size_t events;
    bool commands, log;
};

static void diagnose(void *context, const struct latency_event *e)
{
    struct diagnosis *d = context;
    uint64_t sum = 0, deviation = 0, mean;
    int64_t span;

    for (size_t i = 0; i < e->count; i++)
        sum += e->samples[i].worst_ms;
    mean = sum / e->count;
    for (size_t i = 0; i < e->count; i++)
        deviation += e->samples[i].worst_ms > mean ? e->samples[i].worst_ms - mean : mean - e->samples[i].worst_ms;
    span = d->now_s - e->samples[0].time_s;
    d->events++;
    d->commands = d->commands || strstr(e->name, "command") != NULL;
    d->log = d->log || strstr(e->name, "aof") != NULL;
    buf_append_format(
        d->out,
        "%zu. %s: %zu latency spikes (average %llums, mean deviation %llums, period %.2f sec). Worst all time "
        "event %ums.\n",
        d->events, e->name, e->count, (unsigned long long)mean, (unsigned long long)(deviation / e->count),
        e->count > 1 ? (double)span / (double)(e->count - 1) : 0.0, e->worst_ms);
}

void latency_doctor(struct latency *l, int64_t now_s, struct buf *out)
{
    struct buf list = {0};
    struct diagnosis d = {.out = &list, .now_s = now_s};

    latency_list(l, diagnose, &d);
    if (latency_threshold(l) == 0) {
        buf_append_str(out, "The latency monitor is off. Switch it on with \"CONFIG SET latency-monitor-threshold "
                            "<milliseconds>\" and ask again after a while.\n");
    } else if (d.events == 0) {
        buf_append_str(out, "No latency spike was seen since the server started or the last LATENCY RESET.\n");
    } else {
        buf_append_str(out, "Latency spikes were seen:\n\n");
        buf_append_slice(out, buf_slice(&list));
        buf_append_str(out, "\nAdvice:\n\n");
        if (d.commands)
            buf_append_str(out,
                           "- Look at SLOWLOG GET: which commands are slow, and are their keys very large? Commands "
                           "that need the disk wait for it on a thread of their own and show up here as well.\n");
        if (d.log)
            buf_append_str(out,
                           "- Syncing the log takes long: the disk is slow or shared. appendfsync everysec keeps the "
                           "sync off the reply path.\n");
        buf_append_str(out,
                       "- See the section Cairn of INFO: stalls of the working set, pending compaction, log syncs.\n");
    }
    buf_free(&list);
}
