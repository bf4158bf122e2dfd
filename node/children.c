#include "children.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/spawn.h"
#include "roles.h"
#include "wire/message.h"

#define SELF "/proc/self/exe"
#define CONTROLLER_NAME "nightjar-controller"
#define BACKOFF_MIN SECOND
#define BACKOFF_MAX (30 * SECOND)
#define STABLE (60 * SECOND) /* after which the backoff is forgotten */
#define STOP_STEPS 60        /* of 50 ms each */
#define STOP_STEP_MS 50

/* The pairs of roles that speak with each other, by the descriptors that the two find theirs under. */
static const struct {
    enum proc_role a, b;
    int fd_a, fd_b;
} pairs[] = {
    {PROC_KEYS, PROC_ENGINE, KEYS_FD_ENGINE, ENGINE_FD_KEYS},
    {PROC_KEYS, PROC_STATE, KEYS_FD_STATE, STATE_FD_KEYS},
    {PROC_ENGINE, PROC_STATE, ENGINE_FD_STATE, STATE_FD_ENGINE},
    {PROC_ENGINE, PROC_CONTROLLER, ENGINE_FD_CONTROLLER, CONTROLLER_FD_ENGINE},
};
#define PAIRS (sizeof(pairs) / sizeof(pairs[0]))

static const enum proc_role started[] = {PROC_KEYS, PROC_ENGINE, PROC_STATE};
#define STARTED (sizeof(started) / sizeof(started[0]))

struct wiring {
    struct spawn_fd fds[PROC_ROLES][SPAWN_FDS_MAX];
    size_t counts[PROC_ROLES];
    int made[2 * PAIRS + 2 * PROC_ROLES]; /* to be closed when all have started */
    size_t made_count;
};

static void wire(struct wiring *w, enum proc_role role, int from, int to)
{
    if (from >= 0)
        w->fds[role][w->counts[role]++] = (struct spawn_fd){from, to};
}

static int make_pair(struct wiring *w, int ends[2])
{
    int error = spawn_pair(ends);
    if (error != 0)
        return error;
    w->made[w->made_count++] = ends[0];
    w->made[w->made_count++] = ends[1];
    return 0;
}

static int wire_pairs(struct wiring *w, struct controller *controller)
{
    int ends[2], error = 0;
    for (size_t i = 0; i < PAIRS && error == 0; i++) {
        bool to_controller = pairs[i].b == PROC_CONTROLLER;
        if (to_controller && !controller->wanted)
            continue;
        error = make_pair(w, ends);
        if (error != 0)
            break;
        wire(w, pairs[i].a, ends[0], pairs[i].fd_a);
        wire(w, pairs[i].b, ends[1], pairs[i].fd_b);
        if (to_controller) { /* stays */
            controller->end = ends[1];
            w->made_count--;
        }
    }
    return error;
}

/* The parent's end becomes a link, also when the child cannot be started. */
static int wire_parent(struct wiring *w, struct children *c, enum proc_role role)
{
    int ends[2];
    int error = make_pair(w, ends);
    if (error != 0)
        return error;
    w->made[w->made_count - 2] = w->made[w->made_count - 1]; /* the first is the link's to close */
    w->made_count--;
    wire(w, role, ends[1], PROC_FD_PARENT);
    return permits_open(&c->roles[role].link, ends[0], PROC_PARENT, role);
}

static void wire_world(struct wiring *w, const struct place *place, const struct ways *ways)
{
    wire(w, PROC_KEYS, place->keys, KEYS_FD_DIR);
    wire(w, PROC_ENGINE, ways->udp[0], ENGINE_FD_UDP4);
    wire(w, PROC_ENGINE, ways->udp[1], ENGINE_FD_UDP6);
    wire(w, PROC_ENGINE, ways->tun ? tun_fd(ways->tun) : -1, ENGINE_FD_TUN);
    wire(w, PROC_STATE, place->ledger, STATE_FD_LEDGER);
    wire(w, PROC_STATE, place->openings, STATE_FD_OPENINGS);
    wire(w, PROC_STATE, place->outbox, STATE_FD_OUTBOX);
    wire(w, PROC_STATE, ways->control, STATE_FD_CONTROL);
}

