/* Messages between the daemon's processes: one SOCK_SEQPACKET record each, a 4-byte header (kind, zero) and a fixed
 * struct, some followed by counted bytes; made and read by the same build. Each side has a table of the kinds that it
 * accepts in each phase, with their least and greatest length; anything else ends the process. */
#ifndef PROC_IPC_H
#define PROC_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define IPC_MESSAGE_MAX (96u * 1024)
#define IPC_FDS_MAX 4
#define IPC_QUEUE_MAX (4u << 20) /* bytes that wait for a slow receiver */

struct ipc_header {
    uint16_t kind;
    uint16_t zero;
};

/* What one side accepts: `phases` is a bit for each phase of the receiver (1 << phase). */
struct ipc_permit {
    uint16_t kind;
    uint16_t phases;
    uint32_t len_min, len_max; /* of what follows the header */
    uint32_t fds;              /* descriptors that may come along, at most */
};

struct ipc;

/* Owns `fd`, also on failure; it becomes non-blocking. `permits` (static) says what may come in. For a pair of the
 * daemon's processes use permits_open (proc/permits.h). */
must_check int ipc_new(struct ipc **out, int fd, const struct ipc_permit *permits, size_t permit_count);
void ipc_free(struct ipc *ipc);
int ipc_fd(const struct ipc *ipc);
/* The first phase is 0. */
void ipc_set_phase(struct ipc *ipc, unsigned phase);

/* Sends, or queues up to IPC_QUEUE_MAX when the other side is slow (then ERROR_FULL). Up to IPC_FDS_MAX descriptors go
 * along and stay the caller's. ERROR_GONE: the other side has ended. ERROR_OVERFLOW: longer than IPC_MESSAGE_MAX. */
must_check int ipc_send(struct ipc *ipc, uint16_t kind, const void *message, size_t len);
must_check int ipc_send2(struct ipc *ipc, uint16_t kind, const void *message, size_t len, const void *tail,
                         size_t tail_len);
must_check int ipc_send_fds(struct ipc *ipc, uint16_t kind, const void *message, size_t len, const int *fds,
                            uint32_t fd_count);
/* Sends what is queued; true while some is left, so that the caller waits for writability. */
bool ipc_flush(struct ipc *ipc);

struct ipc_message {
    uint16_t kind;
    uint32_t len;
    const uint8_t *bytes; /* aligned to 8; wiped by the next ipc_receive, also by one that finds nothing */
    uint32_t fd_count;
    int fds[IPC_FDS_MAX]; /* the caller's to close */
};
/* 0 and a message; ERROR_AGAIN; ERROR_GONE; ERROR_MALFORMED: not permitted now, of a wrong length, or its counts do not
 * add up (permits.h): end. */
must_check int ipc_receive(struct ipc *ipc, struct ipc_message *out);

#endif
