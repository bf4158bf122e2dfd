#include "engine/mailbox.h"

#include <stdlib.h>

int mailbox_init(struct mailbox *box, struct loop *reader, bool with_handshakes)
{
    *box = (struct mailbox){.reader = reader};
    if (pthread_mutex_init(&box->lock, NULL) != 0)
        return ERROR_MEMORY;
    if (with_handshakes)
        box->handshakes = calloc(MAILBOX_HANDSHAKES_MAX, sizeof(*box->handshakes));
    return with_handshakes && !box->handshakes ? ERROR_MEMORY : 0;
}

void mailbox_clear(struct mailbox *box)
{
    free(box->mail);
    free(box->handshakes);
    pthread_mutex_destroy(&box->lock);
}

static bool make_room(struct mailbox *box)
{
    if (box->count < box->capacity)
        return true;
    uint32_t capacity = box->capacity ? box->capacity * 2 : 16;
    struct mail *mail = reallocarray(box->mail, capacity, sizeof(*mail));
    if (!mail)
        return false;
    box->mail = mail;
    box->capacity = capacity;
    return true;
}

void mailbox_put(struct mailbox *box, const struct mail *mail)
{
    pthread_mutex_lock(&box->lock);
    bool was_empty = box->count == 0;
    if (make_room(box))
        box->mail[box->count++] = *mail;
    pthread_mutex_unlock(&box->lock);
    if (was_empty)
        loop_wake(box->reader);
}

bool mailbox_put_handshake(struct mailbox *box, const uint8_t *bytes, size_t len, const struct endpoint *from)
{
    pthread_mutex_lock(&box->lock);
    bool was_empty = box->handshake_count == 0;
    bool room = box->handshake_count < MAILBOX_HANDSHAKES_MAX && len <= MESSAGE_HANDSHAKE_MAX;
    if (room) {
        uint32_t at = (box->handshake_first + box->handshake_count++) % MAILBOX_HANDSHAKES_MAX;
        struct mail_handshake *handshake = &box->handshakes[at];
        handshake->from = *from;
        handshake->len = (uint8_t)len;
        memcpy(handshake->bytes, bytes, len);
    }
    pthread_mutex_unlock(&box->lock);
    if (was_empty)
        loop_wake(box->reader);
    return room;
}

struct mail *mailbox_take(struct mailbox *box, uint32_t *count)
{
    pthread_mutex_lock(&box->lock);
    struct mail *mail = box->mail;
    *count = box->count;
    box->mail = NULL;
    box->count = box->capacity = 0;
    pthread_mutex_unlock(&box->lock);
    return mail;
}

bool mailbox_take_handshake(struct mailbox *box, struct mail_handshake *out, uint32_t *waiting)
{
    pthread_mutex_lock(&box->lock);
    *waiting = box->handshake_count;
    if (box->handshake_count > 0) {
        *out = box->handshakes[box->handshake_first];
        box->handshake_first = (box->handshake_first + 1) % MAILBOX_HANDSHAKES_MAX;
        box->handshake_count--;
    }
    pthread_mutex_unlock(&box->lock);
    return *waiting > 0;
}
