/* Flows: who began what with whom, so that replies pass and nothing else does. One table is shared by the two data
 * threads; a bucket's lock is held for a few instructions. Time is the caller's, monotonic, ns. */
#ifndef POLICY_FLOW_H
#define POLICY_FLOW_H

#include "policy/rules.h"

struct flow_table;

/* What one peer and we may begin with each other. Immutable once given to a data thread. */
struct peer_grants {
    uint64_t version; /* changes whenever the grants do: flows of another version are judged anew */
    uint32_t out_count, in_count;
    const struct grant *out; /* what we may begin */
    const struct grant *in;  /* what it may begin */
};

enum flow_verdict {
    FLOW_PASS,
    FLOW_REFUSED,   /* no rule allows it, and it belongs to no flow */
    FLOW_MALFORMED, /* a header that does not hold together, or a fragment whose beginning was not allowed */
};

/* `buckets`: a power of two; 8 flows each. `key`: 16 random bytes, so that nobody can aim at a bucket. */
must_check int flow_table_new(struct flow_table **out, uint32_t buckets, const uint8_t key[16]);
void flow_table_free(struct flow_table *t);

/* Judges one inner packet that goes to, or comes from, `peer` (any number that names it). The first packet's sender
 * gives a flow its direction; replies pass while the flow lives (TCP 2 h idle, 1 min once both sides ended it or it was
 * reset, unless it is begun anew; UDP 3 min; ICMP echo 30 s). Only TCP, UDP and ICMP echo begin flows; a TCP reset
 * without a flow passes if it might begin one, and begins none. ICMP errors pass that quote a live flow's packet. Later
 * fragments pass for 30 s behind a first one that passed, if they begin behind its end. Multicast, broadcast, source
 * routes, other protocols and other extension headers are refused. A full bucket gives up its oldest flow of the peer
 * that has the most in it, the newcomer counted: the side that may begin opens it again. */
enum flow_verdict flow_judge(struct flow_table *t, const struct peer_grants *grants, uint64_t peer, bool outgoing,
                             const uint8_t *packet, size_t len, uint64_t now);
/* Ends all flows of a peer. */
void flow_forget(struct flow_table *t, uint64_t peer);
/* How many flows live with a peer. */
uint32_t flow_count(struct flow_table *t, uint64_t peer, uint64_t now);

/* The flows that live with a peer and were not ended, those to one service together. */
struct flow_service {
    bool outgoing;    /* we began them */
    uint8_t protocol; /* enum grant_protocol */
    uint16_t port;    /* of the destination; 0: ICMP */
    uint32_t count;
    uint64_t seen; /* the latest packet of any */
};
/* Returns how many; `more` counts flows to services that found no room in `max`. */
uint32_t flow_list(struct flow_table *t, uint64_t peer, uint64_t now, struct flow_service *out, uint32_t max,
                   uint32_t *more);

/* The ICMP error "administratively prohibited" (RFC 1122 section 3.2.2.1 code 13; RFC 4443 section 3.1 code 1) that the
 * sender of a refused packet is told locally, as from the packet's destination (from one of its own addresses a host
 * would not take it). Returns its length, 0 when none is to be sent (an ICMP error itself, a later fragment, a
 * multicast, a malformed packet). `out`: FLOW_REFUSAL_MAX bytes. */
#define FLOW_REFUSAL_MAX 1280
size_t flow_refusal(const uint8_t *packet, size_t len, uint8_t *out);

#endif
