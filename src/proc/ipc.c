#include "proc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proc/permits.h"

struct queued {
    struct queued *next;
    uint32_t fd_count;
    int fds[IPC_FDS_MAX]; /* copies, closed once sent */
    uint32_t len;
    uint8_t bytes[]; /* header and message */
};

struct ipc {
    int fd;
    unsigned phase;
    const struct ipc_permit *permits;
    size_t permit_count;
    struct queued *first, **last;
    size_t queued_bytes;
    size_t received_len;
    alignas(8) uint8_t received[IPC_MESSAGE_MAX + 1]; /* one more, so that a longer one is noticed */
};

union control {
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
};

static void close_all(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(fds[i]);
}

int ipc_new(struct ipc **out, int fd, const struct ipc_permit *permits, size_t permit_count)
{
    struct ipc *ipc = calloc(1, sizeof(*ipc));
    int flags = fcntl(fd, F_GETFL);
    if (!ipc || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        int error = ipc ? ERROR_IO : ERROR_MEMORY;
        free(ipc);
        close(fd);
        return error;
    }
    ipc->fd = fd;
    ipc->permits = permits;
    ipc->permit_count = permit_count;
    ipc->last = &ipc->first;
    *out = ipc;
    return 0;
}

static void drop_first(struct ipc *ipc)
{
    struct queued *q = ipc->first;
    ipc->first = q->next;
    if (!ipc->first)
        ipc->last = &ipc->first;
    ipc->queued_bytes -= q->len;
    close_all(q->fds, q->fd_count);
    explicit_bzero(q->bytes, q->len); /* chaining keys pass through here */
    free(q);
}

static void drop_queue(struct ipc *ipc)
{
    while (ipc->first)
        drop_first(ipc);
}

void ipc_free(struct ipc *ipc)
{
    if (!ipc)
        return;
    drop_queue(ipc);
    close(ipc->fd);
    explicit_bzero(ipc, sizeof(*ipc));
    free(ipc);
}

int ipc_fd(const struct ipc *ipc)
{
    return ipc->fd;
}

void ipc_set_phase(struct ipc *ipc, unsigned phase)
{
    ipc->phase = phase;
}

/* 0, ERROR_AGAIN, or an error that no second attempt mends. */
static int error_of_send(int number)
{
    switch (number) {
    case EAGAIN:
    case EINTR:
    case ENOBUFS:
    case ENOMEM:
        return ERROR_AGAIN;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
    case ECONNREFUSED:
        return ERROR_GONE;
    default:
        return ERROR_IO;
    }
}

static int send_now(int fd, struct iovec *parts, size_t part_count, const int *fds, uint32_t fd_count)
{
    union control control = {0};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = part_count};
    if (fd_count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * fd_count);
    }
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? error_of_send(errno) : 0;
}

static int keep_fds(struct queued *q, const int *fds, uint32_t fd_count)
{
    for (; q->fd_count < fd_count; q->fd_count++) {
        q->fds[q->fd_count] = fcntl(fds[q->fd_count], F_DUPFD_CLOEXEC, 0);
        if (q->fds[q->fd_count] < 0) {
            close_all(q->fds, q->fd_count);
            return ERROR_IO;
        }
    }
    return 0;
}

static int queue(struct ipc *ipc, const struct iovec *parts, size_t part_count, const int *fds, uint32_t fd_count)
{
    size_t len = 0;
    for (size_t i = 0; i < part_count; i++)
        len += parts[i].iov_len;
    if (ipc->queued_bytes + len > IPC_QUEUE_MAX)
        return ERROR_FULL;
    struct queued *q = calloc(1, sizeof(*q) + len);
    if (!q)
        return ERROR_MEMORY;
    int error = keep_fds(q, fds, fd_count);
    if (error != 0) {
        free(q);
        return error;
    }
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].iov_len > 0)
            memcpy(q->bytes + q->len, parts[i].iov_base, parts[i].iov_len);
        q->len += (uint32_t)parts[i].iov_len;
    }
    *ipc->last = q;
    ipc->last = &q->next;
    ipc->queued_bytes += len;
    return 0;
}

