/* The replica's own parts, one file each. What changed is marked (`dirty`), and replica_settle() draws the consequences
 * once an event is over. */
#ifndef LEDGER_REPLICA_INTERNAL_H
#define LEDGER_REPLICA_INTERNAL_H

#include "base/bytes.h"
#include "base/time.h"
#include "ledger/blob.h"
#include "ledger/replica.h"
#include "ledger/sync.h"

/* ---- history: the entries that this node keeps, behind a base fold or from the first one on ---- */
struct entry {
    uint64_t time;
    enum fold_verdict verdict;
    enum statement_kind kind;
    uint8_t head[SHA256_SIZE]; /* the chain's hash at this entry */
    uint8_t hash[SHA256_SIZE]; /* the statement's */
    uint8_t *bytes;            /* owned */
    size_t len;
};
struct history {
    uint64_t first; /* index of entries[0] */
    uint32_t count, capacity;
    struct entry *entries;
    size_t bytes;  /* of all statements */
    uint8_t *base; /* fold_save at first - 1, owned; NULL: from the beginning */
    size_t base_len;
};
void replica_history_clear(struct history *h);
uint64_t replica_history_end(const struct history *h); /* the next entry's index */
const struct entry *replica_history_at(const struct history *h, uint64_t index);
const struct entry *replica_history_find(const struct history *h, const uint8_t statement[SHA256_SIZE],
                                         uint64_t *index);
must_check int replica_history_append(struct history *h, const struct statement *s, const struct head *head,
                                      enum fold_verdict verdict);
/* Forgets the entries from `index` on. */
void replica_history_cut(struct history *h, uint64_t index);
/* The fold at `index`, which the history must hold, or its base be. */
must_check int replica_history_fold(const struct history *h, struct crypto *c, uint64_t index, struct fold **out);

/* ---- openings by their commitment ---- */
struct kept_opening {
    uint8_t commitment[SHA256_SIZE];
    uint8_t *bytes; /* owned; NULL: an empty place */
    size_t len;
};
struct opening_store {
    struct kept_opening *places; /* a power of two of them */
    uint32_t count, capacity;
};
void replica_openings_clear(struct opening_store *s);
const struct kept_opening *replica_openings_find(const struct opening_store *s, const uint8_t commitment[SHA256_SIZE]);
/* Copies. ERROR_EXISTS when it is there. */
must_check int replica_openings_add(struct opening_store *s, const uint8_t commitment[SHA256_SIZE],
                                    const uint8_t *bytes, size_t len);

/* ---- what is known of each device of the fold, in the fold's order ---- */
enum known_state { KNOWN_MISSING, KNOWN_GOOD, KNOWN_OUT_OF_SCOPE };
struct known {
    enum known_state state; /* of its opening */
    bool clash;             /* an earlier one holds its name or address: absent */
    bool relay, controller, operates, has_ipv4, has_ipv6;
    bool seen;         /* under its own key */
    uint8_t published; /* bits: 1 the device, 2 its invite */
    uint8_t ipv4[4];
    uint8_t ipv6[16];
    char name[NAME_MAX_LEN + 1];
    struct underlay endpoint;
    uint32_t subject_count;          /* `all`, itself, its groups */
    struct subject *subjects;        /* owned */
    uint64_t joined_since;           /* when we first published it as joined, ns */
    uint8_t digest[2][BLAKE2S_SIZE]; /* of what was published: the device, its invite */
};
#define SUBJECTS_MAX (OPENING_GROUPS_MAX + 2)

/* ---- policy: the sets of rules in force here ---- */
struct subject_rules {
    struct subject subject;
    uint8_t commitment[SHA256_SIZE];
    struct rule_set *set; /* owned */
};
struct policy_in_force {
    struct subject_rules *subjects; /* ascending */
    uint32_t count;
    uint64_t version;
};

/* ---- following ---- */
#define LINKS_FREE 16
struct links {
    struct device_id *ids;
    uint32_t count, capacity;
};
struct follow {
    struct pull *pull; /* of the ledger, or while joining of the first fold */
    bool widened;      /* it begins before our head: to see where the histories part */
    bool bootstrap;    /* joining: what everything else is built on */
    struct device_id source;
    uint64_t from, began, asked_since; /* ns; asked_since: when this source was begun with */
    uint32_t failures;
    struct signed_head target;
    bool has_better; /* a head that came meanwhile */
    struct signed_head better;
    struct device_id better_source;
    bool stuck; /* a signed state did not follow: no step further */

