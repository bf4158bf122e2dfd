/* The mesh's own structures; nobody outside src/mesh includes this. */
#ifndef MESH_INTERNAL_H
#define MESH_INTERNAL_H

#include "base/timer_heap.h"
#include "mesh/mesh.h"
#include "wire/message.h"
#include "wire/names.h"

#define RELAYS_WANTED 2u
#define RELAY_KEEPALIVE 25 /* s */
#define RELAY_CONNECT_TIME (5 * SECOND)
#define RELAY_RETRY_TIME SECOND
#define RELAY_RETRIES_QUICK 12u /* then each after twice the time of the one before */
#define RELAY_RETRY_MOST (30 * SECOND)
#define RELAY_PROBE_INTERVAL (10 * SECOND)
#define RELAY_PROBE_TIME SECOND
#define RELAY_PROBE_TIME_LEAST (3 * SECOND / 10)
#define RELAY_LOOK_INTERVAL (7 * SECOND / 10) /* whether it fell silent */
#define RELAY_LOCAL_TELLS 2u                  /* after the first, since frames get lost */
#define RELAY_PROBES_LOST 3u                  /* in a row: it is dead */

#define INTRODUCTIONS_MAX 64u /* that we ask for at once */
#define INTRODUCTION_RELAYS_MAX 5u
#define INTRODUCTION_TRIES 3u /* with each relay */
#define INTRODUCTION_TIME SECOND
#define INTRODUCTION_KNOWN_TIME (2 * SECOND) /* for the state to hand over whom we were introduced to */
#define INTRODUCTION_MEET_TIME (6 * SECOND)  /* for a first handshake on the new path */
#define INTRODUCTION_REFUSED_TIME (10 * SECOND)
#define INTRODUCTION_AGAIN_TIME SECOND

#define TELLS_MAX 256u      /* that wait for the state */
#define TELLS_A_SECOND 128u /* of devices that are unknown here */
#define QUESTIONS_MAX 1024u /* that we settle as a relay at once */
#define QUESTIONS_OF_ONE_MAX 64u
#define QUESTION_MEET_TIME (2 * SECOND) /* for the state to say whether they may */
#define QUESTION_TELL_TIME SECOND
#define QUESTION_TELL_TRIES 2u
#define PERMISSIONS_MAX 65536u

#define PINGS_MAX 16u
#define PING_TRIES 3u
#define PING_INTERVAL (700 * SECOND / 1000)
#define PING_TIME (2 * SECOND)

#define HELLO_TIME SECOND /* for the other's, then each after twice the time of the one before */
#define HELLO_TRIES 3u
#define HELLO_ANSWERS 4u /* in one session, to who asks again */
#define HELLO_ANSWER_TIME (9 * SECOND / 10)
#define HELLO_OBSERVED_TIME SECOND
#define HELLO_MOVED_TIME (SECOND / 2) /* between times that peers are told of what one relay says */

#define BUDGET_HOSTS 256u
#define BUDGET_HEARSAY 128u /* of them, those that relays alone named */
#define BUDGET_UNPROVEN 12u /* datagrams to a host, until nothing was sent there for so long: */
#define BUDGET_TIME (30 * SECOND)
#define BUDGET_PROVEN 240u /* to one that a probe was answered from */

#define DIRECT_TRIES 3u
#define DIRECT_PROBES_LOST 3u /* in a row: it is dead */
#define DIRECT_PATIENCE_LEAST (300 * SECOND / 1000)
#define DIRECT_PATIENCE_MOST (500 * SECOND / 1000)
#define DIRECT_LOOK_TIME (SECOND / 2) /* whether it fell silent */
#define DIRECT_BUSY_TIME (10 * SECOND)
#define DIRECT_QUIET_LOOK_TIME (2 * SECOND) /* when nothing passed for that long */
#define DIRECT_IDLE_TIME (100 * SECOND)     /* more than a keepalive of MQTT, less than a session is sent with */
#define DIRECT_IDLE_LOOK_TIME (10 * SECOND)
#define DIRECT_KEEP_TIME (22 * SECOND) /* NAT bindings */
#define DIRECT_FRESH_TIME (3 * SECOND) /* an answer says as long that there is a way */
#define DIRECT_AGAIN_TIME SECOND
#define DIRECT_LASTING_TIME (60 * SECOND)
#define DIRECT_MARGIN (2 * SECOND / 1000) /* another must be quicker by that, or by a quarter */
#define DIRECT_HINTS_MAX 16u
#define DIRECT_HINTS_TIME (30 * SECOND)
#define DIRECT_OFFER_TIME (11 * SECOND) /* three initiations */
#define DIRECT_NOISE_TIME (12 * SECOND) /* a keepalive may follow as late; what is left then is halved */
#define DIRECT_KEEPALIVE 64u            /* bytes: no packet that is worth an answer is as short */
#define DIRECT_NOISE 112u               /* bytes around a frame: headers, padding, and that keepalive */
#define FOLLOW_TIME (2 * SECOND)

