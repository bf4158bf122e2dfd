#include "engine/police.h"

#include "engine/companion.h"
#include "net/transport.h"

static enum flow_verdict judge(struct engine *e, const struct peer *peer, bool outgoing, const uint8_t *packet,
                               uint32_t len, uint32_t count, uint64_t now)
{
    static const struct peer_grants none;
    struct companion *c = companion_of(peer);
    const struct published_grants *granted = c ? atomic_load_explicit(&c->granted, memory_order_acquire) : NULL;
    enum flow_verdict verdict =
        flow_judge(e->flows, granted ? &granted->grants : &none, tunnel_peer_id(peer), outgoing, packet, len, now);
    if (verdict == FLOW_MALFORMED)
        engine_count(&e->counters.policy_malformed, count);
    if (verdict == FLOW_REFUSED) {
        engine_count(&e->counters.policy_refused, count);
        if (c)
            engine_count(&c->refused, count);
    }
    return verdict;
}

void police_tell_sender(struct engine *e, const uint8_t *packet, uint32_t len)
{
    if (!e->flows || !e->tun)
        return;
    static const struct virtio_net_hdr plain;
    uint8_t bytes[FLOW_REFUSAL_MAX];
    struct iovec iov = {.iov_base = bytes, .iov_len = flow_refusal(packet, len, bytes)};
    if (iov.iov_len > 0 && tun_write(e->tun, &plain, &iov, 1) != 0)
        engine_count(&e->counters.tun_dropped, 1);
}

/* ---- The same flow again ---- */

/* The transport header's offset in a plain TCP or UDP packet that neither begins nor ends anything: no options, no
 * fragment, no SYN, FIN or RST, lengths that hold. 0: another kind of packet. */
static uint32_t plain_transport(const uint8_t *packet, uint32_t len)
{
    uint32_t at = packet[0] >> 4 == 4 ? IPV4_HEADER : IPV6_HEADER;
    if (len < at + TCP_HEADER_MIN)
        return 0;
    if (at == IPV4_HEADER && (packet[0] != 0x45 || (get_be16(packet + 6) & IPV4_MORE_OR_OFFSET) != 0))
        return 0;
    uint8_t protocol = at == IPV4_HEADER ? packet[9] : packet[6];
    const uint8_t *transport = packet + at;
    if (protocol == PROTOCOL_UDP)
        return get_be16(transport + UDP_LENGTH) == len - at ? at : 0;
    uint32_t header_len = tcp_header_len(transport);
    bool holds = protocol == PROTOCOL_TCP && header_len >= TCP_HEADER_MIN && header_len <= len - at &&
                 (transport[TCP_FLAGS] & 0x07) == 0 && (transport[TCP_FLAGS] & TCP_ACK) != 0;
    return holds ? at : 0;
}

/* Addresses, protocol and ports. */
static bool same_flow(const uint8_t *a, const uint8_t *b, uint32_t at)
{
    uint32_t addresses = at == IPV4_HEADER ? 12 : 8, protocol = at == IPV4_HEADER ? 9 : 6;
    return a[0] >> 4 == b[0] >> 4 && a[protocol] == b[protocol] &&
           memcmp(a + addresses, b + addresses, at - addresses) == 0 && memcmp(a + at, b + at, 4) == 0;
}

static bool is_more(const struct police_memory *memory, const struct peer *peer, const uint8_t *packet, uint32_t at)
{
    return at != 0 && memory->peer == peer && same_flow(memory->start, packet, at);
}

/* `at`: of the transport header, 0 if more of its flow is to be looked up. */
static void remember(struct police_memory *memory, const struct peer *peer, const uint8_t *packet, uint32_t at)
{
    memory->peer = at != 0 ? peer : NULL;
    if (at != 0)
        memcpy(memory->start, packet, at + 4);
}

bool police_lets_out(struct engine *e, struct police_memory *memory, const struct peer *peer, const uint8_t *packet,
                     uint32_t len, uint32_t count, uint64_t now)
{
    if (!e->flows)
        return true;
    uint32_t at = plain_transport(packet, len);
    if (is_more(memory, peer, packet, at))
        return true;
    enum flow_verdict verdict = judge(e, peer, true, packet, len, count, now);
    if (verdict == FLOW_REFUSED)
        police_tell_sender(e, packet, len);
    remember(memory, peer, packet, verdict == FLOW_PASS ? at : 0);
    return verdict == FLOW_PASS;
}

bool police_lets_in(struct engine *e, struct police_memory *memory, const struct peer *peer, const uint8_t *packet,
                    uint32_t len, uint64_t now)
{
    if (!e->flows)
        return true;
    uint32_t at = plain_transport(packet, len);
    if (is_more(memory, peer, packet, at))
        return true;
    enum flow_verdict verdict = judge(e, peer, false, packet, len, 1, now);
    remember(memory, peer, packet, verdict == FLOW_PASS ? at : 0);
    return verdict == FLOW_PASS;
}
