/* What was refused and lost, for people. */
#ifndef INTEROP_COUNTERS_H
#define INTEROP_COUNTERS_H

#include <stdio.h>

#include "engine/engine.h"

/* One "name=value" a line: the tunnel's counters, then the engine's. */
void counters_print(struct engine *engine, FILE *out);

#endif
