#include <string.h>

#include "policy/document.h"

#include "fuzz.h"

/* Groups begin with g, devices with d. */
static bool is_group(void *context, const char *name, struct subject *out)
{
    (void)context;
    *out = (struct subject){.bytes = {1, (uint8_t)name[1]}};
    return name[0] == 'g';
}

static bool is_device(void *context, const char *name, struct subject *out)
{
    (void)context;
    *out = (struct subject){.bytes = {2, (uint8_t)name[1]}};
    return name[0] == 'd';
}

static const char *known(void *context, uint32_t i)
{
    (void)context;
    return i == 0 ? "group" : i == 1 ? "device" : NULL;
}

static void must_be_in_order(const struct policy_error *errors, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        must(errors[i].line > 0 && errors[i].column > 0);
        must(strlen(errors[i].text) > 0 && !strchr(errors[i].text, '\n'));
        must(i == 0 || errors[i].line >= errors[i - 1].line);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct policy_names names = {.group = is_group, .device = is_device, .known = known};
    struct policy_error errors[4];
    struct rule_set *set = NULL;
    struct policy_tests tests;
    uint32_t count;
    int error = policy_read_tested(&set, &tests, (const char *)data, size, &names, errors, 4, &count);
    must((error == 0) == (set != NULL));
    must((error == ERROR_MALFORMED) == (count > 0) && count <= 4);
    must_be_in_order(errors, count);
    if (set) {
        char line[64];
        must(policy_print(set, line, sizeof(line)) >= 0);
        must(policy_subjects(set, NULL, 0) <= 2 * set->count);
    }
    for (uint32_t i = 0; i < tests.count; i++)
        must(tests.all[i].from[0] && tests.all[i].to[0] && tests.all[i].protocol);
    policy_tests_free(&tests);
    rule_set_free(set);
    return 0;
}
