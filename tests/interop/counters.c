#include "counters.h"

#include <inttypes.h>

#define COUNTERS_MAX 64

void counters_print(struct engine *engine, FILE *out)
{
    uint64_t values[COUNTERS_MAX];
    uint32_t count = engine_counter_values(engine, values, COUNTERS_MAX);
    for (uint32_t i = 0; i < count; i++)
        fprintf(out, "%s=%" PRIu64 "\n", engine_counter_name(i), values[i]);
    fflush(out);
}
