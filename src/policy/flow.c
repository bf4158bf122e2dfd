#include "policy/flow.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "policy/flow_packet.h"
#include "policy/siphash.h"
#include "wire/message.h"

#define BUCKET_FLOWS 8u
#define TCP_IDLE (7200 * SECOND)
#define TCP_ENDED (60 * SECOND)
#define UDP_IDLE (180 * SECOND)
#define ICMP_IDLE (30 * SECOND)
#define FRAGMENTS_LIFE (30 * SECOND)

enum flow_kind { KIND_TRANSPORT, KIND_FRAGMENTS_OUT, KIND_FRAGMENTS_IN };

/* As seen from here, so that both directions have one key. No padding: hashed and compared as bytes. */
struct flow_key {
    uint8_t local[16], remote[16];
    uint64_t peer;
    uint16_t local_port, remote_port; /* of fragments: both halves of the id */
    uint8_t version, protocol, kind, zero;
};
_Static_assert(sizeof(struct flow_key) == 48, "a flow's key has no padding");

enum flow_mark {
    BEGAN_HERE = 1,
    FIN_OUT = 2,
    FIN_IN = 4,
    ENDED = 8, /* both sides ended it, or it was reset: its deadline stays */
};

/* Dead, and its place free, once `deadline` has come. */
struct flow {
    struct flow_key key;
    uint64_t version; /* of the grants that allow it */
    uint64_t seen, deadline;
    uint32_t first_end; /* fragments: where the first one ends */
    uint32_t marks;     /* enum flow_mark bits */
};

struct bucket {
    atomic_bool locked;
    struct flow flows[BUCKET_FLOWS];
};

struct flow_table {
    uint8_t key[16];
    uint32_t mask;
    struct bucket *buckets;
    /* Whether a flow was ever in the bucket, so that looking at all of them does not touch the pages of an idle node.
     */
    atomic_bool *used;
};

/* One packet being judged. */
struct question {
    struct flow_table *table;
    const struct peer_grants *grants;
    struct flow_packet packet;
    struct flow_key key;
    bool outgoing;
    uint64_t now;
};

/* ---- The table ---- */

int flow_table_new(struct flow_table **out, uint32_t buckets, const uint8_t key[16])
{
    if (buckets == 0 || (buckets & (buckets - 1)) != 0)
        return ERROR_INVALID;
    struct flow_table *t = calloc(1, sizeof(*t));
    struct bucket *all = calloc(buckets, sizeof(*all)); /* zero is unlocked; an idle node's pages stay untouched */
    atomic_bool *used = calloc(buckets, sizeof(*used));
    if (!t || !all || !used) {
        free(t);
        free(all);
        free(used);
        return ERROR_MEMORY;
    }
    *t = (struct flow_table){.mask = buckets - 1, .buckets = all, .used = used};
    memcpy(t->key, key, sizeof(t->key));
    *out = t;
    return 0;
}

void flow_table_free(struct flow_table *t)
{
    if (!t)
        return;
    free(t->buckets);
    free(t->used);
    wipe(t, sizeof(*t));
    free(t);
}

/* Held for a few instructions, so that waiting in the kernel would cost more. */
static void lock(struct bucket *b)
{
    while (atomic_exchange_explicit(&b->locked, true, memory_order_acquire))
        while (atomic_load_explicit(&b->locked, memory_order_relaxed))
            ;
}

static void unlock(struct bucket *b)
{
    atomic_store_explicit(&b->locked, false, memory_order_release);
}

static struct bucket *bucket_of(const struct flow_table *t, const struct flow_key *key)
{
    return &t->buckets[siphash(t->key, key, sizeof(*key)) & t->mask];
}

/* Under its lock. */
static void mark_used(const struct flow_table *t, const struct bucket *b)
{
    atomic_bool *used = &t->used[b - t->buckets];
    if (!atomic_load_explicit(used, memory_order_relaxed))
        atomic_store_explicit(used, true, memory_order_relaxed);
}

static bool is_live(const struct flow *f, uint64_t now)
{
    return f->deadline > now;
}

