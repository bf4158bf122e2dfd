#include "net/udp.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/time.h"
#include "net/compat.h"
#include "net/loop.h"
#include "net/udp_internal.h"

#define WAIT_MAX UINT64_C(100000000) /* ns */
#define PENDING_ERRORS_MAX 16u

/* Packet info and UDP_SEGMENT. */
struct send_control {
    _Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

/* One system call: parts, each a whole message or one datagram of a message that goes datagram by datagram. */
struct send_batch {
    uint32_t count;
    struct mmsghdr headers[UDP_BATCH_MAX];
    struct iovec iov[UDP_BATCH_MAX];
    union udp_address to[UDP_BATCH_MAX];
    struct send_control control[UDP_BATCH_MAX];
};

/* How far a call has come. What was found out about the message at `index` holds until it is done. */
struct sending {
    struct udp *udp;
    struct udp_outgoing *messages;
    uint32_t count;
    uint32_t index;
    uint32_t offset;   /* bytes of it that are sent */
    bool single;       /* it goes datagram by datagram */
    uint32_t retries;  /* for errors that may have been pending */
    bool blame_source; /* it fails; tried now without its source address */
    uint64_t give_up;  /* when to; 0: nothing was waited for yet */
};

/* The smallest segment size that failed towards a destination, under a tag of its address: tag in the upper half. */
static uint32_t limit_tag(const struct endpoint *to, uint32_t *slot)
{
    uint32_t hash = get_be32(to->address) ^ get_be32(to->address + 4) * 3 ^ get_be32(to->address + 8) * 5 ^
                    get_be32(to->address + 12) * 7;
    hash *= UINT32_C(2654435761);
    *slot = hash >> 26;
    return hash & 0xffff;
}
_Static_assert(UDP_LIMITS == 1 << 6, "limit_tag takes the slot from the upper 6 bits");

static bool within_limit(struct udp *udp, const struct udp_outgoing *message)
{
    uint32_t slot, tag = limit_tag(&message->to, &slot);
    uint32_t limit = atomic_load_explicit(&udp->limits[slot], memory_order_relaxed);
    return udp->may_segment && (limit == 0 || limit >> 16 != tag || message->segment < (limit & 0xffff));
}

static void learn_limit(struct udp *udp, const struct udp_outgoing *message, int number)
{
    uint32_t slot, tag = limit_tag(&message->to, &slot);
    /* EIO: the interface computes no checksums, so no size will do. */
    uint32_t segment = number == EIO ? 1 : message->segment;
    atomic_store_explicit(&udp->limits[slot], tag << 16 | segment, memory_order_relaxed);
}

void udp_forget_limits(struct udp *udp)
{
    for (int i = 0; i < UDP_LIMITS; i++)
        atomic_store_explicit(&udp->limits[i], 0, memory_order_relaxed);
}

static bool has_segments(const struct udp_outgoing *message)
{
    return message->segment != 0 && message->segment < message->len;
}

static bool goes_single(const struct sending *s, uint32_t index)
{
    const struct udp_outgoing *message = &s->messages[index];
    return (index == s->index && s->single) || !within_limit(s->udp, message);
}

static bool has_source(const struct udp_outgoing *message)
{
    return !message->local_refused && !is_zero(message->to.local, sizeof(message->to.local));
}

static socklen_t put_address(union udp_address *out, const struct endpoint *to)
{
    memset(out, 0, sizeof(*out));
    if (to->family == ENDPOINT_IPV4) {
        out->ipv4.sin_family = AF_INET;
        out->ipv4.sin_port = htons(to->port);
        memcpy(&out->ipv4.sin_addr, to->address, 4);
        return sizeof(out->ipv4);
    }
    out->ipv6.sin6_family = AF_INET6;
    out->ipv6.sin6_port = htons(to->port);
    out->ipv6.sin6_scope_id = to->scope;
    memcpy(&out->ipv6.sin6_addr, to->address, 16);
    return sizeof(out->ipv6);
}

static void put_control(struct msghdr *header, int level, int type, const void *data, size_t len)
{
    struct cmsghdr *item = (void *)((uint8_t *)header->msg_control + header->msg_controllen);
    item->cmsg_level = level;
    item->cmsg_type = type;
    item->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(item), data, len);
    header->msg_controllen += CMSG_SPACE(len);
}

/* The source address alone: the interface stays the routing table's choice, but for a link-local destination's. */
static void put_source(struct msghdr *header, const struct endpoint *to)
{
    if (to->family == ENDPOINT_IPV4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, to->local, 4);
        put_control(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = to->scope};
        memcpy(&info.ipi6_addr, to->local, 16);
        put_control(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
}

static void add_part(struct send_batch *batch, const struct udp_outgoing *message, uint32_t offset, uint32_t len)
{
    uint32_t i = batch->count++;
    batch->iov[i] = (struct iovec){(void *)(uintptr_t)(message->data + offset), len};
    struct msghdr *header = &batch->headers[i].msg_hdr;
    *header = (struct msghdr){.msg_name = &batch->to[i],
                              .msg_namelen = put_address(&batch->to[i], &message->to),
                              .msg_iov = &batch->iov[i],
                              .msg_iovlen = 1,
                              .msg_control = &batch->control[i]};
    memset(&batch->control[i], 0, sizeof(batch->control[i]));
    if (has_source(message))
        put_source(header, &message->to);
    uint16_t segment = (uint16_t)message->segment;
    if (segment != 0 && segment < len)
        put_control(header, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment));
    if (header->msg_controllen == 0)
        header->msg_control = NULL;
}

