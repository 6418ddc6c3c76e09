/*
 * log.c - the log sink: "pid:C dd Mon yyyy hh:mm:ss.mmm # text".
 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *file; /* Under lock; NULL is stdout */
static _Atomic enum log_level threshold = LOG_NOTICE;

void log_level_set(enum log_level level)
{
    atomic_store(&threshold, level);
}

enum log_level log_level_get(void)
{
    return atomic_load(&threshold);
}

bool log_file_set(const char *path)
{
    FILE *opened = NULL;

    if (path != NULL && path[0] != '\0' && (opened = fopen(path, "ae")) == NULL)
        return false;
    pthread_mutex_lock(&lock);
    if (file != NULL)
        fclose(file);
    file = opened;
    pthread_mutex_unlock(&lock);
    return true;
}

void log_event(enum log_level level, const char *format, ...)
{
    char text[1024], stamp[64];
    struct timeval now;
    struct tm parts;
    va_list args;

    if (level < atomic_load(&threshold))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    gettimeofday(&now, NULL);
    localtime_r(&now.tv_sec, &parts);
    strftime(stamp, sizeof stamp, "%d %b %Y %H:%M:%S", &parts);
    pthread_mutex_lock(&lock);
    {
        FILE *out = file != NULL ? file : stdout;

        fprintf(out, "%d:M %s.%03d %c %s\n", (int)getpid(), stamp, (int)(now.tv_usec / 1000), ".-*#"[level], text);
        fflush(out);
    }
    pthread_mutex_unlock(&lock);
}
