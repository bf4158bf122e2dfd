/* Messages from one thread to another, in order. Handshake messages are bounded, since strangers cause them, each class
 * in a room of its own; and control frames, since peers send as many as they like; the rest, which we ourselves cause,
 * is not. */
#ifndef ENGINE_MAILBOX_H
#define ENGINE_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "net/loop.h"
#include "tunnel/tunnel.h"

/* Handshake messages by whom they are worth work to. */
enum handshake_class {
    HANDSHAKE_ANSWER,  /* to an initiation of ours */
    HANDSHAKE_GATED,   /* an initiation of one who knows our gate key */
    HANDSHAKE_UNGATED, /* any other */
    HANDSHAKE_CLASSES
};
#define MAILBOX_ANSWERS_MAX 64
#define MAILBOX_COOKIES_MAX (MAILBOX_ANSWERS_MAX / 2) /* of the answers */
#define MAILBOX_GATED_MAX 256
#define MAILBOX_UNGATED_MAX 256
#define MAILBOX_UNDER_LOAD 64 /* ungated ones that wait */
#define MAILBOX_FRAMES_MAX 1024

enum mail_kind {
    MAIL_NOTICE,        /* to control: as tunnel_notice says */
    MAIL_LOCAL_REFUSED, /* to control: peer's source address no longer works */
    MAIL_GONE,          /* to control: the interface was deleted */
    MAIL_FLUSH,         /* to the sender */
    MAIL_DISCARD,       /* to the sender */
    MAIL_SETTLE,        /* to the sender: sender_settle's number is in `len` */
    MAIL_FRAME,         /* to control: a frame from `peer`; to the sender: one for it */
    MAIL_WANTED,        /* to control: packets wait for `peer`, whose path is not known; 0: for whoever has `address` */
};

struct mail {
    enum mail_kind kind;
    bool keepalive; /* MAIL_FLUSH */
    uint32_t len;   /* MAIL_FRAME, MAIL_WANTED */
    peer_id peer;
    union {
        struct tunnel_notice notice; /* MAIL_NOTICE */
        struct {                     /* MAIL_FRAME */
            uint8_t *bytes;          /* the mail's own */
            struct endpoint path;    /* to control: how it came; to the sender: how to send it, family none: as usual */
            uint32_t session;        /* to control: local index */
        };
        uint8_t address[16]; /* MAIL_WANTED */
    };
};

struct mail_handshake {
    struct endpoint from;
    uint64_t at; /* when it came, monotonic */
    uint8_t len;
    uint8_t bytes[MESSAGE_HANDSHAKE_MAX];
};

struct handshake_ring {
    struct mail_handshake *list;
    uint32_t first, capacity;
    _Atomic uint32_t count; /* changes under the lock */
};

struct mailbox {
    pthread_mutex_t lock;
    struct loop *reader; /* woken by the first mail, and by the first handshake message: they are taken apart */
    struct mail *mail;
    uint32_t count, capacity;
    uint32_t frames; /* among the mail */
    struct handshake_ring handshakes[HANDSHAKE_CLASSES];
};

/* `with_handshakes`: takes those, too. */
must_check int mailbox_init(struct mailbox *box, struct loop *reader, bool with_handshakes);
void mailbox_clear(struct mailbox *box);

/* A mail that there is no memory for is dropped: what it asks for is asked for again in time, or (an interface that is
 * gone) seen by other means; what a dropped MAIL_DISCARD leaves staged stays until the interface goes down. */
void mailbox_put(struct mailbox *box, const struct mail *mail);
/* A MAIL_FRAME (kind, peer, path, session, len) with a copy of the bytes. False when there is no room. */
must_check bool mailbox_put_frame(struct mailbox *box, const struct mail *frame, const uint8_t *bytes);
/* False when there is no room in its class. */
must_check bool mailbox_put_handshake(struct mailbox *box, enum handshake_class class, const uint8_t *bytes, size_t len,
                                      const struct endpoint *from, uint64_t now);
/* Whether there would be room; a guess that takes no lock. */
bool mailbox_has_room(const struct mailbox *box, enum handshake_class class);

/* Takes all mail at once; the caller frees it with mail_free. */
struct mail *mailbox_take(struct mailbox *box, uint32_t *count);
void mail_free(struct mail *mail, uint32_t count);
/* Takes the oldest handshake message of a class. */
must_check bool mailbox_take_handshake(struct mailbox *box, enum handshake_class class, struct mail_handshake *out);
uint32_t mailbox_waiting(const struct mailbox *box, enum handshake_class class);

#endif
