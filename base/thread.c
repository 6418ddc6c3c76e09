/* thread.c - see thread.h. */
#include "base/thread.h"

#include "base/check.h"

#include <string.h>

enum { NAME_MAX_BYTES = 15 }; /* pthread_setname_np(3) */

enum err thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *context)
{
    int error = pthread_create(out, NULL, run, context);

    if (error != 0)
        return err_set(ERR_NO_MEMORY, "cannot start the thread %s: %s", name, strerror(error));
    check(strlen(name) <= NAME_MAX_BYTES);
    (void)pthread_setname_np(*out, name); /* it may have ended */
    return OK;
}
