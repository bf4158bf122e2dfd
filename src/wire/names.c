#include "wire/names.h"

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool name_is_valid(const char *name, size_t len)
{
    if (len == 0 || len > NAME_MAX_LEN || name[0] == '-' || name[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_alphanumeric(name[i]) && name[i] != '-')
            return false;
    return true;
}
