/*
 * check.h - assertions for programmers' errors; they stay on in release.
 *
 * Bytes from disk, wire or a client are never asserted: those give an enum err.
 */
#ifndef CAIRN_BASE_CHECK_H
#define CAIRN_BASE_CHECK_H

/* Prints "file:line: check failed: text" to stderr and aborts. */
_Noreturn void check_failed(const char *file, int line, const char *text);

#define check(x) ((x) ? (void)0 : check_failed(__FILE__, __LINE__, #x))

/* Whole-structure invariants: only in debug, sanitizer and simulation builds. */
#ifdef CAIRN_CHECK_SLOW
#define check_slow(x) check(x)
#else
#define check_slow(x) ((void)sizeof(x))
#endif

#endif
