#include "cbor_model.h"

#include <string.h>

#include <cbor.h>

static bool is_shortest(const cbor_item_t *item)
{
    static const uint64_t least[] = {[CBOR_INT_8] = 0,
                                     [CBOR_INT_16] = UINT8_MAX + UINT64_C(1),
                                     [CBOR_INT_32] = UINT16_MAX + UINT64_C(1),
                                     [CBOR_INT_64] = UINT32_MAX + UINT64_C(1)};
    return cbor_get_int(item) >= least[cbor_int_get_width(item)];
}

/* Text whose characters libcbor could not count is not UTF-8. */
static bool is_text(const cbor_item_t *item)
{
    return cbor_string_is_definite(item) && (cbor_string_length(item) == 0 || cbor_string_codepoint_count(item) > 0);
}

static bool is_simple(const cbor_item_t *item)
{
    return cbor_float_ctrl_is_ctrl(item) && (cbor_is_bool(item) || cbor_is_null(item));
}

static bool in_subset(const cbor_item_t *item, unsigned depth);

static bool array_in_subset(const cbor_item_t *item, unsigned depth)
{
    if (!cbor_array_is_definite(item) || depth == CBOR_MODEL_DEPTH_MAX)
        return false;
    for (size_t i = 0; i < cbor_array_size(item); i++)
        if (!in_subset(cbor_array_handle(item)[i], depth + 1))
            return false;
    return true;
}

static bool precedes(const cbor_item_t *key, const cbor_item_t *next)
{
    uint8_t a[CBOR_MODEL_ITEM_MAX], b[CBOR_MODEL_ITEM_MAX];
    size_t a_len = cbor_serialize(key, a, sizeof(a)), b_len = cbor_serialize(next, b, sizeof(b));
    return memcmp(a, b, a_len < b_len ? a_len : b_len) < 0;
}

static bool map_in_subset(const cbor_item_t *item, unsigned depth)
{
    if (!cbor_map_is_definite(item) || depth == CBOR_MODEL_DEPTH_MAX)
        return false;
    const struct cbor_pair *pairs = cbor_map_handle(item);
    for (size_t i = 0; i < cbor_map_size(item); i++) {
        if (!in_subset(pairs[i].key, depth + 1) || !in_subset(pairs[i].value, depth + 1))
            return false;
        if (i > 0 && !precedes(pairs[i - 1].key, pairs[i].key))
            return false;
    }
    return true;
}

static bool in_subset(const cbor_item_t *item, unsigned depth)
{
    switch (cbor_typeof(item)) {
    case CBOR_TYPE_UINT:
    case CBOR_TYPE_NEGINT:
        return is_shortest(item);
    case CBOR_TYPE_BYTESTRING:
        return cbor_bytestring_is_definite(item);
    case CBOR_TYPE_STRING:
        return is_text(item);
    case CBOR_TYPE_ARRAY:
        return array_in_subset(item, depth);
    case CBOR_TYPE_MAP:
        return map_in_subset(item, depth);
    case CBOR_TYPE_FLOAT_CTRL:
        return is_simple(item);
    default:
        return false;
    }
}

static bool written_again_it_is_the_same(const cbor_item_t *item, const uint8_t *bytes, size_t len)
{
    uint8_t again[CBOR_MODEL_ITEM_MAX];
    return cbor_serialize(item, again, sizeof(again)) == len && memcmp(again, bytes, len) == 0;
}

static void note_count(void *greatest, size_t count)
{
    size_t *seen = greatest;
    if (count > *seen)
        *seen = count;
}

/* libcbor allocates for as many elements as a head claims, gigabytes too; so such an item is refused before it. */
static bool counts_fit(const uint8_t *bytes, size_t len)
{
    size_t greatest = 0;
    struct cbor_callbacks callbacks = cbor_empty_callbacks;
    callbacks.array_start = note_count;
    callbacks.map_start = note_count;
    for (size_t at = 0; at < len;) {
        struct cbor_decoder_result head = cbor_stream_decode(bytes + at, len - at, &callbacks, &greatest);
        if (head.status != CBOR_DECODER_FINISHED)
            return false;
        at += head.read;
    }
    return greatest <= len;
}

bool cbor_model_accepts(const uint8_t *bytes, size_t len)
{
    struct cbor_load_result result;
    if (!counts_fit(bytes, len))
        return false;
    cbor_item_t *item = cbor_load(bytes, len, &result);
    if (!item)
        return false;
    bool accepted = result.read == len && in_subset(item, 0) && written_again_it_is_the_same(item, bytes, len);
    cbor_decref(&item);
    return accepted;
}