#define CARRIED_LOOK_TIME SECOND /* whether the other end of a relayed path fell silent */
#define CARRIED_QUIET_LOOK_TIME (2 * SECOND)
#define CARRIED_PROBE_TIME SECOND
#define CARRIED_PROBES_LOST 3u /* in a row: the relay does not carry */
#define CARRIED_AVOID_TIME (300 * SECOND)

/* A timer that says whose it is. */
enum alarm_kind {
    ALARM_RELAY,
    ALARM_INTRODUCTION,
    ALARM_TELL,
    ALARM_QUESTION,
    ALARM_PING,
    ALARM_HELLO,
    ALARM_DIRECT,
    ALARM_CARRIED,
    ALARM_KINDS
};
struct alarm {
    struct timer timer;
    enum alarm_kind kind;
};

/* ---- Budget (budget.c) ---- */

struct budget_entry {
    struct underlay host; /* whose port means nothing here; of an IPv6 address the /64 */
    uint32_t sent;        /* 0: free */
    uint64_t last;
    uint64_t proven; /* when a probe was answered from there */
    bool hearsay;    /* a relay named it, and nobody else */
};
struct budget {
    struct budget_entry entries[BUDGET_HOSTS];
};

/* Whether `count` datagrams may go there now; if so they are counted. `hearsay`: a relay alone says that somebody is
 * there; what relays name leaves room for what peers say themselves. */
bool budget_take(struct budget *b, const struct underlay *to, uint32_t count, bool hearsay, uint64_t now);
/* What was taken may be sent up to then. */
void budget_reserve(struct budget *b, const struct underlay *to, uint64_t until);
void budget_prove(struct budget *b, const struct underlay *at, uint64_t now);

/* ---- Hellos (hello.c) ---- */

struct hello_wait {
    struct alarm alarm;
    struct device *device;
    uint64_t sent; /* when the last was */
    uint64_t aeads;
    struct underlay told; /* where we see it, as it was told */
    uint32_t session;     /* that the last came in */
    uint8_t gate[FRAME_GATE_SIZE];
    uint8_t tries, answers;
    bool has_gate;
    bool heard; /* since the last keypair */
    bool fresh; /* what we said of the last keypair answers the first that comes */
};

/* ---- Direct paths (candidates.c, attempt.c, direct.c) ---- */

struct sent_probe {
    uint64_t number, time; /* 0: none, or answered */
};
struct candidate {
    struct underlay endpoint; /* family 0: free */
    bool given;               /* named by a relay, or the peer: gone with the next list */
    bool hearsay;             /* by a relay alone */
    bool limited;             /* by the budget, at the last try */
    uint8_t tries;            /* of this attempt */
    uint8_t next;             /* of `sent` */
    uint64_t due;             /* the next probe's time, or the end of waiting; 0: no attempt */
    uint64_t sent_last;
    uint64_t answered; /* last; 0: never */
    uint64_t rtt;
    struct sent_probe sent[DIRECT_TRIES];
};

/* What there is of a peer that is not only to be reached through relays; as long as the device. */
struct direct {
    struct alarm alarm;
    struct device *device;
    struct candidate list[FRAME_CANDIDATES_MAX];
    struct candidate *current; /* in use; NULL: none */
    struct candidate *good;    /* the last one that was */
    uint64_t look_due, answer_due, probe_due, retry_due, offer_end;
    uint64_t sent, received;                         /* at the last look */
    uint64_t noise_sent, noise_received, noise_time; /* of which may have passed: what use is judged by */
    uint64_t noise_look;                             /* sent since the last look */
    uint64_t used;                                   /* when something but ourselves passed */
    uint64_t up_since;                               /* the direct path */
    uint64_t hints_since;
    uint32_t hints;
    uint32_t lost; /* probes in a row */
    uint32_t retries;
    bool idle; /* it was direct, and let go of */
};

