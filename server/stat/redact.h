/*
 * redact.h - requests without their secrets, for the slow log and MONITOR.
 */
#ifndef CAIRN_SERVER_STAT_REDACT_H
#define CAIRN_SERVER_STAT_REDACT_H

#include "base/slice.h"

struct command;

/*
 * The words to show: argv itself when it holds no secret; else `copy`, filled with the first words (at most `room`),
 * the secret ones replaced by "(redacted)". Borrows from argv.
 */
const struct slice *redact(const struct command *command, const struct slice *argv, size_t argc, struct slice *copy,
                           size_t room);

#endif