    struct pull *openings;
    struct device_id openings_source;
    uint64_t openings_since, openings_next;             /* ns: when begun; not before */
    uint64_t openings_soon;                             /* ns: the last pause after less than all; 0: it was all */
    uint64_t openings_from, openings_at;                /* from where to ask; up to where all was told */
    bool openings_wanted, openings_told, openings_anew; /* anew: something changed while they were pulled */
    uint32_t turn;                                      /* which source is next */
    uint64_t greet_next;                                /* ns */
};

/* ---- serving ---- */
#define CACHE_BLOBS 64
#define CACHE_BYTES (96u << 20)
struct cached_blob {
    enum sync_what what;
    uint64_t from, to;
    struct device_id asker; /* SYNC_OPENINGS, else zero */
    uint8_t *bytes;         /* owned; NULL: free */
    size_t len;
    uint64_t used; /* a count that grows */
};
struct limit {
    struct device_id id;
    uint64_t since; /* ns */
    uint32_t frames, builds, voids;
};
#define LIMITS 1024u
struct serve {
    struct cached_blob blobs[CACHE_BLOBS];
    size_t bytes;
    uint64_t uses;
    struct limit limits[LIMITS];
};

/* ---- errands: what others handed in here to be passed on ---- */
#define ERRANDS_MAX 256
#define ERRANDS_BYTES (8u << 20)
#define ERRANDS_PULLED 4 /* at once */
struct errand {
    bool used, is_join;
    struct device_id asker;
    uint8_t statement[SHA256_SIZE]; /* zero while it is being pulled */
    uint8_t offer[SHA256_SIZE];
    uint8_t *bytes; /* owned: the join, or the submission */
    size_t len;
    struct pull *pull;
    uint64_t since, passed; /* ns */
};

struct submission {
    bool used;
    uint8_t statement[SHA256_SIZE], offer[SHA256_SIZE];
    uint8_t *bytes; /* owned */
    size_t len;
    uint64_t next; /* ns */
    uint32_t tries;
};

struct held_take_away {
    uint8_t hash[SHA256_SIZE];
    uint8_t *bytes; /* owned */
    size_t len;
};
#define HELD_TAKE_AWAYS_MAX 256

/* ---- joining ---- */
struct joining {
    const struct ticket *ticket; /* borrowed; NULL: not joining */
    uint8_t *join;               /* owned */
    size_t join_len;
    uint8_t hash[SHA256_SIZE];
    bool settled;          /* the network said that it stands */
    bool bad_ledger, full; /* full: entitled to, and in need of, the whole ledger */
    uint32_t attempts;
    enum fold_verdict said; /* what else it said, which may still change */
    uint32_t slot, turn;
    uint64_t deadline, next_send, next_switch, heard; /* ns; heard: a relay's last frame */
};

#define PROBLEMS_MAX 64
#define WAITING_OPENINGS 16
#define WAITING_OPENING_MAX 4096u

struct waiting_opening { /* of a device whose invite has not been seen yet */
    uint8_t *bytes;      /* owned */
    size_t len;
};

/* At a relay: who was let meet, until the policy says otherwise. Appended to; sorted and without doubles from time to
 * time. */
#define MEETINGS_MAX (1u << 17)
struct meetings {
    struct meeting {
        struct device_id of[2];
    } * list; /* owned */
    uint32_t count, capacity;
};

struct replica {
    struct crypto *c;
    struct replica_config config;
    const struct replica_ops *ops;
    uint64_t now, wall;
    bool begun, dirty;

    struct fold *fold; /* owned; NULL: nothing is known */
    struct history history;
    struct opening_store openings;
    struct known *known;
    uint32_t known_count, known_capacity;
    uint32_t *places; /* positions in the fold by device id */
    uint32_t place_count;
    bool has_signed;
    struct signed_head signed_head;
    uint8_t signed_bytes[SIGNED_HEAD_SIZE];
    uint64_t head_kept; /* its time */
    uint64_t floor, floor_kept;
    uint64_t began, alone_since, house_next; /* ns; alone_since: when there was last somebody to ask */
    struct replica_self self;
    bool self_told;
    bool operator_knows; /* the operator's node has a head that covers our join */

    struct policy_in_force policy;
    struct meetings meetings;
    struct links links;
    struct follow follow;
    struct serve serve;
    struct errand errands[ERRANDS_MAX];
    size_t errand_bytes;
    struct submission submissions[REPLICA_SUBMISSIONS_MAX];
    struct held_take_away *take_aways[HELD_TAKE_AWAYS_MAX];
    uint32_t take_away_count;
    struct joining joining;
    struct replica_problem problems[PROBLEMS_MAX];
    uint32_t problem_count;
    struct waiting_opening waiting[WAITING_OPENINGS];
    uint32_t waiting_next;
    struct opening_invite asked; /* what replica_opening gave last */
    struct replica_counters counters;
};

