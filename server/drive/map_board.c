/*
 * map_board.c - hazard pointers around one shared map.
 *
 * (1) A reader writes the pointer it is going to use into its own hazard cell and uses it only if it is still current.
 * (2) The writer frees a retired map only when it is in no hazard cell; otherwise it stays retired until the next
 *     publication.
 */
#include "server/drive/map_board.h"

#include "base/check.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { READERS_MAX = 1024 };

struct retired {
    struct cluster_map *map;
    struct retired *next;
};

struct map_board {
    _Atomic(struct cluster_map *) current;
    _Atomic(struct cluster_map *) hazards[READERS_MAX]; /* each written by its own thread */
    struct retired *retired; /* writer only */
};

static atomic_uint readers; /* numbers given out, for the life of the process */
static _Thread_local unsigned my_number = READERS_MAX;

static unsigned number(void)
{
    if (my_number == READERS_MAX) {
        my_number = atomic_fetch_add(&readers, 1);
        check(my_number < READERS_MAX);
    }
    return my_number;
}

struct map_board *map_board_new(void)
{
    struct map_board *b = calloc(1, sizeof *b);

    check(b != NULL);
    return b;
}

static void map_free(struct cluster_map *map)
{
    if (map == NULL)
        return;
    cluster_map_free(map);
    free(map);
}

static bool is_read(struct map_board *b, const struct cluster_map *map)
{
    unsigned end = atomic_load(&readers);

    for (unsigned i = 0; i < end && i < READERS_MAX; i++)
        if (atomic_load(&b->hazards[i]) == map)
            return true;
    return false;
}

static void sweep(struct map_board *b)
{
    for (struct retired **p = &b->retired; *p != NULL;) {
        struct retired *r = *p;

        if (is_read(b, r->map)) {
            p = &r->next;
            continue;
        }
        *p = r->next;
        map_free(r->map);
        free(r);
    }
}

void map_publish(struct map_board *b, struct cluster_map *take_map)
{
    struct cluster_map *old = atomic_exchange(&b->current, take_map);

    if (old != NULL) {
        struct retired *r = malloc(sizeof *r);

        check(r != NULL);
        *r = (struct retired){old, b->retired};
        b->retired = r;
    }
    sweep(b);
}

const struct cluster_map *map_enter(struct map_board *b)
{
    unsigned me = number();
    struct cluster_map *map = atomic_load(&b->current);

    for (;;) {
        struct cluster_map *again;

        atomic_store(&b->hazards[me], map);
        again = atomic_load(&b->current);
        if (again == map)
            return map;
        map = again;
    }
}

void map_leave(struct map_board *b)
{
    atomic_store_explicit(&b->hazards[number()], NULL, memory_order_release);
}

void map_board_free(struct map_board *b)
{
    if (b == NULL)
        return;
    map_free(atomic_load(&b->current));
    sweep(b);
    check(b->retired == NULL);
    free(b);
}
