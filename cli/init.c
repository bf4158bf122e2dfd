#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "founder.h"
#include "founding.h"
#include "ground.h"
#include "owner.h"
#include "say.h"
#include "show.h"
#include "state.h"

#define DAY UINT64_C(86400)
#define HUB_JOINS_WITHIN (30 * DAY)
#define HUB_JOINS_SOMETIME (36500 * DAY) /* by a clock that was never set, no nearer end makes sense */

static int read_plan(struct cli *cli, const struct arguments *a, struct founding_plan *plan)
{
    const char *name = a->operands[0], *endpoint = argument_value(a, "--endpoint", 0);
    const char *ipv4 = argument_value(a, "--ipv4", 0);
    if (!name_is_valid(name, strlen(name)))
        return say_usage(cli, "init",
                         "\"%s\" cannot be a network's name: small letters, digits and dashes, at most 63.", name);
    memcpy(plan->name, name, strlen(name) + 1);
    if (!endpoint)
        return say_usage(cli, "init", "Say where the network's public host is: --endpoint ADDRESS:PORT.");
    if (!underlay_parse(&plan->endpoint, endpoint))
        return say_usage(cli, "init",
                         "\"%s\" is no endpoint: an address and a port in numbers, as 203.0.113.5:51820 or "
                         "[2001:db8::1]:51820; host names are not looked up.",
                         endpoint);
    if (ipv4 && strcmp(ipv4, "none") != 0)
        return say_usage(cli, "init",
                         "--ipv4 takes only \"none\"; without it the network picks a /16 of 100.64.0.0/10.");
    plan->ipv4 = !ipv4;
    plan->all_on_this_host = argument_given(a, "--all-on-this-host");
    plan->random = random_draw;
    return 0;
}

static int get_new_passphrase(struct cli *cli, const struct arguments *a, struct passphrase *out)
{
    if (!argument_given(a, "--no-passphrase"))
        return passphrase_get(cli, a, true, out);
    if (argument_given(a, "--passphrase-fd"))
        return say_usage(cli, "init", "--no-passphrase and --passphrase-fd contradict each other.");
    out->len = 0;
    say_warning("The owner's keys are kept bare: whoever reads %s/owner owns the network.", cli->state);
    return 0;
}

static int write_owner_key(struct cli *cli, struct state *s, const char *name, const uint8_t seed[ED25519_SEED_SIZE],
                           const struct passphrase *passphrase)
{
    uint8_t salt[OWNER_SALT_SIZE], file[OWNER_FILE_SIZE];
    random_draw(NULL, salt, sizeof(salt));
    int error = owner_seal(cli->crypto, file, seed, passphrase->len ? passphrase : NULL, salt, OWNER_LOG2_N);
    int result = error ? say_failed(cli, error, "The owner's keys cannot be sealed")
                       : state_write(cli, s, STATE_OWNER, name, file, sizeof(file));
    wipe(file, sizeof(file));
    return result;
}

static int write_all(struct cli *cli, struct state *s, struct founding *f, const struct founding_plan *plan,
                     const struct passphrase *passphrase)
{
    int result = state_add_folder(cli, s, STATE_OWNER);
    if (!result)
        result = write_owner_key(cli, s, OWNER_ROOT, f->keys.root, passphrase);
    if (!result)
        result = write_owner_key(cli, s, OWNER_ROLES, f->keys.roles, passphrase);
    if (!result)
        result = founder_write_keys(cli, s, f->keys.signing, f->keys.static_private, NULL);
    if (!result)
        result = founder_write_ledger(cli, s, &f->ticket);
    if (!result)
        result = founder_write_port(cli, s, plan->all_on_this_host ? plan->endpoint.port : 0);
    if (!result && plan->all_on_this_host)
        result = founder_found_controller(cli, s, &f->ticket);
    return result ? result : state_finish(cli, s);
}

static int print_complete(struct cli *cli, const struct founding_plan *plan)
{
    say_progress(cli,
                 "Network %s made in %s. Operator, controller and relay are all on this host, which is for trials.\n"
                 "Next: nightjar up, then nightjar invite DEVICE.",
                 plan->name, cli->state);
    return cli->json ? show_json(json_pack("{s:s, s:s}", "network", plan->name, "state", cli->state)) : 0;
}

/* On this host alone the network is complete; else its public host is still to be made, with the ticket. */
static int tell(struct cli *cli, const struct founding *f, const struct founding_plan *plan)
{
    if (plan->all_on_this_host)
        return print_complete(cli, plan);
    say_progress(cli,
                 "Network %s made in %s. Its founding ticket is a secret, good for 30 days and one host.\n"
                 "Next, on the public host: nightjar join TICKET-FILE && nightjar up. Then nightjar up here.",
                 plan->name, cli->state);
    if (isatty(STDOUT_FILENO))
        say_warning("The ticket goes to a terminal, whose history may keep it; \"> ticket\" puts it into a file.");
    return ticket_show(cli, &f->ticket, false, NULL);
}

static int make(struct cli *cli, struct founding_plan *plan, const struct passphrase *passphrase, struct state *s)
{
    struct founding *f = malloc(sizeof(*f));
    if (!f)
        return say_failed(cli, ERROR_MEMORY, "The network cannot be made");
    int result = plan->all_on_this_host ? founder_init_controller(cli, s, plan->sequencer) : 0;
    int error = result ? 0 : founding_make(cli->crypto, f, plan);
    if (error)
        result = say_failed(cli, error, "The network cannot be made");
    if (!result)
        result = write_all(cli, s, f, plan, passphrase);
    if (result)
        state_abandon(s);
    else
        result = tell(cli, f, plan);
    state_close(s);
    wipe(f, sizeof(*f));
    free(f);
    return result;
}

int command_init(struct cli *cli, const struct arguments *a)
{
    struct founding_plan plan = {0};
    struct passphrase passphrase = {0};
    struct state s;
    int result = read_plan(cli, a, &plan);
    if (result)
        return result;
    plan.time = clock_now();
    plan.join_before = plan.time + (clock_is_plausible(plan.time) ? HUB_JOINS_WITHIN : HUB_JOINS_SOMETIME);
    result = state_check_free(cli);
    if (!result)
        result = get_new_passphrase(cli, a, &passphrase);
    if (!result)
        result = state_begin(cli, &s);
    if (!result)
        result = make(cli, &plan, &passphrase, &s);
    wipe(&passphrase, sizeof(passphrase));
    return result;
}
