/* A record from any process to any other, as it would come in: permitted or refused, and what is permitted has counts
 * that stay inside. First byte: who receives, and from whom; second: the phase. */
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "proc/messages.h"
#include "proc/permits.h"
#include "proc/spawn.h"
#include <sys/socket.h>

static void check_device(const uint8_t *bytes, size_t len)
{
    struct ipc_device d;
    memcpy(&d, bytes, sizeof(d));
    must(sizeof(d) + ((uint64_t)d.out_count + d.in_count) * sizeof(struct ipc_grant) == len);
}

static void check(const struct ipc_message *m, enum proc_role self, enum proc_role from)
{
    size_t count;
    const struct ipc_permit *permits = permits_of(self, from, &count);
    bool found = false;
    for (size_t i = 0; i < count; i++)
        found |= permits[i].kind == m->kind && m->len >= permits[i].len_min && m->len <= permits[i].len_max;
    must(found);
    if (m->kind == IPC_DEVICE)
        check_device(m->bytes, m->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fds[2];
    struct ipc *ipc;
    struct ipc_message m;
    if (size < 3 || size > IPC_MESSAGE_MAX)
        return 0;
    enum proc_role self = data[0] / PROC_ROLES % PROC_ROLES, from = data[0] % PROC_ROLES;
    must(spawn_pair(fds) == 0);
    must(permits_open(&ipc, fds[0], self, from) == 0);
    ipc_set_phase(ipc, data[1] % 3);
    must(send(fds[1], data + 2, size - 2, 0) == (ssize_t)(size - 2));
    if (ipc_receive(ipc, &m) == 0)
        check(&m, self, from);
    ipc_free(ipc);
    close(fds[1]);
    return 0;
}
