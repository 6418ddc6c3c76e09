/*
 * main.c - sim: histories of a simulated cluster, from seeds.
 *
 *     sim --seeds 1..300            many histories; stops at the first violation
 *     sim --seed 17 --verbose       one, told in full
 *     sim --plant 2 --seeds 1..99   with a planted bug: succeeds if some history finds it
 *     sim --failover --seeds 1..999 histories about failover instead of ones about joining and moving slots
 *     sim --moving --seeds 1..999   histories about atomic migrations; --all-cells: and every fault struck at every step
 *     sim --moving --seed 17 --watch 8294  one of its slots (groups at 100, 4196, 8292, 12388), as every node sees it
 *     sim --measure --seeds 1..999 [--timeout MS] [--replicas N] [--redis PERCENT] [--crashes N] [--limit TIMEOUTS]
 *                                   how long the slots of a crashed master stay unserved
 */
#include "failover.h"
#include "jobs_fault.h"
#include "moving.h"
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct arguments {
    struct failover_options options; /* those of run_options are among them */
    unsigned long long first, last;
    bool failover, moving, all_cells;
    int watch; /* a slot of --moving; -1: none */
    double limit; /* of measuring: 99 of 100 failovers take at most that many node timeouts; 0: none */
};

/* What many histories came to. */
struct totals {
    unsigned long long moves, votes, steps, promotions, planned, partial, full;
    unsigned long long claimed, taken_back, accepted, risked, fixed;
    unsigned cells[JOB_STEPS][JOB_FAULTS];
    long long simulated_ms, settled_max_ms;
    double *times; /* of failover, in node timeouts */
    size_t time_count;
};

static int usage(void)
{
    fprintf(stderr, "usage: sim [--failover | --moving [--all-cells] | --measure] [--seed N | --seeds N..M] [--nodes N] [--seconds N] [--plant BITS]\n"
                    "           [--timeout MS] [--replicas N] [--redis PERCENT] [--crashes N] [--limit TIMEOUTS] [--verbose] [--watch SLOT]\n");
    return 2;
}

static bool parse_number(struct arguments *a, const char *name, const char *value)
{
    unsigned number = (unsigned)strtoul(value, NULL, 10);

    if (strcmp(name, "--seed") == 0)
        a->first = a->last = strtoull(value, NULL, 10);
    else if (strcmp(name, "--nodes") == 0)
        a->options.nodes = number;
    else if (strcmp(name, "--seconds") == 0)
        a->options.seconds = number;
    else if (strcmp(name, "--plant") == 0)
        a->options.planted_bugs = number;
    else if (strcmp(name, "--timeout") == 0)
        a->options.node_timeout_ms = number;
    else if (strcmp(name, "--replicas") == 0)
        a->options.replicas = number;
    else if (strcmp(name, "--crashes") == 0)
        a->options.crashes = number;
    else if (strcmp(name, "--limit") == 0)
        a->limit = strtod(value, NULL);
    else if (strcmp(name, "--watch") == 0 && number < SLOTS)
        a->watch = (int)number;
    else if (strcmp(name, "--redis") == 0)
        a->options.redis_percent = number;
    else
        return strcmp(name, "--seeds") == 0 && sscanf(value, "%llu..%llu", &a->first, &a->last) == 2;
    return true;
}