static struct flow *find(struct bucket *b, const struct flow_key *key, uint64_t now)
{
    for (uint32_t i = 0; i < BUCKET_FLOWS; i++)
        if (is_live(&b->flows[i], now) && memcmp(&b->flows[i].key, key, sizeof(*key)) == 0)
            return &b->flows[i];
    return NULL;
}

static uint32_t count_of_peer(const struct bucket *b, uint64_t peer)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < BUCKET_FLOWS; i++)
        count += b->flows[i].key.peer == peer;
    return count;
}

/* The oldest of the peer that has the most here, the newcomer counted; of all of those, if several do. */
static struct flow *give_up(struct bucket *b, uint64_t newcomer)
{
    struct flow *victim = NULL;
    uint32_t most = 0;
    for (uint32_t i = 0; i < BUCKET_FLOWS; i++) {
        struct flow *f = &b->flows[i];
        uint32_t count = count_of_peer(b, f->key.peer) + (f->key.peer == newcomer);
        if (!victim || count > most || (count == most && f->seen < victim->seen)) {
            victim = f;
            most = count;
        }
    }
    return victim;
}

/* A place for a new flow. */
static struct flow *make_room(struct bucket *b, uint64_t peer, uint64_t now)
{
    for (uint32_t i = 0; i < BUCKET_FLOWS; i++)
        if (!is_live(&b->flows[i], now))
            return &b->flows[i];
    return give_up(b, peer);
}

/* ---- One flow ---- */

static uint64_t idle_time(uint8_t protocol)
{
    switch (protocol) {
    case GRANT_TCP:
        return TCP_IDLE;
    case GRANT_UDP:
        return UDP_IDLE;
    default:
        return ICMP_IDLE;
    }
}

static bool both_ended(uint32_t marks)
{
    return (marks & (FIN_OUT | FIN_IN)) == (FIN_OUT | FIN_IN);
}

static void end_flow(struct flow *f, uint64_t now)
{
    f->marks |= ENDED;
    f->deadline = now + TCP_ENDED;
}

static void flow_saw(struct flow *f, const struct question *q)
{
    uint8_t flags = q->packet.tcp_flags;
    f->seen = q->now;
    if (f->marks & ENDED)
        return;
    f->deadline = q->now + idle_time(f->key.protocol);
    if (flags & FLOW_TCP_FIN)
        f->marks |= q->outgoing ? FIN_OUT : FIN_IN;
    if ((flags & FLOW_TCP_RST) || both_ended(f->marks))
        end_flow(f, q->now);
}

static bool may_begin(const struct peer_grants *grants, bool outgoing, uint8_t protocol, uint16_t port)
{
    return outgoing ? grants_hold(grants->out, grants->out_count, protocol, port)
                    : grants_hold(grants->in, grants->in_count, protocol, port);
}

/* Whether the grants of now allow what others allowed: in the direction that it began in, whoever is sending. */
static bool still_allowed(struct flow *f, const struct peer_grants *grants)
{
    if (f->version == grants->version)
        return true;
    bool here = f->marks & BEGAN_HERE;
    if (may_begin(grants, here, f->key.protocol, here ? f->key.remote_port : f->key.local_port)) {
        f->version = grants->version;
        return true;
    }
    f->deadline = 0;
    return false;
}

/* A port pair used again: judged as the first packet that it is. */
static bool begins_anew(const struct flow *f, const struct flow_packet *p)
{
    return (f->marks & ENDED) && (p->tcp_flags & (FLOW_TCP_SYN | FLOW_TCP_ACK)) == FLOW_TCP_SYN;
}

static void begin_flow(struct flow *f, const struct question *q)
{
    *f = (struct flow){.key = q->key, .version = q->grants->version, .marks = q->outgoing ? (uint32_t)BEGAN_HERE : 0};
    flow_saw(f, q);
}

/* ---- Judging ---- */

