/* revoke, isolate, restore and uninvite. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "ground.h"
#include "outbox.h"
#include "owner.h"
#include "reasons.h"
#include "say.h"
#include "show.h"
#include "stops.h"
#include "take_away.h"

#define ROOM 2048 /* of a statement: a restore with all that it may lift */

struct act {
    enum statement_kind kind;
    const char *word;
    bool asks;            /* shows what stops, and wants a yes */
    const char *question; /* "%s": the device */
    const char *what;     /* is handed in */
    const char *done;
};
static const struct act acts[TAKE_AWAYS] = {
    [TAKE_AWAY_REVOKE] = {STATEMENT_REVOKE, "revoke", true, "Revoke %s for good?", "The revocation of %s",
                          "%s is revoked: whoever knows it ends its sessions with it."},
    [TAKE_AWAY_ISOLATE] = {STATEMENT_ISOLATE, "isolate", true, "Isolate %s, until it is restored?",
                           "The isolation of %s",
                           "%s is isolated: whoever knows it ends its sessions with it, until it is restored."},
    [TAKE_AWAY_RESTORE] = {STATEMENT_RESTORE, "restore", false, NULL, "The restoring of %s",
                           "%s is restored: it comes back by itself."},
    [TAKE_AWAY_UNINVITE] = {STATEMENT_UNINVITE, "uninvite", false, NULL, "Taking back the invite of %s",
                            "The invite of %s is taken back: its ticket is good for nothing."},
};

struct taking {
    struct cli *cli;
    const struct arguments *arguments;
    enum take_away which;
    const struct act *act;
    const char *name, *reason;
    struct state state;
    struct view view;
    const struct fold_device *device; /* of the view */
    json_t *stops, *warnings;
    uint8_t statement[ROOM];
    size_t len;
};

/* ---- What is asked for ---- */

static int read_request(struct taking *t)
{
    t->name = t->arguments->operands[0];
    t->reason = argument_value(t->arguments, "--reason", 0);
    if (!name_is_valid(t->name, strlen(t->name)))
        return say_usage(t->cli, t->act->word, "\"%s\" is no device's name.", t->name);
    if (t->which == TAKE_AWAY_REVOKE && !t->reason)
        return say_usage(t->cli, t->act->word, "Say why, with --reason TEXT: it is kept on this machine.");
    if (t->reason && !reason_is_valid(t->reason))
        return say_usage(t->cli, t->act->word, "A reason is one line of text, of at most %d bytes.", REASON_MAX);
    if (t->act->asks && !argument_given(t->arguments, "--yes") && !ask_is_possible())
        return say_usage(t->cli, t->act->word, "There is no terminal to ask on whether %s is really meant: say --yes.",
                         t->name);
    return 0;
}

/* ---- What it is now ---- */

/* The sentence with the device's name in its one "%s". */
static const char *filled(const char *sentence, const char *name, char *out, size_t size)
{
    const char *at = strstr(sentence, "%s");
    if (at)
        snprintf(out, size, "%.*s%s%s", (int)(at - sentence), sentence, name, at + 2);
    else
        snprintf(out, size, "%s", sentence);
    return out;
}

static json_t *result_json(const struct taking *t, bool already, enum outbox_outcome outcome)
{
    json_t *o = json_pack("{s:s, s:s, s:b, s:b}", "device", t->name, "act", t->act->word, "already", already, "pending",
                          outcome == OUTBOX_PENDING);
    if (t->stops)
        json_object_set(o, "stops", t->stops);
    if (t->warnings)
        json_object_set(o, "warnings", t->warnings);
    return o;
}

static int say_ruling(struct taking *t, const struct take_away_ruling *ruling)
{
    char what[256];
    filled(ruling->what, t->name, what, sizeof(what));
    if (ruling->answer == TAKE_AWAY_NO)
        return say_no(t->cli, ruling->todo, "%s", what);
    say_progress(t->cli, "%s", what);
    return t->cli->json ? show_json(result_json(t, true, OUTBOX_STANDS)) : EXIT_DONE;
}

