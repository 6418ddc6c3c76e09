/*
 * copy_frame.h - what travels when a whole copy goes by files: a manifest, pieces of files, an end. Little endian.
 *
 * Behind "+FULLRESYNC replid offset" and a line "$FILES:" with the copy's id (40 hex digits) come frames:
 *
 *     0   4  magic "CNcp"                    24   8  sum of the payload: XXH3
 *     4   1  kind                            32   8  sum of bytes 0 .. 31: XXH3
 *     5   3  zero                            40      payload
 *     8   4  payload, bytes
 *    12   4  file (CHUNK), else 0
 *    16   8  offset in the file (CHUNK), bytes of all files (END), else 0
 *
 * MANIFEST, the first frame of every connection:
 *     0   2  version 1                       32   4  the database selected in the stream at the position; -1: none
 *     2   2  zero                            36   4  zero
 *     4   4  files                           40      per file, numbered from 0, by database:
 *     8   8  position                                0  2 database    8  8 bytes
 *    16   8  limit of ids                            2  1 level      16  8 smallest sequence number
 *    24   8  bytes of all files                      3  5 zero       24  8 largest sequence number
 *
 * CHUNKs follow in order, without gaps, from the place that the receiver asked for; then END.
 */
#ifndef CAIRN_SERVER_DRIVE_COPY_FRAME_H
#define CAIRN_SERVER_DRIVE_COPY_FRAME_H

#include "base/buf.h"
#include "base/err.h"
#include "engine/set/checkpoint.h"

enum { COPY_ID_BYTES = 40, COPY_HEAD_BYTES = 40, COPY_CHUNK_MAX = 1 << 20, COPY_PAYLOAD_MAX = 40 << 20 };

/* REPLCONF capa of a node that takes copies in this form, and the option that tells where it stopped. */
#define COPY_CAPA "cairn-files-1"
#define COPY_PLACE "cairn-copy"

enum copy_kind { /* On the wire: never renumber. */
    COPY_MANIFEST = 1,
    COPY_CHUNK = 2,
    COPY_END = 3,
};

struct copy_frame {
    enum copy_kind kind;
    uint32_t file;
    uint64_t offset;
    struct slice payload; /* borrowed */
};

void copy_frame_append(struct buf *out, const struct copy_frame *f);

/*
 * The first frame of the bytes, whose payload borrows from them; *used: its size. ERR_AGAIN: it is not all there.
 * ERR_CORRUPT: no frame, or altered.
 */
enum err copy_frame_parse(struct slice bytes, struct copy_frame *out, size_t *used) WARN_UNUSED;

/* The payload of a MANIFEST. */
void copy_manifest_append(struct buf *out, const struct set_checkpoint *c, int selected);
/* The caller frees *out (set_checkpoint_free). ERR_CORRUPT. */
enum err copy_manifest_parse(struct slice payload, struct set_checkpoint *out, int *selected) WARN_UNUSED;

/* A place in a copy, as "REPLCONF cairn-copy" tells it: "<id>:<file>:<offset>". */
struct copy_place {
    char id[COPY_ID_BYTES + 1]; /* "": none */
    uint32_t file;
    uint64_t offset;
};
enum { COPY_PLACE_BYTES = COPY_ID_BYTES + 34 };
void copy_place_format(const struct copy_place *p, char out[COPY_PLACE_BYTES]);
enum err copy_place_parse(struct slice text, struct copy_place *out) WARN_UNUSED; /* ERR_SYNTAX */

#endif
