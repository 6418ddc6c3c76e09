/*
 * login.h - how a node shows itself to another node as a client: AUTH with masteruser and masterauth.
 */
#ifndef CAIRN_SERVER_DRIVE_LOGIN_H
#define CAIRN_SERVER_DRIVE_LOGIN_H

#include "base/buf.h"

struct config;

/* Appends the AUTH request; false: no password is set, and nothing was appended. */
bool login_request(struct config *config, struct buf *request);

#endif