/* All isolations in force, those that wait for their place included: as many as one restore may name. */
static uint32_t isolations(const struct taking *t, uint8_t out[RESTORE_MAX][SHA256_SIZE])
{
    uint32_t in_force = fold_isolations(t->view.fold, &t->device->id, out, RESTORE_MAX);
    uint32_t count = in_force < RESTORE_MAX ? in_force : RESTORE_MAX;
    count += fold_isolations_waiting(t->view.fold, &t->device->id, out + count, RESTORE_MAX - count);
    return count < RESTORE_MAX ? count : RESTORE_MAX;
}

/* A restore that waits has done what another one would. */
static bool restore_waits(const struct taking *t)
{
    uint8_t list[RESTORE_MAX][SHA256_SIZE];
    uint32_t count = isolations(t, list), waiting = 0;
    for (uint32_t i = 0; i < count; i++)
        waiting += view_restore_waits(&t->view, t->cli->crypto, list[i]);
    return waiting == count;
}

enum looked { LOOKED_GO = -1 }; /* else an exit code */

static int look(struct taking *t)
{
    view_clear(&t->view);
    if (view_read(t->cli, &t->view, &t->state))
        return EXIT_NO;
    enum standing standing = standing_of(&t->view, t->name, &t->device);
    struct take_away_ruling ruling = take_away_ruling(t->which, standing);
    bool isolated_again = t->which == TAKE_AWAY_ISOLATE && standing == STANDING_ISOLATED && restore_waits(t);
    if (isolated_again)
        ruling.answer = TAKE_AWAY_DO;
    else if (t->which == TAKE_AWAY_RESTORE && standing == STANDING_ISOLATED && restore_waits(t))
        ruling = (struct take_away_ruling){TAKE_AWAY_ALREADY, "The restoring of %s is signed already and waits.", NULL};
    return ruling.answer == TAKE_AWAY_DO ? LOOKED_GO : say_ruling(t, &ruling);
}

/* ---- What stops ---- */

/* This machine's own signing key; zero where it cannot be read. */
static void own_key(struct taking *t, uint8_t out[ED25519_PUBLIC_SIZE])
{
    uint8_t seed[ED25519_SEED_SIZE];
    size_t len;
    memset(out, 0, ED25519_PUBLIC_SIZE);
    if (t->state.dirs[STATE_KEYS] < 0)
        return;
    struct files files = state_files(&t->state, STATE_KEYS);
    if (files_read(&files, "signing", seed, sizeof(seed), &len) == 0 && len == sizeof(seed) &&
        crypto_ed25519_public(t->cli->crypto, out, seed) != 0)
        memset(out, 0, ED25519_PUBLIC_SIZE);
    wipe(seed, sizeof(seed));
}

static uint32_t warn(struct taking *t)
{
    const char *dangers[DANGERS_MAX];
    uint8_t own[ED25519_PUBLIC_SIZE];
    own_key(t, own);
    uint32_t count = take_away_dangers(&t->view, t->device, own, dangers);
    t->warnings = json_array();
    for (uint32_t i = 0; i < count; i++) {
        say_warning("%s", dangers[i]);
        json_array_append_new(t->warnings, json_string(dangers[i]));
    }
    return count;
}

/* LOOKED_GO, or an exit code. */
static int confirm(struct taking *t)
{
    char question[128];
    if (!t->act->asks)
        return LOOKED_GO;
    t->stops = stops_look(t->cli, &t->view, t->device);
    stops_print(t->cli, t->name, t->stops);
    uint32_t dangers = warn(t);
    if (argument_given(t->arguments, "--yes"))
        return LOOKED_GO;
    if (dangers > 0)
        return say_usage(t->cli, t->act->word, "That breaks more than %s: say --yes if it is meant.", t->name);
    if (ask_yes(filled(t->act->question, t->name, question, sizeof(question))))
        return LOOKED_GO;
    return say_no(t->cli, NULL, "Nothing was done.");
}

/* ---- Signing ---- */

static int compare_hashes(const void *a, const void *b)
{
    return memcmp(a, b, SHA256_SIZE);
}

static void fill_restore(const struct taking *t, struct statement_restore *out)
{
    out->count = isolations(t, out->isolates);
    qsort(out->isolates, out->count, SHA256_SIZE, compare_hashes);
}

static void fill(const struct taking *t, struct statement *s)
{
    s->kind = t->act->kind;
    s->network = *fold_network(t->view.fold);
    if (t->which == TAKE_AWAY_RESTORE) {
        fill_restore(t, &s->restore);
        return;
    }
    struct statement_about *about = &s->about;
    memcpy(about->invite, t->device->invite, sizeof(about->invite));
    random_draw(NULL, about->nonce, sizeof(about->nonce));
}

