/*
 * map_board.h - the published routing snapshot: one writer puts a new map up, workers read it without a lock.
 *
 * Reading: map_enter, use the map, map_leave, without waiting in between. A replaced map is freed when no thread reads
 * it any more (hazard pointers, one per thread).
 */
#ifndef CAIRN_SERVER_DRIVE_MAP_BOARD_H
#define CAIRN_SERVER_DRIVE_MAP_BOARD_H

#include "cluster/routing.h"

struct map_board;

struct map_board *map_board_new(void);
void map_board_free(struct map_board *b); /* no reader may be left */

/* Makes this the current map; the board owns it (allocated with malloc, its nodes by cluster_map). One writer at a time. */
void map_publish(struct map_board *b, struct cluster_map *take_map);

/* NULL until the first map is published. A thread reads one map at a time. */
const struct cluster_map *map_enter(struct map_board *b);
void map_leave(struct map_board *b);

#endif
