#include "parent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "children.h"
#include "ledger/fold.h"
#include "net/loop.h"
#include "net/memory.h"
#include "proc/drop.h"
#include "proc/landlock.h"
#include "proc/log.h"
#include "proc/sandbox.h"
#include "report.h"
#include "roles.h"
#include "wire/message.h"

#define START_TIME (20 * SECOND)
#define JOIN_TIME (150 * SECOND) /* state itself gives up after 60 s */
#define CULPRIT_STEPS 25
#define CULPRIT_STEP_MS 10
#define LOG_MAX (1 << 20)
#define LOG_LOOK (60 * SECOND)

/* CAP_NET_ADMIN: the interface's addresses, and the table of darkness when it ends.
 * CAP_KILL: children that do not end run under ids of their own.
 * What the controller needs to be started anew (its folder, ids, chroot) comes back with its exec, since it begins as
 * root. */
#define KEPT_CAPABILITIES (UINT64_C(1) << CAP_NET_ADMIN | UINT64_C(1) << CAP_KILL)

#define NO_STATUS (-1)

struct parent {
    const struct options *options;
    struct place place;
    struct ways ways;
    struct children children;
    struct report report;
    int signals;
    int status; /* NO_STATUS while it runs */
    bool configured;
    uint64_t give_up; /* when the start, or the join, has taken too long; UINT64_MAX: never */
    uint64_t look_at_log;
};

static bool joins(const struct parent *p)
{
    return p->options->mode == MODE_JOIN;
}

static void end(struct parent *p, int status)
{
    if (p->status == NO_STATUS)
        p->status = status;
}

/* ---- What the children say ---- */

static void note(struct parent *p, enum ipc_note_kind kind, uint32_t value)
{
    struct ipc_note n = {.kind = kind, .value = value};
    int ignored = ipc_send(p->children.roles[PROC_STATE].link, IPC_PARENT_NOTE, &n, sizeof(n));
    (void)ignored; /* a state that is gone ends the daemon anyway */
}

static bool all_ready(const struct parent *p)
{
    return p->configured && p->children.roles[PROC_KEYS].ready && p->children.roles[PROC_ENGINE].ready &&
           p->children.roles[PROC_STATE].ready;
}

static void take_ready(struct parent *p, enum proc_role from, const struct ipc_message *m)
{
    (void)m;
    p->children.roles[from].ready = true;
    if (!joins(p))
        ipc_set_phase(p->children.roles[from].link, IPC_RUNNING);
    if (joins(p) || !all_ready(p))
        return;
    p->give_up = UINT64_MAX;
    log_line("info", "up", "state=\"%s\" port=%u", p->place.path, p->ways.port);
    report_ready(&p->report);
    memory_release_code();
}

static bool is_plausible(const struct ipc_configure *what)
{
    return what->ipv6_len <= 128 && (!what->has_ipv4 || (what->ipv4_len >= 8 && what->ipv4_len <= 32));
}

static void take_configure(struct parent *p, enum proc_role from, const struct ipc_message *m)
{
    struct ipc_configure what;
    struct ipc_configured done;
    memcpy(&what, m->bytes, sizeof(what));
    if (!is_plausible(&what)) {
        report_failure(&p->report, "The state process asked for addresses that make no sense.");
        end(p, EXIT_FAILURE);
        return;
    }
    ways_configure(&p->ways, &p->place, &what, &done);
    if (done.error != 0) {
        report_failure(&p->report, "The interface's addresses cannot be set: %s", error_sentence(done.error));
        end(p, EXIT_FAILURE);
    }
    p->configured = done.error == 0;
    int ignored = ipc_send(p->children.roles[from].link, IPC_CONFIGURED, &done, sizeof(done));
    (void)ignored;
}

static void take_stop(struct parent *p, enum proc_role from, const struct ipc_message *m)
{
    (void)from;
    (void)m;
    log_line("info", "down", "why=\"nightjar down\"");
    end(p, EXIT_SUCCESS);
}

static const char *join_sentence(const struct ipc_join_result *result)
{
    static const char *const reasons[] = {
        [JOIN_REASON_NONE] = "It failed for no reason that is known.",
        [JOIN_REASON_UNREACHABLE] = "No relay of the ticket answered. Check that this machine reaches the Internet by "
                                    "UDP, and that the ticket is neither used nor expired; then try again.",
        [JOIN_REASON_BAD_LEDGER] = "What the relays sent does not fit the ticket. Ask for a new ticket, and tell who "
                                   "runs the network.",
        [JOIN_REASON_DISK] = "The state directory cannot be written. Make room, and try again.",
    };
    static const char *const verdicts[] = {
#define SENTENCE(name, sentence) [VERDICT_##name] = sentence,
        FOLD_VERDICTS(SENTENCE)
#undef SENTENCE
    };
    if (result->reason == JOIN_REASON_NONE && result->verdict < VERDICT_COUNT)
        return verdicts[result->verdict];
    return reasons[result->reason < sizeof(reasons) / sizeof(reasons[0]) ? result->reason : JOIN_REASON_NONE];
}

