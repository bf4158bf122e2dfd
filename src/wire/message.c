#include "wire/message.h"

enum message_type message_classify(const uint8_t *datagram, size_t len)
{
    struct le32 type;
    if (len < MESSAGE_TRANSPORT_MIN)
        return MESSAGE_NONE;
    memcpy(&type, datagram, sizeof(type));
    switch (get_le32(type)) {
    case MESSAGE_INITIATION:
        return len == sizeof(struct message_initiation) ? MESSAGE_INITIATION : MESSAGE_NONE;
    case MESSAGE_RESPONSE:
        return len == sizeof(struct message_response) ? MESSAGE_RESPONSE : MESSAGE_NONE;
    case MESSAGE_COOKIE_REPLY:
        return len == sizeof(struct message_cookie_reply) ? MESSAGE_COOKIE_REPLY : MESSAGE_NONE;
    case MESSAGE_TRANSPORT:
        return MESSAGE_TRANSPORT;
    case MESSAGE_NATIVE:
        return len >= MESSAGE_NATIVE_MIN ? MESSAGE_NATIVE : MESSAGE_NONE;
    default:
        return MESSAGE_NONE;
    }
}
