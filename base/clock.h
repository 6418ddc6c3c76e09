/*
 * clock.h - microseconds, and waiting for a moment.
 */
#ifndef CAIRN_BASE_CLOCK_H
#define CAIRN_BASE_CLOCK_H

#include "base/types.h"

#include <time.h>

/* CLOCK_MONOTONIC or CLOCK_REALTIME, in microseconds. */
int64_t clock_us(clockid_t id);

/* The same in milliseconds. CLOCK_REALTIME: unix time. */
static inline msec_t clock_ms(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (msec_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The calling thread sleeps so long, also when signals come in between; 0 or less: not at all. */
void clock_nap_ms(msec_t ms);
void clock_nap_us(int64_t us);

#endif