static void take_join_result(struct parent *p, enum proc_role from, const struct ipc_message *m)
{
    (void)from;
    struct ipc_join_result result;
    memcpy(&result, m->bytes, sizeof(result));
    if (result.done == 1) {
        report_ready(&p->report);
        end(p, EXIT_SUCCESS);
        return;
    }
    report_failure(&p->report, "%s", join_sentence(&result));
    end(p, EXIT_FAILURE);
}

static const struct {
    uint16_t kind;
    void (*take)(struct parent *p, enum proc_role from, const struct ipc_message *m);
} takers[] = {
    {IPC_READY, take_ready}, {IPC_STATE_READY, take_ready},       {IPC_CONFIGURE, take_configure},
    {IPC_STOP, take_stop},   {IPC_JOIN_RESULT, take_join_result},
};

static void take(struct parent *p, enum proc_role from, const struct ipc_message *m)
{
    for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++)
        if (takers[i].kind == m->kind)
            takers[i].take(p, from, m);
}

#define REASON_SIZE 160

static void describe(const struct parent *p, int status, char out[REASON_SIZE])
{
    bool starts = p->give_up != UINT64_MAX;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_MALFORMED && starts)
        snprintf(out, REASON_SIZE,
                 "what it keeps there is damaged. Bring it back from a backup, or have this device invited again.");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        snprintf(out, REASON_SIZE, "it made a forbidden system call.");
    else if (WIFSIGNALED(status))
        snprintf(out, REASON_SIZE, "signal %d.", WTERMSIG(status));
    else
        snprintf(out, REASON_SIZE, "exit status %d.", WEXITSTATUS(status));
}

/* When one ends, so do the others, in order: the first that did not is the one to name. */
static void find_culprit(struct parent *p, enum proc_role *role, char why[REASON_SIZE])
{
    int status;
    pid_t pid;
    for (unsigned i = 0; i < CULPRIT_STEPS; i++) {
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            enum proc_role ended = children_forget(&p->children, pid);
            if (ended == PROC_ROLES || ended == PROC_CONTROLLER || status == 0)
                continue;
            *role = ended;
            describe(p, status, why);
            return;
        }
        poll(NULL, 0, CULPRIT_STEP_MS);
    }
}

/* A link is closed, or said what it may not. */
static void lose(struct parent *p, enum proc_role role, int error)
{
    char why[REASON_SIZE] = "its link is closed.";
    if (error == ERROR_MALFORMED)
        snprintf(why, sizeof(why), "it said what it may not.");
    else
        find_culprit(p, &role, why);
    report_failure(&p->report, "The %s process ended: %s See the log.", proc_role_name(role), why);
    end(p, EXIT_FAILURE);
}

static void listen_to(struct parent *p, enum proc_role role)
{
    struct ipc_message m;
    int error = 0;
    while (p->status == NO_STATUS && (error = ipc_receive(p->children.roles[role].link, &m)) == 0)
        take(p, role, &m);
    if (p->status == NO_STATUS && error != ERROR_AGAIN)
        lose(p, role, error);
}

/* ---- Children that end, and the controller ---- */

static void start_controller(struct parent *p)
{
    int error = children_start_controller(&p->children, &p->place, loop_monotonic());
    if (error != 0)
        log_line("error", "controller", "what=\"cannot be started\" why=\"%s\"", error_sentence(error));
    note(p, error == 0 ? NOTE_CONTROLLER_UP : NOTE_CONTROLLER_DOWN, 0);
}

/* That a role has ended shows in its link, once all that it said is read: the result of a join, say. */
static void reap_controller(struct parent *p)
{
    int status;
    char why[REASON_SIZE];
    pid_t pid = p->children.controller.pid;
    if (pid == 0 || waitpid(pid, &status, WNOHANG) != pid)
        return;
    describe(p, status, why);
    children_controller_ended(&p->children, loop_monotonic());
    log_line("error", "controller", "what=\"ended\" why=\"%s\"", why);
    note(p, NOTE_CONTROLLER_DOWN, 0);
}

