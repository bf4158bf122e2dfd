#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "uapi.h"

/* ---- Values ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_key(const char *text, uint8_t key[MESSAGE_KEY_SIZE])
{
    if (strlen(text) != 2 * MESSAGE_KEY_SIZE)
        return false;
    for (size_t i = 0; i < MESSAGE_KEY_SIZE; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *out <= max;
}

/* What getaddrinfo takes for an IPv4 address is more than one: "1", "0x7f.1". */
static bool parse_host4(const char *host, struct endpoint *out)
{
    out->family = ENDPOINT_IPV4;
    return inet_pton(AF_INET, host, out->address) == 1;
}

/* With its scope, which inet_pton does not take. */
static bool parse_host6(const char *host, struct endpoint *out)
{
    struct addrinfo *found, hints = {.ai_family = AF_INET6, .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM};
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    const struct sockaddr_in6 *address = (const void *)found->ai_addr;
    out->family = ENDPOINT_IPV6;
    if (IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr)) /* of no meaning to the kernel for any other */
        out->scope = address->sin6_scope_id;
    memcpy(out->address, &address->sin6_addr, sizeof(out->address));
    freeaddrinfo(found);
    return true;
}

/* "1.2.3.4:51820", "[::1]:51820", "[fe80::1%eth0]:51820" */
static bool parse_endpoint(const char *text, struct endpoint *out)
{
    char host[UAPI_LINE_MAX];
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || !parse_number(colon + 1, UINT16_MAX, &port))
        return false;
    size_t len = (size_t)(colon - text);
    bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    if (bracketed) {
        text++;
        len -= 2;
    }
    if (len >= sizeof(host))
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    *out = (struct endpoint){.port = (uint16_t)port};
    return bracketed ? parse_host6(host, out) : parse_host4(host, out);
}

