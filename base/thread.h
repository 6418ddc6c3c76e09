/*
 * thread.h - threads that `top -H`, perf and a debugger show by name.
 */
#ifndef CAIRN_BASE_THREAD_H
#define CAIRN_BASE_THREAD_H

#include "base/err.h"

#include <pthread.h>

/* Starts run(context). name: at most 15 characters, copied. ERR_NO_MEMORY: the system has no thread left; *out is undefined. */
enum err thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *context) WARN_UNUSED;

#endif
