/*
 * check_log.h - "cairn-check log": verifies, prints and counts what a log directory holds.
 */
#ifndef CAIRN_TOOLS_CHECK_LOG_H
#define CAIRN_TOOLS_CHECK_LOG_H

extern const char *const check_log_usage;

/* argv[0] is "log". Returns the exit status: 0 whole (a torn end included), 1 damaged or unreadable, 2 bad arguments. */
int check_log(int argc, char **argv);

#endif
