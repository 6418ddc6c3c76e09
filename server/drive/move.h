/*
 * move.h - atomic slot migration: whole slots go to another Cairn node while their keys are written, and change hands in one
 * step. CLUSTER MIGRATESLOTS, GETSLOTMIGRATIONS, CANCELSLOTMIGRATIONS and SYNCSLOTS.
 *
 *   source (depart.c)                                 target (arrive.c)
 *   starting      connects, ESTABLISH  ------------>  slots marked as arriving in nodes.conf, expiry of them held
 *   snapshot      a view of the slots, as commands ->  run and logged as any others: replicas and recovery have them too
 *   streaming     the log's effects on them  ------>
 *                 BARRIER, until little is left  -->  durable, and with the replicas
 *   handing-over  writes to these slots wait;
 *                 the log's end, FINISH  ----------->  counts compared, durable, claim with a new epoch
 *   confirming    waits until its map shows that    <-- bus
 *   success       writes go on (MOVED); the keys are dropped
 *
 * (1) Until the claim is durable the slots are the source's, and a target that is given up, crashes or is failed over drops
 *     what came. (2) From FINISH on the source accepts no write to the slots before it knows how that ended: it asks (QUERY,
 *     which forbids a claim that was not made), and if the target stays away, it takes a greater epoch itself.
 * (3) A job lives in memory: a source that ends or is failed over has given it up.
 */
#ifndef CAIRN_SERVER_DRIVE_MOVE_H
#define CAIRN_SERVER_DRIVE_MOVE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"

struct moves;
struct node;
struct cluster_service;
struct call;
struct gate;
struct cluster_command;

enum { MOVE_VERSION = 2, MOVE_JOBS_MAX = 64, MOVE_HISTORY_MAX = 100, MOVE_MESSAGE_MAX = 256 };

struct moves *moves_new(struct node *n, struct cluster_service *service);
/* Gives up all jobs and ends the threads; sessions may still end afterwards. Accepts NULL. */
void moves_stop(struct moves *m);
void moves_free(struct moves *m); /* sessions are gone */

/* The commands, behind "CLUSTER". */
enum err moves_migrate(struct moves *m, struct call *c);
enum err moves_list(struct moves *m, struct call *c);
enum err moves_cancel(struct moves *m, struct call *c);
enum err moves_sync(struct moves *m, struct call *c);

/* True if the command may not be run now, because a job has the slots or the node that it is about; the text is the error. Asked in
 * cluster_service_read. */
bool moves_refuse(struct moves *m, const struct cluster_command *command, char text[MOVE_MESSAGE_MAX]) WARN_UNUSED;

/* The gate of a session on which keys arrive: OK if the job lives and the key's slot belongs to it. */
enum err moves_gate(struct moves *m, const struct gate *g);

/* The slot leaves or arrives by a job: it may not be moved key by key. Any thread, cheap. */
bool moves_has_slot(struct moves *m, slot_t slot);

/* What a replica heard of arriving slots: "0-5,7-7" or nothing; false: something else. Sets the bits of these slots; outside bytes. */
bool move_ranges_parse(struct slice text, uint8_t bits[SLOTS / 8]) WARN_UNUSED;

/* Tells the replicas which slots SETSLOT has opened here, if that changed or is to be said again. */
void moves_tell_open(struct moves *m);

/* The slot has just been claimed here, and writes to it wait until a majority has heard of that. Any thread. */
bool moves_hold_slot(struct moves *m, slot_t slot);

/* FLUSHALL, FLUSHDB ran here. */
void moves_note_flush(struct moves *m);

/* For tests: how long each step of a job takes at least, ms; the present one too (DEBUG SLOT-MIGRATION-DELAY). */
void moves_set_delay(struct moves *m, msec_t delay_ms);

#endif
