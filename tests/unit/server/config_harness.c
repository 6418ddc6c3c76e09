#include "tests/unit/server/config_harness.h"

#include <check.h>

const char *setting(struct config *c, const char *name)
{
    static struct buf text;

    return config_string(c, name, &text);
}

enum err setting_change_as(struct config *c, const char *name, const char *value, bool may_protected)
{
    struct config_change change = {option_find(TEXT(name)), TEXT(value), TEXT(name)};
    size_t failed;

    ck_assert_uint_ne(change.option, SIZE_MAX);
    return config_set(c, &change, 1, may_protected, &failed);
}

enum err setting_change(struct config *c, const char *name, const char *value)
{
    return setting_change_as(c, name, value, false);
}
