#include "passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/bytes.h"
#include "say.h"
#include "values.h"

/* Up to the end of a line, without it. Byte by byte, so that what comes behind stays there. */
static int read_line(int fd, struct passphrase *out)
{
    for (out->len = 0;;) {
        char c;
        ssize_t count = read(fd, &c, 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return errno;
        if (count == 0 || c == '\n')
            return 0;
        if (out->len == sizeof(out->text))
            return E2BIG;
        out->text[out->len++] = c;
    }
}

static int from_fd(struct cli *cli, const char *number, struct passphrase *out)
{
    uint64_t fd;
    if (!number_parse(&fd, number, 0, 1 << 20))
        return say_usage(cli, "", "--passphrase-fd takes the number of a descriptor, not \"%s\".", number);
    int error = read_line((int)fd, out);
    if (error)
        return say_failed(cli, error, "The passphrase cannot be read from descriptor %s", number);
    if (out->len == 0)
        return say_no(cli, "Write one line into it.", "There is no passphrase on descriptor %s.", number);
    return 0;
}

/* Waits for a line; a signal that would end the program comes back as EINTR, for the terminal must speak again first.
 */
static int read_line_or_signal(int terminal, int signals, struct passphrase *out)
{
    struct pollfd ready[] = {{.fd = terminal, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    if (poll(ready, 2, -1) < 0)
        return errno;
    return ready[1].revents ? EINTR : read_line(terminal, out);
}

static int ask_silently(int terminal, const char *prompt, int signals, struct passphrase *out)
{
    struct termios was, silent;
    if (tcgetattr(terminal, &was))
        return errno;
    silent = was;
    silent.c_lflag &= (tcflag_t)~ECHO;
    if (tcsetattr(terminal, TCSAFLUSH, &silent))
        return errno;
    int error = write(terminal, prompt, strlen(prompt)) < 0 ? errno : read_line_or_signal(terminal, signals, out);
    tcsetattr(terminal, TCSAFLUSH, &was);
    return write(terminal, "\n", 1) < 0 ? errno : error;
}

static int ask(int terminal, const char *prompt, struct passphrase *out)
{
    sigset_t ending, was;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigprocmask(SIG_BLOCK, &ending, &was);
    int signals = signalfd(-1, &ending, SFD_CLOEXEC);
    int error = signals < 0 ? errno : ask_silently(terminal, prompt, signals, out);
    if (signals >= 0)
        close(signals);
    sigprocmask(SIG_SETMASK, &was, NULL); /* here a signal that came takes effect */
    return error;
}

static int ask_twice(struct cli *cli, int terminal, struct passphrase *out)
{
    struct passphrase again = {0};
    int error = ask(terminal, "A passphrase for the owner's keys: ", out);
    if (!error)
        error = ask(terminal, "The same again: ", &again);
    bool same = !error && out->len == again.len && equal_constant_time(out->text, again.text, out->len);
    wipe(&again, sizeof(again));
    if (error)
        return say_failed(cli, error, "The passphrase cannot be read from the terminal");
    if (!same)
        return say_no(cli, "Try again.", "The two passphrases differ.");
    if (out->len == 0)
        return say_no(cli, "Type one, or say --no-passphrase.", "The passphrase is empty.");
    return 0;
}

int passphrase_get(struct cli *cli, const struct arguments *arguments, bool fresh, struct passphrase *out)
{
    const char *number = argument_value(arguments, "--passphrase-fd", 0);
    out->len = 0;
    if (number)
        return from_fd(cli, number, out);
    int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        return say_no(
            cli,
            fresh ? "Give it on a descriptor with --passphrase-fd N; or leave the keys bare with --no-passphrase."
                  : "Give it on a descriptor with --passphrase-fd N.",
            "There is no terminal to ask for the passphrase on.");
    int error = 0;
    if (fresh)
        error = ask_twice(cli, terminal, out);
    else if ((error = ask(terminal, "Passphrase of the owner's keys: ", out)))
        error = say_failed(cli, error, "The passphrase cannot be read from the terminal");
    close(terminal);
    return error;
}
