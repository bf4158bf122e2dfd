#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "daemon.h"
#include "founder.h"
#include "founding.h"
#include "ground.h"
#include "ledger/kept.h"
#include "say.h"
#include "show.h"
#include "view.h"

#define SAID_MAX 1024

/* Holds secrets: wiped. */
struct joining {
    struct cli *cli;
    char text[TICKET_TEXT_MAX + 1];
    uint8_t buffer[TICKET_TEXT_MAX + 1];
    struct ticket ticket;
    struct opening opening; /* of the invite */
    uint8_t invite[SHA256_SIZE];
    uint8_t signing[ED25519_SEED_SIZE], static_private[X25519_SIZE];
    uint8_t statement[FOUNDING_STATEMENT_MAX]; /* a founding hub's join */
};

/* ---- The ticket ---- */

static int read_text(struct joining *j, const char *path, size_t *len)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? -1 : 0;
    *len = 0;
    while (fd >= 0 && *len < sizeof(j->text)) {
        count = read(fd, j->text + *len, sizeof(j->text) - *len);
        if (count == 0 || (count < 0 && errno != EINTR))
            break;
        *len += count > 0 ? (size_t)count : 0;
    }
    int error = errno;
    if (fd > STDIN_FILENO)
        close(fd);
    return count < 0 ? say_failed(j->cli, error, "The ticket %s cannot be read", path) : 0;
}

static int read_ticket(struct joining *j, const char *path)
{
    size_t len;
    int result = read_text(j, path, &len);
    if (result)
        return result;
    enum ticket_fault fault = ticket_parse(j->cli->crypto, &j->ticket, j->text, len, j->buffer);
    if (fault)
        return say_no(j->cli, "Nothing was changed.", "%s: %s", path, ticket_fault_sentence(fault));
    int error = opening_decode(&j->opening, j->ticket.opening.bytes, j->ticket.opening.len);
    if (!error && j->opening.kind != OPENING_INVITE)
        error = ERROR_MALFORMED;
    if (!error)
        error = crypto_sha256(j->cli->crypto, j->invite, j->ticket.invite.bytes, j->ticket.invite.len);
    return error ? say_no(j->cli, "Nothing was changed.", "%s: %s", path, ticket_fault_sentence(TICKET_MALFORMED)) : 0;
}

/* ---- Done ---- */

static int tell_member(struct joining *j, bool already)
{
    const char *device = j->opening.invite.name, *network = j->ticket.network_name;
    say_progress(j->cli, "This machine is%s %s of network %s.%s", already ? " already" : " now", device, network,
                 already ? "" : " Next: nightjar up.");
    if (!j->cli->json)
        return EXIT_DONE;
    return show_json(json_pack("{s:s, s:s, s:s, s:b}", "device", device, "network", network, "state", j->cli->state,
                               "already", already));
}

/* ---- Where there is a STATE already ---- */

/* Whether the ticket that a join was begun with is this one. ERROR_NOT_FOUND: no join was begun. */
static int compare_begun(struct joining *j, const struct state *s, bool *same)
{
    struct files ledger = state_files(s, STATE_LEDGER);
    struct ticket begun;
    uint8_t *text;
    size_t len;
    int error = files_read_new(&ledger, KEPT_TICKET, TICKET_TEXT_MAX, &text, &len);
    if (error)
        return error;
    uint8_t *buffer = malloc(len + 1), invite[SHA256_SIZE] = {0};
    if (!buffer)
        error = ERROR_MEMORY;
    else if (ticket_parse(j->cli->crypto, &begun, (const char *)text, len, buffer))
        error = ERROR_MALFORMED;
    else
        error = crypto_sha256(j->cli->crypto, invite, begun.invite.bytes, begun.invite.len);
    *same = !error && memcmp(invite, j->invite, sizeof(invite)) == 0;
    free(buffer);
    free(text);
    return error;
}

/* Whether this machine holds the membership that the ticket gave. */
static bool is_ours(struct joining *j, const struct state *s, const struct view *v)
{
    struct files keys = state_files(s, STATE_KEYS);
    uint8_t public_key[ED25519_PUBLIC_SIZE];
    size_t len;
    const struct fold_device *d = fold_device_by_invite(v->fold, j->invite);
    bool ours = d && d->state == DEVICE_JOINED &&
                files_read(&keys, "signing", j->signing, sizeof(j->signing), &len) == 0 && len == sizeof(j->signing) &&
                crypto_ed25519_public(j->cli->crypto, public_key, j->signing) == 0 &&
                memcmp(public_key, d->signing_public, sizeof(public_key)) == 0;
    wipe(j->signing, sizeof(j->signing));
    return ours;
}

static int join_again(struct joining *j, const struct state *s)
{
    struct view view;
    int error = view_read(j->cli, &view, s);
    if (error)
        return EXIT_NO;
    bool ours = is_ours(j, s, &view);
    int result = ours ? tell_member(j, true)
                      : say_no(j->cli, "Name another folder with --state to run a second node on this machine.",
                               "%s is a member of network %s already, by another ticket.", s->path, view.network_name);
    view_clear(&view);
    return result;
}

static int run_join(struct joining *j);

