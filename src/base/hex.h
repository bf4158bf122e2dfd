/* Bytes as lowercase hexadecimal digits. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEX_SIZE(len) (2 * (len) + 1)

/* Writes HEX_SIZE(len) characters, the NUL among them; returns `out`. */
char *hex_print(char *out, const void *bytes, size_t len);
/* Reads exactly 2 * len digits; false, with `out` in part written, if the text is anything else. */
bool hex_parse(void *out, size_t len, const char *text);

#endif
