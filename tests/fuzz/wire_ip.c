#include "wire/ip.h"

#include "fuzz.h"

static void must_lie_inside(const uint8_t *field, size_t len, const uint8_t *data, size_t size)
{
    must(field >= data && field + len <= data + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ip_header header;
    if (ip_parse(&header, data, size))
        return 0;
    must(header.version == data[0] >> 4);
    must(header.address_len == (header.version == 4 ? 4 : 16));
    must(header.total_len <= size);
    must_lie_inside(header.source, header.address_len, data, header.total_len);
    must_lie_inside(header.destination, header.address_len, data, header.total_len);
    return 0;
}
