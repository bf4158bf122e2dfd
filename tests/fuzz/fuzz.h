/* What every fuzz target defines, as libFuzzer names it. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert, stays in every build. */
#define must(condition) ((condition) ? (void)0 : abort())

#endif
