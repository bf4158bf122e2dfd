/* The engine process: opens what the parent left it, drops all else, and runs the loop. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "engine_node.h"
#include "net/memory.h"
#include "proc/drop.h"
#include "proc/log.h"
#include "proc/permits.h"
#include "roles.h"

#define MESSAGES_A_TURN 256      /* of one process, before the others have theirs */
#define SIGN_OFF_MILLISECONDS 50 /* for the last frames to leave */

uint64_t engine_node_now(void)
{
    return loop_monotonic();
}

void engine_node_end(struct engine_node *n, int error)
{
    if (n->error == 0)
        n->error = error;
}

/* ---- The other processes ---- */

static int take_messages(struct engine_link *link)
{
    struct ipc_message message;
    int error = 0;
    for (int i = 0; i < MESSAGES_A_TURN && error == 0; i++) {
        error = ipc_receive(link->ipc, &message);
        if (error == 0)
            error = link->take(link->node, &message);
    }
    return error == ERROR_AGAIN ? 0 : error;
}

static void close_link(struct engine_link *link)
{
    if (link->ipc)
        loop_remove(engine_loop(link->node->engine), ipc_fd(link->ipc));
    ipc_free(link->ipc);
    link->ipc = NULL;
}

/* Without a controller the rest goes on; without any of the others there is nothing to go on for. */
static void on_readable(void *context, int fd)
{
    struct engine_link *link = context;
    struct engine_node *n = link->node;
    (void)fd;
    int error = take_messages(link);
    if (error != 0 && link == &n->controller)
        close_link(link);
    else if (error != 0)
        engine_node_end(n, error);
}

static void flush_link(struct engine_link *link)
{
    if (!link->ipc)
        return;
    bool wants = ipc_flush(link->ipc);
    if (wants != link->wants_write && loop_want_write(engine_loop(link->node->engine), ipc_fd(link->ipc), wants) == 0)
        link->wants_write = wants;
}

