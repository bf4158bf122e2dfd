/* wg-peer: Nightjar's tunnel and data path behind WireGuard's own configuration protocol, for tests against other
 * implementations. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "counters.h"
#include "device.h"
#include "net/memory.h"
#include "uapi.h"

#define MTU_DEFAULT 1420
#define STATE_DEFAULT "/var/lib/wg-peer"

static const char usage[] =
    "Usage: wg-peer [-f] [--dark [--state DIR]] [--no-offloads] INTERFACE\n"
    "\n"
    "Creates the TUN interface INTERFACE and speaks WireGuard on it; configure it with\n"
    "  wg set INTERFACE ...        ip address add ... dev INTERFACE        ip link set INTERFACE up\n"
    "On SIGUSR1 prints to stderr what it refused and lost, by reason.\n"
    "Ends when the interface is deleted or /var/run/wireguard/INTERFACE.sock is removed.\n"
    "\n"
    "  -f, --foreground  stay in the foreground (also: WG_PROCESS_FOREGROUND=1)\n"
    "  --dark            silence towards strangers: no cookie replies, and timestamps kept in a\n"
    "                    file, so that replays after a restart draw nothing either\n"
    "  --state DIR       where that file is (default " STATE_DEFAULT ")\n"
    "  --no-offloads     one packet a system call: no virtio headers, TSO, USO, GSO or GRO\n"
    "  -h, --help        this text\n"
    "  --version         the version\n";

struct arguments {
    const char *interface;
    const char *state;
    bool foreground, dark, no_offloads;
};

static int parse_arguments(int argc, char **argv, struct arguments *out)
{
    enum { DARK = 256, STATE, NO_OFFLOADS, VERSION };
    static const struct option options[] = {{"foreground", no_argument, NULL, 'f'},
                                            {"dark", no_argument, NULL, DARK},
                                            {"state", required_argument, NULL, STATE},
                                            {"no-offloads", no_argument, NULL, NO_OFFLOADS},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, VERSION},
                                            {0}};
    const char *foreground = getenv("WG_PROCESS_FOREGROUND");
    *out = (struct arguments){.state = STATE_DEFAULT, .foreground = foreground && strcmp(foreground, "1") == 0};
    for (int option; (option = getopt_long(argc, argv, "fh", options, NULL)) != -1;) {
        switch (option) {
        case 'f':
            out->foreground = true;
            break;
        case DARK:
            out->dark = true;
            break;
        case STATE:
            out->state = optarg;
            break;
        case NO_OFFLOADS:
            out->no_offloads = true;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        case VERSION:
            puts("wg-peer " NIGHTJAR_VERSION);
            exit(0);
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind != argc - 1) {
        fputs(usage, stderr);
        return 2;
    }
    out->interface = argv[optind];
    return 0;
}

/* ---- What the engine asks of the holder of the key ---- */

static void run_step(void *context, struct static_step *step)
{
    struct device *d = context;
    static_step_run(step, d->crypto, d->private_key);
}

static void persist(void *context, const uint8_t public_key[MESSAGE_KEY_SIZE],
                    const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE])
{
    struct device *d = context;
    if (timestamps_note(d->timestamps, public_key, timestamp) != 0)
        fputs("wg-peer: out of memory: a timestamp is not kept\n", stderr);
}

static int commit(void *context)
{
    struct device *d = context;
    int error = timestamps_commit(d->timestamps);
    if (error != 0 && !d->commit_fails)
        fputs("wg-peer: can't write the timestamps; handshakes go on, but a replay after a restart may be answered\n",
              stderr);
    d->commit_fails = error != 0;
    return error;
}

static void trouble(void *context, int error)
{
    (void)context;
    fprintf(stderr, "wg-peer: the interface is up, but nothing can be received: %s\n", error_sentence(error));
}

/* ---- Life ---- */

static int fail(const char *what, const char *name, int error)
{
    fprintf(stderr, "wg-peer: %s '%s': %s\n", what, name, error_sentence(error));
    return 1;
}