static bool parse_prefix(const char *text, uint8_t address[16], unsigned *address_len, unsigned *cidr)
{
    char host[UAPI_LINE_MAX];
    const char *slash = strchr(text, '/');
    uint64_t bits;
    if (!slash || (size_t)(slash - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(slash - text));
    host[slash - text] = '\0';
    *address_len = strchr(host, ':') ? 16 : 4;
    if (inet_pton(*address_len == 16 ? AF_INET6 : AF_INET, host, address) != 1 ||
        !parse_number(slash + 1, *address_len * 8, &bits))
        return false;
    *cidr = (unsigned)bits;
    return true;
}

/* ---- Keys of the device ---- */

static int errno_of(int error)
{
    switch (error) {
    case 0:
        return 0;
    case ERROR_IN_USE:
        return EADDRINUSE;
    case ERROR_MEMORY:
        return ENOMEM;
    case ERROR_INVALID:
    case ERROR_NOT_FOUND:
        return EINVAL;
    case ERROR_PERMISSION:
        return EPERM;
    case ERROR_FULL:
        return ENOSPC;
    default:
        return EIO;
    }
}

static struct tunnel *tunnel_of(struct device *d)
{
    return engine_tunnel(d->engine);
}

static int set_private_key(struct uapi_request *r, struct device *d, const char *value)
{
    struct tunnel_actions actions = {.count = 0};
    uint8_t key[X25519_SIZE], public_key[X25519_SIZE];
    (void)r;
    if (!parse_key(value, key))
        return EINVAL;
    bool has_key = !is_zero(key, sizeof(key));
    if (has_key) { /* clamped, as every implementation shows it again */
        key[0] &= 248;
        key[31] = (uint8_t)((key[31] & 127) | 64);
    }
    int error = has_key ? crypto_x25519_public(d->crypto, public_key, key) : 0;
    if (error == 0)
        error = tunnel_set_public_key(tunnel_of(d), has_key ? public_key : NULL, &actions);
    if (error == 0) {
        d->has_key = has_key;
        memcpy(d->private_key, key, sizeof(key));
    }
    wipe(key, sizeof(key));
    device_carry_out(d, &actions);
    return errno_of(error);
}

static int set_listen_port(struct uapi_request *r, struct device *d, const char *value)
{
    uint64_t port;
    (void)r;
    return parse_number(value, UINT16_MAX, &port) ? errno_of(engine_set_port(d->engine, (uint16_t)port)) : EINVAL;
}

static int set_fwmark(struct uapi_request *r, struct device *d, const char *value)
{
    uint64_t mark = 0;
    (void)r;
    if (*value != '\0' && !parse_number(value, UINT32_MAX, &mark))
        return EINVAL;
    return errno_of(engine_set_mark(d->engine, (uint32_t)mark));
}

static void remove_peer(struct device *d, peer_id peer)
{
    struct tunnel_actions actions = {.count = 0};
    tunnel_peer_remove(tunnel_of(d), peer, &actions);
    device_carry_out(d, &actions);
}

static int replace_peers(struct uapi_request *r, struct device *d, const char *value)
{
    peer_id peer;
    (void)r;
    if (strcmp(value, "true") != 0)
        return EINVAL;
    while ((peer = tunnel_peer_next(tunnel_of(d), 0)) != 0)
        remove_peer(d, peer);
    return 0;
}

/* ---- Keys of a peer ---- */

static int begin_peer(struct uapi_request *r, struct device *d, const char *value)
{
    uint8_t key[MESSAGE_KEY_SIZE];
    if (!parse_key(value, key))
        return EINVAL;
    r->in_peer = true;
    r->added = false;
    r->peer = tunnel_peer_find(tunnel_of(d), key);
    if (r->peer != 0)
        return 0;
    int error = tunnel_peer_add(tunnel_of(d), key, &r->peer);
    if (error == ERROR_INVALID) { /* our own key: accepted, and without effect */
        r->peer = 0;
        return 0;
    }
    if (error != 0)
        return errno_of(error);
    r->added = true;
    const uint8_t *timestamp = d->timestamps ? timestamps_find(d->timestamps, key) : NULL;
    if (timestamp)
        tunnel_peer_set_timestamp(tunnel_of(d), r->peer, timestamp);
    return 0;
}

static void drop_section(struct uapi_request *r, struct device *d)
{
    remove_peer(d, r->peer);
    r->peer = 0;
}

static int remove_section(struct uapi_request *r, struct device *d, const char *value)
{
    if (strcmp(value, "true") != 0)
        return EINVAL;
    drop_section(r, d);
    return 0;
}

static int update_only(struct uapi_request *r, struct device *d, const char *value)
{
    if (strcmp(value, "true") != 0)
        return EINVAL;
    if (r->added)
        drop_section(r, d);
    return 0;
}

static int set_preshared_key(struct uapi_request *r, struct device *d, const char *value)
{
    uint8_t key[MESSAGE_KEY_SIZE];
    if (!parse_key(value, key))
        return EINVAL;
    tunnel_peer_set_preshared_key(tunnel_of(d), r->peer, key);
    wipe(key, sizeof(key));
    return 0;
}

static int set_endpoint(struct uapi_request *r, struct device *d, const char *value)
{
    struct tunnel_actions actions = {.count = 0};
    struct endpoint endpoint;
    if (!parse_endpoint(value, &endpoint))
        return EINVAL;
    if (r->peer == 0)
        return 0;
    int error = tunnel_peer_set_endpoint(tunnel_of(d), r->peer, &endpoint, &actions);
    device_carry_out(d, &actions);
    return errno_of(error);
}

static int set_keepalive(struct uapi_request *r, struct device *d, const char *value)
{
    struct tunnel_actions actions = {.count = 0};
    uint64_t seconds;
    if (!parse_number(value, UINT16_MAX, &seconds))
        return EINVAL;
    tunnel_peer_set_keepalive(tunnel_of(d), r->peer, (uint16_t)seconds, engine_now(), &actions);
    device_carry_out(d, &actions);
    return 0;
}

static int replace_allowed_ips(struct uapi_request *r, struct device *d, const char *value)
{
    if (strcmp(value, "true") != 0)
        return EINVAL;
    tunnel_peer_disallow_all(tunnel_of(d), r->peer);
    return 0;
}

static int set_allowed_ip(struct uapi_request *r, struct device *d, const char *value)
{
    uint8_t address[16];
    unsigned address_len, cidr;
    bool take_away = *value == '-';
    if (!parse_prefix(*value == '-' || *value == '+' ? value + 1 : value, address, &address_len, &cidr))
        return EINVAL;
    if (r->peer == 0)
        return 0;
    if (!take_away)
        return errno_of(tunnel_peer_allow(tunnel_of(d), r->peer, address, address_len, cidr));
    int error = tunnel_peer_disallow(tunnel_of(d), r->peer, address, address_len, cidr);
    return error == ERROR_NOT_FOUND ? 0 : errno_of(error);
}

static int set_protocol_version(struct uapi_request *r, struct device *d, const char *value)
{
    (void)r;
    (void)d;
    return strcmp(value, "1") == 0 ? 0 : EINVAL;
}

/* ---- Requests ---- */

struct setter {
    const char *key;
    int (*set)(struct uapi_request *r, struct device *d, const char *value);
};

static const struct setter device_setters[] = {
    {"private_key", set_private_key}, {"listen_port", set_listen_port}, {"fwmark", set_fwmark},
    {"replace_peers", replace_peers}, {"public_key", begin_peer},
};

static const struct setter peer_setters[] = {
    {"public_key", begin_peer},
    {"remove", remove_section},
    {"update_only", update_only},
    {"preshared_key", set_preshared_key},
    {"endpoint", set_endpoint},
    {"persistent_keepalive_interval", set_keepalive},
    {"replace_allowed_ips", replace_allowed_ips},
    {"allowed_ip", set_allowed_ip},
    {"protocol_version", set_protocol_version},
};

static int apply(struct uapi_request *r, struct device *d, const char *line)
{
    const struct setter *setters = r->in_peer ? peer_setters : device_setters;
    size_t count =
        r->in_peer ? sizeof(peer_setters) / sizeof(*peer_setters) : sizeof(device_setters) / sizeof(*device_setters);
    const char *equals = strchr(line, '=');
    if (!equals)
        return EPROTO;
    for (size_t i = 0; i < count; i++)
        if (strlen(setters[i].key) == (size_t)(equals - line) &&
            memcmp(setters[i].key, line, (size_t)(equals - line)) == 0)
            return setters[i].set(r, d, equals + 1);
    return EINVAL;
}

static void finish(struct uapi_request *r, struct device *d, struct uapi_text *reply)
{
    if (r->kind == UAPI_GET && r->error == 0)
        uapi_write_state(d, reply);
    uapi_print(reply, "errno=%d\n\n", -r->error);
    *r = (struct uapi_request){.kind = UAPI_IDLE};
}

static void begin(struct uapi_request *r, const char *line)
{
    r->kind = strcmp(line, "set=1") == 0 ? UAPI_SET : UAPI_GET;
    r->error = r->kind == UAPI_SET || strcmp(line, "get=1") == 0 ? 0 : EPROTO;
}

void uapi_line(struct uapi_request *r, struct device *d, const char *line, struct uapi_text *reply)
{
    if (r->kind == UAPI_IDLE) {
        if (*line != '\0')
            begin(r, line);
        return;
    }
    if (*line == '\0')
        finish(r, d, reply);
    else if (r->kind == UAPI_GET)
        r->error = EPROTO;
    else if (r->error == 0)
        r->error = apply(r, d, line);
}