_Static_assert(sizeof(struct direct) < 1200, "what a peer costs is bounded");

struct local_list {
    uint32_t count;
    struct underlay list[FRAME_CANDIDATES_MAX];
};

/* ---- Relayed paths (carried.c) ---- */

struct carried {
    struct alarm alarm;
    struct device *device;
    uint64_t sent, received; /* in the session, at the last look */
    uint64_t used;           /* when something passed, or should have */
    uint32_t lost;           /* probes in a row */
    bool silent;             /* given up, and nothing came since: it may have no session any more */
};

/* ---- Devices ---- */

struct device {
    struct device *next; /* in the table's bucket */
    struct device_id id;
    uint32_t flags; /* enum mesh_flags */
    struct underlay endpoint;
    bool has_endpoint;
    bool linked;   /* there is a session */
    bool unusable; /* no protocol version in common */
    enum mesh_path_kind path;
    struct relay *via;        /* of a relayed path; of a direct one, where the introduction stands */
    struct direct *direct;    /* owned; NULL: nothing known */
    struct local_list *local; /* owned; at a relay: its private addresses, as it said */
    struct underlay heard;    /* directly, the last time; family 0: through a relay, or not at all */
    struct hello_wait hello;
    struct carried carried;
    struct device_id avoided; /* the relay that carried nothing to it, the last time */
    uint64_t avoided_until;
    uint64_t followed;              /* to another relay, the last time */
    struct relay *relay;            /* owned; NULL unless it is one */
    struct permission *permissions; /* at a relay: with whom */
    struct question *questions;     /* at a relay: asked and not yet answered */
    uint32_t question_count;
    uint64_t rtt; /* ns, 0 unknown */
    uint64_t run; /* as its hello said; 0: none came yet */
};
_Static_assert(sizeof(struct device) < 420, "a device is small");

struct device_table {
    struct device **buckets;
    uint32_t bucket_count; /* a power of two, or 0 */
    uint32_t count;
};

struct device *devices_find(const struct device_table *table, const struct device_id *id);
must_check int devices_add(struct device_table *table, const struct device_id *id, struct device **out);
void devices_remove(struct device_table *table, struct device *device); /* frees it */
/* The first device, or the one after; NULL at the end. Nothing may be added or removed in between. */
struct device *devices_next(const struct device_table *table, const struct device *device);
void devices_clear(struct device_table *table);

/* ---- Relays that we use (relays.c, rendezvous.c) ---- */

enum relay_state {
    RELAY_IDLE,       /* not needed */
    RELAY_CONNECTING, /* wanted, no answer yet */
    RELAY_UP,
    RELAY_FAILED, /* tried again now and then, while another takes its place */
};
struct relay {
    struct alarm alarm;
    struct device *device;
    enum relay_state state;
    uint8_t score[SHA256_SIZE]; /* for us */
    uint32_t paths;             /* devices whose path goes through it */
    uint32_t retries;           /* since it failed */
    uint32_t lost;              /* probes in a row */
    bool awaiting;
    bool busy;               /* something came since the look before the last */
    uint64_t sent, received; /* at the last look */
    uint64_t probe_due;
    uint64_t probe_number, probe_time;
    struct underlay observed; /* where it sees us; family 0: it did not say */
    bool moved;               /* that changed, and peers have not been told yet */
    uint64_t moved_told;      /* when they were last */
    uint32_t local_tells;     /* how often it still is to be told our private addresses */
};

/* ---- Introductions that we ask for (introduce.c) ---- */

/* What an introduction says of the other, kept until the state hands the device over. */
struct where {
    uint8_t candidates[FRAME_CANDIDATES_SIZE];
    uint8_t candidates_len;
    bool has_gate;
    uint8_t gate[FRAME_GATE_SIZE];
};

