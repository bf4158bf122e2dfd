#include "keep.h"

#include <string.h>

int port_parse(uint16_t *out, const char *text)
{
    uint32_t value = 0;
    if (*text < '1' || *text > '9')
        return ERROR_INVALID;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || value > UINT16_MAX)
            return ERROR_INVALID;
        value = value * 10 + (uint32_t)(*text - '0');
    }
    if (value > UINT16_MAX)
        return ERROR_INVALID;
    *out = (uint16_t)value;
    return 0;
}

int keep_add(struct keep *k, const char *text)
{
    struct keep_port new = {.udp = strncmp(text, "udp/", 4) == 0};
    if ((!new.udp &&strncmp(text, "tcp/", 4) != 0) || port_parse(&new.port, text + 4) != 0)
        return ERROR_INVALID;
    for (uint32_t i = 0; i < k->count; i++)
        if (k->ports[i].udp == new.udp && k->ports[i].port == new.port)
            return 0;
    if (k->count == KEEP_MAX)
        return ERROR_FULL;
    k->ports[k->count++] = new;
    return 0;
}