static int send_parts(struct ipc *ipc, uint16_t kind, const struct iovec body[2], const int *fds, uint32_t fd_count)
{
    struct ipc_header header = {.kind = kind};
    struct iovec parts[3] = {{&header, sizeof(header)}, body[0], body[1]};
    if (body[0].iov_len > IPC_MESSAGE_MAX || body[1].iov_len > IPC_MESSAGE_MAX - body[0].iov_len ||
        fd_count > IPC_FDS_MAX)
        return ERROR_OVERFLOW;
    int error = ipc_flush(ipc) ? ERROR_AGAIN : send_now(ipc->fd, parts, 3, fds, fd_count);
    return error == ERROR_AGAIN ? queue(ipc, parts, 3, fds, fd_count) : error;
}

static struct iovec part(const void *bytes, size_t len)
{
    return (struct iovec){(void *)(uintptr_t)bytes, len};
}

int ipc_send(struct ipc *ipc, uint16_t kind, const void *message, size_t len)
{
    return send_parts(ipc, kind, (struct iovec[2]){part(message, len), part(NULL, 0)}, NULL, 0);
}

int ipc_send2(struct ipc *ipc, uint16_t kind, const void *message, size_t len, const void *tail, size_t tail_len)
{
    return send_parts(ipc, kind, (struct iovec[2]){part(message, len), part(tail, tail_len)}, NULL, 0);
}

int ipc_send_fds(struct ipc *ipc, uint16_t kind, const void *message, size_t len, const int *fds, uint32_t fd_count)
{
    return send_parts(ipc, kind, (struct iovec[2]){part(message, len), part(NULL, 0)}, fds, fd_count);
}

bool ipc_flush(struct ipc *ipc)
{
    while (ipc->first) {
        struct queued *q = ipc->first;
        struct iovec all = {q->bytes, q->len};
        int error = send_now(ipc->fd, &all, 1, q->fds, q->fd_count);
        if (error == ERROR_AGAIN)
            return true;
        if (error != 0) { /* the receiver has ended, as ipc_receive will tell */
            drop_queue(ipc);
            return false;
        }
        drop_first(ipc);
    }
    return false;
}

static void take_fds(struct msghdr *message, struct ipc_message *out)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count && out->fd_count < IPC_FDS_MAX; i++)
            memcpy(&out->fds[out->fd_count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
}

static const struct ipc_permit *permit_for(const struct ipc *ipc, uint16_t kind)
{
    for (size_t i = 0; i < ipc->permit_count; i++)
        if (ipc->permits[i].kind == kind && (ipc->permits[i].phases & 1u << ipc->phase) != 0)
            return &ipc->permits[i];
    return NULL;
}

static bool is_permitted(const struct ipc *ipc, const struct ipc_header *header, const struct ipc_message *m)
{
    const struct ipc_permit *permit = permit_for(ipc, header->kind);
    return permit && header->zero == 0 && m->len >= permit->len_min && m->len <= permit->len_max &&
           m->fd_count <= permit->fds && permits_counts_hold(header->kind, m->bytes, m->len);
}

int ipc_receive(struct ipc *ipc, struct ipc_message *out)
{
    struct ipc_header header;
    union control control;
    struct iovec parts[2] = {{&header, sizeof(header)}, {ipc->received, sizeof(ipc->received)}};
    struct msghdr message = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof(control)};
    explicit_bzero(ipc->received, ipc->received_len); /* the last one's: chaining keys pass through here, too */
    ipc->received_len = 0;
    ssize_t len = recvmsg(ipc->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (len < 0)
        return errno == EAGAIN || errno == EINTR ? ERROR_AGAIN : ERROR_GONE;
    if (len > (ssize_t)sizeof(header))
        ipc->received_len = (size_t)len - sizeof(header);
    *out = (struct ipc_message){.bytes = ipc->received};
    take_fds(&message, out);
    if (len == 0 && out->fd_count == 0)
        return ERROR_GONE;
    bool cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || len < (ssize_t)sizeof(header);
    out->len = cut ? 0 : (uint32_t)(len - (ssize_t)sizeof(header));
    out->kind = cut ? 0 : header.kind;
    if (!cut && out->len <= IPC_MESSAGE_MAX && is_permitted(ipc, &header, out))
        return 0;
    close_all(out->fds, out->fd_count);
    return ERROR_MALFORMED;
}
