/* One line of the control socket: {"v":1,"cmd":...}. */
#ifndef NODE_CONTROL_REQUEST_H
#define NODE_CONTROL_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/crypto.h"
#include "wire/names.h"

enum control_command {
    COMMAND_STATUS,
    COMMAND_DEVICES,
    COMMAND_PING, /* device */
    COMMAND_DOWN,
    COMMAND_KNOCK,   /* look into the outbox */
    COMMAND_OUTCOME, /* statement: the 64 digits of its hash */
    COMMAND_FLOWS,   /* device: what lives with it here */
};

struct control_request {
    enum control_command command;
    char device[NAME_MAX_LEN + 1];
    uint8_t statement[SHA256_SIZE];
};

/* NULL, or why it is none of those, in one sentence. Unknown fields are passed over. */
const char *control_request_parse(struct control_request *out, const char *line, size_t len);

#endif
