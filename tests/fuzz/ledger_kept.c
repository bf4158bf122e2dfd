/* A record that is understood is written as it was read. */
#include <string.h>

#include "ledger/kept.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kept kept;
    if (kept_decode(&kept, data, size))
        return 0;
    uint8_t *again = malloc(size);
    must(again);
    must(kept_encode(&kept, again, size) == (int64_t)size);
    must(memcmp(again, data, size) == 0);
    free(again);
    return 0;
}
