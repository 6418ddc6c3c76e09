/*
 * wal_fixture.h - a log on a fake disk, for one test at a time: what the tests of the log share.
 */
#ifndef CAIRN_TESTS_UNIT_PERSISTENCE_WAL_FIXTURE_H
#define CAIRN_TESTS_UNIT_PERSISTENCE_WAL_FIXTURE_H

#include "fake_vfs.h"
#include "wal_help.h"

extern struct fake *disk;
extern struct help_fatal fatal;
extern struct wal_options options; /* of the next open_log */
extern struct wal *wal;            /* NULL when closed */
extern struct wal_found found;     /* what the last open_log found */
extern struct buf expected, got;   /* the stream as it was appended; as it was read back */

/* Before and after each test. */
void setup(void);
void teardown(void);

void open_log(void);
void close_log(void);
void kill_log(void); /* kill -9: nothing is closed. (The test's memory of the log is given back by closing it on a disk that refuses.) */

void reads_back(lsn_t from);       /* the log holds what is expected, from there on */
void fill(unsigned count);         /* appends so many records of various sizes, and writes them */
void fill_slowly(unsigned count);  /* so many times a few, in many writes, so that segments are left; synced */

#endif