enum introduction_state {
    INTRODUCTION_FREE,
    INTRODUCTION_ASKING,
    INTRODUCTION_LEARNING, /* answered, but the state has not handed the device over yet */
    INTRODUCTION_MEETING,  /* there is a path; no session through it yet */
    INTRODUCTION_RESTING,  /* not to be asked for again before its alarm */
};
struct introduction {
    struct alarm alarm;
    enum introduction_state state;
    struct device_id target;      /* zero: not known yet */
    uint8_t sought[NAME_MAX_LEN]; /* an address or a name */
    size_t sought_len;            /* 0: wanted by id */
    bool by_name;
    uint64_t number;
    struct device_id relays[INTRODUCTION_RELAYS_MAX];
    uint32_t relay_count, at, tries;
    bool refused;
    struct where where; /* as answered */
};

/* ---- What relays tell us (respond.c) ---- */

struct tell {
    struct alarm alarm;
    bool used;
    struct device_id relay, asker;
    uint64_t number;
    struct where where;
};

/* ---- As a relay (meet.c, permit.c) ---- */

enum question_state { QUESTION_FREE, QUESTION_MEETING, QUESTION_TELLING };
struct question {
    struct alarm alarm;
    enum question_state state;
    uint32_t id;
    uint64_t number; /* the asker's */
    struct device *asker, *target;
    struct question *next; /* of the asker's, or free */
    uint32_t tries;
    uint8_t *frames; /* owned: what is told, and, behind it, what is answered then */
    size_t tell_len, answer_len;
};

struct permission {
    struct device *of[2];
    struct permission *next[2]; /* of each one's */
};

struct ping {
    struct alarm alarm;
    bool used;
    struct device_id id;
    uint32_t number;
    uint32_t tries;
    uint64_t probe_number, begun;
    uint64_t sent[PING_TRIES];
};

struct mesh {
    struct crypto *crypto; /* borrowed */
    struct mesh_ops ops;
    bool has_self, is_relay, joining, has_head;
    struct device_id self;
    uint8_t head[FRAME_SIGNED_HEAD_SIZE];
    uint64_t run;
    uint64_t aeads;
    bool has_gate;
    uint8_t gate[FRAME_GATE_SIZE];
    struct underlay local[FRAME_CANDIDATES_MAX];
    uint32_t local_count;
    bool local_told; /* relays were told some, so that they are told of none, too */
    struct budget budget;
    struct timer_heap timers;
    struct device_table devices;
    struct relay **relays; /* best score first */
    uint32_t relay_count;
    struct introduction introductions[INTRODUCTIONS_MAX];
    struct tell tells[TELLS_MAX];
    uint64_t tells_second; /* in which `tells_seen` were looked at */
    uint32_t tells_seen;
    struct ping pings[PINGS_MAX];
    struct question *questions; /* QUESTIONS_MAX of them; NULL unless we are a relay */
    struct question *free_questions;
    uint32_t permission_count;
    struct mesh_counters counters;
};

/* ---- mesh.c ---- */

void alarm_set(struct mesh *m, struct alarm *alarm, uint64_t deadline);
void alarm_clear(struct mesh *m, struct alarm *alarm);
void alarm_init(struct alarm *alarm, enum alarm_kind kind);
/* Encodes and sends; what cannot be encoded is not sent. */
void mesh_send_frame(struct mesh *m, const struct device_id *to, const struct frame *frame);
/* Into the session that there is, by that way. */
void mesh_send_by(struct mesh *m, struct device *to, const struct mesh_way *way, const struct frame *frame);
uint64_t random_number(struct mesh *m);
struct frame_view own_head(const struct mesh *m);
static inline bool is_member(const struct device *d)
{
    return (d->flags & (MESH_MEMBER | MESH_FOUNDING)) != 0 && !d->unusable;
}
static inline bool is_relay(const struct device *d)
{
    bool invite = (d->flags & (MESH_INVITE | MESH_USED_INVITE)) != 0 && !(d->flags & MESH_FOUNDING);
    return (d->flags & (MESH_RELAY | MESH_FOUNDING)) != 0 && d->has_endpoint && !invite;
}
/* The device has, or no longer has, a session. */
void link_changed(struct mesh *m, struct device *d, bool up, uint64_t now);

