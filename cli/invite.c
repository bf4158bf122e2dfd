#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ground.h"
#include "outbox.h"
#include "owner.h"
#include "say.h"
#include "show.h"
#include "values.h"
#include "view.h"

#define DEFAULT_EXPIRY (UINT64_C(24) * 3600)
#define ROOM 4096 /* of a statement, and of an opening with all its groups */
#define HOSTS (1u << 16)

/* All that an invite is made of. Holds the seed: wiped. */
struct inviting {
    struct cli *cli;
    const struct arguments *arguments;
    struct state state;
    struct view view;
    uint64_t now;
    struct opening opening;
    struct ticket ticket;
    uint8_t statement[ROOM], opening_bytes[ROOM];
    size_t statement_len, opening_len;
};

/* ---- What is asked for ---- */

static int read_group(struct inviting *i, const char *name)
{
    struct opening_invite *o = &i->opening.invite;
    if (!name_is_valid(name, strlen(name)) || strcmp(name, "all") == 0)
        return say_usage(i->cli, "invite",
                         "\"%s\" cannot be a group: small letters, digits and dashes, at most 63; and \"all\" is every "
                         "device's already.",
                         name);
    if (o->group_count == OPENING_GROUPS_MAX)
        return say_usage(i->cli, "invite", "A device is in at most %d groups.", OPENING_GROUPS_MAX);
    for (uint32_t g = 0; g < o->group_count; g++)
        if (strcmp(o->groups[g].name, name) == 0)
            return 0;
    struct opening_group *group = &o->groups[o->group_count++];
    memcpy(group->name, name, strlen(name) + 1);
    return 0;
}

static int read_groups(struct inviting *i)
{
    int result = 0;
    const char *name;
    for (unsigned n = 0; !result && (name = argument_value(i->arguments, "--group", n)); n++)
        result = read_group(i, name);
    return result;
}

static int read_place(struct inviting *i)
{
    struct opening_invite *o = &i->opening.invite;
    const char *site = argument_value(i->arguments, "--site", 0), *relay = argument_value(i->arguments, "--relay", 0);
    if (site && !name_is_valid(site, strlen(site)))
        return say_usage(i->cli, "invite", "\"%s\" cannot be a site: small letters, digits and dashes, at most 63.",
                         site);
    if (site)
        memcpy(o->site, site, strlen(site) + 1);
    o->relay = relay != NULL;
    if (relay && !underlay_parse(&o->endpoint, relay))
        return say_usage(
            i->cli, "invite",
            "\"%s\" is no endpoint: an address and a port in numbers, as 203.0.113.5:51820; host names are "
            "not looked up.",
            relay);
    return 0;
}

static int read_times(struct inviting *i, struct statement_invite *terms)
{
    uint64_t expiry = DEFAULT_EXPIRY;
    const char *expires = argument_value(i->arguments, "--expires", 0),
               *until = argument_value(i->arguments, "--until", 0);
    if (expires && !duration_parse(&expiry, expires))
        return say_usage(i->cli, "invite", "\"%s\" is no duration: a number and s, m, h or d, as in 24h.", expires);
    if (until && !date_parse(&terms->member_until, until))
        return say_usage(i->cli, "invite", "\"%s\" is no date: year, month and day, as in 2027-12-31.", until);
    if (until && terms->member_until <= i->now)
        return say_usage(i->cli, "invite", "%s has passed already.", until);
    terms->join_before = i->now + expiry;
    return 0;
}

static int read_request(struct inviting *i, struct statement_invite *terms)
{
    const char *name = i->arguments->operands[0];
    i->opening.kind = OPENING_INVITE;
    if (!name_is_valid(name, strlen(name)))
        return say_usage(i->cli, "invite",
                         "\"%s\" cannot be a device's name: small letters, digits and dashes, at most 63.", name);
    memcpy(i->opening.invite.name, name, strlen(name) + 1);
    int result = read_groups(i);
    if (!result)
        result = read_place(i);
    return result ? result : read_times(i, terms);
}

/* ---- What the network says to it ---- */

