/*
 * config_harness.h - settings read and changed by name, for tests of server/conf.
 */
#ifndef CAIRN_TESTS_UNIT_SERVER_CONFIG_HARNESS_H
#define CAIRN_TESTS_UNIT_SERVER_CONFIG_HARNESS_H

#include "server/conf/config.h"

#define TEXT(literal) slice_str(literal)

/* The text that CONFIG GET would show; valid until the next call. */
const char *setting(struct config *c, const char *name);

/* CONFIG SET of one option, which must exist; may_protected as in config_set. */
enum err setting_change_as(struct config *c, const char *name, const char *value, bool may_protected);
enum err setting_change(struct config *c, const char *name, const char *value);

#endif
