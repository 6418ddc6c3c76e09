/*
 * cairn_check.c - cairn-check: looks at a node's files while no server has them open. One line of the table per part.
 */
#include "tools/check_log.h"
#include "tools/check_store.h"

#include <stdio.h>
#include <string.h>

static const struct part {
    const char *name;
    const char *const *usage;
    int (*run)(int argc, char **argv); /* argv[0] is the part's name; returns the exit status */
} parts[] = {
    {"log", &check_log_usage, check_log},
    {"store", &check_store_usage, check_store},
};

enum { PARTS = sizeof parts / sizeof parts[0] };

static int usage(FILE *out, int status)
{
    fprintf(out, "usage: cairn-check PART [OPTIONS] DIR\n");
    for (size_t i = 0; i < PARTS; i++)
        fputs(*parts[i].usage, out);
    return status;
}

int main(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0))
        return usage(stdout, 0);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("cairn-check %s\n", CAIRN_VERSION);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < PARTS; i++)
        if (strcmp(argv[1], parts[i].name) == 0)
            return parts[i].run(argc - 1, argv + 1);
    return usage(stderr, 2);
}