static int join_existing(struct joining *j)
{
    struct state s;
    bool same = false;
    int result = state_open(j->cli, &s);
    if (result)
        return result;
    int error = compare_begun(j, &s, &same);
    if (error == ERROR_NOT_FOUND)
        result = join_again(j, &s);
    else if (error)
        result = say_failed(j->cli, error, "%s/ledger/%s cannot be read", s.path, KEPT_TICKET);
    else if (!same)
        result = say_no(j->cli, "Repeat it with that ticket, or remove the folder first.",
                        "In %s a join with another ticket was begun and not finished.", s.path);
    state_close(&s);
    return !error && same ? run_join(j) : result;
}

/* ---- Joining ---- */

/* Whether it is the network that said no; else repeating may help. */
static bool is_refusal(const char *said)
{
    for (int v = 0; v < VERDICT_COUNT; v++)
        if (strcmp(fold_verdict_sentence((enum fold_verdict)v), said) == 0)
            return true;
    return false;
}

static int run_join(struct joining *j)
{
    char said[SAID_MAX];
    struct daemon_line line = {3, {"--join", "--state", j->cli->state}};
    const char *device = j->opening.invite.name, *network = j->ticket.network_name;
    say_progress(j->cli, "Joining network %s as %s ...", network, device);
    int ready = daemon_start(j->cli, "nightjard", &line, said, sizeof(said));
    if (ready > 0)
        return tell_member(j, false);
    if (ready == 0 && is_refusal(said)) {
        state_remove(j->cli);
        return say_no(j->cli, "Nothing was left behind. Ask an operator of the network for a new ticket.",
                      "This machine did not become %s of network %s: %s", device, network, said);
    }
    return say_no(j->cli, "What was begun is kept: repeat the same command.", "Joining network %s was not finished: %s",
                  network,
                  ready < 0 ? "nightjard could not be run."
                  : *said   ? said
                            : "nightjard ended without a word.");
}

static int join_new(struct joining *j)
{
    struct state s;
    int result = state_begin(j->cli, &s);
    if (result)
        return result;
    result = founder_write_keys(j->cli, &s, j->signing, j->static_private, j->ticket.seed);
    if (!result)
        result = founder_write_floor(j->cli, &s, j->ticket.time);
    if (!result)
        result = founder_write_ledger(j->cli, &s, &j->ticket);
    if (!result)
        result = founder_write_port(j->cli, &s, j->opening.invite.relay ? j->opening.invite.endpoint.port : 0);
    if (!result)
        result = state_finish(j->cli, &s);
    if (result)
        state_abandon(&s);
    state_close(&s);
    return result ? result : run_join(j);
}

/* ---- The founding ticket: this machine becomes the network's first controller and relay ---- */

static int add_own_join(struct joining *j, const uint8_t sequencer[ED25519_PUBLIC_SIZE])
{
    struct invite_keys keys;
    struct founding_join join = {.invite = &keys,
                                 .invite_hash = j->invite,
                                 .signing = j->signing,
                                 .static_private = j->static_private,
                                 .sequencer = sequencer};
    uint64_t now = clock_now(), last = j->ticket.times[j->ticket.statement_count - 1];
    int len = invite_keys_derive(j->cli->crypto, j->ticket.seed, &keys);
    if (!len)
        len = founding_join(j->cli->crypto, j->statement, &j->ticket.network, &join);
    wipe(&keys, sizeof(keys));
    int error = len < 0 ? len : founding_append(&j->ticket, j->statement, (size_t)len, now > last ? now : last);
    return error ? say_failed(j->cli, error, "The first join cannot be made") : 0;
}

static int write_hub(struct joining *j, struct state *s)
{
    uint8_t sequencer[ED25519_PUBLIC_SIZE];
    int result = founder_init_controller(j->cli, s, sequencer);
    if (!result)
        result = add_own_join(j, sequencer);
    if (!result)
        result = founder_write_keys(j->cli, s, j->signing, j->static_private, j->ticket.seed);
    if (!result)
        result = founder_write_ledger(j->cli, s, &j->ticket);
    if (!result)
        result = founder_write_port(j->cli, s, j->opening.invite.endpoint.port);
    if (!result)
        result = founder_found_controller(j->cli, s, &j->ticket);
    return result ? result : state_finish(j->cli, s);
}

static int join_founding(struct joining *j)
{
    struct state s;
    int result = state_begin(j->cli, &s);
    if (result)
        return result;
    result = write_hub(j, &s);
    if (result)
        state_abandon(&s);
    state_close(&s);
    return result ? result : tell_member(j, false);
}

static int join(struct joining *j, const char *path)
{
    int result = read_ticket(j, path);
    if (result)
        return result;
    if (state_exists(j->cli))
        return join_existing(j);
    random_draw(NULL, j->signing, sizeof(j->signing));
    random_draw(NULL, j->static_private, sizeof(j->static_private));
    return j->ticket.founding ? join_founding(j) : join_new(j);
}

int command_join(struct cli *cli, const struct arguments *arguments)
{
    struct joining *j = calloc(1, sizeof(*j));
    if (!j)
        return say_failed(cli, ERROR_MEMORY, "Joining cannot begin");
    j->cli = cli;
    int result = join(j, arguments->operands[0]);
    opening_clear(&j->opening);
    wipe(j, sizeof(*j));
    free(j);
    return result;
}
