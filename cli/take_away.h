/* What may be taken away from a device, by what it is now. Pure, for tests. */
#ifndef CLI_TAKE_AWAY_H
#define CLI_TAKE_AWAY_H

#include "view.h"

enum standing {
    STANDING_UNKNOWN,
    STANDING_WAITING, /* its invite is not in the ledger yet */
    STANDING_INVITED,
    STANDING_EXPIRED,
    STANDING_MEMBER,
    STANDING_ISOLATED,
    STANDING_UNINVITED,
    STANDING_REVOKED,
    STANDINGS
};
enum take_away { TAKE_AWAY_REVOKE, TAKE_AWAY_ISOLATE, TAKE_AWAY_RESTORE, TAKE_AWAY_UNINVITE, TAKE_AWAYS };

/* `d` is NULL when there is nobody, or nobody yet. */
enum standing standing_of(const struct view *v, const char *name, const struct fold_device **d);

enum take_away_answer { TAKE_AWAY_DO, TAKE_AWAY_ALREADY, TAKE_AWAY_NO };
struct take_away_ruling {
    enum take_away_answer answer;
    const char *what, *todo; /* "%s" is the device's name; NULL for TAKE_AWAY_DO */
};
struct take_away_ruling take_away_ruling(enum take_away act, enum standing standing);

/* What breaks for the network beyond the device itself; sentences, at most DANGERS_MAX. `own`: this machine's signing
 * key. */
#define DANGERS_MAX 4
uint32_t take_away_dangers(const struct view *v, const struct fold_device *d, const uint8_t own[ED25519_PUBLIC_SIZE],
                           const char *out[DANGERS_MAX]);

#endif
