/*
 * huge_pages.c - jemalloc asks for pages of 2 MB; the process may refuse them as a whole.
 *
 * Redis must not have them: its fork for a snapshot copies each page that is written meanwhile. Cairn never forks.
 */
#include "server/huge_pages.h"

#include <sys/prctl.h>

/* jemalloc reads this when the program begins. Without jemalloc it is nothing but a name. */
extern const char *malloc_conf;
const char *malloc_conf = "thp:always";

enum { SMALL_GB = 1 }; /* of less than this, rounding to 2 MB in each arena would be a visible part */

/* An old kernel without PR_SET_THP_DISABLE leaves things as the allocator asks for them. */
void huge_pages_refuse(void)
{
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

void huge_pages_choose(bool disabled, uint64_t memory)
{
    if (!disabled && memory >= (uint64_t)SMALL_GB << 30)
        (void)prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
}
