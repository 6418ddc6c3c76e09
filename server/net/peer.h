/*
 * peer.h - addresses and options of connected sockets.
 */
#ifndef CAIRN_SERVER_NET_PEER_H
#define CAIRN_SERVER_NET_PEER_H

#include <stdbool.h>
#include <stdint.h>

/* "ip:port", "[v6]:port", or "path:0" for unix sockets; "?:0" if unknown. */
void peer_addresses(int fd, char address[64], char local_address[64]);

/* No delay; keepalive after so many seconds (0: none). */
void peer_options(int fd, int64_t keepalive_s);

bool peer_is_local(int fd); /* loopback or unix */

#endif
