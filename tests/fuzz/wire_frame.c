#include <string.h>

#include "wire/frame.h"

#include "fuzz.h"

/* What is read can be written, in no more bytes, and what was written reads and writes the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame frame, again;
    uint8_t first[FRAME_MAX], second[FRAME_MAX];
    int error = frame_decode(&frame, data, size);
    must(error == 0 || error == ERROR_MALFORMED || error == ERROR_UNSUPPORTED);
    if (error != 0)
        return 0;
    int len = frame_encode(&frame, first, sizeof(first));
    must(len > 0 && (size_t)len <= size);
    must(frame_decode(&again, first, (size_t)len) == 0);
    must(frame_encode(&again, second, sizeof(second)) == len);
    must(memcmp(first, second, (size_t)len) == 0);
    return 0;
}
