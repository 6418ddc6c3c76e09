/*
 * suite.h - the end of a unit test's main: runs its tests, each in a process of its own, and says how many failed.
 */
#ifndef CAIRN_TESTS_UNIT_SUITE_H
#define CAIRN_TESTS_UNIT_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Check gives a test four seconds unless its case says otherwise: a loaded machine needs more. */
__attribute__((constructor)) static void suite_patience(void)
{
    setenv("CK_DEFAULT_TIMEOUT", "60", 0);
}

/* What main returns. The runner owns the tests. CK_RUN_CASE and the other variables of Check choose among them. */
static inline int suite_run(const char *name, TCase *take_tests)
{
    Suite *suite = suite_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, take_tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
