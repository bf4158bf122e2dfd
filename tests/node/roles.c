/* Stand-ins for nightjard's engine and state, so that the parent is tested alone: they say that they are ready, and do
 * what the environment of the test left in STATE/ledger/script, one word:
 *   join-yes join-no: the result of a join      die-state, damaged: end at once     configure-bad: nonsense addresses
 *   stop: as nightjar down, after a second     lie: say what only keys may            (none): serve until the end */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../node/roles.h"
#include "ledger/fold.h"
#include "proc/drop.h"
#include "proc/files.h"
#include "proc/messages.h"

static void must(int error)
{
    if (error == 0)
        return;
    fprintf(stderr, "error stand-in why=\"%s\"\n", error_sentence(error));
    exit(3);
}

static void drop_all(enum proc_role role, int last)
{
    struct drop d = {.role = role};
    for (int fd = PROC_FD_PARENT; fd <= last; fd++)
        d.fds |= DROP_FD(fd);
    must(drop_privileges(&d));
}

/* Until a link of it ends. */
static int serve(struct ipc *const *links, int count)
{
    struct pollfd fds[4];
    struct ipc_message m;
    for (;;) {
        for (int i = 0; i < count; i++)
            fds[i] = (struct pollfd){ipc_fd(links[i]), POLLIN, 0};
        poll(fds, (nfds_t)count, -1);
        for (int i = 0; i < count; i++) {
            int error = fds[i].revents ? ipc_receive(links[i], &m) : ERROR_AGAIN;
            if (error != 0 && error != ERROR_AGAIN)
                return error == ERROR_GONE ? 0 : 4;
            if (error == 0 && m.kind == IPC_PARENT_NOTE) {
                struct ipc_note note;
                memcpy(&note, m.bytes, sizeof(note));
                fprintf(stderr, "info stand-in note=%u value=%u\n", note.kind, note.value);
            }
        }
    }
}

int engine_main(const char *option)
{
    (void)option;
    struct ipc *links[3];
    drop_all(PROC_ENGINE, ENGINE_FD_CONTROLLER);
    must(permits_open(&links[0], PROC_FD_PARENT, PROC_ENGINE, PROC_PARENT));
    must(permits_open(&links[1], ENGINE_FD_KEYS, PROC_ENGINE, PROC_KEYS));
    must(permits_open(&links[2], ENGINE_FD_STATE, PROC_ENGINE, PROC_STATE));
    must(ipc_send(links[0], IPC_READY, NULL, 0));
    return serve(links, 3);
}

static void read_script(char script[32])
{
    struct files f = files_in(STATE_FD_LEDGER);
    size_t len = 0;
    int error = files_read(&f, "script", script, 31, &len);
    script[error == 0 ? len : 0] = '\0';
}

static void configure(struct ipc *parent, bool nonsense)
{
    struct ipc_configure c = {.ipv6 = {0xfd, 1, [15] = 1}, .ipv6_len = 48, .ipv4 = {100, 70, 0, 1}, .has_ipv4 = 1};
    struct ipc_message m;
    c.ipv4_len = nonsense ? 99 : 16;
    must(ipc_send(parent, IPC_CONFIGURE, &c, sizeof(c)));
    for (;;) {
        struct pollfd fd = {ipc_fd(parent), POLLIN, 0};
        poll(&fd, 1, -1);
        int error = ipc_receive(parent, &m);
        if (error == ERROR_GONE)
            exit(0);
        if (error == 0 && m.kind == IPC_CONFIGURED)
            break;
    }
    struct ipc_configured done;
    memcpy(&done, m.bytes, sizeof(done));
    fprintf(stderr, "info stand-in configured=%d left-out=%u\n", done.error, done.ipv4_left_out);
    must(ipc_send(parent, IPC_STATE_READY, NULL, 0));
}

int state_main(const char *option)
{
    (void)option;
    struct ipc *links[3];
    char script[32];
    drop_all(PROC_STATE, STATE_FD_CONTROL);
    must(permits_open(&links[0], PROC_FD_PARENT, PROC_STATE, PROC_PARENT));
    must(permits_open(&links[1], STATE_FD_KEYS, PROC_STATE, PROC_KEYS));
    must(permits_open(&links[2], STATE_FD_ENGINE, PROC_STATE, PROC_ENGINE));
    read_script(script);
    struct ipc_join_result result = {.done = strcmp(script, "join-yes") == 0, .verdict = VERDICT_USED};
    if (strncmp(script, "join", 4) == 0) {
        must(ipc_send(links[0], IPC_JOIN_RESULT, &result, sizeof(result)));
        return serve(links, 3);
    }
    if (strcmp(script, "lie") == 0)
        must(ipc_send(links[0], IPC_READY, NULL, 0));
    if (strcmp(script, "damaged") == 0)
        return EXIT_MALFORMED; /* while all are still starting */
    configure(links[0], strcmp(script, "configure-bad") == 0);
    if (strcmp(script, "die-state") == 0)
        return 5;
    if (strcmp(script, "stop") == 0) {
        poll(NULL, 0, 1000);
        must(ipc_send(links[0], IPC_STOP, NULL, 0));
    }
    return serve(links, 3);
}
