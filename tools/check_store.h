/*
 * check_store.h - the part of cairn-check that compares a node's database with its log.
 */
#ifndef CAIRN_TOOLS_CHECK_STORE_H
#define CAIRN_TOOLS_CHECK_STORE_H

extern const char *const check_store_usage;

/* argv[0]: "store". 0: they agree; 1: they do not, or something cannot be read; 2: wrong arguments. */
int check_store(int argc, char **argv);

#endif
