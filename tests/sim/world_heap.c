/*
 * world_heap.c - what is going to happen in the simulated world, and when.
 */
#include "world_priv.h"

#include "base/check.h"

#include <stdlib.h>

static bool earlier(const struct event *a, const struct event *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

void heap_push(struct world *w, struct event e)
{
    size_t i;

    if (w->heap_count == w->heap_capacity) {
        w->heap_capacity = w->heap_capacity == 0 ? 256 : w->heap_capacity * 2;
        w->heap = realloc(w->heap, w->heap_capacity * sizeof *w->heap);
        check(w->heap != NULL);
    }
    e.order = ++w->order;
    if (e.conn != NULL)
        e.conn->events++;
    for (i = w->heap_count++; i > 0 && earlier(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
}

struct event heap_pop(struct world *w)
{
    struct event top = w->heap[0], last = w->heap[--w->heap_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= w->heap_count)
            break;
        if (child + 1 < w->heap_count && earlier(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!earlier(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    if (w->heap_count > 0)
        w->heap[i] = last;
    return top;
}
