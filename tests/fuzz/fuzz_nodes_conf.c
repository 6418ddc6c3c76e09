/*
 * fuzz_nodes_conf.c - any text as nodes.conf: it loads or is refused, and what loads prints to a text that loads to the
 * same lines.
 */
#include "base/check.h"
#include "cluster/cluster_priv.h"
#include "cluster/nodes_conf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cluster *load(struct slice text)
{
    struct cluster_options options = {.seed = 1, .nodes_conf = text};
    struct cluster *c = NULL;

    cluster_config_default(&options.config);
    return cluster_new(&options, &c) == OK ? c : NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines in order: which node was named first may differ. */
static size_t sorted_lines(struct buf *text, char **lines, size_t max)
{
    size_t count = 0;

    buf_append_byte(text, '\0');
    for (char *line = strtok((char *)text->data, "\n"); line != NULL && count < max; line = strtok(NULL, "\n"))
        lines[count++] = line;
    qsort(lines, count, sizeof *lines, by_text);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster *first = size > 0 ? load(slice_of(data, size)) : NULL, *second;
    struct buf a = {0}, b = {0};
    static char *a_lines[4096], *b_lines[4096];
    size_t count;

    if (first == NULL)
        return 0;
    nodes_conf_print(first, &a);
    second = load(buf_slice(&a));
    check(second != NULL);
    nodes_conf_print(second, &b);
    count = sorted_lines(&a, a_lines, 4096);
    check(sorted_lines(&b, b_lines, 4096) == count);
    for (size_t i = 0; i < count; i++)
        check(strcmp(a_lines[i], b_lines[i]) == 0);
    buf_free(&a);
    buf_free(&b);
    cluster_free(first);
    cluster_free(second);
    return 0;
}
