/* Whether an act fits what a device is now, and what else it would break. */
#include <string.h>

#include "take_away.h"

/* ---- What a device is ---- */

static enum standing standing_in_ledger(const struct view *v, const struct fold_device *d)
{
    switch (fold_device_state(v->fold, d)) {
    case DEVICE_REVOKED:
        return STANDING_REVOKED;
    case DEVICE_UNINVITED:
        return STANDING_UNINVITED;
    case DEVICE_INVITED:
        return view_invite_is_open(v, d) ? STANDING_INVITED : STANDING_EXPIRED;
    case DEVICE_JOINED:
        break;
    }
    return fold_device_is_live(v->fold, d) ? STANDING_MEMBER : STANDING_ISOLATED;
}

enum standing standing_of(const struct view *v, const char *name, const struct fold_device **d)
{
    struct device_id id;
    *d = view_device_ever(v, name);
    enum standing standing = *d ? standing_in_ledger(v, *d) : STANDING_UNKNOWN;
    bool gone = standing == STANDING_UNKNOWN || standing == STANDING_UNINVITED || standing == STANDING_REVOKED;
    if (!gone || !view_device(v, name, &id) || (*d && device_id_equal(&id, &(*d)->id)))
        return standing;
    *d = NULL;
    return STANDING_WAITING;
}

/* ---- Whether it fits ---- */

#define NOBODY                                       \
    {                                                \
        TAKE_AWAY_NO, "There is no device %s.",      \
            "\"nightjar devices\" lists all of them" \
            "."                                      \
    }
#define WAITS                                                                                                       \
    {                                                                                                               \
        TAKE_AWAY_NO, "The invite of %s waits in the outbox and is not in the ledger yet.",                         \
            "Start the node (nightjar up) so that it goes out; then do this again. Its ticket is good for nothing " \
            "before."                                                                                               \
    }
#define NOT_JOINED                                                                   \
    {                                                                                \
        TAKE_AWAY_NO, "%s has not joined: there is a ticket for it, and no device.", \
            "Take the ticket back with \"nightjar uninvite\"."                       \
    }
#define EXPIRED_UNUSED                                                                               \
    {                                                                                                \
        TAKE_AWAY_NO, "%s never joined, and its ticket has expired.", "There is nothing to be done." \
    }
#define TAKEN_BACK                                                                                                     \
    {                                                                                                                  \
        TAKE_AWAY_NO, "The invite of %s was taken back before anybody joined with it.", "There is nothing to be done." \
    }
#define GONE                                                                      \
    {                                                                             \
        TAKE_AWAY_NO, "%s was revoked, which is for good.",                       \
            "Invite it again (nightjar invite), and have it join with new keys: " \
            "empty its STATE first."                                              \
    }
#define JOINED_ALREADY                                                                          \
    {                                                                                           \
        TAKE_AWAY_NO, "%s has joined with its ticket already: taking that back ends nothing.",  \
            "End the device with \"nightjar revoke\", or cut it off with \"nightjar isolate\"." \
    }
#define IT_IS_DONE             \
    {                          \
        .answer = TAKE_AWAY_DO \
    }
#define ALREADY(sentence)                 \
    {                                     \
        TAKE_AWAY_ALREADY, sentence, NULL \
    }

