/*
 * allocator.c - jemalloc asks for pages of 2 MB; the process refuses them as a whole until it knows how much memory it may take.
 *
 * Redis must not have them: its fork for a snapshot copies each page that is written meanwhile. Cairn never forks.
 */
#include "server/allocator.h"

#include <stddef.h>
#include <sys/prctl.h>

/* jemalloc reads this when the program begins. Without jemalloc it is nothing but a name. */
extern const char *malloc_conf;
const char *malloc_conf = "thp:always";

extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size) __attribute__((weak));

enum { SMALL_GB = 1 }; /* of less than this, rounding to 2 MB in each arena would be a visible part */

/* An old kernel without PR_SET_THP_DISABLE leaves things as the allocator asks for them. */
void allocator_begin(void)
{
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

void allocator_choose(const struct allocator_wishes *wishes)
{
    bool background = wishes->background;

    if (wishes->huge_pages && wishes->memory >= (uint64_t)SMALL_GB << 30)
        (void)prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
    if (mallctl != NULL)
        (void)mallctl("background_thread", NULL, NULL, &background, sizeof background);
}
