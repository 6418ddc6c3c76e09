/*
 * clock.h - microseconds, and waiting for a moment.
 */
#ifndef CAIRN_BASE_CLOCK_H
#define CAIRN_BASE_CLOCK_H

#include "base/types.h"

#include <time.h>

/* CLOCK_MONOTONIC or CLOCK_REALTIME, in microseconds. */
int64_t clock_us(clockid_t id);

/* The calling thread sleeps so long, also when signals come in between; 0 or less: not at all. */
void clock_nap_ms(msec_t ms);
void clock_nap_us(int64_t us);

#endif
