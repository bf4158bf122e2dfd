/* The state process: has no key and no network; see state_server.h. */
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine.h"
#include "mesh/mesh.h"
#include "net/loop.h"
#include "proc/drop.h"
#include "proc/log.h"
#include "proc/messages.h"
#include "proc/permits.h"
#include "proc/sandbox.h"
#include "roles.h"
#include "state_server.h"

#define BUILD_TIME UINT64_C(1793491200) /* 2026-11-01: no clock was before it when this was written */
#define GROUP "nightjar"

static gid_t group_that_may_ask(void)
{
    const struct group *group = getgrnam(GROUP);
    return group ? group->gr_gid : (gid_t)-1;
}

/* The engine's, then the mesh's, as IPC_STATUS has them. */
static const char *counter_name(uint32_t i)
{
    uint32_t of_engine = 0;
    while (engine_counter_name(of_engine))
        of_engine++;
    return i < of_engine ? engine_counter_name(i) : mesh_counter_name(i - of_engine);
}

static int open_links(struct state_setup *setup)
{
    int error = permits_open(&setup->parent, PROC_FD_PARENT, PROC_STATE, PROC_PARENT);
    if (!error)
        error = permits_open(&setup->keys, STATE_FD_KEYS, PROC_STATE, PROC_KEYS);
    return error ? error : permits_open(&setup->engine, STATE_FD_ENGINE, PROC_STATE, PROC_ENGINE);
}

static void close_links(struct state_setup *setup)
{
    ipc_free(setup->parent);
    ipc_free(setup->keys);
    ipc_free(setup->engine);
}

static int serve(const struct state_setup *setup)
{
    struct state *s;
    int error = state_new(&s, setup);
    if (error)
        return error;
    do
        error = state_turn(s);
    while (error == ERROR_AGAIN);
    state_free(s);
    return error;
}

static int run(struct state_setup *setup)
{
    uint64_t fds = DROP_FD(PROC_FD_PARENT) | DROP_FD(STATE_FD_KEYS) | DROP_FD(STATE_FD_ENGINE) |
                   DROP_FD(STATE_FD_LEDGER) | DROP_FD(STATE_FD_OPENINGS) | DROP_FD(STATE_FD_OUTBOX);
    if (setup->control_fd >= 0)
        fds |= DROP_FD(STATE_FD_CONTROL);
    const struct drop drop = {.role = PROC_STATE, .fds = fds};
    int error = drop_privileges(&drop);
    if (!error)
        error = loop_new(&setup->loop);
    if (!error)
        error = open_links(setup);
    return error ? error : serve(setup);
}

int state_main(const char *option)
{
    (void)option;
    struct state_setup setup = {.ledger = files_in(STATE_FD_LEDGER),
                                .openings = files_in(STATE_FD_OPENINGS),
                                .outbox = files_in(STATE_FD_OUTBOX),
                                .control_fd = fcntl(STATE_FD_CONTROL, F_GETFD) >= 0 ? STATE_FD_CONTROL : -1,
                                .uid = getuid(),
                                .gid = group_that_may_ask(), /* before there are no files to read it from */
                                .build_time = BUILD_TIME,
                                .unconfined = !sandbox_exists(),
                                .counter_name = counter_name};
    json_object_seed(0); /* from /dev/urandom, so before there are no files */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk */
    int error = crypto_new(&setup.crypto, CRYPTO_BULK_OPENSSL);
    if (!error) {
        error = run(&setup);
        close_links(&setup);
        loop_free(setup.loop);
        crypto_free(setup.crypto);
    }
    if (!error || error == ERROR_GONE)
        return EXIT_SUCCESS;
    log_line("error", "state-end", "why=\"%s\"", error_sentence(error));
    return error == ERROR_MALFORMED ? EXIT_MALFORMED : EXIT_FAILURE;
}