static int fail_to_create(const char *name, int error)
{
    if (error != ERROR_INVALID)
        return fail("can't create", name, error);
    fprintf(
        stderr,
        "wg-peer: can't create '%s': choose a name of 1 to 15 characters, without spaces, '/' and '%%', that no other "
        "kind of interface has.\n",
        name);
    return 1;
}

static int open_engine(struct device *d, const struct arguments *a)
{
    struct tun *tun;
    struct tun_options tun_options = {.no_offloads = a->no_offloads, .mtu = MTU_DEFAULT};
    struct engine_options options = {.dark = a->dark,
                                     .no_native = true,
                                     .no_offloads = a->no_offloads,
                                     .run_step = run_step,
                                     .persist = a->dark ? persist : NULL,
                                     .commit = a->dark ? commit : NULL,
                                     .trouble = trouble,
                                     .context = d};
    /* The kernel would find a name of its own. */
    if (*a->interface == '\0' || strchr(a->interface, '%'))
        return ERROR_INVALID;
    int error = tun_open(&tun, a->interface, &tun_options);
    return error != 0 ? error : engine_new(&d->engine, tun, &options);
}

struct life {
    struct engine *engine;
    bool ended;
};

static void signal_ready(void *context, int fd)
{
    struct signalfd_siginfo info;
    struct life *life = context;
    if (read(fd, &info, sizeof(info)) <= 0)
        return;
    if (info.ssi_signo == SIGUSR1)
        counters_print(life->engine, stderr);
    else
        life->ended = true;
}

/* Blocked before any thread exists, so that they arrive here alone. In the process that is to get them: an epoll hears
 * only of the signals of the process that added the descriptor. */
static int watch_signals(struct life *life)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return ERROR_IO;
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? ERROR_IO : loop_add(engine_loop(life->engine), fd, signal_ready, life);
}

/* The parent leaves once everything answers; no thread has been started yet. */
static int daemonise(void)
{
    pid_t pid = fork();
    if (pid < 0)
        return ERROR_MEMORY;
    if (pid > 0)
        _exit(0);
    int null = open("/dev/null", O_RDWR);
    if (setsid() < 0 || chdir("/") != 0 || null < 0)
        return ERROR_IO;
    for (int fd = 0; fd <= 2; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    return 0;
}

static int run(const struct life *life, struct uapi_server *server)
{
    int error = 0;
    memory_release_code();
    while (error == 0 && !life->ended && !uapi_server_is_removed(server))
        error = engine_run_once(life->engine);
    return error == ERROR_GONE ? 0 : error;
}

static int serve(struct device *d, const struct arguments *a)
{
    struct uapi_server *server;
    struct life life = {.engine = d->engine};
    int error = uapi_server_new(&server, d, a->interface);
    if (error != 0)
        return fail("can't serve", a->interface, error);
    error = a->foreground ? 0 : daemonise();
    if (error == 0)
        error = watch_signals(&life);
    if (error == 0)
        error = run(&life, server);
    uapi_server_free(server);
    return error == 0 ? 0 : fail("lost", a->interface, error);
}

int main(int argc, char **argv)
{
    struct arguments a;
    struct device d = {.engine = NULL};
    int status = parse_arguments(argc, argv, &a);
    if (status != 0)
        return status;
    prctl(PR_SET_DUMPABLE, 0); /* no core files: they would hold keys */
    int error = crypto_new(&d.crypto, CRYPTO_BULK_OPENSSL);
    if (error != 0)
        status = fail("can't start the cryptographic library for", a.interface, error);
    if (error == 0 && a.dark) {
        error = timestamps_open(&d.timestamps, a.state, a.interface);
        if (error != 0)
            status = fail("can't read the timestamps in", a.state, error);
    }
    if (error == 0) {
        error = open_engine(&d, &a);
        status = error == 0 ? serve(&d, &a) : fail_to_create(a.interface, error);
    }
    engine_free(d.engine);
    timestamps_close(d.timestamps);
    crypto_free(d.crypto);
    wipe(&d, sizeof(d));
    return status;
}