static void take_relay(struct inviting *i, const struct fold_device *d)
{
    const struct opening_invite *o = fold_device_is_live(i->view.fold, d) ? view_invite(&i->view, d) : NULL;
    if (!o || !o->relay || i->ticket.relay_count == TICKET_RELAYS_MAX)
        return;
    struct ticket_relay *relay = &i->ticket.relays[i->ticket.relay_count++];
    relay->device = d->id;
    relay->endpoint = o->endpoint;
    memcpy(relay->static_key, d->static_public, sizeof(relay->static_key));
}

static int find_relays(struct inviting *i)
{
    for (uint32_t n = 0; n < fold_device_count(i->view.fold); n++)
        take_relay(i, fold_device_at(i->view.fold, n));
    if (i->ticket.relay_count > 0)
        return 0;
    return say_no(
        i->cli,
        "Join with the founding ticket on the public host and start it there (nightjar up), and start the node "
        "here, so that it hears of it.",
        "No relay has joined network %s yet, so nobody could join with a ticket.", i->view.network_name);
}

/* Groups keep the id that they were first given. */
static void name_groups(struct inviting *i)
{
    struct opening_invite *o = &i->opening.invite;
    for (uint32_t g = 0; g < o->group_count; g++)
        if (!view_group(&i->view, o->groups[g].name, &o->groups[g].id))
            random_draw(NULL, o->groups[g].id.bytes, sizeof(o->groups[g].id.bytes));
}

struct addresses {
    uint8_t prefix[4];
    bool used[HOSTS];
};

static void mark_used(void *context, const struct view_device *device)
{
    struct addresses *a = context;
    const struct opening_invite *invite = device->invite;
    if (invite->has_ipv4 && memcmp(invite->ipv4, a->prefix, 2) == 0)
        a->used[get_be16(invite->ipv4 + 2)] = true;
}

/* The network has IPv4 if its operator has; addresses ending in 0 or 255 confuse some devices. */
static bool next_address(struct addresses *a, uint8_t out[4])
{
    for (uint32_t host = 1; host < HOSTS - 1; host++)
        if (!a->used[host] && (host & 255) != 0 && (host & 255) != 255) {
            memcpy(out, a->prefix, 2);
            put_be16(out + 2, (uint16_t)host);
            return true;
        }
    return false;
}

static int choose_ipv4(struct inviting *i)
{
    const struct fold_device *first = fold_device_at(i->view.fold, 0);
    const struct opening_invite *own = view_invite(&i->view, first);
    struct opening_invite *o = &i->opening.invite;
    if (!own || !own->has_ipv4)
        return 0;
    struct addresses *a = calloc(1, sizeof(*a));
    if (!a)
        return say_failed(i->cli, ERROR_MEMORY, "No address can be chosen");
    memcpy(a->prefix, own->ipv4, 2);
    view_each_device(&i->view, mark_used, a);
    o->has_ipv4 = next_address(a, o->ipv4);
    free(a);
    return o->has_ipv4 ? 0 : say_no(i->cli, NULL, "All IPv4 addresses of the network are taken.");
}

static int look_around(struct inviting *i)
{
    const char *name = i->opening.invite.name;
    int result = view_read(i->cli, &i->view, &i->state) ? EXIT_NO : 0;
    if (result)
        return result;
    if (fold_device_count(i->view.fold) == 0)
        return say_no(i->cli, NULL, "%s holds no ledger yet.", i->state.path);
    if (view_name_is_taken(&i->view, name))
        return say_no(i->cli, "Choose another name; a ticket that nobody used gives its name back when it expires.",
                      "There is a device %s in the network already, or an invite for it.", name);
    result = find_relays(i);
    if (result)
        return result;
    name_groups(i);
    return choose_ipv4(i);
}

/* ---- The invite ---- */

static int encode_opening(struct inviting *i, uint8_t commitment[SHA256_SIZE])
{
    random_draw(NULL, i->opening.salt, sizeof(i->opening.salt));
    int len = opening_encode(&i->opening, i->opening_bytes, sizeof(i->opening_bytes));
    if (len < 0)
        return len;
    i->opening_len = (size_t)len;
    return opening_commitment(i->cli->crypto, commitment, i->opening_bytes, i->opening_len);
}

