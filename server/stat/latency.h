/*
 * latency.h - events that took long, by name: LATENCY LATEST, HISTORY, GRAPH, DOCTOR.
 *
 * Per event the last 160 seconds in which it happened, each with its worst duration. Threads: everything from any
 * thread; its lock is a leaf.
 */
#ifndef CAIRN_SERVER_STAT_LATENCY_H
#define CAIRN_SERVER_STAT_LATENCY_H

#include "base/buf.h"
#include "base/types.h"

struct latency;

enum { LATENCY_SAMPLES = 160, LATENCY_EVENTS_MAX = 32 };

struct latency_sample {
    int64_t time_s;
    uint32_t worst_ms;
};

struct latency_event {
    const char *name;
    uint32_t worst_ms; /* ever */
    size_t count;
    struct latency_sample samples[LATENCY_SAMPLES]; /* oldest first */
};

struct latency *latency_new(void);
void latency_free(struct latency *l); /* accepts NULL */

/* Milliseconds from which events are kept; 0: none. Relaxed. */
void latency_threshold_set(struct latency *l, int64_t threshold_ms);
int64_t latency_threshold(const struct latency *l);

/* Nothing happens below the threshold. name lives for ever. */
void latency_add(struct latency *l, const char *name, int64_t time_s, uint64_t duration_ms);

/* Forgets one event, or all (name.data NULL); returns how many there were. */
size_t latency_reset(struct latency *l, struct slice name);

/* A copy; false: it never happened. */
bool latency_event(struct latency *l, struct slice name, struct latency_event *out);

/* In order of name, each a copy. */
typedef void latency_each(void *context, const struct latency_event *e);
void latency_list(struct latency *l, latency_each *each, void *context);

/* LATENCY GRAPH and DOCTOR: texts for people. */
void latency_graph(const struct latency_event *e, int64_t now_s, struct buf *out);
void latency_doctor(struct latency *l, int64_t now_s, struct buf *out);

#endif