static int sign(struct taking *t)
{
    struct statement s = {0};
    struct signer signer;
    fill(t, &s);
    int result = owner_key(t->cli, t->arguments, &t->state, OWNER_ROLES, signer.seed);
    if (result)
        return result;
    int len = statement_sign(t->cli->crypto, &s, &signer, 1, t->statement, sizeof(t->statement));
    wipe(&signer, sizeof(signer));
    if (len < 0)
        return say_failed(t->cli, len, "It cannot be signed");
    t->len = (size_t)len;
    return 0;
}

/* ---- Handing in ---- */

static json_t *reason_line(const struct taking *t)
{
    uint8_t hash[SHA256_SIZE];
    char id[HEX_SIZE(DEVICE_ID_SIZE)], statement[HEX_SIZE(SHA256_SIZE)];
    if (crypto_sha256(t->cli->crypto, hash, t->statement, t->len))
        return NULL;
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s?}", "time", (json_int_t)clock_now(), "act", t->act->word, "device",
                     t->name, "id", hex_print(id, t->device->id.bytes, DEVICE_ID_SIZE), "statement",
                     hex_print(statement, hash, sizeof(hash)), "reason", t->reason);
}

static int hand_in(struct taking *t)
{
    char text[256];
    /* Before it goes out: what is taken away for good has its reason kept. */
    int result = reasons_add(t->cli, &t->state, reason_line(t));
    if (result)
        return result;
    enum outbox_outcome outcome = outbox_submit(t->cli, &t->state, filled(t->act->what, t->name, text, sizeof(text)),
                                                t->statement, t->len, NULL, 0);
    if (outcome == OUTBOX_FAILED || outcome == OUTBOX_REFUSED)
        return EXIT_NO;
    if (outcome == OUTBOX_STANDS)
        say_progress(t->cli, "%s", filled(t->act->done, t->name, text, sizeof(text)));
    result = t->cli->json ? show_json(result_json(t, false, outcome)) : EXIT_DONE;
    return result ? result : outbox_exit_code(outcome, t->arguments);
}

/* While a person thought about it, somebody else may have signed. */
static int sign_and_hand_in(struct taking *t)
{
    int result = state_lock(t->cli, &t->state);
    if (!result)
        result = look(t);
    if (result == LOOKED_GO)
        result = sign(t);
    return result ? result : hand_in(t);
}

/* Before anybody is asked anything. */
static int say_no_keys(struct taking *t)
{
    uint8_t seed[ED25519_SEED_SIZE];
    return owner_key(t->cli, t->arguments, &t->state, OWNER_ROLES, seed);
}

static int run(struct taking *t)
{
    int result = read_request(t);
    if (!result)
        result = state_open(t->cli, &t->state);
    if (result)
        return result;
    result = t->state.dirs[STATE_OWNER] < 0 ? say_no_keys(t) : look(t);
    if (result == LOOKED_GO)
        result = confirm(t);
    if (result == LOOKED_GO)
        result = sign_and_hand_in(t);
    state_close(&t->state);
    return result;
}

static int take_away(struct cli *cli, const struct arguments *arguments, enum take_away which)
{
    struct taking *t = calloc(1, sizeof(*t));
    if (!t)
        return say_failed(cli, ERROR_MEMORY, "Nothing can be signed");
    t->cli = cli;
    t->arguments = arguments;
    t->which = which;
    t->act = &acts[which];
    int result = run(t);
    view_clear(&t->view);
    json_decref(t->stops);
    json_decref(t->warnings);
    free(t);
    return result;
}

int command_revoke(struct cli *cli, const struct arguments *arguments)
{
    return take_away(cli, arguments, TAKE_AWAY_REVOKE);
}

int command_isolate(struct cli *cli, const struct arguments *arguments)
{
    return take_away(cli, arguments, TAKE_AWAY_ISOLATE);
}

int command_restore(struct cli *cli, const struct arguments *arguments)
{
    return take_away(cli, arguments, TAKE_AWAY_RESTORE);
}

int command_uninvite(struct cli *cli, const struct arguments *arguments)
{
    return take_away(cli, arguments, TAKE_AWAY_UNINVITE);
}