static struct flow_key make_key(uint64_t peer, const struct flow_packet *p, bool outgoing)
{
    struct flow_key key = {.peer = peer,
                           .version = p->version,
                           .protocol = p->protocol,
                           .kind = KIND_TRANSPORT,
                           .local_port = outgoing ? p->source_port : p->destination_port,
                           .remote_port = outgoing ? p->destination_port : p->source_port};
    memcpy(key.local, outgoing ? p->source : p->destination, p->address_len);
    memcpy(key.remote, outgoing ? p->destination : p->source, p->address_len);
    return key;
}

/* In a locked bucket. */
static enum flow_verdict judge_in(struct bucket *b, const struct question *q)
{
    const struct flow_packet *p = &q->packet;
    struct flow *f = find(b, &q->key, q->now);
    bool anew = f && begins_anew(f, p);
    if (f && !anew && still_allowed(f, q->grants)) {
        flow_saw(f, q);
        return FLOW_PASS;
    }
    if (p->role != FLOW_BEGINS || !may_begin(q->grants, q->outgoing, p->protocol, p->destination_port))
        return FLOW_REFUSED;
    if (!(p->tcp_flags & FLOW_TCP_RST)) /* which begins nothing */
        begin_flow(anew ? f : make_room(b, q->key.peer, q->now), q);
    return FLOW_PASS;
}

static enum flow_verdict judge_transport(const struct question *q)
{
    struct bucket *b = bucket_of(q->table, &q->key);
    lock(b);
    enum flow_verdict verdict = judge_in(b, q);
    if (verdict == FLOW_PASS)
        mark_used(q->table, b);
    unlock(b);
    return verdict;
}

/* RFC 1122 section 3.2.2: an error is about a packet that its receiver sent. It keeps no flow alive. */
static enum flow_verdict judge_error(const struct question *q)
{
    struct flow_packet quoted;
    const struct flow_packet *p = &q->packet;
    if (flow_packet_parse(&quoted, p->quoted, p->quoted_len, true) != FLOW_PASS || quoted.later_fragment ||
        quoted.role == FLOW_QUOTES || quoted.version != p->version)
        return FLOW_REFUSED;
    if (memcmp(quoted.source, p->destination, p->address_len) != 0)
        return FLOW_REFUSED;
    struct flow_key key = make_key(q->key.peer, &quoted, !q->outgoing);
    struct bucket *b = bucket_of(q->table, &key);
    lock(b);
    struct flow *f = find(b, &key, q->now);
    bool pass = f && still_allowed(f, q->grants);
    unlock(b);
    return pass ? FLOW_PASS : FLOW_REFUSED;
}

static struct flow_key make_fragments_key(const struct question *q)
{
    struct flow_key key = make_key(q->key.peer, &q->packet, q->outgoing);
    key.protocol = 0; /* of a later IPv6 fragment, it is not known */
    key.kind = q->outgoing ? KIND_FRAGMENTS_OUT : KIND_FRAGMENTS_IN;
    key.local_port = (uint16_t)(q->packet.fragment_id >> 16);
    key.remote_port = (uint16_t)q->packet.fragment_id;
    return key;
}

/* The first fragment was allowed: those that begin behind its end may follow it. Of several first ones the longest
 * counts, so that none of what was judged can be written over. */
static void note_fragments(const struct question *q)
{
    struct flow_key key = make_fragments_key(q);
    struct bucket *b = bucket_of(q->table, &key);
    lock(b);
    struct flow *f = find(b, &key, q->now);
    uint32_t first_end = f && f->first_end > q->packet.fragment_end ? f->first_end : q->packet.fragment_end;
    if (!f)
        f = make_room(b, key.peer, q->now);
    *f = (struct flow){.key = key,
                       .version = q->grants->version,
                       .seen = q->now,
                       .deadline = q->now + FRAGMENTS_LIFE,
                       .first_end = first_end};
    mark_used(q->table, b);
    unlock(b);
}

static enum flow_verdict judge_later_fragment(const struct question *q)
{
    struct flow_key key = make_fragments_key(q);
    struct bucket *b = bucket_of(q->table, &key);
    lock(b);
    struct flow *f = find(b, &key, q->now);
    bool pass = f && f->version == q->grants->version && q->packet.fragment_offset >= f->first_end;
    unlock(b);
    return pass ? FLOW_PASS : FLOW_MALFORMED;
}

