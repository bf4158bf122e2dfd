#include "outbox.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control.h"
#include "ground.h"
#include "ledger/kept.h"
#include "say.h"
#include "wire/cbor.h"

#define WAIT_MS 10000
#define ASK_EVERY_MS 100

static int write_submission(const struct state *s, const char *name, const uint8_t *statement, size_t len,
                            const struct outbox_opening *openings, uint32_t opening_count)
{
    size_t capacity = len + 32;
    for (uint32_t i = 0; i < opening_count; i++)
        capacity += openings[i].len + 16;
    uint8_t *bytes = malloc(capacity);
    if (!bytes)
        return ERROR_MEMORY;
    struct cursor c = cursor_writing(bytes, capacity);
    cbor_put_array(&c, 2);
    cbor_put_bytes(&c, statement, len);
    cbor_put_array(&c, opening_count);
    for (uint32_t i = 0; i < opening_count; i++)
        cbor_put_bytes(&c, openings[i].bytes, openings[i].len);
    struct files files = state_files(s, STATE_OUTBOX);
    int error = cursor_error(&c);
    if (!error)
        error = files_write(&files, name, bytes, (size_t)(c.at - bytes));
    free(bytes);
    return error;
}

static void pause_ms(unsigned ms)
{
    struct timespec t = {0, (long)ms * 1000000};
    nanosleep(&t, NULL);
}

/* From when it is in the outbox until the command has said what it is for (a ticket is told once): Ctrl-C then only
 * ends the waiting. */
static void hold_interrupt(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static bool is_interrupted(void)
{
    sigset_t set;
    return sigpending(&set) == 0 && sigismember(&set, SIGINT) == 1;
}

/* {"outcome":"stands"|"refused"|"pending", "sentence":...} */
static enum outbox_outcome read_outcome(struct cli *cli, const char *what, const json_t *answer)
{
    const char *outcome = json_string_value(json_object_get(answer, "outcome"));
    if (outcome && strcmp(outcome, "stands") == 0)
        return OUTBOX_STANDS;
    if (!outcome || strcmp(outcome, "refused") != 0)
        return OUTBOX_PENDING;
    const char *sentence = json_string_value(json_object_get(answer, "sentence"));
    say_no(cli, "Nothing changed in the network.", "%s was refused: %s", what,
           sentence ? sentence : "no reason given.");
    return OUTBOX_REFUSED;
}

/* False: the daemon is gone. */
static bool ask_outcome(struct cli *cli, struct control *c, const char *what, const char *name,
                        enum outbox_outcome *outcome)
{
    json_t *answer;
    if (control_ask(c, "outcome", json_pack("{s:s}", "statement", name), WAIT_MS, &answer))
        return false;
    *outcome = read_outcome(cli, what, answer);
    json_decref(answer);
    return true;
}

/* Without a daemon it stays in the outbox, which the next daemon empties. */
static enum outbox_outcome wait_outcome(struct cli *cli, const char *what, const char *name)
{
    struct control *c;
    json_t *answer;
    enum outbox_outcome outcome = OUTBOX_PENDING;
    if (control_open(&c, cli))
        return OUTBOX_PENDING;
    int64_t deadline = clock_ms() + WAIT_MS;
    bool there = control_ask(c, "knock", NULL, WAIT_MS, &answer) == 0;
    if (there)
        json_decref(answer);
    while (there && outcome == OUTBOX_PENDING && clock_ms() < deadline && !is_interrupted()) {
        there = ask_outcome(cli, c, what, name, &outcome);
        if (outcome == OUTBOX_PENDING)
            pause_ms(ASK_EVERY_MS);
    }
    control_close(c);
    return outcome;
}

enum outbox_outcome outbox_submit(struct cli *cli, const struct state *s, const char *what, const uint8_t *statement,
                                  size_t len, const struct outbox_opening *openings, uint32_t opening_count)
{
    uint8_t hash[SHA256_SIZE];
    char name[KEPT_NAME_SIZE];
    int error = crypto_sha256(cli->crypto, hash, statement, len);
    hold_interrupt();
    if (!error) {
        kept_name(name, hash);
        error = write_submission(s, name, statement, len, openings, opening_count);
    }
    state_unlock(s); /* who comes next sees it */
    if (error) {
        say_failed(cli, error, "%s cannot be written to %s/outbox", what, s->path);
        return OUTBOX_FAILED;
    }
    enum outbox_outcome outcome = wait_outcome(cli, what, name);
    if (outcome == OUTBOX_PENDING)
        say_progress(
            cli,
            "%s is signed and waits in %s/outbox: it goes out as soon as the daemon runs and the network takes it.",
            what, s->path);
    return outcome;
}

int outbox_exit_code(enum outbox_outcome outcome, const struct arguments *arguments)
{
    bool late = outcome == OUTBOX_PENDING && argument_given(arguments, "--wait");
    return outcome == OUTBOX_STANDS || (outcome == OUTBOX_PENDING && !late) ? EXIT_DONE : EXIT_NO;
}
