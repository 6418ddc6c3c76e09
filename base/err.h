/*
 * err.h - outcomes, and the detail text that goes with the unexpected ones.
 *
 * Expected outcomes (not found, cold, busy) carry no text. For the others the text is set once, by err_set, where
 * it happens, and rooms that add context use err_context. The text belongs to the thread.
 */
#ifndef CAIRN_BASE_ERR_H
#define CAIRN_BASE_ERR_H

enum err {
    OK = 0,
    /* Expected outcomes. */
    ERR_NOT_FOUND,
    ERR_EXISTS,
    ERR_COLD,    /* needs the disk, and the caller said it must not wait; nothing was changed */
    ERR_BUSY,    /* a lock is held, and the caller said it must not wait; nothing was changed */
    ERR_AGAIN,   /* would block, or more bytes are needed */
    ERR_REPLIED, /* a command wrote its own error reply */
    /* A client's mistakes, translated into RESP in one place (server/run). */
    ERR_WRONG_TYPE,
    ERR_SYNTAX,
    ERR_NOT_INTEGER,
    ERR_NOT_FLOAT,
    ERR_OVERFLOW, /* an increment would overflow */
    ERR_NAN,      /* an increment would give NaN or infinity */
    ERR_RANGE,    /* an index is out of range */
    ERR_NO_KEY,   /* the command needs the key to exist */
    ERR_TOO_BIG,  /* a value would exceed its largest size */
    ERR_INVALID,  /* any other bad argument; text says which */
    /* Trouble. */
    ERR_NO_MEMORY,
    ERR_IO,
    ERR_NO_SPACE,
    ERR_CORRUPT,
    ERR_PROTOCOL,
    ERR_CLOSED,
};

#define WARN_UNUSED __attribute__((warn_unused_result))

/* Propagates anything but OK. Only where nothing is to be cleaned up. */
#define TRY(expr)                \
    do {                         \
        enum err try_e_ = (expr); \
        if (try_e_ != OK)        \
            return try_e_;       \
    } while (0)

/* Sets the thread's detail text (printf style, cut at 512 bytes) and returns e. */
enum err err_set(enum err e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the thread's detail text and returns e. */
enum err err_context(enum err e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The thread's detail text, or "" ; valid until the next err_set of this thread. */
const char *err_text(void);
void err_clear(void);

/* A word for the code itself, for logs: "corrupt", "io". */
const char *err_name(enum err e);

#endif
