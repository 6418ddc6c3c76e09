/*
 * clock.c - microseconds, and waiting for a moment.
 *
 * Waiting is for threads that have nothing to wait on but time; the event loop and the cluster core never sleep.
 */
#include "base/clock.h"

#include <errno.h>

int64_t clock_us(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

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