/* The length of the part of a message that begins at `offset`. */
static uint32_t part_len(const struct sending *s, uint32_t index, uint32_t offset)
{
    const struct udp_outgoing *message = &s->messages[index];
    uint32_t rest = message->len - offset;
    return has_segments(message) && rest > message->segment && goes_single(s, index) ? message->segment : rest;
}

/* Fills the batch with what comes next, as far as it is of one family. */
static void fill(const struct sending *s, struct send_batch *batch)
{
    uint32_t offset = s->offset;
    batch->count = 0;
    for (uint32_t index = s->index; index < s->count; index++, offset = 0) {
        const struct udp_outgoing *message = &s->messages[index];
        if (message->to.family != s->messages[s->index].to.family)
            return;
        do { /* once for an empty datagram, too */
            if (batch->count == UDP_BATCH_MAX)
                return;
            uint32_t len = part_len(s, index, offset);
            add_part(batch, message, offset, len);
            offset += len;
        } while (offset < message->len);
    }
}

static void finish_message(struct sending *s, int result)
{
    s->messages[s->index].result = result;
    s->index++;
    s->offset = 0;
    s->retries = 0;
    s->single = s->blame_source = false;
}

static void advance(struct sending *s, const struct send_batch *batch, uint32_t parts)
{
    for (uint32_t i = 0; i < parts; i++) {
        s->offset += (uint32_t)batch->iov[i].iov_len;
        s->retries = 0;
        if (s->offset >= s->messages[s->index].len)
            finish_message(s, 0);
    }
}

/* False once the call's time is over. */
static bool wait_for_room(struct sending *s, int fd, int number)
{
    uint64_t now = loop_monotonic();
    if (s->give_up == 0)
        s->give_up = now + WAIT_MAX;
    if (now >= s->give_up)
        return false;
    /* ENOBUFS says nothing of the socket's own buffer, so the socket may well be writable: just wait a little. */
    struct pollfd writable = {.fd = number == EAGAIN ? fd : -1, .events = POLLOUT};
    uint64_t left = (s->give_up - now + MILLISECOND - 1) / MILLISECOND;
    poll(&writable, 1, number == EAGAIN ? (int)left : 1);
    return true;
}

static bool refuses_segments(int number)
{
    return number == EIO || number == EINVAL || number == EMSGSIZE;
}

static bool refuses_source(int number)
{
    return number == EINVAL || number == EADDRNOTAVAIL || number == ENETUNREACH || number == EHOSTUNREACH ||
           number == ENODEV;
}

/* An earlier datagram's ICMP error comes out of whichever call is next, and is gone then: how often to try again. Some
 * of these errors are never this datagram's own; others may well be. */
static uint32_t retries_for(int number)
{
    switch (number) {
    case ECONNREFUSED:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
        return PENDING_ERRORS_MAX;
    case EHOSTUNREACH:
    case ENETUNREACH:
        return 1;
    default:
        return 0;
    }
}

static int error_of(int number)
{
    return number == EPERM || number == EACCES ? ERROR_PERMISSION : ERROR_IO;
}

/* The kernel refused the next part: finds out what of it, by leaving out first the source address (EINVAL speaks of
 * both), then UDP_SEGMENT, then both. */
static void handle_failure(struct sending *s, int number)
{
    struct udp_outgoing *message = &s->messages[s->index];
    bool segmented = has_segments(message) && part_len(s, s->index, s->offset) > message->segment;
    if (s->retries < retries_for(number)) {
        s->retries++;
    } else if (refuses_source(number) && has_source(message)) {
        message->local_refused = true;
        s->blame_source = segmented;
    } else if (refuses_segments(number) && segmented) {
        s->single = true;
        learn_limit(s->udp, message, number);
        if (s->blame_source)
            message->local_refused = false;
        s->blame_source = false;
    } else {
        message->local_refused = false; /* it would not go without either: nothing is known of the source */
        finish_message(s, error_of(number));
    }
}

static void give_up(struct sending *s)
{
    while (s->index < s->count)
        finish_message(s, ERROR_AGAIN);
}

static void send_batch(struct sending *s, struct send_batch *batch)
{
    int fd = udp_fd(s->udp, s->messages[s->index].to.family);
    if (fd < 0) {
        finish_message(s, ERROR_UNSUPPORTED);
        return;
    }
    fill(s, batch);
    int sent = sendmmsg(fd, batch->headers, batch->count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
        advance(s, batch, (uint32_t)sent);
    } else if (errno == EAGAIN || errno == ENOBUFS) {
        if (!wait_for_room(s, fd, errno))
            give_up(s);
    } else if (errno != EINTR) {
        handle_failure(s, errno);
    }
}

void udp_send(struct udp *udp, struct udp_outgoing *messages, uint32_t count)
{
    struct send_batch batch;
    struct sending s = {.udp = udp, .messages = messages, .count = count};
    for (uint32_t i = 0; i < count; i++)
        messages[i].local_refused = false;
    while (s.index < count)
        send_batch(&s, &batch);
}
