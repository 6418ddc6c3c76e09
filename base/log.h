/*
 * log.h - the event log: one line an event, in Redis' line format, to a file or stdout.
 */
#ifndef CAIRN_BASE_LOG_H
#define CAIRN_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG_, LOG_VERBOSE, LOG_NOTICE, LOG_WARNING, LOG_NOTHING };

/* Thread-safe. The clock and process id are read by the sink. */
void log_event(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

void log_level_set(enum log_level level);
enum log_level log_level_get(void);

/* NULL or "" is stdout. False if the file cannot be opened (errno says why); the old sink stays. */
bool log_file_set(const char *path);

#endif
