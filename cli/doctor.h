/* Checks of a node, each with its result, cause and what to do. Those of one kind stand in one file, and look at the
 * world through what is given here, so that a test can make one up. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <jansson.h>
#include <sys/types.h>

#include "state.h"
#include "view.h"

enum doctor_result { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_SKIPPED, DOCTOR_RESULTS };

#define DOCTOR_FINDINGS_MAX 96
#define DOCTOR_TEXT_MAX 320
struct doctor_finding {
    const char *check;
    enum doctor_result result;
    char cause[DOCTOR_TEXT_MAX];
    char todo[DOCTOR_TEXT_MAX]; /* empty: nothing */
};

#define DOCTOR_LINKS_MAX 64
struct doctor_link {
    char name[16];
    unsigned flags; /* IFF_... */
    int mtu;        /* 0: not known */
    bool own;       /* has an address of this device in the overlay */
};

struct doctor {
    struct cli *cli;
    const char *proc; /* "/proc" */
    uint64_t now;     /* s since 1970 */
    bool root;
    bool has_state, has_view;
    struct state state;
    struct view view;
    int daemon_error;     /* of asking it; 0: it answered */
    pid_t daemon;         /* its parent process; 0: not known */
    const json_t *status; /* what it answered, or NULL */
    const char *hash;     /* of STATE's path, as its tables are named by; NULL: not known */
    /* Whether the host's firewall has this table of family inet: 1, 0, negative: cannot be told. NULL: not asked. */
    int (*has_table)(const char *name);
    uint32_t link_count;
    struct doctor_link links[DOCTOR_LINKS_MAX];
    uint32_t count;
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
};

/* `todo` may be NULL. */
void doctor_find(struct doctor *d, const char *check, enum doctor_result result, const char *todo, const char *format,
                 ...) __attribute__((format(printf, 5, 6)));
/* Whether the daemon answered; if not, the check is skipped. */
bool doctor_asked(struct doctor *d, const char *check);

/* Reads a whole small file, NUL-terminated, without its last newline. False: not there. */
bool doctor_read(const char *path, char *out, size_t size);
/* "Key:\tvalue" lines as in /proc/PID/status; false: no such line. */
bool doctor_field(const char *text, const char *key, char *out, size_t size);

typedef void doctor_check(struct doctor *d);
/* doctor_state.c */
doctor_check doctor_state, doctor_permissions, doctor_ledger, doctor_disk, doctor_outbox, doctor_clock;
/* doctor_processes.c */
doctor_check doctor_daemon, doctor_processes;
/* doctor_network.c */
doctor_check doctor_member, doctor_problems, doctor_head, doctor_relays, doctor_peers, doctor_policy;
/* doctor_host.c */
doctor_check doctor_port, doctor_strangers, doctor_interface, doctor_uplinks, doctor_ipv6, doctor_kernel;

/* Fills `links`, once `status` is there. doctor_links.c */
void doctor_list_links(struct doctor *d);
/* Runs all of them, in order. */
void doctor_run(struct doctor *d);

#endif