static bool parse(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0)
            a->options.verbose = true;
        else if (strcmp(argv[i], "--failover") == 0)
            a->failover = true;
        else if (strcmp(argv[i], "--moving") == 0)
            a->moving = true;
        else if (strcmp(argv[i], "--all-cells") == 0)
            a->all_cells = true;
        else if (strcmp(argv[i], "--measure") == 0)
            a->failover = a->options.measure = true;
        else if (i + 1 == argc || !parse_number(a, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return a->options.nodes != 1 && a->options.nodes <= 128 && a->last >= a->first;
}

static void print_replay(const struct arguments *a, unsigned long long seed)
{
    const struct failover_options *o = &a->options;

    fprintf(stderr, "replay: sim%s --seed %llu", o->measure ? " --measure" : a->failover ? " --failover" : a->moving ? " --moving" : "", seed);
    if (o->nodes != 0)
        fprintf(stderr, " --nodes %u", o->nodes);
    if (o->seconds != 0)
        fprintf(stderr, " --seconds %u", o->seconds);
    if (o->planted_bugs != 0)
        fprintf(stderr, " --plant %u", o->planted_bugs);
    fprintf(stderr, " --verbose\n");
}

/* NULL, or what was violated. */
static const char *moving(const struct arguments *a, unsigned long long seed, struct totals *t, unsigned *nodes)
{
    const struct failover_options *o = &a->options;
    static struct moving_result m;

    m = moving_history(&(struct moving_options){.seed = seed, .nodes = o->nodes, .seconds = o->seconds,
                                                .planted_bugs = o->planted_bugs, .verbose = o->verbose, .watch = a->watch});
    t->moves += m.begun;
    t->claimed += m.claimed;
    t->taken_back += m.taken_back;
    t->accepted += m.accepted;
    t->risked += m.risked;
    t->fixed += m.fixed;
    t->promotions += m.promotions;
    t->steps += m.steps;
    t->simulated_ms += m.simulated_ms;
    for (unsigned s = 0; s < JOB_STEPS; s++)
        for (unsigned f = 0; f < JOB_FAULTS; f++)
            t->cells[s][f] += m.cells[s][f];
    if (m.settled_ms > t->settled_max_ms)
        t->settled_max_ms = m.settled_ms;
    *nodes = m.nodes;
    return m.ok ? NULL : m.text;
}

/* One history; false if something was violated. */
static bool history(const struct arguments *a, unsigned long long seed, struct totals *t)
{
    struct failover_options fo = a->options;
    struct run_options ro = {.seed = seed, .nodes = fo.nodes, .seconds = fo.seconds, .planted_bugs = fo.planted_bugs,
                             .verbose = fo.verbose};
    const char *text;
    unsigned nodes;
    static struct failover_result f;
    static struct run_result r;

    fo.seed = seed;
    if (a->moving) {
        text = moving(a, seed, t, &nodes);
    } else if (a->failover) {
        f = failover_history(&fo);
        t->votes += f.votes;
        t->steps += f.steps;
        t->promotions += f.promotions;
        t->planned += f.planned;
        t->partial += f.partial_syncs;
        t->full += f.full_syncs;
        t->simulated_ms += f.simulated_ms;
        if (f.settled_ms > t->settled_max_ms)
            t->settled_max_ms = f.settled_ms;
        if (f.failover_ms >= 0)
            t->times[t->time_count++] = (double)f.failover_ms / (double)f.node_timeout_ms;
        text = f.ok ? NULL : f.text;
        nodes = f.nodes;
    } else {
        r = run(&ro);
        t->moves += r.moves;
        t->votes += r.votes;
        t->steps += r.steps;
        t->simulated_ms += r.simulated_ms;
        text = r.ok ? NULL : r.text;
        nodes = r.nodes;
    }
    if (text == NULL)
        return true;
    fprintf(stderr, "seed %llu (%u nodes): %s\n", seed, nodes, text);
    print_replay(a, seed);
    return false;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* False if failovers took too long. */
static bool print_totals(const struct arguments *a, struct totals *t, double seconds)
{
    size_t n = t->time_count;

    printf("%llu histories, seeds %llu..%llu: %.0f s simulated, %llu steps, ", a->last - a->first + 1, a->first, a->last,
           (double)t->simulated_ms / 1000, t->steps);
    if (a->moving) {
        printf("%llu jobs, %llu moved, %llu taken back, %llu writes, %llu slots claimed while a replica was away, %llu promotions, "
               "%llu slots left to fix, settled at most %.1f s after healing, in %.1f s\n", t->moves, t->claimed, t->taken_back, t->accepted,
               t->risked, t->promotions, t->fixed, (double)t->settled_max_ms / 1000, seconds);
        return jobs_print_cells(t->cells) || !a->all_cells;
    }
    if (!a->failover) {
        printf("%llu slot moves, %llu votes, in %.1f s\n", t->moves, t->votes, seconds);
        return true;
    }
    printf("%llu votes, %llu promotions (%llu planned), %llu partial and %llu full synchronisations, in %.1f s\n", t->votes,
           t->promotions, t->planned, t->partial, t->full, seconds);
    if (n == 0) {
        printf("agreement at most %.1f s after healing\n", (double)t->settled_max_ms / 1000);
        return true;
    }
    qsort(t->times, n, sizeof *t->times, by_value);
    printf("failover in node timeouts: least %.2f, median %.2f, 90 %% %.2f, 99 %% %.2f, most %.2f\n", t->times[0],
           t->times[n / 2], t->times[n * 9 / 10], t->times[n * 99 / 100], t->times[n - 1]);
    return a->limit == 0 || t->times[n * 99 / 100] <= a->limit;
}

int main(int argc, char **argv)
{
    struct arguments a = {.first = 1, .last = 1, .watch = -1};
    struct totals t = {0};
    clock_t begin = clock();
    bool good;

    if (!parse(&a, argc, argv))
        return usage();
    t.times = calloc(a.last - a.first + 1, sizeof *t.times);
    if (t.times == NULL)
        return 1;
    for (unsigned long long seed = a.first; seed <= a.last; seed++) {
        if (history(&a, seed, &t))
            continue;
        free(t.times);
        if (a.options.planted_bugs == 0)
            return 1;
        printf("found the planted bug %u after %llu histories\n", a.options.planted_bugs, seed - a.first + 1);
        return 0;
    }
    good = print_totals(&a, &t, (double)(clock() - begin) / CLOCKS_PER_SEC) && a.options.planted_bugs == 0;
    free(t.times);
    return good ? 0 : 1;
}
