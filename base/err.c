/*
 * err.c - the thread's error text.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 512 };

static _Thread_local char text[TEXT_BYTES_MAX];

enum err err_set(enum err e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return e;
}

enum err err_context(enum err e, const char *format, ...)
{
    char before[TEXT_BYTES_MAX], whole[2 * TEXT_BYTES_MAX + 2];
    va_list args;

    va_start(args, format);
    vsnprintf(before, sizeof before, format, args);
    va_end(args);
    snprintf(whole, sizeof whole, "%s: %.*s", before, TEXT_BYTES_MAX - 1, text);
    whole[TEXT_BYTES_MAX - 1] = '\0';
    memcpy(text, whole, TEXT_BYTES_MAX);
    return e;
}

const char *err_text(void)
{
    return text;
}

void err_clear(void)
{
    text[0] = '\0';
}

const char *err_name(enum err e)
{
    switch (e) {
    case OK: return "ok";
    case ERR_NOT_FOUND: return "not found";
    case ERR_EXISTS: return "exists";
    case ERR_COLD: return "cold";
    case ERR_BUSY: return "busy";
    case ERR_AGAIN: return "again";
    case ERR_REPLIED: return "replied";
    case ERR_WRONG_TYPE: return "wrong type";
    case ERR_SYNTAX: return "syntax";
    case ERR_NOT_INTEGER: return "not an integer";
    case ERR_NOT_FLOAT: return "not a float";
    case ERR_OVERFLOW: return "overflow";
    case ERR_NAN: return "not a number";
    case ERR_RANGE: return "range";
    case ERR_NO_KEY: return "no key";
    case ERR_TOO_BIG: return "too big";
    case ERR_INVALID: return "invalid";
    case ERR_NO_MEMORY: return "no memory";
    case ERR_IO: return "io";
    case ERR_NO_SPACE: return "no space";
    case ERR_CORRUPT: return "corrupt";
    case ERR_PROTOCOL: return "protocol";
    case ERR_CLOSED: return "closed";
    }
    return "unknown";
}
