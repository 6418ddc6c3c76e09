/*
 * state_file.h - a small file that is replaced as a whole, with two grades of safety: saved (survives a power cut) and noted
 * (survives the process, as long as the machine goes on).
 *
 * What is noted lies behind the file, in dir/name.noted, one record after the other; a save makes the notes void. So a change
 * costs one write until a save makes it, and all others of its time, durable.
 */
#ifndef CAIRN_PERSISTENCE_STATE_FILE_H
#define CAIRN_PERSISTENCE_STATE_FILE_H

#include "base/buf.h"
#include "base/err.h"

struct vfs;
struct state_file;

enum { STATE_FILE_NOTES_MAX = 16 << 20 }; /* bytes of notes; beyond, a note is a save */

/* name has at most 200 bytes. Touches no file. */
struct state_file *state_file_new(struct vfs *vfs, const char *dir, const char *name);
void state_file_free(struct state_file *f); /* NULL is fine; saves nothing */

/*
 * What was last saved or, if the machine has not restarted since, last noted, behind the end of *out; *noted tells (may be
 * NULL). Once, before the first save or note. ERR_NOT_FOUND: there is no file (notes alone are none); ERR_TOO_BIG.
 */
enum err state_file_read(struct state_file *f, size_t size_max, struct buf *out, bool *noted) WARN_UNUSED;

/* On OK durable. Nothing is written if it is durable already. */
enum err state_file_save(struct state_file *f, struct slice text) WARN_UNUSED;

/* On OK the kernel has it. */
enum err state_file_note(struct state_file *f, struct slice text) WARN_UNUSED;

#endif