static int start_role(const struct wiring *w, struct children *c, enum proc_role role, const struct conf *conf)
{
    char name[] = "nightjard", argument[32], aead[] = ROLE_CHACHA20;
    char *argv[] = {name, argument, role == PROC_ENGINE && conf->chacha20 ? aead : NULL, NULL};
    snprintf(argument, sizeof(argument), "--role=%s", proc_role_name(role));
    const struct spawn what = {.path = SELF, .argv = argv, .fds = w->fds[role], .fd_count = w->counts[role]};
    return spawn_start(&c->roles[role].pid, &what);
}

int children_start(struct children *c, const struct place *place, const struct ways *ways)
{
    struct wiring w = {0};
    memset(c, 0, sizeof(*c));
    c->controller.end = -1;
    c->controller.wanted = place->has_controller && ways->tun;
    int error = wire_pairs(&w, &c->controller);
    for (size_t i = 0; i < STARTED && error == 0; i++)
        error = wire_parent(&w, c, started[i]);
    wire_world(&w, place, ways);
    for (size_t i = 0; i < STARTED && error == 0; i++)
        error = start_role(&w, c, started[i], &place->conf);
    for (size_t i = 0; i < w.made_count; i++)
        close(w.made[i]);
    return error;
}

/* Beside our own executable. */
static int controller_path(char out[PATH_MAX])
{
    ssize_t len = readlink(SELF, out, PATH_MAX - 1);
    if (len <= 0)
        return ERROR_IO;
    out[len] = '\0';
    char *slash = strrchr(out, '/');
    if (!slash || (size_t)(slash + 1 - out) + sizeof(CONTROLLER_NAME) > PATH_MAX)
        return ERROR_OVERFLOW;
    memcpy(slash + 1, CONTROLLER_NAME, sizeof(CONTROLLER_NAME));
    return 0;
}

static int spawn_controller(struct children *c, const struct place *place)
{
    /* It enters its directory by itself: by then it is root in full, which we are not. */
    char path[PATH_MAX], directory[PATH_MAX + 16], name[] = CONTROLLER_NAME, serve[] = "--serve";
    char *argv[] = {name, serve, directory, NULL};
    int error = controller_path(path);
    if (error != 0)
        return error;
    snprintf(directory, sizeof(directory), "%s/controller", place->path);
    const struct spawn_fd fds[] = {{c->controller.end, CONTROLLER_FD_ENGINE}};
    const struct spawn what = {.path = path, .argv = argv, .fds = fds, .fd_count = 1};
    return spawn_start(&c->controller.pid, &what);
}

int children_start_controller(struct children *c, const struct place *place, uint64_t now)
{
    c->controller.due = UINT64_MAX;
    c->controller.started = now;
    int error = spawn_controller(c, place);
    if (error != 0)
        children_controller_ended(c, now);
    return error;
}

void children_controller_ended(struct children *c, uint64_t now)
{
    struct controller *k = &c->controller;
    k->pid = 0;
    if (now - k->started >= STABLE)
        k->backoff = 0;
    k->backoff = k->backoff == 0 ? BACKOFF_MIN : k->backoff * 2;
    if (k->backoff > BACKOFF_MAX)
        k->backoff = BACKOFF_MAX;
    k->due = now + k->backoff;
}

enum proc_role children_forget(struct children *c, pid_t pid)
{
    for (size_t i = 0; i < STARTED; i++)
        if (c->roles[started[i]].pid == pid) {
            c->roles[started[i]].pid = 0;
            return started[i];
        }
    if (c->controller.pid != pid)
        return PROC_ROLES;
    c->controller.pid = 0;
    return PROC_CONTROLLER;
}

static bool any_left(struct children *c)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        children_forget(c, pid);
    for (size_t i = 0; i < STARTED; i++)
        if (c->roles[started[i]].pid != 0)
            return true;
    return c->controller.pid != 0;
}

static void signal_all(const struct children *c, int number)
{
    for (size_t i = 0; i < STARTED; i++)
        if (c->roles[started[i]].pid != 0)
            kill(c->roles[started[i]].pid, number);
    if (c->controller.pid != 0)
        kill(c->controller.pid, number);
}

void children_stop(struct children *c)
{
    for (size_t i = 0; i < STARTED; i++) {
        ipc_free(c->roles[started[i]].link);
        c->roles[started[i]].link = NULL;
    }
    if (c->controller.end >= 0)
        close(c->controller.end);
    c->controller.end = -1;
    for (unsigned i = 0; i < STOP_STEPS && any_left(c); i++)
        poll(NULL, 0, STOP_STEP_MS);
    signal_all(c, SIGKILL);
    while (any_left(c))
        poll(NULL, 0, STOP_STEP_MS);
}
