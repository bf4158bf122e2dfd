/* The tests that a policy file carries, held against its rules. */
#ifndef CLI_POLICY_TEST_H
#define CLI_POLICY_TEST_H

#include "policy_file.h"

/* After policy_file_look and policy_file_parse. Each that fails is said with its place; EXIT_NO then. Whether devices
 * have joined plays no part: it is the file that is tested. */
must_check int policy_tests_run(struct policy_file *w);

#endif
