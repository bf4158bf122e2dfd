/* Lists of candidates, as hellos, introductions and candidates frames carry them. */
#include "base/cursor.h"
#include "wire/frame.h"

static bool is_among(const struct underlay *list, uint32_t count, const struct underlay *u)
{
    for (uint32_t n = 0; n < count; n++)
        if (underlay_equal(&list[n], u))
            return true;
    return false;
}

static void get_one(struct cursor *c, struct underlay *out)
{
    *out = (struct underlay){.family = cursor_get_u8(c)};
    cursor_get_bytes(c, out->address, out->family == 4 ? 4 : sizeof(out->address));
    out->port = cursor_get_be16(c);
}

uint32_t frame_candidates_get(struct frame_view list, struct underlay out[FRAME_CANDIDATES_MAX])
{
    struct cursor c = cursor_reading(list.bytes, list.len);
    uint32_t count = 0;
    while (cursor_left(&c) > 0 && !cursor_error(&c)) {
        struct underlay u;
        get_one(&c, &u);
        if (cursor_error(&c) || count == FRAME_CANDIDATES_MAX || !underlay_is_sendable(&u) || is_among(out, count, &u))
            return 0;
        out[count++] = u;
    }
    return count;
}

size_t frame_candidates_put(const struct underlay *all, uint32_t count, uint8_t out[FRAME_CANDIDATES_SIZE])
{
    struct cursor c = cursor_writing(out, FRAME_CANDIDATES_SIZE);
    struct underlay kept[FRAME_CANDIDATES_MAX];
    uint32_t put = 0;
    for (uint32_t n = 0; n < count && put < FRAME_CANDIDATES_MAX; n++) {
        if (!underlay_is_sendable(&all[n]) || is_among(kept, put, &all[n]))
            continue;
        kept[put++] = all[n];
        cursor_put_u8(&c, all[n].family);
        cursor_put_bytes(&c, all[n].address, all[n].family == 4 ? 4 : sizeof(all[n].address));
        cursor_put_be16(&c, all[n].port);
    }
    return (size_t)(c.at - out);
}
