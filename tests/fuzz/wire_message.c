#include "wire/message.h"

#include "fuzz.h"

static size_t size_least(enum message_type type)
{
    static const size_t sizes[] = {[MESSAGE_INITIATION] = sizeof(struct message_initiation),
                                   [MESSAGE_RESPONSE] = sizeof(struct message_response),
                                   [MESSAGE_COOKIE_REPLY] = sizeof(struct message_cookie_reply),
                                   [MESSAGE_TRANSPORT] = MESSAGE_TRANSPORT_MIN,
                                   [MESSAGE_NATIVE] = MESSAGE_NATIVE_MIN};
    return sizes[type];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum message_type type = message_classify(data, size);
    if (type == MESSAGE_NONE)
        return 0;
    must(type >= MESSAGE_INITIATION && type <= MESSAGE_NATIVE);
    must(size >= size_least(type));
    must(type >= MESSAGE_TRANSPORT || size == size_least(type));
    must(data[0] == type && is_zero(data + 1, 3));
    return 0;
}
