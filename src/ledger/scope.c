#include <string.h>

#include "base/bytes.h"
#include "ledger/opening.h"

static bool matches(const char *pattern, const char *name)
{
    size_t len = strlen(pattern);
    if (len > 0 && pattern[len - 1] == '*')
        return strncmp(pattern, name, len - 1) == 0;
    return strcmp(pattern, name) == 0;
}

static bool any_matches(uint32_t count, const char (*patterns)[NAME_MAX_LEN + 2], const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (matches(patterns[i], name))
            return true;
    return false;
}

static bool holds_group(const struct opening_scope *scope, const struct subject *group)
{
    for (uint32_t i = 0; i < scope->group_count; i++)
        if (memcmp(scope->groups[i].bytes, group->bytes, SUBJECT_SIZE) == 0)
            return true;
    return false;
}

static bool holds_ipv4(const struct opening_scope *scope, const uint8_t ipv4[4])
{
    uint32_t mask = scope->ipv4_len == 0 ? 0 : UINT32_MAX << (32 - scope->ipv4_len);
    return scope->has_ipv4 && ((get_be32(scope->ipv4) ^ get_be32(ipv4)) & mask) == 0;
}

bool scope_holds(const struct opening_scope *scope, const struct opening_invite *invite)
{
    if (invite->relay || invite->controller)
        return false;
    if (!any_matches(scope->name_count, scope->names, invite->name))
        return false;
    if (invite->site[0] != '\0' && !any_matches(scope->site_count, scope->sites, invite->site))
        return false;
    for (uint32_t i = 0; i < invite->group_count; i++)
        if (!holds_group(scope, &invite->groups[i].id))
            return false;
    return !invite->has_ipv4 || holds_ipv4(scope, invite->ipv4);
}