/* replica.c */
void replica_settle(struct replica *r);
void replica_send_frame(struct replica *r, const struct device_id *to, const struct frame *frame);
/* Whether there is somebody to ask; else, after a while, that is a problem. */
void replica_look_at_links(struct replica *r);
void replica_learn_time(struct replica *r, uint64_t seconds);

/* replica_known.c */
must_check int replica_known_refresh(struct replica *r);
void replica_known_clear(struct replica *r);
bool replica_known_is_good(const struct known *k);
/* Joined, its opening good, its membership not over; isolated perhaps. */
bool replica_is_member(const struct replica *r, uint32_t i);
/* And live. */
bool replica_is_present(const struct replica *r, uint32_t i);
/* Position in the fold; false: not there. */
bool replica_known_position(const struct replica *r, const struct device_id *id, uint32_t *out);
bool replica_self_position(const struct replica *r, uint32_t *out);
bool replica_is_full(const struct known *k); /* entitled to, and holding, everything */
bool replica_self_is_full(const struct replica *r);
/* Takes openings in if something in the fold commits to them. False: nothing does. */
bool replica_take_opening(struct replica *r, struct frame_view bytes);

/* replica_policy.c */
void replica_policy_compile(struct replica *r);
void replica_policy_clear(struct policy_in_force *p);
/* The sets of some subjects. Returns their number. */
uint32_t replica_policy_sets(const struct replica *r, const struct subject *subjects, uint32_t count,
                             const struct rule_set *out[SUBJECTS_MAX]);
bool replica_policy_joins(const struct replica *r, const struct known *a, const struct known *b);

/* replica_meet.c */
/* The policy or the devices may be others: those who may meet no longer part. */
void replica_meetings_look(struct replica *r);
void replica_meetings_clear(struct replica *r);

/* replica_publish.c */
void replica_publish(struct replica *r);
void replica_publish_self(struct replica *r);
/* Sessions with members are no more: they are to be begun anew. */
void replica_publish_anew(struct replica *r);
/* The invite of the device at this place alone. */
void replica_publish_invite(struct replica *r, uint32_t i);
bool replica_founding_device(const struct replica *r,
                             uint32_t *out); /* false: the network is not being founded any more */

/* replica_follow.c */
void replica_follow_head(struct replica *r, const struct device_id *from, struct frame_view bytes);
void replica_follow_part(struct replica *r, const struct device_id *from, const struct frame_part *part);
void replica_follow_timer(struct replica *r);
uint64_t replica_follow_deadline(const struct replica *r);
void replica_follow_better(struct replica *r); /* a head that had to wait */
void replica_follow_drop(struct replica *r);   /* what is being pulled of the ledger */
void replica_bootstrap_begin(struct replica *r, enum sync_what what, uint64_t to);
void replica_follow_clear(struct replica *r);
void replica_want_openings(struct replica *r, uint64_t from);
/* Openings that we must hold are missing. */
bool replica_needs_more(const struct replica *r);
/* The hub's node has its controller beside it, also before its own join stands. */
bool replica_has_controller(const struct replica *r);
bool replica_link_exists(const struct replica *r, const struct device_id *id);
void replica_link_forget(struct replica *r, const struct device_id *id); /* the engine was told that it is gone */
/* Someone to ask or to hand things to, in turn; false: nobody. */
bool replica_choose_upstream(struct replica *r, uint32_t turn, struct device_id *out);
void replica_pull_pump(struct replica *r, struct pull *pull, const struct device_id *source);
/* A head that was verified and is at our own fold. */
void replica_adopt_head(struct replica *r, const struct signed_head *head);
/* A relay tells its head to whoever it has a session with, always; a member when it takes something away. */
void replica_notify_links(struct replica *r);
void replica_notify_all(struct replica *r);

/* replica_advance.c */
enum advance_result {
    ADVANCE_DONE,
    ADVANCE_BAD,    /* not what the head says: the server's fault */
    ADVANCE_PARTED, /* the chain does not continue ours */
    ADVANCE_SPLIT,  /* proven: two signed histories */
    ADVANCE_STUCK,  /* the signed state does not follow */
};
/* Takes in entries `from`..target, pulled from somebody. `widened`: they begin before our head, to see where it parts.
 */
enum advance_result replica_advance(struct replica *r, const uint8_t *blob, size_t len, uint64_t from, bool widened,
                                    const struct signed_head *target);
