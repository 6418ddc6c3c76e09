/*
 * execute_priv.h - what the parts of execute.h ask of each other.
 */
#ifndef CAIRN_SERVER_RUN_EXECUTE_PRIV_H
#define CAIRN_SERVER_RUN_EXECUTE_PRIV_H

#include "server/run/execute.h"

/* execute_route and execute_admit. OK, ERR_REPLIED, ERR_COLD. */
enum err execute_gates(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                       size_t argc, struct txn *txn, struct reply *reply) WARN_UNUSED;

/* The command was refused with the error in the reply: counted; an open MULTI fails. command: NULL if there is none. */
void execute_rejected(struct executor *x, struct session *s, const struct command *command, const struct reply *reply);

/* What a RESP2 client with subscriptions may still say. */
bool execute_allowed_when_subscribed(const struct command *c);

/* In transaction.c: the error that stands in the reply from `mark` on becomes EXEC's answer, EXECABORT. ERR_REPLIED. */
enum err transaction_abort(struct call *c, size_t mark);

#endif
