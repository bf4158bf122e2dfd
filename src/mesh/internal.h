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

/* A timer that says whose it is. */
enum alarm_kind { ALARM_RELAY, ALARM_INTRODUCTION, ALARM_TELL, ALARM_QUESTION, ALARM_PING, ALARM_KINDS };
struct alarm {
    struct timer timer;
    enum alarm_kind kind;
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
    struct relay *via;              /* of a relayed path */
    struct relay *relay;            /* owned; NULL unless it is one */
    struct permission *permissions; /* at a relay: with whom */
    struct question *questions;     /* at a relay: asked and not yet answered */
    uint32_t question_count;
    uint64_t rtt; /* ns, 0 unknown */
    uint64_t run; /* as its hello said; 0: none came yet */
};
_Static_assert(sizeof(struct device) < 300, "a device is small");

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
};

/* ---- Introductions that we ask for (introduce.c) ---- */

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
};

/* ---- What relays tell us (respond.c) ---- */

struct tell {
    struct alarm alarm;
    bool used;
    struct device_id relay, asker;
    uint64_t number;
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
void path_forget(struct mesh *m, struct device *d);
void path_forget_all(struct mesh *m, const struct relay *via);

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

void probe_received(struct mesh *m, struct device *from, const struct frame *f, uint64_t now);
void answer_received(struct mesh *m, struct device *from, const struct frame *f, uint64_t now);
void ping_alarm(struct mesh *m, struct alarm *alarm, uint64_t now);
void pings_device_gone(struct mesh *m, const struct device *d);

#endif
