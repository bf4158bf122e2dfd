/* Times are nanoseconds, of whichever clock. */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include <stdint.h>

#define MILLISECOND UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static inline uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