/* One entry more: judged; as it was judged before. */
must_check int replica_apply_entry(struct replica *r, uint64_t time, struct frame_view bytes);
must_check int replica_apply_kept(struct replica *r, uint64_t time, enum fold_verdict verdict, struct frame_view bytes);
/* While joining: false at the ticket's head if it is another ledger. */
bool replica_passes_floor(const struct replica *r);
/* Hands the entries from `begin` on to the disk. */
void replica_keep_entries(struct replica *r, uint64_t begin);
/* Drops known state that followed from the fold, which was replaced. */
void replica_fold_replaced(struct replica *r, struct fold *fold);

/* replica_serve.c */
void replica_serve_get(struct replica *r, const struct device_id *from, bool invite, const struct frame_get *get);
bool replica_within_limit(struct replica *r, const struct device_id *from, bool invite);
/* Whether another take-away of this sender is looked at in this second; and one that was void is counted. */
bool replica_within_voids(struct replica *r, const struct device_id *from);
void replica_count_void(struct replica *r, const struct device_id *from);
void replica_serve_clear(struct replica *r);
/* There are more of them now than what was made for askers says. */
void replica_serve_forget_openings(struct replica *r);

/* replica_errand.c */
void replica_errand_join(struct replica *r, const struct device_id *from, bool invite, const struct frame_join *join);
void replica_errand_offer(struct replica *r, const struct device_id *from, const struct frame_statement *offer);
bool replica_errand_part(struct replica *r, const struct device_id *from, const struct frame_part *part);
void replica_errand_verdict(struct replica *r, const struct device_id *from, const struct frame_joined *joined);
bool replica_errand_blob(const struct replica *r, const uint8_t hash[SHA256_SIZE], struct frame_view *out);
void replica_errand_timer(struct replica *r);
uint64_t replica_errand_deadline(const struct replica *r);
void replica_errand_clear(struct replica *r);

/* replica_submit.c */
void replica_submissions_verdict(struct replica *r, const struct frame_joined *joined);
void replica_submissions_look(struct replica *r);   /* what has come into the ledger? */
void replica_submissions_hasten(struct replica *r); /* there may be someone to hand them to now */
void replica_submissions_timer(struct replica *r);
uint64_t replica_submissions_deadline(const struct replica *r);
void replica_submissions_clear(struct replica *r);
must_check int replica_submission_keep(struct replica *r, const uint8_t statement[SHA256_SIZE], const uint8_t *bytes,
                                       size_t len);
/* A statement with its openings; false: one is not held. The caller frees. */
bool replica_submission_of(const struct replica *r, const struct statement *s, struct blob_writer *out);
bool replica_submissions_blob(const struct replica *r, const uint8_t hash[SHA256_SIZE], struct frame_view *out);
void replica_offer_send(struct replica *r, const struct device_id *to, const uint8_t hash[SHA256_SIZE],
                        const uint8_t *bytes, size_t len);

/* replica_take_away.c */
/* A statement from whoever brings it: counts at once if it takes away rightly. False: it is no take-away that is new.
 */
bool replica_take_away_take(struct replica *r, const uint8_t *bytes, size_t len, bool keep,
                            const struct device_id *from);
/* A statement that counts at once, to all who have a session here but `from` (NULL: none): so it reaches also those
 * that no relay or controller tells. */
void replica_spread(struct replica *r, const uint8_t *bytes, size_t len, const struct device_id *from);
void replica_take_aways_tell(struct replica *r, const struct device_id *to); /* those that wait */
bool replica_take_away_came(const struct replica *r, uint64_t begin);        /* among the entries from there on */
/* Whether one of those isolated us: others have ended their sessions with us, even if it is lifted again by now. */
bool replica_isolation_came(struct replica *r, uint64_t begin);
void replica_take_aways_look(struct replica *r);  /* forgets what is sequenced */
void replica_take_aways_again(struct replica *r); /* the fold is a new one */
void replica_take_aways_clear(struct replica *r);

/* replica_replace.c */
/* False: it is no root that rightly replaces the sequencers. */
bool replica_replace_take(struct replica *r, const uint8_t *bytes, size_t len, const struct device_id *from);

/* replica_join.c */
void replica_join_verdict(struct replica *r, const struct frame_joined *joined);
void replica_join_part(struct replica *r, const uint8_t *blob, size_t len);
void replica_join_look(struct replica *r);
void replica_join_timer(struct replica *r);
uint64_t replica_join_deadline(const struct replica *r);
void replica_join_clear(struct replica *r);

/* replica_problem.c */
void replica_problem_set(struct replica *r, enum replica_problem_kind kind, const struct device_id *id,
                         const char *name, bool on);

#endif