/* Paths. */
void path_set_relayed(struct mesh *m, struct device *d, struct relay *via, uint64_t now);
/* The introduction by `via` stands, whatever path is in use. */
void path_attach(struct mesh *m, struct device *d, struct relay *via, uint64_t now);
void path_detach(struct device *d);
void path_forget(struct mesh *m, struct device *d);
void path_forget_all(struct mesh *m, const struct relay *via);

/* ---- hello.c ---- */

void hello_init(struct device *d);
void hello_send(struct mesh *m, struct device *d, uint64_t now);
void hello_linked(struct mesh *m, struct device *d, uint64_t now);
void hello_unlinked(struct mesh *m, struct device *d);
void hello_alarm(struct mesh *m, struct alarm *alarm, uint64_t now);
/* It was heard: says where, if that is news to it, and we are a relay. */
void hello_observed(struct mesh *m, struct device *d, uint64_t now);
/* Peers are told that a relay sees us elsewhere, if that is so and was not told just now. */
void hello_moved(struct mesh *m, struct relay *r, uint64_t now);
void hello_received(struct mesh *m, struct device *from, const struct mesh_arrival *by, const struct frame *f,
                    uint64_t now);

/* ---- candidates.c ---- */

void local_tell_relay(struct mesh *m, const struct relay *r);
void local_tell_peer(struct mesh *m, const struct device *d);
void local_changed(struct mesh *m, uint64_t now);
bool nat_here(const struct mesh *m);
/* Neither our own place, nor that of a relay, nor one that cannot be sent to. */
bool candidate_is_allowed(const struct mesh *m, const struct underlay *u);
/* What `whom` is told about `about`; a list's length. */
size_t candidates_about(const struct mesh *m, const struct device *about, const struct device *whom,
                        uint8_t out[FRAME_CANDIDATES_SIZE]);
void candidates_received(struct mesh *m, struct device *from, const struct mesh_arrival *by, const struct frame *f,
                         uint64_t now);

/* ---- attempt.c ---- */

struct candidate *candidate_find(struct direct *x, const struct underlay *where);
/* The one that there is, or a new one; NULL: not allowed, or no place. */
struct candidate *candidate_add(struct mesh *m, struct direct *x, const struct underlay *where, bool given);
/* Those that were given before and are not any more go. */
void candidates_keep_given(struct direct *x, const struct underlay *given, uint32_t count);
void candidate_probe(struct mesh *m, struct direct *x, struct candidate *c, uint64_t now);
bool candidate_answered(struct candidate *c, const struct frame_probe *answer, uint64_t now);
void attempt_one(struct mesh *m, struct direct *x, struct candidate *c, uint64_t now);
void attempt_all(struct mesh *m, struct direct *x, uint64_t now);
uint64_t attempt_go_on(struct mesh *m, struct direct *x, uint64_t now);
bool attempt_under_way(const struct direct *x);
void attempt_end(struct direct *x);

/* ---- direct.c ---- */

bool direct_may_probe(const struct mesh *m, const struct direct *x);
void direct_alarm(struct mesh *m, struct alarm *alarm, uint64_t now);
/* Somebody asks how it is reached. */
void direct_pinged(struct mesh *m, struct device *d, uint64_t now);
/* A frame went to it, or came from it: what passed so is no use of the path. */
void direct_noise(struct device *d, size_t sent, size_t received);
/* Whether the answer was to a probe of a candidate of its, and came from there. */
bool direct_answered(struct mesh *m, struct device *d, const struct mesh_arrival *by, const struct frame_probe *answer,
                     uint64_t now);
/* It probed us. Whether it may be answered where it spoke from. */
bool direct_probed(struct mesh *m, struct device *d, const struct mesh_arrival *by, uint64_t now);
void direct_given(struct mesh *m, struct device *d, struct frame_view list, bool hearsay, uint64_t now);
void direct_offer(struct mesh *m, struct device *d, uint64_t now);
void direct_hope(struct mesh *m, struct device *d, uint64_t now);
void direct_linked(struct mesh *m, struct device *d, bool first, uint64_t now);
void direct_unlinked(struct mesh *m, struct device *d);
void direct_moved(struct mesh *m, struct device *d, uint64_t now);
void direct_free(struct mesh *m, struct device *d);
enum mesh_why direct_why(const struct mesh *m, const struct device *d);
/* It was heard that way. */
void path_heard(struct mesh *m, struct device *d, const struct mesh_way *way, uint64_t now);

