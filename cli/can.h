/* Whether policy lets one begin something with another, and why. */
#ifndef CLI_CAN_H
#define CLI_CAN_H

#include "policy_known.h"
#include "who.h"

/* What somebody wants to do. */
struct can_what {
    uint8_t protocol; /* enum grant_protocol */
    uint16_t port;
    const char *note; /* what the answer is really about; NULL: just that */
};
/* "tcp", "1883"; "icmp", NULL; "publish", "site/a/t". A complaint, or NULL. */
const char *can_what_read(struct can_what *out, const char *verb, const char *what);

#define CAN_REASONS_MAX 4
#define CAN_TEXT_MAX 512
struct can_answer {
    bool yes;
    const struct rule *rule; /* that says so; NULL: none */
    uint64_t version;        /* of the policy that its line is in */
    uint32_t reason_count;
    struct {
        const char *code;
        char text[CAN_TEXT_MAX];
    } reasons[CAN_REASONS_MAX];
};
struct can_world {
    const struct view *view;
    const struct who_list *who;
    const struct policy_known *policy;
    bool policy_only; /* whoever is absent is taken to be there, and the policy to be known */
    bool any;         /* of a group, one member that can is enough */
};
/* A group, on either side, means all of its members, or any. */
void can_decide(struct can_answer *out, const struct can_world *world, const struct who *from, const struct who *to,
                const struct can_what *what);

/* "sensors -> brokers: tcp 1883 (line 3)"; whatever does not fit is cut off. */
void can_print_rule(char *out, size_t size, const struct rule *rule);

#endif
