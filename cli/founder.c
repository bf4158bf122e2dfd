#include "founder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hex.h"
#include "daemon.h"
#include "ledger/kept.h"
#include "say.h"
#include "wire/cbor.h"

#define CONTROLLER "nightjar-controller"
#define INPUT_MAX (60u * 1024) /* fits a pipe */

int founder_write_keys(struct cli *cli, struct state *s, const uint8_t signing[ED25519_SEED_SIZE],
                       const uint8_t static_private[X25519_SIZE], const uint8_t *seed)
{
    int result = state_write(cli, s, STATE_KEYS, "signing", signing, ED25519_SEED_SIZE);
    if (!result)
        result = state_write(cli, s, STATE_KEYS, "static", static_private, X25519_SIZE);
    if (!result && seed)
        result = state_write(cli, s, STATE_KEYS, "invite", seed, SEED_SIZE);
    return result;
}

/* What a ticket knows of the time is where a new device's own begins: relays answer nobody whose clock is years ahead.
 */
int founder_write_floor(struct cli *cli, struct state *s, uint64_t seconds)
{
    uint8_t floor[8];
    if (seconds > UINT32_MAX) /* of no use, whoever wrote it */
        return 0;
    put_be64(floor, seconds * UINT64_C(1000000000));
    return state_write(cli, s, STATE_KEYS, "floor", floor, sizeof(floor));
}

int founder_write_ledger(struct cli *cli, struct state *s, const struct ticket *ticket)
{
    char *text = malloc(TICKET_TEXT_MAX);
    struct ticket bare = *ticket;
    wipe(bare.seed, sizeof(bare.seed));
    int len = text ? ticket_print(cli->crypto, &bare, text, TICKET_TEXT_MAX) : ERROR_MEMORY;
    int result = len < 0 ? say_failed(cli, len, "The ledger cannot be begun") : 0;
    if (!result)
        result = state_write(cli, s, STATE_LEDGER, ticket->founding ? KEPT_FOUNDING : KEPT_TICKET, text, (size_t)len);
    if (!result)
        result = state_write(cli, s, STATE_LEDGER, KEPT_NETWORK, ticket->network_name, strlen(ticket->network_name));
    free(text);
    return result;
}

int founder_write_port(struct cli *cli, struct state *s, uint16_t port)
{
    char text[32];
    int len = port ? snprintf(text, sizeof(text), "port=%u\n", port) : 0;
    return state_write(cli, s, STATE_FOLDERS, "node.conf", text, (size_t)len);
}

static void controller_folder(char out[PATH_MAX + 16], const struct state *s)
{
    snprintf(out, PATH_MAX + 16, "%s/controller", s->path);
}

int founder_init_controller(struct cli *cli, struct state *s, uint8_t sequencer[ED25519_PUBLIC_SIZE])
{
    char folder[PATH_MAX + 16], key[2 * ED25519_PUBLIC_SIZE + 2] = "";
    struct daemon_line line = {2, {"--init", folder}};
    struct daemon_io io = {"", 0, key, sizeof(key)};
    controller_folder(folder, s);
    int code = daemon_run(cli, CONTROLLER, &line, &io);
    if (code < 0)
        return EXIT_NO;
    if (code || !hex_parse(sequencer, ED25519_PUBLIC_SIZE, key))
        return say_no(cli, NULL, "The controller could not be made in %s.", cli->state);
    return 0;
}

/* [[[time, statement], ...], [opening, ...]] */
static void put_founding(struct cursor *c, const struct ticket *t)
{
    cbor_put_array(c, 2);
    cbor_put_array(c, t->statement_count);
    for (uint32_t i = 0; i < t->statement_count; i++) {
        cbor_put_array(c, 2);
        cbor_put_unsigned(c, t->times[i]);
        cbor_put_bytes(c, t->statements[i].bytes, t->statements[i].len);
    }
    cbor_put_array(c, t->opening_count);
    for (uint32_t i = 0; i < t->opening_count; i++)
        cbor_put_bytes(c, t->openings[i].bytes, t->openings[i].len);
}

int founder_found_controller(struct cli *cli, struct state *s, const struct ticket *ticket)
{
    char folder[PATH_MAX + 16], said[2];
    uint8_t *input = malloc(INPUT_MAX);
    if (!input)
        return say_failed(cli, ERROR_MEMORY, "The controller could not be founded");
    struct cursor c = cursor_writing(input, INPUT_MAX);
    put_founding(&c, ticket);
    struct daemon_line line = {2, {"--found", folder}};
    struct daemon_io io = {input, (size_t)(c.at - input), said, sizeof(said)};
    controller_folder(folder, s);
    int error = cursor_error(&c);
    int code = error ? -1 : daemon_run(cli, CONTROLLER, &line, &io);
    free(input);
    if (error)
        return say_failed(cli, error, "The controller could not be founded");
    if (code > 0)
        return say_no(cli, NULL, "The controller could not be founded in %s.", cli->state);
    return code < 0 ? EXIT_NO : 0;
}
