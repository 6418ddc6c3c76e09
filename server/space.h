/*
 * space.h - writes are refused while the disk has less than disk-free-min left.
 */
#ifndef CAIRN_SERVER_SPACE_H
#define CAIRN_SERVER_SPACE_H

#include "server/node.h"

/* A node_gate for node_add_admit; context is the node. Answers writes with MISCONF before the log would have to end the
 * process for lack of space. */
enum err space_gate(void *context, const struct gate *g);

#endif