static int sign(struct inviting *i, struct statement *s)
{
    struct invite_keys keys;
    struct signer signer;
    random_draw(NULL, i->ticket.seed, sizeof(i->ticket.seed));
    int error = invite_keys_derive(i->cli->crypto, i->ticket.seed, &keys);
    if (!error)
        error = encode_opening(i, s->invite.commitment);
    if (!error) {
        memcpy(s->invite.signing_public, keys.signing_public, sizeof(keys.signing_public));
        memcpy(s->invite.static_public, keys.static_public, sizeof(keys.static_public));
    }
    wipe(&keys, sizeof(keys));
    if (error)
        return say_failed(i->cli, error, "The invite cannot be made");
    int result = owner_key(i->cli, i->arguments, &i->state, OWNER_ROLES, signer.seed);
    if (result)
        return result;
    int len = statement_sign(i->cli->crypto, s, &signer, 1, i->statement, sizeof(i->statement));
    wipe(&signer, sizeof(signer));
    if (len < 0)
        return say_failed(i->cli, len, "The invite cannot be signed");
    i->statement_len = (size_t)len;
    return 0;
}

static void fill_ticket(struct inviting *i)
{
    struct ticket *t = &i->ticket;
    const struct head *head = fold_head(i->view.fold);
    t->network = *fold_network(i->view.fold);
    memcpy(t->network_name, i->view.network_name, sizeof(t->network_name));
    t->invite = (struct ticket_bytes){i->statement, i->statement_len};
    t->opening = (struct ticket_bytes){i->opening_bytes, i->opening_len};
    t->head_index = head->index;
    memcpy(t->head_hash, head->hash, sizeof(t->head_hash));
    fold_root(i->view.fold, t->fold_root);
    t->time = i->view.time;
}

static int hand_in(struct inviting *i)
{
    char what[NAME_MAX_LEN + 32];
    struct outbox_opening opening = {i->opening_bytes, i->opening_len};
    snprintf(what, sizeof(what), "The invite of %s", i->opening.invite.name);
    enum outbox_outcome outcome = outbox_submit(i->cli, &i->state, what, i->statement, i->statement_len, &opening, 1);
    if (outcome == OUTBOX_FAILED || outcome == OUTBOX_REFUSED)
        return EXIT_NO;
    fill_ticket(i);
    int result =
        ticket_show(i->cli, &i->ticket, argument_given(i->arguments, "--qr"),
                    json_pack("{s:s, s:b}", "device", i->opening.invite.name, "pending", outcome == OUTBOX_PENDING));
    return result ? result : outbox_exit_code(outcome, i->arguments);
}

static int invite(struct inviting *i, struct statement *s)
{
    int result = look_around(i);
    if (result)
        return result;
    /* A clock behind the network's must not make an invite that is late at once. */
    if (i->view.time > i->now)
        s->invite.join_before += i->view.time - i->now;
    s->network = *fold_network(i->view.fold);
    result = sign(i, s);
    return result ? result : hand_in(i);
}

static int run(struct inviting *i)
{
    struct statement s = {.kind = STATEMENT_INVITE};
    int result = read_request(i, &s.invite);
    if (!result)
        result = state_open(i->cli, &i->state);
    if (result)
        return result;
    result = state_lock(i->cli, &i->state);
    if (!result)
        result = invite(i, &s);
    state_close(&i->state);
    return result;
}

int command_invite(struct cli *cli, const struct arguments *arguments)
{
    struct inviting *i = calloc(1, sizeof(*i));
    if (!i)
        return say_failed(cli, ERROR_MEMORY, "The invite cannot be made");
    i->cli = cli;
    i->arguments = arguments;
    i->now = clock_now();
    int result = run(i);
    view_clear(&i->view);
    wipe(i, sizeof(*i));
    free(i);
    return result;
}