struct take_away_ruling take_away_ruling(enum take_away act, enum standing standing)
{
    static const struct take_away_ruling rulings[TAKE_AWAYS][STANDINGS] = {
        [TAKE_AWAY_REVOKE] = {[STANDING_UNKNOWN] = NOBODY,
                              [STANDING_WAITING] = WAITS,
                              [STANDING_INVITED] = NOT_JOINED,
                              [STANDING_EXPIRED] = EXPIRED_UNUSED,
                              [STANDING_MEMBER] = IT_IS_DONE,
                              [STANDING_ISOLATED] = IT_IS_DONE,
                              [STANDING_UNINVITED] = TAKEN_BACK,
                              [STANDING_REVOKED] = ALREADY("%s was revoked already.")},
        [TAKE_AWAY_ISOLATE] = {[STANDING_UNKNOWN] = NOBODY,
                               [STANDING_WAITING] = WAITS,
                               [STANDING_INVITED] = NOT_JOINED,
                               [STANDING_EXPIRED] = EXPIRED_UNUSED,
                               [STANDING_MEMBER] = IT_IS_DONE,
                               [STANDING_ISOLATED] = ALREADY("%s is isolated already."),
                               [STANDING_UNINVITED] = TAKEN_BACK,
                               [STANDING_REVOKED] = GONE},
        [TAKE_AWAY_RESTORE] = {[STANDING_UNKNOWN] = NOBODY,
                               [STANDING_WAITING] = WAITS,
                               [STANDING_INVITED] = NOT_JOINED,
                               [STANDING_EXPIRED] = EXPIRED_UNUSED,
                               [STANDING_MEMBER] = ALREADY("%s is not isolated."),
                               [STANDING_ISOLATED] = IT_IS_DONE,
                               [STANDING_UNINVITED] = TAKEN_BACK,
                               [STANDING_REVOKED] = GONE},
        [TAKE_AWAY_UNINVITE] = {[STANDING_UNKNOWN] = NOBODY,
                                [STANDING_WAITING] = WAITS,
                                [STANDING_INVITED] = IT_IS_DONE,
                                [STANDING_EXPIRED] = ALREADY("The ticket of %s has expired unused."),
                                [STANDING_MEMBER] = JOINED_ALREADY,
                                [STANDING_ISOLATED] = JOINED_ALREADY,
                                [STANDING_UNINVITED] = ALREADY("The invite of %s was taken back already."),
                                [STANDING_REVOKED] = ALREADY("%s was revoked already.")},
    };
    return rulings[act][standing];
}

/* ---- What else breaks ---- */

enum office { OFFICE_RELAY = 1, OFFICE_CONTROLLER = 2, OFFICE_OPERATOR = 4 };

static unsigned offices_of(const struct view *v, const struct fold_device *d)
{
    const struct opening_invite *o = fold_device_is_live(v->fold, d) ? view_invite(v, d) : NULL;
    unsigned offices = 0;
    if (o)
        offices = (o->relay ? (unsigned)OFFICE_RELAY : 0u) | (o->controller ? (unsigned)OFFICE_CONTROLLER : 0u);
    for (uint32_t i = 0; o && i < o->group_count; i++)
        if (strcmp(o->groups[i].name, "operators") == 0)
            offices |= OFFICE_OPERATOR;
    return offices;
}

/* Those that nobody else holds. */
static unsigned offices_lost(const struct view *v, const struct fold_device *d)
{
    unsigned others = 0;
    for (uint32_t i = 0; i < fold_device_count(v->fold); i++)
        if (fold_device_at(v->fold, i) != d)
            others |= offices_of(v, fold_device_at(v->fold, i));
    return offices_of(v, d) & ~others;
}

uint32_t take_away_dangers(const struct view *v, const struct fold_device *d, const uint8_t own[ED25519_PUBLIC_SIZE],
                           const char *out[DANGERS_MAX])
{
    unsigned lost = offices_lost(v, d);
    uint32_t count = 0;
    if (memcmp(d->signing_public, own, ED25519_PUBLIC_SIZE) == 0)
        out[count++] = "This is the machine that you are working on: its node leaves the network, and what is signed "
                       "here later reaches nobody.";
    if (lost & OFFICE_RELAY)
        out[count++] = "It is the only relay: devices that have no direct path lose each other, and nobody can join.";
    if (lost & OFFICE_CONTROLLER)
        out[count++] = "It is the only controller: nothing gets into the ledger any more, no join, policy or restore.";
    if (lost & OFFICE_OPERATOR)
        out[count++] = "It is the only operator's machine: nobody else can sign, unless the keys are kept elsewhere.";
    return count;
}
