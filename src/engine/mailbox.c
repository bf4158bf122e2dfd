#include "engine/mailbox.h"

#include <stdlib.h>

static const uint32_t capacities[HANDSHAKE_CLASSES] = {
    [HANDSHAKE_ANSWER] = MAILBOX_ANSWERS_MAX,
    [HANDSHAKE_GATED] = MAILBOX_GATED_MAX,
    [HANDSHAKE_UNGATED] = MAILBOX_UNGATED_MAX,
};

int mailbox_init(struct mailbox *box, struct loop *reader, bool with_handshakes)
{
    *box = (struct mailbox){.reader = reader};
    if (pthread_mutex_init(&box->lock, NULL) != 0)
        return ERROR_MEMORY;
    for (int i = 0; with_handshakes && i < HANDSHAKE_CLASSES; i++) {
        struct handshake_ring *ring = &box->handshakes[i];
        ring->capacity = capacities[i];
        ring->list = calloc(ring->capacity, sizeof(*ring->list));
        if (!ring->list)
            return ERROR_MEMORY;
    }
    return 0;
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
    for (int i = 0; i < HANDSHAKE_CLASSES; i++)
        free(box->handshakes[i].list);
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

uint32_t mailbox_waiting(const struct mailbox *box, enum handshake_class class)
{
    return atomic_load_explicit(&box->handshakes[class].count, memory_order_relaxed);
}

bool mailbox_has_room(const struct mailbox *box, enum handshake_class class)
{
    return mailbox_waiting(box, class) < box->handshakes[class].capacity;
}

static void fill(struct mail_handshake *slot, const uint8_t *bytes, size_t len, const struct endpoint *from,
                 uint64_t now)
{
    slot->from = *from;
    slot->at = now;
    slot->len = (uint8_t)len;
    memcpy(slot->bytes, bytes, len);
}

bool mailbox_put_handshake(struct mailbox *box, enum handshake_class class, const uint8_t *bytes, size_t len,
                           const struct endpoint *from, uint64_t now)
{
    struct handshake_ring *ring = &box->handshakes[class];
    uint32_t most = message_classify(bytes, len) == MESSAGE_COOKIE_REPLY ? MAILBOX_COOKIES_MAX : ring->capacity;
    pthread_mutex_lock(&box->lock);
    bool was_empty = ring->count == 0;
    bool room = ring->count < most && len <= MESSAGE_HANDSHAKE_MAX;
    if (room)
        fill(&ring->list[(ring->first + ring->count++) % ring->capacity], bytes, len, from, now);
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

bool mailbox_take_handshake(struct mailbox *box, enum handshake_class class, struct mail_handshake *out)
{
    struct handshake_ring *ring = &box->handshakes[class];
    pthread_mutex_lock(&box->lock);
    bool found = ring->count > 0;
    if (found) {
        *out = ring->list[ring->first];
        ring->first = (ring->first + 1) % ring->capacity;
        ring->count--;
    }
    pthread_mutex_unlock(&box->lock);
    return found;
}
