/*
 * monitor.h - the feed of MONITOR: every command as it is executed, to every client that asked.
 */
#ifndef CAIRN_SERVER_NET_MONITOR_H
#define CAIRN_SERVER_NET_MONITOR_H

#include "base/slice.h"
#include "base/types.h"

struct clients;
struct client;

/* MONITOR; ends with the connection, or by monitor_remove (RESET). */
void monitor_add(struct clients *c, struct client *client);
void monitor_remove(struct clients *c, struct client *client);

/* Cheap when nobody listens: one relaxed load. */
bool monitor_active(const struct clients *c);

/* +<sec>.<usec> [db addr] "SET" "k" "v" ; source NULL: "lua". */
void monitor_feed(struct clients *c, const struct client *source, unsigned db, const struct slice *argv, size_t argc);

#endif
