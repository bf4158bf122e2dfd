/* nightjar-controller: puts a network's statements in order and keeps them. It holds no key that grants anything. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hex.h"
#include "door.h"
#include "keeper.h"
#include "place.h"
#include "proc/drop.h"
#include "proc/messages.h"
#include "store.h"

#define EXIT_USAGE 2
#define FOUNDING_MAX (1u << 20)

static const char help[] =
    "nightjar-controller puts a network's statements in order and keeps them.\n"
    "\n"
    "nightjard starts it on the host that became the network's controller; it is not run by hand.\n"
    "\n"
    "  nightjar-controller --init DIR    make DIR with a sequencer key and an empty store; prints the public key "
    "(hex)\n"
    "  nightjar-controller --found DIR   take in the network's first entries from standard input\n"
    "  nightjar-controller --serve DIR   sequence for the node that started it, over descriptor 4\n"
    "  nightjar-controller --help\n"
    "\n"
    "`nightjar join FOUNDING-TICKET` does both.\n";

static int complain(const char *what, const char *todo)
{
    fprintf(stderr, "nightjar-controller: %s %s\n", what, todo);
    return EXIT_FAILURE;
}

/* ---- --init ---- */

static int make_place(struct crypto *c, uint8_t public_key[ED25519_PUBLIC_SIZE])
{
    uint8_t seed[ED25519_SEED_SIZE];
    struct store *store;
    int error = place_make_key(seed);
    if (!error)
        error = crypto_ed25519_public(c, public_key, seed);
    wipe(seed, sizeof(seed));
    if (!error)
        error = store_create(&store, STORE_FILE, NULL);
    if (!error)
        store_close(store);
    return error ? error : place_sync();
}

static int run_init(struct crypto *c, const char *dir)
{
    uint8_t public_key[ED25519_PUBLIC_SIZE];
    char text[HEX_SIZE(ED25519_PUBLIC_SIZE)];
    int error = place_make(dir);
    if (!error)
        error = place_enter(dir, 0);
    if (!error)
        error = make_place(c, public_key);
    if (error)
        return complain(error_sentence(error), "The controller's directory could not be made.");
    return puts(hex_print(text, public_key, sizeof(public_key))) < 0 || fflush(stdout) != 0 ? EXIT_FAILURE
                                                                                            : EXIT_SUCCESS;
}

/* ---- --found ---- */

static int read_input(uint8_t *out, size_t capacity, size_t *len)
{
    *len = fread(out, 1, capacity, stdin);
    if (ferror(stdin))
        return ERROR_IO;
    return *len < capacity ? 0 : ERROR_OVERFLOW;
}

static int found(struct crypto *c, const uint8_t *bytes, size_t len, enum fold_verdict *verdict)
{
    uint8_t seed[ED25519_SEED_SIZE];
    struct keeper *keeper = NULL;
    struct keeper_ops ops = {0};
    int error = place_read_key(seed);
    if (!error)
        error = keeper_open(&keeper, c, &ops, seed, STORE_FILE, NULL);
    wipe(seed, sizeof(seed));
    if (!error)
        error = keeper_found(keeper, bytes, len, verdict);
    keeper_close(keeper);
    return error;
}

static int run_found(struct crypto *c, const char *dir)
{
    size_t len = 0;
    enum fold_verdict verdict = VERDICT_STANDS;
    uint8_t *bytes = malloc(FOUNDING_MAX);
    int error = bytes ? read_input(bytes, FOUNDING_MAX, &len) : ERROR_MEMORY;
    if (!error)
        error = place_enter(dir, 0);
    if (!error)
        error = found(c, bytes, len, &verdict);
    free(bytes);
    if (error)
        return complain(error_sentence(error), "The network's first entries could not be taken in.");
    if (verdict != VERDICT_STANDS)
        return complain(fold_verdict_sentence(verdict), "The founding ticket's entries do not hold.");
    return EXIT_SUCCESS;
}

/* ---- The service ---- */

static int run_service(struct crypto *c, const char *dir)
{
    uint8_t seed[ED25519_SEED_SIZE];
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk */
    int error = place_enter(dir, DROP_FD(CONTROLLER_FD_ENGINE));
    if (!error)
        error = place_read_key(seed);
    if (!error)
        error = door_serve(c, CONTROLLER_FD_ENGINE, seed);
    wipe(seed, sizeof(seed));
    if (!error)
        return EXIT_SUCCESS;
    return complain(error_sentence(error), "The controller ends; nightjard starts it anew.");
}

static const struct {
    const char *name;
    int (*run)(struct crypto *c, const char *dir);
} commands[] = {
    {"--init", run_init},
    {"--found", run_found},
    {"--serve", run_service},
};

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0)
        return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    for (size_t i = 0; argc == 3 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        struct crypto *c;
        int error = crypto_new(&c, CRYPTO_BULK_OPENSSL);
        if (error)
            return complain(error_sentence(error), "");
        int status = commands[i].run(c, argv[2]);
        crypto_free(c);
        return status;
    }
    fprintf(stderr, "nightjar-controller: unknown or incomplete arguments; try nightjar-controller --help\n");
    return EXIT_USAGE;
}
