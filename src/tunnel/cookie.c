#include "tunnel/cookie.h"

#include "base/bytes.h"

#define LABEL_MAC1 "mac1----"
#define LABEL_COOKIE "cookie--"
#define LABEL_SIZE 8

int cookie_keys_derive(struct cookie_keys *out, struct crypto *c, const uint8_t public_key[X25519_SIZE])
{
    int error = crypto_blake2s(c, out->mac1, LABEL_MAC1, LABEL_SIZE, public_key, X25519_SIZE);
    if (error == 0)
        error = crypto_blake2s(c, out->cookie, LABEL_COOKIE, LABEL_SIZE, public_key, X25519_SIZE);
    return error;
}

static const uint8_t *mac1_of(const uint8_t *message, size_t len)
{
    return message + len - sizeof(struct message_macs);
}

static const uint8_t *mac2_of(const uint8_t *message, size_t len)
{
    return message + len - MESSAGE_MAC_SIZE;
}

static int mac_before(struct crypto *c, uint8_t mac[MESSAGE_MAC_SIZE], const uint8_t *key, size_t key_len,
                      const uint8_t *message, const uint8_t *end)
{
    return crypto_blake2s_mac(c, mac, MESSAGE_MAC_SIZE, key, key_len, message, (size_t)(end - message));
}

bool cookie_mac1_holds(const struct cookie_keys *keys, struct crypto *c, const uint8_t *message, size_t len)
{
    uint8_t mac[MESSAGE_MAC_SIZE];
    return mac_before(c, mac, keys->mac1, sizeof(keys->mac1), message, mac1_of(message, len)) == 0 &&
           equal_constant_time(mac, mac1_of(message, len), sizeof(mac));
}

void cookie_secret_renew(struct cookie_secret *s, const uint8_t fresh[BLAKE2S_SIZE], uint64_t now)
{
    if (now < s->until)
        return;
    memcpy(s->secret, fresh, BLAKE2S_SIZE);
    s->until = now + COOKIE_SECRET_LIFETIME;
}

/* The cookie binds the whole source: address and port, in network order. */
static int cookie_of(const struct cookie_secret *s, struct crypto *c, uint8_t cookie[MESSAGE_COOKIE_SIZE],
                     const struct endpoint *from)
{
    uint8_t source[16 + 2];
    size_t address_len = from->family == ENDPOINT_IPV4 ? 4 : 16;
    memcpy(source, from->address, address_len);
    put_be16(source + address_len, from->port);
    return crypto_blake2s_mac(c, cookie, MESSAGE_COOKIE_SIZE, s->secret, sizeof(s->secret), source, address_len + 2);
}

bool cookie_mac2_holds(const struct cookie_secret *s, struct crypto *c, const struct endpoint *from,
                       const uint8_t *message, size_t len)
{
    uint8_t cookie[MESSAGE_COOKIE_SIZE], mac[MESSAGE_MAC_SIZE];
    bool holds = s->until != 0 && cookie_of(s, c, cookie, from) == 0 &&
                 mac_before(c, mac, cookie, sizeof(cookie), message, mac2_of(message, len)) == 0 &&
                 equal_constant_time(mac, mac2_of(message, len), sizeof(mac));
    wipe(cookie, sizeof(cookie));
    return holds;
}

int cookie_reply_make(struct message_cookie_reply *out, const struct cookie_secret *s, const struct cookie_keys *own,
                      struct crypto *c, const uint8_t nonce[MESSAGE_COOKIE_NONCE_SIZE], const struct endpoint *from,
                      const uint8_t *message, size_t len)
{
    uint8_t cookie[MESSAGE_COOKIE_SIZE];
    int error = cookie_of(s, c, cookie, from);

    out->type = put_le32(MESSAGE_COOKIE_REPLY);
    memcpy(&out->receiver, message + sizeof(struct le32), sizeof(out->receiver));
    memcpy(out->nonce, nonce, sizeof(out->nonce));
    if (error == 0)
        error = crypto_xaead_seal(c, out->sealed_cookie, own->cookie, nonce, mac1_of(message, len), MESSAGE_MAC_SIZE,
                                  cookie, sizeof(cookie));
    wipe(cookie, sizeof(cookie));
    return error;
}

int cookie_seal_message(struct cookie_known *k, struct crypto *c, const uint8_t public_key[X25519_SIZE],
                        uint8_t *message, size_t len, uint64_t now)
{
    struct cookie_keys keys;
    uint8_t *mac1 = message + len - sizeof(struct message_macs), *mac2 = mac1 + MESSAGE_MAC_SIZE;
    int error = cookie_keys_derive(&keys, c, public_key);
    if (error == 0)
        error = mac_before(c, mac1, keys.mac1, sizeof(keys.mac1), message, mac1);
    if (error != 0)
        return error;
    memcpy(k->last_mac1, mac1, MESSAGE_MAC_SIZE);
    k->reply_awaited = true;
    if (now >= k->until) {
        memset(mac2, 0, MESSAGE_MAC_SIZE);
        return 0;
    }
    return mac_before(c, mac2, k->cookie, sizeof(k->cookie), message, mac2);
}

int cookie_reply_take(struct cookie_known *k, struct crypto *c, const uint8_t public_key[X25519_SIZE],
                      const struct message_cookie_reply *reply, uint64_t now)
{
    struct cookie_keys keys;
    uint8_t cookie[MESSAGE_COOKIE_SIZE];
    if (!k->reply_awaited)
        return ERROR_AUTHENTICATION;
    int error = cookie_keys_derive(&keys, c, public_key);
    if (error == 0)
        error = crypto_xaead_open(c, cookie, keys.cookie, reply->nonce, k->last_mac1, MESSAGE_MAC_SIZE,
                                  reply->sealed_cookie, sizeof(reply->sealed_cookie));
    if (error != 0)
        return error;
    memcpy(k->cookie, cookie, sizeof(cookie));
    wipe(cookie, sizeof(cookie));
    /* The responder's secret may be just about to change. */
    k->until = now + COOKIE_SECRET_LIFETIME - COOKIE_SECRET_LATENCY;
    k->reply_awaited = false;
    return 0;
}