/* ---- carried.c ---- */

void carried_init(struct device *d);
/* Its path may have become a relayed one, or its first session was made. */
void carried_watch(struct mesh *m, struct device *d, uint64_t now);
void carried_end(struct mesh *m, struct device *d);
/* What its relayed path led to was silence: the path is no more, and that relay is asked last for a while. */
void carried_not(struct mesh *m, struct device *d, uint64_t now);
bool carried_avoids(const struct device *d, const struct device_id *relay, uint64_t now);
void carried_alarm(struct mesh *m, struct alarm *alarm, uint64_t now);

/* ---- rendezvous.c ---- */

void rendezvous_score(struct mesh *m, const struct device_id *relay, const struct device_id *id,
                      uint8_t out[SHA256_SIZE]);
/* The best relays for `id`, but itself and us; `answering`: without those that we know to be down. */
uint32_t rendezvous_best(struct mesh *m, const struct device_id *id, bool answering, struct device_id *out,
                         uint32_t most);

/* ---- relays.c ---- */

must_check int relay_add(struct mesh *m, struct device *d, uint64_t now);
void relay_remove(struct mesh *m, struct device *d, uint64_t now);
void relays_rescore(struct mesh *m, uint64_t now);
void relays_choose(struct mesh *m, uint64_t now);
/* Those that are up answer probes from now on. */
void relays_watch(struct mesh *m, uint64_t now);
/* A path goes through it: it is kept alive. */
void relay_use(struct mesh *m, struct relay *r, uint64_t now);
void relay_linked(struct mesh *m, struct relay *r, uint64_t now);
void relay_failed(struct mesh *m, struct relay *r, uint64_t now);
void relay_alarm(struct mesh *m, struct alarm *alarm, uint64_t now);
/* Whether the answer was to a probe of this relay. */
bool relay_answered(struct mesh *m, struct relay *r, const struct frame_probe *probe, uint64_t now);

/* ---- introduce.c ---- */

void introduction_answered(struct mesh *m, struct device *from, const struct frame_introduce *f, uint64_t now);
void introduction_linked(struct mesh *m, const struct device *d);
void where_keep(struct where *w, const struct frame_introduce *f);
void where_apply(struct mesh *m, const struct where *w, struct device *d, uint64_t now);
void introduction_device(struct mesh *m, struct device *d, uint64_t now);
void introduction_alarm(struct mesh *m, struct alarm *alarm, uint64_t now);

/* ---- respond.c ---- */

void tell_received(struct mesh *m, struct device *from, const struct frame_introduce *f, uint64_t now);
void tell_device(struct mesh *m, struct device *d, uint64_t now);
void tell_alarm(struct mesh *m, struct alarm *alarm, uint64_t now);

/* ---- meet.c, permit.c ---- */

/* Without memory every question is one too many. */
void questions_open(struct mesh *m);
void questions_close(struct mesh *m);
void question_asked(struct mesh *m, struct device *from, const struct frame_introduce *f, uint64_t now);
void question_acknowledged(struct mesh *m, struct device *from, const struct frame_introduce *f, uint64_t now);
void question_alarm(struct mesh *m, struct alarm *alarm, uint64_t now);
void questions_device_gone(struct mesh *m, struct device *d);
must_check int permission_add(struct mesh *m, struct device *a, struct device *b);
void permission_end(struct mesh *m, struct device *a, struct device *b);
void permissions_end(struct mesh *m, struct device *d);
/* Whoever may send to `d` through us is told that it started anew. */
void permissions_tell_restart(struct mesh *m, const struct device *d);

/* ---- probe.c ---- */

void probe_received(struct mesh *m, struct device *from, const struct mesh_arrival *by, const struct frame *f,
                    uint64_t now);
void answer_received(struct mesh *m, struct device *from, const struct mesh_arrival *by, const struct frame *f,
                     uint64_t now);
void ping_alarm(struct mesh *m, struct alarm *alarm, uint64_t now);
void pings_device_gone(struct mesh *m, const struct device *d);

#endif
