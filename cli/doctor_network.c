/* What the daemon says of the network. */
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "values.h"

#define HEAD_OLD 300 /* s: signed ones come once a minute */

static const char *text(const json_t *o, const char *key)
{
    const char *found = json_string_value(json_object_get(o, key));
    return found ? found : "";
}

static uint64_t number(const json_t *o, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(o, key));
    return value > 0 ? (uint64_t)value : 0;
}

static bool flag(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

void doctor_member(struct doctor *d)
{
    if (!doctor_asked(d, "member"))
        return;
    if (flag(d->status, "member"))
        doctor_find(d, "member", DOCTOR_OK, NULL, "%s of network %s.", text(d->status, "device"),
                    text(d->status, "network"));
    else
        doctor_find(d, "member", DOCTOR_FAIL,
                    "See the failures below; else ask an operator (nightjar devices) and join again with a new ticket.",
                    "This device is no member: it has not joined yet, or was revoked or isolated.");
}

/* ---- The head ---- */

void doctor_head(struct doctor *d)
{
    char age[AMOUNT_MAX];
    if (!doctor_asked(d, "head"))
        return;
    const json_t *head = json_object_get(d->status, "head");
    uint64_t time = number(head, "signed_time");
    seconds_print(age, d->now > time ? d->now - time : 0);
    if (time == 0)
        doctor_find(d, "head", DOCTOR_WARN, "See that a relay and the controller are reached.",
                    "No signed head has arrived.");
    else if (d->now > time + HEAD_OLD)
        doctor_find(d, "head", DOCTOR_WARN,
                    "See that the controller's host is up and reached; until then nothing new is decided here.",
                    "The latest signed head is %s old; they come once a minute.", age);
    else
        doctor_find(d, "head", DOCTOR_OK, NULL, "Entry %llu, signed %s ago.",
                    (unsigned long long)number(head, "signed_index"), age);
}

/* ---- Peers ---- */

static bool has_path(const json_t *peer)
{
    return strcmp(text(json_object_get(peer, "path"), "kind"), "none") != 0;
}

static bool has_problem(const json_t *status, const char *code)
{
    const json_t *problems = json_object_get(status, "problems");
    for (size_t i = 0; i < json_array_size(problems); i++)
        if (strcmp(text(json_array_get(problems, i), "code"), code) == 0)
            return true;
    return false;
}

void doctor_relays(struct doctor *d)
{
    uint32_t known = 0, reached = 0;
    char last[DOCTOR_TEXT_MAX / 2] = "";
    if (!doctor_asked(d, "relays"))
        return;
    const json_t *peers = json_object_get(d->status, "peers");
    for (size_t i = 0; i < json_array_size(peers); i++) {
        const json_t *peer = json_array_get(peers, i);
        if (!flag(peer, "is_relay"))
            continue;
        known++;
        if (!has_path(peer))
            continue;
        reached++;
        snprintf(last, sizeof(last), "%s in %.1f ms", text(peer, "device"),
                 (double)number(json_object_get(peer, "path"), "rtt_us") / 1000);
    }
    if (has_problem(d->status, "no-relay"))
        reached = 0;
    if (reached > 0)
        doctor_find(d, "relays", DOCTOR_OK, NULL, "%u of %u reached; %s.", reached, known, last);
    else if (flag(d->status, "relay"))
        doctor_find(d, "relays", DOCTOR_OK, NULL, "This device is one; it reaches no other one.");
    else
        doctor_find(d, "relays", DOCTOR_FAIL,
                    "Check the uplink, and that UDP to the relay's endpoint is let out of this site.",
                    "None is reached, of %u known.", known);
}

void doctor_peers(struct doctor *d)
{
    uint32_t direct = 0, relayed = 0, none = 0;
    char why[DOCTOR_TEXT_MAX / 2] = "";
    if (!doctor_asked(d, "peers"))
        return;
    const json_t *peers = json_object_get(d->status, "peers");
    for (size_t i = 0; i < json_array_size(peers); i++) {
        const json_t *peer = json_array_get(peers, i), *path = json_object_get(peer, "path");
        if (strcmp(text(path, "kind"), "relayed") == 0) {
            relayed++;
            snprintf(why, sizeof(why), " %s goes through %s. %s", text(peer, "device"), text(path, "relay"),
                     text(path, "why"));
        } else if (has_path(peer)) {
            direct++;
        } else {
            none++;
        }
    }
    doctor_find(d, "peers", DOCTOR_OK, NULL, "%u direct, %u relayed, %u without a session.%s", direct, relayed, none,
                why);
}

/* ---- Policy ---- */

void doctor_policy(struct doctor *d)
{
    if (!doctor_asked(d, "policy"))
        return;
    uint64_t version = number(d->status, "policy_version"),
             ledger = d->has_view ? fold_policy_version(d->view.fold) : 0;
    if (version == 0)
        doctor_find(d, "policy", DOCTOR_WARN, "An operator publishes one: nightjar policy publish FILE.",
                    "There is none: nothing may talk to anything.");
    else if (version < ledger)
        doctor_find(d, "policy", DOCTOR_WARN, "Wait a few seconds; if it stays so, see that a relay is reached.",
                    "Version %llu is in force; the ledger holds version %llu.", (unsigned long long)version,
                    (unsigned long long)ledger);
    else
        doctor_find(d, "policy", DOCTOR_OK, NULL, "Version %llu is in force.", (unsigned long long)version);
}

/* ---- Problems ---- */

/* Those after which this node still does all of its work. */
static bool is_bearable(const char *code)
{
    static const char *const bearable[] = {"ipv4-left-out", "refused",     "ticket-reused", "name-clash",
                                           "bad-server",    "clock-ahead", "overlay-open",  "device-out-of-scope"};
    for (size_t i = 0; i < sizeof(bearable) / sizeof(bearable[0]); i++)
        if (strcmp(bearable[i], code) == 0)
            return true;
    return false;
}

void doctor_problems(struct doctor *d)
{
    if (!doctor_asked(d, "problems"))
        return;
    const json_t *problems = json_object_get(d->status, "problems");
    for (size_t i = 0; i < json_array_size(problems); i++) {
        const json_t *p = json_array_get(problems, i);
        const char *device = text(p, "device");
        doctor_find(d, text(p, "code"), is_bearable(text(p, "code")) ? DOCTOR_WARN : DOCTOR_FAIL, text(p, "todo"),
                    "%s%s%s", device, *device ? ": " : "", text(p, "what"));
    }
    if (json_array_size(problems) == 0)
        doctor_find(d, "problems", DOCTOR_OK, NULL, "The daemon sees none.");
}
