/* The keys process: holds the device's private keys, has no network, and does with them what keys_server.h says. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/random.h>

#include "keys_server.h"
#include "net/loop.h"
#include "net/memory.h"
#include "proc/drop.h"
#include "proc/log.h"
#include "proc/permits.h"
#include "roles.h"

struct keys_links {
    struct ipc *parent, *engine, *state;
};

static int draw(uint8_t out[SEED_SIZE])
{
    return getrandom(out, SEED_SIZE, 0) == SEED_SIZE ? 0 : ERROR_IO;
}

static int open_links(struct keys_links *l)
{
    int error = permits_open(&l->parent, PROC_FD_PARENT, PROC_KEYS, PROC_PARENT);
    if (error == 0)
        error = permits_open(&l->engine, KEYS_FD_ENGINE, PROC_KEYS, PROC_ENGINE);
    return error != 0 ? error : permits_open(&l->state, KEYS_FD_STATE, PROC_KEYS, PROC_STATE);
}

static void close_links(struct keys_links *l)
{
    ipc_free(l->parent);
    ipc_free(l->engine);
    ipc_free(l->state);
}

static short interest(struct ipc *ipc)
{
    return ipc_flush(ipc) ? POLLIN | POLLOUT : POLLIN;
}

/* Until one of the others ends, which is an orderly end. */
static int serve(struct keys_server *k, struct keys_links *l)
{
    struct ipc_message m;
    for (;;) {
        int error = keys_server_turn(k);
        if (error != 0 && error != ERROR_AGAIN)
            return error;
        struct pollfd fds[] = {{ipc_fd(l->parent), POLLIN, 0},
                               {ipc_fd(l->engine), interest(l->engine), 0},
                               {ipc_fd(l->state), interest(l->state), 0}};
        if (poll(fds, 3, error == ERROR_AGAIN ? 0 : -1) < 0 && errno != EINTR)
            return ERROR_IO;
        if (fds[0].revents != 0) {
            error = ipc_receive(l->parent, &m); /* the parent has nothing to say but its end */
            if (error != ERROR_AGAIN)
                return error;
        }
    }
}

static int run(struct crypto *c, struct keys_links *l)
{
    struct keys_setup setup = {.engine = l->engine,
                               .state = l->state,
                               .crypto = c,
                               .files = files_in(KEYS_FD_DIR),
                               .random = draw,
                               .wall = loop_wall,
                               .monotonic = loop_monotonic};
    struct keys_server *k;
    int error = keys_server_new(&k, &setup);
    if (error != 0)
        return error;
    error = ipc_send(l->parent, IPC_READY, NULL, 0);
    if (error == 0) {
        memory_release_code();
        error = serve(k, l);
    }
    keys_server_free(k);
    return error;
}

int keys_main(const char *option)
{
    (void)option;
    const struct drop drop = {.role = PROC_KEYS,
                              .fds = DROP_FD(PROC_FD_PARENT) | DROP_FD(KEYS_FD_ENGINE) | DROP_FD(KEYS_FD_STATE) |
                                     DROP_FD(KEYS_FD_DIR)};
    struct crypto *c;
    struct keys_links links = {0};
    int error = crypto_new(&c, CRYPTO_BULK_OPENSSL); /* first: it reads files */
    if (error == 0) {
        error = drop_privileges(&drop);
        if (error == 0)
            error = open_links(&links);
        if (error == 0)
            error = run(c, &links);
        close_links(&links);
        crypto_free(c);
    }
    if (error == ERROR_GONE)
        return EXIT_SUCCESS;
    log_line("error", "keys-end", "why=\"%s\"", error_sentence(error));
    return error == ERROR_MALFORMED ? EXIT_MALFORMED : EXIT_FAILURE;
}
