/* The slow twin of cbor_check: another's parser, libcbor, loads the item, and a walk over the tree judges whether it is
 * in the subset. What libcbor keeps no trace of, as the length of a length, shows when it writes the item again. Apart
 * from the test because both libraries have a cbor_get_bool. */
#ifndef TESTS_UNIT_WIRE_CBOR_MODEL_H
#define TESTS_UNIT_WIRE_CBOR_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CBOR_MODEL_ITEM_MAX 512u
#define CBOR_MODEL_DEPTH_MAX 8u

/* For items of up to CBOR_MODEL_ITEM_MAX bytes. */
bool cbor_model_accepts(const uint8_t *bytes, size_t len);

#endif