static void take_signals(struct parent *p)
{
    struct signalfd_siginfo info;
    while (read(p->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap_controller(p);
        } else if (p->status == NO_STATUS) {
            log_line("info", "down", "signal=%u", info.ssi_signo);
            if (!p->report.told)
                report_failure(&p->report, "It was ended by signal %u before it was ready.", info.ssi_signo);
            end(p, joins(p) ? EXIT_FAILURE : EXIT_SUCCESS);
        }
    }
}

/* ---- The loop ---- */

/* Daemonised, stderr is a file that only we make sure stays small. */
static void bound_log(void)
{
    struct stat status;
    if (fstat(STDERR_FILENO, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > LOG_MAX &&
        ftruncate(STDERR_FILENO, 0) == 0)
        log_line("info", "log", "what=\"began anew, since it was full\"");
}

static uint64_t earliest(const struct parent *p)
{
    uint64_t at = p->look_at_log;
    if (p->give_up < at)
        at = p->give_up;
    if (p->children.controller.wanted && p->children.controller.pid == 0 && p->children.controller.due < at)
        at = p->children.controller.due;
    return at;
}

static void do_what_is_due(struct parent *p, uint64_t now)
{
    if (now >= p->look_at_log) {
        bound_log();
        p->look_at_log = now + LOG_LOOK;
    }
    if (now >= p->give_up) {
        report_failure(&p->report, joins(p) ? "The join took too long." : "The daemon was not ready in time.");
        end(p, EXIT_FAILURE);
    }
    if (p->children.controller.wanted && p->children.controller.pid == 0 && now >= p->children.controller.due)
        start_controller(p);
}

static short interest(struct ipc *ipc)
{
    return ipc_flush(ipc) ? POLLIN | POLLOUT : POLLIN;
}

static void turn(struct parent *p)
{
    static const enum proc_role roles[] = {PROC_KEYS, PROC_ENGINE, PROC_STATE};
    struct pollfd fds[4] = {{p->signals, POLLIN, 0}};
    for (int i = 0; i < 3; i++) {
        struct ipc *link = p->children.roles[roles[i]].link;
        fds[1 + i] = (struct pollfd){ipc_fd(link), interest(link), 0};
    }
    uint64_t now = loop_monotonic(), at = earliest(p);
    int wait = at <= now ? 0 : (int)((at - now) / (SECOND / 1000) + 1);
    if (poll(fds, 4, wait) < 0 && errno != EINTR)
        end(p, EXIT_FAILURE);
    if (fds[0].revents != 0)
        take_signals(p);
    for (int i = 0; i < 3 && p->status == NO_STATUS; i++)
        if (fds[1 + i].revents != 0)
            listen_to(p, roles[i]);
    if (p->status == NO_STATUS)
        do_what_is_due(p, loop_monotonic());
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void tell_state(struct parent *p)
{
    note(p, p->ways.darkened ? NOTE_DARKENED : NOTE_NOT_DARKENED, 0);
    note(p, NOTE_LISTEN_PORT, p->ways.port);
    if (p->place.conf.relay_rate != 0)
        note(p, NOTE_RELAY_RATE, p->place.conf.relay_rate);
    for (uint32_t i = 0; p->ways.darkened && i < p->ways.keep.count; i++)
        note(p, NOTE_KEEP_PORT, (uint32_t)p->ways.keep.ports[i].udp << 16 | p->ways.keep.ports[i].port);
}

static int start(struct parent *p)
{
    int error = children_start(&p->children, &p->place, &p->ways);
    ways_give_away(&p->ways);
    if (error == 0)
        error = drop_capabilities(KEPT_CAPABILITIES);
    if (error != 0) {
        report_failure(&p->report, "The daemon's processes cannot be started: %s", error_sentence(error));
        return error;
    }
    p->give_up = loop_monotonic() + (joins(p) ? JOIN_TIME : START_TIME);
    if (joins(p))
        ipc_set_phase(p->children.roles[PROC_STATE].link, IPC_JOINING);
    tell_state(p);
    if (p->children.controller.wanted)
        start_controller(p);
    return 0;
}

/* A controller is started again from here as root in full, which no-new-privs forbids; without it, filters take
 * CAP_SYS_ADMIN. */
static int confine(struct parent *p)
{
    bool starts_controller = p->place.has_controller && !joins(p);
    int error = drop_in_parent(starts_controller);
    if (error == ERROR_PERMISSION && starts_controller) {
        log_line("warning", "sandbox",
                 "what=\"the parent's own system calls are not filtered\" why=\"a host with a controller needs "
                 "CAP_SYS_ADMIN for that\"");
        return 0;
    }
    if (error != 0)
        report_failure(&p->report, "The daemon's processes cannot be confined: %s", error_sentence(error));
    else if (!sandbox_exists())
        log_line("warning", "sandbox", "what=\"built without: the processes' system calls are not filtered\"");
    else if (!landlock_exists())
        log_line("warning", "sandbox", "what=\"this kernel has no Landlock: files are guarded by their modes alone\"");
    return error;
}

static int run(struct parent *p)
{
    char complaint[PLACE_COMPLAINT];
    if (confine(p) != 0)
        return EXIT_FAILURE;
    p->status = NO_STATUS;
    p->look_at_log = loop_monotonic() + LOG_LOOK;
    p->signals = open_signals();
    if (p->signals < 0 || ways_open(&p->ways, p->options, &p->place, complaint) != 0) {
        report_failure(&p->report, "%s", p->signals < 0 ? "Signals cannot be waited for." : complaint);
        return EXIT_FAILURE;
    }
    if (start(p) != 0)
        end(p, EXIT_FAILURE);
    while (p->status == NO_STATUS)
        turn(p);
    children_stop(&p->children);
    /* A daemon that dies stays dark, which is safer; one that never was up leaves nothing. */
    if (p->status != EXIT_SUCCESS && p->ways.darkened && p->give_up == UINT64_MAX)
        p->ways.darkened = false;
    ways_close(&p->ways, &p->place);
    if (!joins(p))
        log_line("info", "end", "status=%d", p->status);
    return p->status;
}

/* ---- Into the background ---- */

/* What children without files are confined to, and where sockets and logs are. */
static bool make_run_directories(void)
{
    umask(022);
    bool made = (mkdir(PLACE_RUN, 0755) == 0 || errno == EEXIST) && (mkdir(DROP_EMPTY, 0755) == 0 || errno == EEXIST);
    umask(077);
    return made;
}

static bool redirect_output(const struct place *place)
{
    char path[64];
    snprintf(path, sizeof(path), PLACE_RUN "/%s.log", place->hash);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    return null >= 0 && log >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 && dup2(log, 2) == 2;
}

/* In the process that was started: waits for the daemon's word, and passes it on. */
static int wait_for_word(struct report *starter, int from)
{
    char text[512];
    size_t len = 0;
    ssize_t got = 1;
    while (len < sizeof(text) - 1 && got != 0) {
        got = read(from, text + len, sizeof(text) - 1 - len);
        if (got < 0 && errno != EINTR)
            break;
        len += got > 0 ? (size_t)got : 0;
    }
    text[len] = '\0';
    if (strcmp(text, "ready\n") == 0) {
        report_ready(starter);
        return EXIT_SUCCESS;
    }
    report_failure(starter, "%s", len > 0 ? text : "The daemon ended before it was ready.");
    return EXIT_FAILURE;
}

static int run_in_background(struct parent *p)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return EXIT_FAILURE;
    pid_t pid = fork();
    if (pid != 0) {
        close(pipe_fds[1]);
        return pid < 0 ? EXIT_FAILURE : wait_for_word(&p->report, pipe_fds[0]);
    }
    close(pipe_fds[0]);
    if (p->report.fd >= 0)
        close(p->report.fd);
    p->report.fd = pipe_fds[1];
    if (setsid() < 0 || !redirect_output(&p->place)) {
        report_failure(&p->report, "The log in " PLACE_RUN " cannot be opened: %s.", strerror(errno));
        return EXIT_FAILURE;
    }
    return run(p);
}

static int undarken(struct parent *p)
{
    int error = ways_undarken(&p->place);
    if (error != 0)
        report_failure(&p->report, "nft could not remove the table inet nightjar_%.8s.", p->place.hash);
    else
        report_ready(&p->report);
    return error == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int parent_main(const struct options *options)
{
    char complaint[PLACE_COMPLAINT];
    struct parent p = {
        .options = options, .report = {.fd = options->ready_fd}, .ways = {.udp = {-1, -1}, .control = -1}};
    umask(077);
    if (p.report.fd >= 0)
        fcntl(p.report.fd, F_SETFD, FD_CLOEXEC);
    int status = EXIT_FAILURE;
    if (place_open(&p.place, options->state, complaint) != 0)
        report_failure(&p.report, "%s", complaint);
    else if (options->mode == MODE_UNDARKEN)
        status = undarken(&p);
    else if (!make_run_directories() && geteuid() == 0)
        report_failure(&p.report, PLACE_RUN " cannot be made: %s.", strerror(errno));
    else
        status = options->foreground || options->mode == MODE_JOIN ? run(&p) : run_in_background(&p);
    place_close(&p.place);
    return status;
}
