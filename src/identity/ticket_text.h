/* Base64url (RFC 4648 section 5) without padding. Internal to src/identity. */
#ifndef IDENTITY_TICKET_TEXT_H
#define IDENTITY_TICKET_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Characters for `len` bytes. */
size_t base64url_length(size_t len);
/* Writes exactly that many, without a NUL. */
void base64url_write(char *out, const uint8_t *bytes, size_t len);

/* Reads one text, passing over white space. Returns the number of bytes (at most 3/4 of `len`), or ERROR_MALFORMED for
 * a character that does not belong, a length that no bytes give, or bits left over that are not zero. */
must_check int base64url_read(uint8_t *out, const char *text, size_t len);

#endif
