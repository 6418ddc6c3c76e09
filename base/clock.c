/*
 * clock.c - waiting for a moment.
 *
 * For threads that have nothing to wait on but time; the event loop and the cluster core never sleep.
 */
#include "base/clock.h"

#include <errno.h>
#include <time.h>

void clock_nap_us(int64_t us)
{
    struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    while (us > 0 && nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

void clock_nap_ms(msec_t ms)
{
    clock_nap_us(ms * 1000);
}
