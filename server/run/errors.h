/*
 * errors.h - the one place where an enum err becomes a RESP error.
 */
#ifndef CAIRN_SERVER_RUN_ERRORS_H
#define CAIRN_SERVER_RUN_ERRORS_H

#include "base/err.h"
#include "base/slice.h"

struct call;
struct reply;
struct command;

/* Writes the error that a command returned (not OK, ERR_REPLIED, ERR_COLD, ERR_BUSY or ERR_AGAIN). */
void errors_reply(struct call *c, enum err e);

/* "unknown command", with the beginning of the words; or "unknown subcommand" when a container is given. */
enum err errors_unknown(struct call *c, const struct command *container);

/* The code of an error reply: "ERR" of "-ERR text". reply begins with '-'. */
struct slice errors_code(struct slice reply);

#endif
