/*
 * supervise.h - tells systemd that the server is ready, or stopping (sd_notify's protocol: a datagram to NOTIFY_SOCKET).
 */
#ifndef CAIRN_SERVER_SUPERVISE_H
#define CAIRN_SERVER_SUPERVISE_H

/* Sends the state ("READY=1", "STOPPING=1") if there is a socket to send it to; else nothing happens. */
void supervise_notify(const char *state);

#endif
