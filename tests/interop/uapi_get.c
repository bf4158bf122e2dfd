#include <arpa/inet.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "uapi.h"

static bool make_room(struct uapi_text *text, size_t more)
{
    if (text->len + more <= text->capacity)
        return true;
    size_t capacity = text->capacity ? text->capacity : 4096;
    while (capacity < text->len + more)
        capacity *= 2;
    /* Not realloc, which leaves keys behind. */
    char *bytes = malloc(capacity);
    if (!bytes) {
        text->failed = true;
        return false;
    }
    if (text->len > 0)
        memcpy(bytes, text->bytes, text->len);
    if (text->bytes)
        wipe(text->bytes, text->len);
    free(text->bytes);
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void uapi_print(struct uapi_text *text, const char *format, ...)
{
    char line[UAPI_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (!text->failed && len > 0 && (size_t)len < sizeof(line) && make_room(text, (size_t)len)) {
        memcpy(text->bytes + text->len, line, (size_t)len);
        text->len += (size_t)len;
    }
    wipe(line, sizeof(line));
}

void uapi_text_free(struct uapi_text *text)
{
    if (text->bytes)
        wipe(text->bytes, text->capacity);
    free(text->bytes);
    *text = (struct uapi_text){0};
}

static void print_key(struct uapi_text *text, const char *name, const uint8_t key[MESSAGE_KEY_SIZE])
{
    char hex[2 * MESSAGE_KEY_SIZE + 1];
    for (size_t i = 0; i < MESSAGE_KEY_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", key[i]);
    uapi_print(text, "%s=%s\n", name, hex);
    wipe(hex, sizeof(hex));
}

static void print_endpoint(struct uapi_text *text, const struct endpoint *endpoint)
{
    char address[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "";
    if (endpoint->family == ENDPOINT_NONE)
        return;
    inet_ntop(endpoint->family == ENDPOINT_IPV4 ? AF_INET : AF_INET6, endpoint->address, address, sizeof(address));
    if (endpoint->family == ENDPOINT_IPV4) {
        uapi_print(text, "endpoint=%s:%u\n", address, endpoint->port);
        return;
    }
    if (endpoint->scope != 0) {
        scope[0] = '%';
        if (!if_indextoname(endpoint->scope, scope + 1))
            snprintf(scope + 1, sizeof(scope) - 1, "%" PRIu32, endpoint->scope);
    }
    uapi_print(text, "endpoint=[%s%s]:%u\n", address, scope, endpoint->port);
}

static int print_allowed_ip(void *context, const uint8_t *address, unsigned address_len, unsigned cidr)
{
    char printed[INET6_ADDRSTRLEN];
    inet_ntop(address_len == 4 ? AF_INET : AF_INET6, address, printed, sizeof(printed));
    uapi_print(context, "allowed_ip=%s/%u\n", printed, cidr);
    return 0;
}

static void print_peer(struct uapi_text *text, struct tunnel *tunnel, peer_id peer)
{
    struct tunnel_peer_info info;
    if (tunnel_peer_info(tunnel, peer, &info) != 0)
        return;
    print_key(text, "public_key", info.public_key);
    print_key(text, "preshared_key", info.preshared_key);
    uapi_print(text, "protocol_version=1\n");
    print_endpoint(text, &info.endpoint);
    uapi_print(text, "last_handshake_time_sec=%" PRIu64 "\nlast_handshake_time_nsec=%" PRIu64 "\n",
               info.last_handshake / SECOND, info.last_handshake % SECOND);
    uapi_print(text, "tx_bytes=%" PRIu64 "\nrx_bytes=%" PRIu64 "\npersistent_keepalive_interval=%u\n", info.tx_bytes,
               info.rx_bytes, info.keepalive);
    tunnel_peer_each_allowed(tunnel, peer, print_allowed_ip, text);
    wipe(&info, sizeof(info));
}

void uapi_write_state(struct device *device, struct uapi_text *reply)
{
    struct tunnel *tunnel = engine_tunnel(device->engine);
    if (device->has_key)
        print_key(reply, "private_key", device->private_key);
    if (engine_port(device->engine) != 0)
        uapi_print(reply, "listen_port=%u\n", engine_port(device->engine));
    if (engine_mark(device->engine) != 0)
        uapi_print(reply, "fwmark=%" PRIu32 "\n", engine_mark(device->engine));
    for (peer_id peer = tunnel_peer_next(tunnel, 0); peer != 0; peer = tunnel_peer_next(tunnel, peer))
        print_peer(reply, tunnel, peer);
}