enum flow_verdict flow_judge(struct flow_table *t, const struct peer_grants *grants, uint64_t peer, bool outgoing,
                             const uint8_t *packet, size_t len, uint64_t now)
{
    struct question q = {.table = t, .grants = grants, .outgoing = outgoing, .now = now};
    enum flow_verdict verdict = flow_packet_parse(&q.packet, packet, len, false);
    if (verdict != FLOW_PASS)
        return verdict;
    q.key = make_key(peer, &q.packet, outgoing);
    if (q.packet.later_fragment)
        return judge_later_fragment(&q);
    if (q.packet.role == FLOW_QUOTES)
        return judge_error(&q);
    verdict = judge_transport(&q);
    if (verdict == FLOW_PASS && q.packet.first_fragment)
        note_fragments(&q);
    return verdict;
}

/* ---- All flows of a peer ---- */

/* The next bucket from `i` on that ever held one, locked; NULL: there is none. */
static struct bucket *next_used(struct flow_table *t, uint32_t *i)
{
    while (*i <= t->mask && !atomic_load_explicit(&t->used[*i], memory_order_relaxed))
        *i += 1;
    if (*i > t->mask)
        return NULL;
    struct bucket *b = &t->buckets[(*i)++];
    lock(b);
    return b;
}

void flow_forget(struct flow_table *t, uint64_t peer)
{
    uint32_t i = 0;
    for (struct bucket *b = next_used(t, &i); b; b = next_used(t, &i)) {
        for (uint32_t j = 0; j < BUCKET_FLOWS; j++)
            if (b->flows[j].key.peer == peer)
                b->flows[j].deadline = 0;
        unlock(b);
    }
}

static bool is_of_peer(const struct flow *f, uint64_t peer, uint64_t now)
{
    return is_live(f, now) && f->key.kind == KIND_TRANSPORT && f->key.peer == peer;
}

uint32_t flow_count(struct flow_table *t, uint64_t peer, uint64_t now)
{
    uint32_t count = 0, i = 0;
    for (struct bucket *b = next_used(t, &i); b; b = next_used(t, &i)) {
        for (uint32_t j = 0; j < BUCKET_FLOWS; j++)
            count += is_of_peer(&b->flows[j], peer, now);
        unlock(b);
    }
    return count;
}

static uint16_t service_port(const struct flow *f)
{
    if (f->key.protocol != GRANT_TCP && f->key.protocol != GRANT_UDP)
        return 0; /* what stands there of ICMP is an identifier */
    return f->marks & BEGAN_HERE ? f->key.remote_port : f->key.local_port;
}

static void add_service(const struct flow *f, struct flow_service *out, uint32_t max, uint32_t *count, uint32_t *more)
{
    bool outgoing = f->marks & BEGAN_HERE;
    uint16_t port = service_port(f);
    uint32_t i = 0;
    while (i < *count && (out[i].outgoing != outgoing || out[i].protocol != f->key.protocol || out[i].port != port))
        i++;
    if (i == max) {
        *more += 1;
        return;
    }
    if (i == *count)
        out[(*count)++] = (struct flow_service){.outgoing = outgoing, .protocol = f->key.protocol, .port = port};
    out[i].count++;
    if (f->seen > out[i].seen)
        out[i].seen = f->seen;
}

uint32_t flow_list(struct flow_table *t, uint64_t peer, uint64_t now, struct flow_service *out, uint32_t max,
                   uint32_t *more)
{
    uint32_t count = 0, i = 0;
    *more = 0;
    for (struct bucket *b = next_used(t, &i); b; b = next_used(t, &i)) {
        for (uint32_t j = 0; j < BUCKET_FLOWS; j++)
            if (is_of_peer(&b->flows[j], peer, now) && !(b->flows[j].marks & ENDED))
                add_service(&b->flows[j], out, max, &count, more);
        unlock(b);
    }
    return count;
}
