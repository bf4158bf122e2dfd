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

void mail_free(struct mail *mail, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (mail[i].kind == MAIL_FRAME)
            free(mail[i].bytes);
    free(mail);
}

void mailbox_clear(struct mailbox *box)
{
    mail_free(box->mail, box->count);
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

static bool put(struct mailbox *box, const struct mail *mail)
{
    bool is_frame = mail->kind == MAIL_FRAME;
    pthread_mutex_lock(&box->lock);
    bool was_empty = box->count == 0;
    bool room = (!is_frame || box->frames < MAILBOX_FRAMES_MAX) && make_room(box);
    if (room) {
        box->mail[box->count++] = *mail;
        box->frames += is_frame;
    }
    pthread_mutex_unlock(&box->lock);
    if (was_empty)
        loop_wake(box->reader);
    return room;
}

void mailbox_put(struct mailbox *box, const struct mail *mail)
{
    (void)put(box, mail);
}

bool mailbox_put_frame(struct mailbox *box, const struct mail *frame, const uint8_t *bytes)
{
    struct mail mail = *frame;
    mail.bytes = malloc(mail.len ? mail.len : 1);
    if (!mail.bytes)
        return false;
    memcpy(mail.bytes, bytes, mail.len); /* NOLINT(clang-analyzer-unix.Malloc): with room, the box has it */
    bool room = put(box, &mail);
    if (!room)
        free(mail.bytes);
    return room;
}

bool mailbox_put_handshake(struct mailbox *box, const uint8_t *bytes, size_t len, const struct endpoint *from)
{
    pthread_mutex_lock(&box->lock);
    bool was_empty = box->handshake_count == 0;
    bool initiation = message_classify(bytes, len) == MESSAGE_INITIATION;
    uint32_t most = initiation ? MAILBOX_INITIATIONS_MAX : MAILBOX_HANDSHAKES_MAX;
    bool room = box->handshake_count < most && len <= MESSAGE_HANDSHAKE_MAX;
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
    box->count = box->capacity = box->frames = 0;
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
