#include "policy/difference.h"

/* Cuts what `b` holds out of one grant. Two that are cut leave at most one piece more than there are cuts, so that all
 * pieces of GRANTS_MAX grants, cut by as many, have room. */
static uint32_t cut(struct grant left, const struct grant *b, uint32_t b_count, struct grant *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b_count; i++) {
        if (b[i].protocol != left.protocol || b[i].high < left.low || b[i].low > left.high)
            continue;
        if (b[i].low > left.low)
            out[count++] = (struct grant){left.protocol, left.low, (uint16_t)(b[i].low - 1)};
        if (b[i].high >= left.high)
            return count;
        left.low = (uint16_t)(b[i].high + 1);
    }
    out[count++] = left;
    return count;
}

uint32_t grants_minus(const struct grant *a, uint32_t a_count, const struct grant *b, uint32_t b_count,
                      struct grant out[DIFFERENCE_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < a_count; i++)
        count += cut(a[i], b, b_count, out + count);
    return count;
}
