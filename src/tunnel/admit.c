/* Who is served while more handshake messages come in than can be answered (paper section 5.3). */
#include <stdlib.h>

#include "tunnel/internal.h"

static void reply(struct tunnel *t, const struct identity *own, const struct endpoint *from, const uint8_t *message,
                  size_t len, struct tunnel_actions *actions)
{
    uint8_t nonce[MESSAGE_COOKIE_NONCE_SIZE];
    struct message_cookie_reply made;
    entropy(t, nonce, sizeof(nonce));
    if (cookie_reply_make(&made, &t->cookie_secret, &own->keys, t->crypto, nonce, from, message, len) != 0)
        return;
    struct tunnel_action *action = action_add(actions, TUNNEL_ACTION_SEND);
    action->send.to = *from;
    action->send.peer = 0;
    action->send.len = sizeof(made);
    memcpy(action->send.bytes, &made, sizeof(made));
    count(&t->counters.cookie_replies);
}

static bool within_rate(struct tunnel *t, const struct endpoint *from, uint64_t now)
{
    if (!t->rate_limit) {
        t->rate_limit = calloc(1, sizeof(*t->rate_limit));
        if (!t->rate_limit)
            return false;
        entropy(t, t->rate_limit->seed, sizeof(t->rate_limit->seed));
    }
    return rate_limit_allow(t->rate_limit, from, now);
}

static void renew_secret(struct tunnel *t, uint64_t now)
{
    uint8_t fresh[BLAKE2S_SIZE];
    entropy(t, fresh, sizeof(fresh));
    cookie_secret_renew(&t->cookie_secret, fresh, now);
    wipe(fresh, sizeof(fresh));
}

bool cookie_admits(struct tunnel *t, const struct endpoint *from, const uint8_t *message, size_t len, uint64_t now,
                   struct tunnel_actions *actions)
{
    if (now >= t->cookie_secret.until)
        renew_secret(t, now);
    if (!cookie_mac2_holds(&t->cookie_secret, t->crypto, from, message, len)) {
        reply(t, atomic_load(&t->identity), from, message, len, actions);
        return false;
    }
    if (within_rate(t, from, now))
        return true;
    count(&t->counters.flooding);
    return false;
}
