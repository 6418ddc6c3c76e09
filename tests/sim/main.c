/*
 * main.c - sim: histories of a simulated cluster, from seeds.
 *
 *     sim --seeds 1..300            many histories; stops at the first violation
 *     sim --seed 17 --verbose       one, told in full
 *     sim --plant 2 --seeds 1..99   with a planted bug: succeeds if some history finds it
 */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int usage(void)
{
    fprintf(stderr, "usage: sim [--seed N | --seeds N..M] [--nodes N] [--seconds N] [--plant BITS] [--verbose]\n");
    return 2;
}

static void print_replay(const struct run_options *o)
{
    fprintf(stderr, "replay: sim --seed %llu", (unsigned long long)o->seed);
    if (o->nodes != 0)
        fprintf(stderr, " --nodes %u", o->nodes);
    if (o->seconds != 0)
        fprintf(stderr, " --seconds %u", o->seconds);
    if (o->planted_bugs != 0)
        fprintf(stderr, " --plant %u", o->planted_bugs);
    fprintf(stderr, " --verbose\n");
}

int main(int argc, char **argv)
{
    struct run_options o = {.seed = 1};
    unsigned long long first = 1, last = 1, moves = 0, votes = 0, steps = 0;
    long long simulated_ms = 0;
    clock_t begin = clock();

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--verbose") == 0) {
            o.verbose = true;
            continue;
        }
        if (value == NULL)
            return usage();
        i++;
        if (strcmp(argv[i - 1], "--seed") == 0)
            first = last = strtoull(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--nodes") == 0)
            o.nodes = (unsigned)atoi(value);
        else if (strcmp(argv[i - 1], "--seconds") == 0)
            o.seconds = (unsigned)atoi(value);
        else if (strcmp(argv[i - 1], "--plant") == 0)
            o.planted_bugs = (unsigned)atoi(value);
        else if (strcmp(argv[i - 1], "--seeds") != 0 || sscanf(value, "%llu..%llu", &first, &last) != 2)
            return usage();
    }
    if (o.nodes == 1 || o.nodes > 128)
        return usage();
    for (unsigned long long seed = first; seed <= last; seed++) {
        struct run_result r;

        o.seed = seed;
        r = run(&o);
        moves += r.moves;
        votes += r.votes;
        steps += r.steps;
        simulated_ms += r.simulated_ms;
        if (r.ok)
            continue;
        fprintf(stderr, "seed %llu (%u nodes): %s\n", seed, r.nodes, r.text);
        print_replay(&o);
        if (o.planted_bugs != 0) {
            printf("found the planted bug %u after %llu histories\n", o.planted_bugs, seed - first + 1);
            return 0;
        }
        return 1;
    }
    printf("%llu histories, seeds %llu..%llu: %.0f s simulated, %llu steps, %llu slot moves, %llu votes, in %.1f s\n",
           last - first + 1, first, last, (double)simulated_ms / 1000, steps, moves, votes,
           (double)(clock() - begin) / CLOCKS_PER_SEC);
    return o.planted_bugs != 0;
}