static int open_link(struct engine_node *n, struct engine_link *link, int fd, enum proc_role from,
                     int (*take)(struct engine_node *n, const struct ipc_message *message))
{
    *link = (struct engine_link){.node = n, .take = take};
    int error = permits_open(&link->ipc, fd, PROC_ENGINE, from);
    return error != 0 ? error : loop_add(engine_loop(n->engine), fd, on_readable, link);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int open_links(struct engine_node *n, bool controller)
{
    int error = open_link(n, &n->parent, PROC_FD_PARENT, PROC_PARENT, hear_parent);
    if (error == 0)
        error = open_link(n, &n->keys, ENGINE_FD_KEYS, PROC_KEYS, hear_keys);
    if (error == 0)
        error = open_link(n, &n->state, ENGINE_FD_STATE, PROC_STATE, hear_state);
    if (error == 0) /* until there is a key to speak with others under, what the state says can't be done */
        error = loop_want_read(engine_loop(n->engine), ENGINE_FD_STATE, false);
    if (error == 0 && controller)
        error = open_link(n, &n->controller, ENGINE_FD_CONTROLLER, PROC_CONTROLLER, hear_controller);
    return error;
}

/* ---- The mesh's time ---- */

static void on_timer(void *context, int fd)
{
    uint64_t expirations;
    (void)context;
    (void)!read(fd, &expirations, sizeof(expirations));
}

static int open_timer(struct engine_node *n)
{
    n->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    return n->timer_fd < 0 ? ERROR_IO : loop_add(engine_loop(n->engine), n->timer_fd, on_timer, n);
}

static void arm_timer(struct engine_node *n)
{
    uint64_t deadline = mesh_deadline(n->mesh);
    struct itimerspec when = {0}; /* disarms */
    if (deadline != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(deadline / SECOND);
        when.it_value.tv_nsec = (long)(deadline % SECOND);
    }
    timerfd_settime(n->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- The loop ---- */

static void turn(struct engine_node *n)
{
    int error = engine_run_once(n->engine);
    if (error != 0)
        engine_node_end(n, error);
    mesh_timer(n->mesh, engine_node_now());
    arm_timer(n);
    flush_link(&n->keys);
    flush_link(&n->state);
    flush_link(&n->controller);
}

static void sign_off(struct engine_node *n)
{
    mesh_sign_off(n->mesh);
    poll(NULL, 0, SIGN_OFF_MILLISECONDS);
}

static int run(struct engine_node *n)
{
    int error = ipc_send(n->parent.ipc, IPC_READY, NULL, 0);
    if (error != 0)
        return error;
    memory_release_code();
    arm_timer(n);
    while (n->error == 0)
        turn(n);
    sign_off(n);
    return n->error;
}

/* ---- Beginning and end ---- */

static int open_engine(struct engine_node *n, struct tun *tun)
{
    struct engine_options options = {.dark = true,
                                     .police = true,
                                     .adopt_udp = true,
                                     .no_aes = n->no_aes,
                                     .udp4 = is_open(ENGINE_FD_UDP4) ? ENGINE_FD_UDP4 : -1,
                                     .udp6 = is_open(ENGINE_FD_UDP6) ? ENGINE_FD_UDP6 : -1};
    mesh_glue_options(n, &options);
    return engine_new(&n->engine, tun, &options);
}

static void close_node(struct engine_node *n)
{
    engine_free(n->engine);
    mesh_free(n->mesh);
    ipc_free(n->parent.ipc);
    ipc_free(n->keys.ipc);
    ipc_free(n->state.ipc);
    ipc_free(n->controller.ipc);
    engine_devices_clear(&n->devices);
    engine_gates_clear(&n->gates);
    if (n->timer_fd >= 0)
        close(n->timer_fd);
}

/* The mesh comes first: the engine may report from its first turn on. */
static int open_node(struct engine_node *n, struct tun *tun)
{
    bool controller = is_open(ENGINE_FD_CONTROLLER);
    int error = mesh_glue_new(n);
    if (error != 0) {
        tun_close(tun);
        return error;
    }
    error = open_engine(n, tun);
    if (error == 0) {
        mesh_glue_offer(n);
        error = open_links(n, controller);
    }
    return error == 0 ? open_timer(n) : error;
}

static int drop(void)
{
    const struct drop what = {.role = PROC_ENGINE,
                              .fds = DROP_FD(PROC_FD_PARENT) | DROP_FD(ENGINE_FD_KEYS) | DROP_FD(ENGINE_FD_STATE) |
                                     DROP_FD(ENGINE_FD_UDP4) | DROP_FD(ENGINE_FD_UDP6) | DROP_FD(ENGINE_FD_TUN) |
                                     DROP_FD(ENGINE_FD_CONTROLLER)};
    return drop_privileges(&what);
}

static int serve(struct engine_node *n)
{
    struct tun *tun = NULL;
    int error = is_open(ENGINE_FD_TUN) ? tun_adopt(&tun, ENGINE_FD_TUN) : 0; /* while it may */
    if (error == 0) {
        error = drop();
        if (error != 0)
            tun_close(tun);
    }
    if (error == 0)
        error = open_node(n, tun);
    return error == 0 ? run(n) : error;
}

int engine_main(const char *option)
{
    struct engine_node n = {.timer_fd = -1, .no_aes = option && strcmp(option, ROLE_CHACHA20) == 0};
    int error = crypto_new(&n.crypto, CRYPTO_BULK_OPENSSL); /* first: it reads files */
    if (error == 0) {
        error = serve(&n);
        close_node(&n);
        crypto_free(n.crypto);
    }
    if (error == ERROR_GONE)
        return EXIT_SUCCESS;
    log_line("error", "engine-end", "why=\"%s\"", error_sentence(error));
    return EXIT_FAILURE;
}
