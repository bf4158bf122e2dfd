/* Policy as people write it: YAML, read by a table of keywords, each error with line and column; and what becomes of
 * it: one set of rules for each subject that they name. */
#ifndef POLICY_DOCUMENT_H
#define POLICY_DOCUMENT_H

#include "policy/rules.h"

#define POLICY_TEXT_MAX (1u << 20)

struct policy_error {
    uint32_t line, column; /* from 1 */
    char text[200];        /* what is wrong and what would be right; one line */
};

/* What a name in a rule means; false: nobody has it. `all` is known without asking. */
struct policy_names {
    bool (*group)(void *context, const char *name, struct subject *out);
    bool (*device)(void *context, const char *name, struct subject *out);
    void *context;
    /* The i-th name of any group or device, NULL behind the last: to say what a wrong one may have meant. May be NULL.
     */
    const char *(*known)(void *context, uint32_t i);
};

/* Reads a whole file:
 *
 *     allow:
 *       - from: sensors                # a group or a device, or a list of them
 *         to: [brokers, hub]
 *         tcp: [502, "9000-9010"]      # a port, a range, a list of those, or any
 *         udp: any
 *         icmp: any
 *
 * A rule of lists becomes one for each pair. An empty file allows nothing. 0 and the rules in `out` (rule_set_free), or
 * ERROR_MALFORMED with the first errors in order of place and their number (at most `errors_max`), or ERROR_MEMORY. A
 * name that is both a group and a device is an error, as is one that is neither. */
must_check int policy_read(struct rule_set **out, const char *text, size_t len, const struct policy_names *names,
                           struct policy_error *errors, uint32_t errors_max, uint32_t *error_count);

/* What a file says of itself, to be held against its rules:
 *
 *     tests:
 *       - {can: sensor-7, tcp: 1883, to: broker-1}
 *       - {cannot: sensor-7, icmp: any, to: broker-1}
 *
 * Each names a device or a group on either side. */
#define POLICY_TESTS_MAX 4096u
struct policy_test {
    bool can; /* else: cannot */
    char from[NAME_MAX_LEN + 1], to[NAME_MAX_LEN + 1];
    uint8_t protocol; /* enum grant_protocol */
    uint16_t port;    /* 0: ICMP */
    uint32_t line, column;
};
struct policy_tests {
    uint32_t count;
    struct policy_test *all; /* in order of being written */
};
/* As policy_read, which reads the tests too, but forgets them. policy_tests_free afterwards. */
must_check int policy_read_tested(struct rule_set **out, struct policy_tests *tests, const char *text, size_t len,
                                  const struct policy_names *names, struct policy_error *errors, uint32_t errors_max,
                                  uint32_t *error_count);
void policy_tests_free(struct policy_tests *tests);

/* The rules that name a subject, on either side; NULL when there are none or there is no memory (`*error` tells). */
struct rule_set *policy_of_subject(const struct rule_set *all, const struct subject *subject, int *error);
/* The subjects that rules name, each once, ascending. Returns their number; writes at most `max`. */
uint32_t policy_subjects(const struct rule_set *all, struct subject *out, uint32_t max);

/* One line for each rule, as `policy show` prints it. Returns the length that it has or would have (snprintf). */
must_check int policy_print(const struct rule_set *set, char *out, size_t capacity);

#endif
