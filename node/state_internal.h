/* The state process, as its files see it: the replica in the middle; its wishes go out to engine, keys, parent and
 * disk; what they say, and what people ask over the control socket, comes in. */
#ifndef NODE_STATE_INTERNAL_H
#define NODE_STATE_INTERNAL_H

#include <jansson.h>

#include "control.h"
#include "control_request.h"
#include "ledger/replica.h"
#include "net/loop.h"
#include "proc/files.h"
#include "proc/ipc.h"
#include "proc/messages.h"
#include "state_server.h"
#include "state_store.h"

#define OUTCOMES_MAX 256u
#define QUESTIONS_MAX 32u
#define KEEP_PORTS_MAX 16u

/* A device that the engine was told of; its grants are counted only. */
struct published {
    struct replica_device device; /* out and in are NULL */
    uint32_t next;                /* in its chain; NOWHERE: the last */
};

/* What became of a submission. */
struct outcome {
    bool known;
    bool told; /* to who handed it in */
    uint8_t statement[SHA256_SIZE];
    enum fold_verdict verdict;
    uint64_t index;
};

/* A client waits for the engine. */
struct question {
    uint32_t number; /* 0: free */
    uint32_t client;
    enum control_command command; /* status, ping */
    uint64_t deadline;
    char device[NAME_MAX_LEN + 1];
    bool seeking;  /* ping: for whoever has that name, of whom we know nothing yet */
    json_t *peers; /* status: so far */
};

struct state {
    struct state_setup setup;
    struct state_store *store;
    struct replica_ops ops;  /* borrowed by: */
    struct replica *replica; /* NULL until keys has said who we are */
    struct control *control; /* NULL while joining */
    bool ended;
    int error; /* that it ended with; 0: in order */

    struct ipc_public keys;
    bool has_keys;
    char network_name[NAME_MAX_LEN + 1];

    /* Joining. The ticket borrows from its buffer. */
    struct ticket ticket;
    uint8_t *ticket_buffer;
    size_t ticket_buffer_len;
    bool erasing; /* keys has not yet said that the seed is erased */
    bool has_result;
    struct ipc_join_result result;

    struct published *published;
    uint32_t published_count, published_capacity;
    uint32_t
        *published_places; /* heads of chains by id; NOWHERE: empty; as many as there is capacity, a power of two */

    struct outcome outcomes[OUTCOMES_MAX]; /* a ring */
    uint32_t outcome_next;
    bool outbox_full, outbox_due; /* some of it did not fit into the replica; now it may */
    bool outbox_restores;         /* what is handed in now: the restores, else all else */

    struct question questions[QUESTIONS_MAX];
    uint32_t last_question;

    /* For people. */
    int disk_error, keys_error;
    uint64_t commit_again; /* after a failure, not before */
    bool has_configure;    /* what the parent was asked for */
    struct ipc_configure configure;
    int32_t configure_error;
    bool ipv4_left_out, overlay_open, darkened, controller_down;
    uint32_t listen_port, keep_count;
    uint32_t relay_rate; /* Mb/s; 0: the default */
    uint32_t keep[KEEP_PORTS_MAX];
    uint64_t counters[IPC_COUNTERS_MAX];
    uint32_t counter_count;
};

/* ---- state_server.c ---- */

/* Ends the process's loop. */
void state_end(struct state *s, int error);
/* Makes durable what was kept, before anything is said that rests on it. False: the disk does not take it (yet). */
bool state_commit(struct state *s);
/* A line on standard error, "level event key=value"; `value` is shown without what is not printable. */
void state_log(const char *level, const char *event, const char *key, const char *value);

/* ---- state_start.c: from what is kept to a replica ---- */

void state_begin(struct state *s);
/* keys has built the join. */
void state_join(struct state *s, const uint8_t *statement, size_t len);
/* Tells the parent, once the seed is erased if it is to be. */
void state_finish_join(struct state *s);

/* ---- state_publish.c: what the replica wants done ---- */

extern const struct replica_ops state_replica_ops; /* without its context */
/* Asks the parent for the interface's addresses, if they are others than before. */
void state_configure(struct state *s, const struct ipc_configure *message);
/* NULL: the engine was not told of it. */
const struct replica_device *state_published(const struct state *s, const struct device_id *id);
const struct replica_device *state_published_by_name(const struct state *s, const char *name);

/* ---- state_receive.c: what the others say ---- */

void state_receive_all(struct state *s, struct ipc *from);

/* ---- state_outbox.c ---- */

/* Hands in what lies in the outbox. */
void state_knock(struct state *s);
void state_note_outcome(struct state *s, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict,
                        uint64_t index);
/* NULL: not known (yet). */
struct outcome *state_outcome(struct state *s, const uint8_t statement[SHA256_SIZE]);

/* ---- state_answer.c: what people ask ---- */

void state_line(void *context, uint32_t client, const char *line, size_t len);
/* The engine was told of a device: who waits for it pings it. */
void state_found(struct state *s, const struct replica_device *device);
void state_pong(struct state *s, const struct ipc_pong *pong);
void state_engine_flows(struct state *s, const struct ipc_flows *flows, const struct ipc_flow *list);
void state_engine_status(struct state *s, const struct ipc_status *status, const struct ipc_peer_status *peers);
/* Answers for an engine that does not. */
void state_answer_timer(struct state *s, uint64_t now);
uint64_t state_answer_deadline(const struct state *s);

/* ---- state_status.c: the answers' JSON; NULL: no memory ---- */

json_t *state_status_json(struct state *s, json_t *peers /* consumed */);
json_t *state_devices_json(struct state *s);
json_t *state_flows_json(struct state *s, const char *device, const struct ipc_flows *flows,
                         const struct ipc_flow *list);
json_t *state_peer_json(struct state *s, const struct ipc_peer_status *peer); /* NULL also: not to be shown */
const char *state_path_name(uint32_t path);

#endif
