#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "daemon.h"
#include "ledger/kept.h"
#include "say.h"
#include "show.h"
#include "state.h"
#include "values.h"

#define DOWN_WAIT_MS 10000
#define LOOK_EVERY_MS 50

static bool is_up(struct cli *cli, int *error)
{
    struct control *c;
    *error = control_open(&c, cli);
    if (!*error)
        control_close(c);
    return !*error;
}

static int tell(struct cli *cli, const char *sentence, bool up, bool already)
{
    say_progress(cli, "%s", sentence);
    return cli->json ? show_json(json_pack("{s:b, s:b, s:s}", "up", up, "already", already, "state", cli->state))
                     : EXIT_DONE;
}

/* ---- up ---- */

static bool keep_is_valid(const char *keep)
{
    uint64_t port;
    bool known = strncmp(keep, "tcp/", 4) == 0 || strncmp(keep, "udp/", 4) == 0;
    return known && number_parse(&port, keep + 4, 1, UINT16_MAX);
}

static int add_keeps(struct cli *cli, const struct arguments *a, struct daemon_line *line)
{
    const char *keep;
    for (unsigned i = 0; (keep = argument_value(a, "--keep", i)); i++) {
        if (!keep_is_valid(keep))
            return say_usage(cli, "up", "\"%s\" is no port to keep: tcp/22 or udp/123, say.", keep);
        daemon_add(line, "--keep");
        daemon_add(line, keep);
    }
    if (line->count > 0 && !argument_given(a, "--darken"))
        return say_usage(cli, "up", "--keep goes with --darken: without it all ports stay as they are.");
    return 0;
}

static int make_line(struct cli *cli, const struct arguments *a, struct daemon_line *line)
{
    const char *port = argument_value(a, "--listen", 0);
    uint64_t number;
    int result = add_keeps(cli, a, line);
    if (result)
        return result;
    if (argument_given(a, "--darken"))
        daemon_add(line, "--darken");
    if (port && !number_parse(&number, port, 1, UINT16_MAX))
        return say_usage(cli, "up", "\"%s\" is no port: 1 to 65535.", port);
    if (port) {
        daemon_add(line, "--listen");
        daemon_add(line, port);
    }
    daemon_add(line, "--state");
    daemon_add(line, cli->state);
    return 0;
}

static bool is_there(const struct state *s, enum state_folder folder, const char *name)
{
    return faccessat(s->dirs[folder], name, F_OK, AT_EACCESS) == 0;
}

/* What would keep the daemon from coming up, said before it tries. */
static int check_ground(struct cli *cli)
{
    struct state s;
    if (geteuid() != 0)
        return say_no(cli, "Run it as root, or with sudo.", "Only root may make the network interface.");
    if (access("/dev/net/tun", F_OK) != 0)
        return say_no(cli, "Load the module with \"modprobe tun\"; in a container, hand the device in.",
                      "/dev/net/tun is missing, so no network interface can be made.");
    int result = state_open(cli, &s);
    if (result)
        return result;
    if (is_there(&s, STATE_LEDGER, KEPT_TICKET) && is_there(&s, STATE_KEYS, "invite"))
        result = say_no(cli, "Repeat \"nightjar join\" with the same ticket; then \"nightjar up\".",
                        "%s is not a member yet: its join was not finished.", cli->state);
    state_close(&s);
    return result;
}

static int start(struct cli *cli, struct daemon_line *line)
{
    char said[1024];
    int ready = daemon_start(cli, "nightjard", line, said, sizeof(said));
    if (ready < 0)
        return EXIT_NO;
    if (ready)
        return tell(cli, "Up.", true, false);
    return say_no(cli, "\"nightjar up --foreground\" shows its log.", "The daemon did not come up: %s",
                  *said ? said : "it ended without saying why.");
}

int command_up(struct cli *cli, const struct arguments *a)
{
    struct daemon_line line = {0};
    int error, result = make_line(cli, a, &line);
    if (!result)
        result = check_ground(cli);
    if (result)
        return result;
    if (is_up(cli, &error))
        return tell(cli, "It is up already.", true, true);
    if (!argument_given(a, "--foreground"))
        return start(cli, &line);
    daemon_add(&line, "--foreground");
    return daemon_become(cli, "nightjard", &line);
}

/* ---- down ---- */

/* After a daemon that died, its darkening is still in force. */
static int undarken(struct cli *cli)
{
    struct daemon_line line = {3, {"--undarken", "--state", cli->state}};
    int code = daemon_run(cli, "nightjard", &line, NULL);
    if (code)
        return code < 0 ? EXIT_NO : say_no(cli, NULL, "The firewall rules of a daemon that died could not be removed.");
    return tell(cli, "It is down already.", false, true);
}

/* The daemon holds a lock on STATE/format from its first to its last moment. */
static bool runs(const struct state *s)
{
    int fd = openat(s->dir, "format", O_RDONLY | O_CLOEXEC);
    bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    return locked;
}

static int wait_until_down(struct cli *cli, const struct state *s)
{
    const struct timespec pause = {0, LOOK_EVERY_MS * 1000000L};
    for (unsigned waited = 0; waited < DOWN_WAIT_MS; waited += LOOK_EVERY_MS) {
        if (!runs(s))
            return tell(cli, "Down.", false, false);
        nanosleep(&pause, NULL);
    }
    return say_no(cli, "Look at its log.", "The daemon of %s was told to end, but has not within 10 s.", cli->state);
}

/* One without a control socket is ending already. */
static int stop(struct cli *cli, const struct state *s)
{
    int error;
    if (!is_up(cli, &error) && error == ERROR_NOT_FOUND)
        return wait_until_down(cli, s);
    json_t *answer = control_answer(cli, "down", NULL, DOWN_WAIT_MS);
    if (!answer)
        return EXIT_NO;
    json_decref(answer);
    return wait_until_down(cli, s);
}

int command_down(struct cli *cli, const struct arguments *a)
{
    struct state s;
    (void)a;
    int result = state_open(cli, &s);
    if (result)
        return result;
    if (runs(&s))
        result = stop(cli, &s);
    else
        result = geteuid() == 0 ? undarken(cli) : tell(cli, "It is down already.", false, true);
    state_close(&s);
    return result;
}
