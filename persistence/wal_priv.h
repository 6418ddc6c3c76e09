/*
 * wal_priv.h - the log's state, shared by wal.c (append, write, sync), wal_open.c and wal_keep.c.
 *
 * Lock order: keep_lock, sync_lock, write_lock, then one of append_lock and files_lock (leaves).
 * A segment's handle is closed only under sync_lock; segments leave the list only under keep_lock.
 */
#ifndef CAIRN_PERSISTENCE_WAL_PRIV_H
#define CAIRN_PERSISTENCE_WAL_PRIV_H

#include "persistence/segment.h"
#include "persistence/vfs.h"
#include "persistence/wal.h"
#include "persistence/wal_queue.h"

#include <pthread.h>
#include <stdatomic.h>

struct wal_segment {
    lsn_t first, end;    /* end: of the current one, what is written */
    uint64_t bytes;      /* on disk */
    uint64_t raw_bytes;
    msec_t time_ms;      /* of its last frame, or about it */
    msec_t begun_ms;     /* 0: not known (sealed, and found by this start) */
    int handle;          /* of a segment that is not known to be synced; -1 */
    bool sealed, synced;
    bool damaged;        /* could not be sealed; left as it is */
};

struct wal {
    /* Set once */
    struct vfs *vfs;
    char *dir;
    struct wal_options options;
    pthread_t syncer, keeper;
    bool threads;
    _Atomic(wal_written_hook *) written_hook;
    void *written_context;

    /* Under append_lock */
    _Alignas(64) pthread_mutex_t append_lock;
    struct wal_queue pending; /* frames that are not written */
    lsn_t position;          /* behind the last of them */
    uint64_t history_number;
    uint16_t db;             /* selected in the stream, or SEGMENT_DB_NONE */
    bool following;
    uint64_t frames;

    /* Read by everybody */
    _Alignas(64) _Atomic lsn_t tail;
    _Atomic uint64_t pending_bytes;
    _Alignas(64) _Atomic lsn_t written;
    _Alignas(64) _Atomic lsn_t durable;
    _Atomic lsn_t floor;
    _Atomic bool failed;
    _Atomic bool space_low;
    _Atomic int64_t space_left;  /* above the reserve: as last asked, less what was written since */
    _Atomic int policy;
    _Atomic uint64_t retain_bytes;
    _Atomic int64_t retain_ms;
    _Atomic uint64_t writes, write_bytes, write_us, syncs, sync_us, sync_us_max;

    /* Under write_lock */
    _Alignas(64) pthread_mutex_t write_lock;
    struct wal_queue writing; /* the frames being written; empty in between */
    uint16_t written_db;     /* selected behind the last written frame */
    uint64_t written_history;
    uint64_t room_end;       /* where the zeros behind the current segment end; 0: there are none */

    /* sync_lock: only one sync at a time */
    pthread_mutex_t sync_lock;

    /* Under files_lock */
    pthread_mutex_t files_lock;
    struct wal_segment *segments; /* by position; the last one is the current one */
    size_t segments_count, segments_capacity;
    bool dir_dirty;          /* a created name is not known to be durable */
    struct history history;
    lsn_t holds[WAL_HOLDS_MAX]; /* UINT64_MAX: free */
    bool stopping;
    bool rotated;            /* there may be something to seal */
    pthread_cond_t wake;     /* of both threads */

    /* Under keep_lock */
    pthread_mutex_t keep_lock;
};

/* The log is of no use any more: tells the hook once. Returns e. */
enum err wal_fail(struct wal *wal, enum err e);

/* wal.c: creates the segment that begins at `first` and makes it current. files_lock is taken inside. */
enum err wal_segment_begin(struct wal *wal, lsn_t first, uint64_t history, uint16_t db) WARN_UNUSED;

/* The last one. files_lock is taken inside. */
struct wal_segment wal_current_segment(struct wal *wal);

/* wal_room.c, under write_lock: what is left of the room is no part of the file any more. */
enum err wal_room_cut(struct wal *wal) WARN_UNUSED;

/* Adds to the list; under files_lock (or before the log is shared). */
struct wal_segment *wal_segment_add(struct wal *wal, const struct wal_segment *segment);

/* Where the log begins now. */
lsn_t wal_trimmed(struct wal *wal);

/* wal_open.c: reads the directory into the list. */
enum err wal_scan(struct wal *wal, struct wal_found *found) WARN_UNUSED;

/* wal_keep.c */
enum err wal_threads_start(struct wal *wal) WARN_UNUSED;
void wal_threads_stop(struct wal *wal);
void wal_space_ask(struct wal *wal);

#endif
