/* What people ask over the control socket, and what they are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "ledger/kept.h"
#include "state_internal.h"

#define SEEK_TIME (2 * SECOND) /* for a relay to introduce us */
#define PATIENCE (3 * SECOND)  /* for the engine; a ping ends within two seconds there */

/* Consumes the answer; NULL: there was no memory for it. */
static void answer(struct state *s, uint32_t client, json_t *object)
{
    static const char no_memory[] = "{\"v\":1,\"error\":\"There is not enough memory.\"}";
    if (object)
        json_object_set_new(object, "v", json_integer(1));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    if (text)
        control_answer(s->control, client, text, strlen(text));
    else
        control_answer(s->control, client, no_memory, sizeof(no_memory) - 1);
    free(text);
    json_decref(object);
}

static void refuse(struct state *s, uint32_t client, const char *what, const char *todo)
{
    json_t *object = json_pack("{s:s}", "error", what);
    if (object && todo)
        json_object_set_new(object, "todo", json_string(todo));
    answer(s, client, object);
}

/* ---- Questions that the engine answers ---- */

static struct question *begin_question(struct state *s, uint32_t client, enum control_command command)
{
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++) {
        struct question *q = &s->questions[i];
        if (q->number != 0)
            continue;
        if (++s->last_question == 0)
            s->last_question = 1;
        *q = (struct question){
            .number = s->last_question, .client = client, .command = command, .deadline = loop_monotonic() + PATIENCE};
        return q;
    }
    return NULL;
}

static struct question *find_question(struct state *s, uint32_t number, enum control_command command)
{
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++)
        if (number != 0 && s->questions[i].number == number && s->questions[i].command == command)
            return &s->questions[i];
    return NULL;
}

static void end_question(struct question *q, struct state *s, json_t *object)
{
    uint32_t client = q->client;
    json_decref(q->peers);
    *q = (struct question){0};
    answer(s, client, object);
}

static void ask_engine(struct state *s, struct question *q, uint16_t kind, const void *message, size_t len)
{
    int error = ipc_send(s->setup.engine, kind, message, len);
    if (error)
        end_question(q, s, json_pack("{s:s}", "error", error_sentence(error)));
}

/* ---- status ---- */

static void on_status(struct state *s, uint32_t client, const struct control_request *request)
{
    (void)request;
    struct question *q = begin_question(s, client, COMMAND_STATUS);
    if (!q) {
        refuse(s, client, "Too many questions wait for an answer.", "Try again.");
        return;
    }
    q->peers = json_array();
    const struct ipc_number number = {q->number};
    ask_engine(s, q, IPC_ASK_STATUS, &number, sizeof(number));
}

static void take_peers(struct state *s, struct question *q, const struct ipc_peer_status *peers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        json_t *peer = state_peer_json(s, &peers[i]);
        if (peer)
            json_array_append_new(q->peers, peer);
    }
}

void state_engine_status(struct state *s, const struct ipc_status *status, const struct ipc_peer_status *peers)
{
    struct question *q = find_question(s, status->number, COMMAND_STATUS);
    if (!q)
        return;
    take_peers(s, q, peers, status->peer_count);
    s->counter_count = status->counter_count;
    memcpy(s->counters, status->counters, sizeof(s->counters));
    if (!status->more)
        end_question(q, s, state_status_json(s, json_incref(q->peers)));
}

/* ---- ping ---- */

static json_t *nobody(const char *device)
{
    char what[160];
    snprintf(what, sizeof(what), "No device called %s can be reached from here.", device);
    return json_pack("{s:s, s:s}", "error", what, "todo",
                     "There is none, or no rule lets the two talk: see \"nightjar devices\" and the policy.");
}

static void ping(struct state *s, struct question *q, const struct replica_device *device)
{
    struct ipc_ping message = {.number = q->number};
    memcpy(message.id, device->id.bytes, sizeof(message.id));
    q->seeking = false;
    q->deadline = loop_monotonic() + PATIENCE;
    ask_engine(s, q, IPC_PING, &message, sizeof(message));
}

/* Unknown or forbidden: the relays' no is not even listened to, so that either takes the same time. */
static void seek(struct state *s, struct question *q)
{
    q->seeking = true;
    q->deadline = loop_monotonic() + SEEK_TIME;
    ask_engine(s, q, IPC_SEEK, q->device, strlen(q->device));
}

static void on_ping(struct state *s, uint32_t client, const struct control_request *request)
{
    const struct replica_device *device = state_published_by_name(s, request->device);
    struct question *q = begin_question(s, client, COMMAND_PING);
    if (!q) {
        refuse(s, client, "Too many questions wait for an answer.", "Try again.");
        return;
    }
    memcpy(q->device, request->device, sizeof(q->device));
    if (device)
        ping(s, q, device);
    else
        seek(s, q);
}

void state_found(struct state *s, const struct replica_device *device)
{
    for (uint32_t i = 0; i < QUESTIONS_MAX && (device->flags & REPLICA_MEMBER); i++)
        if (s->questions[i].number != 0 && s->questions[i].seeking && strcmp(s->questions[i].device, device->name) == 0)
            ping(s, &s->questions[i], device);
}

static json_t *no_answer(const char *device)
{
    char what[160];
    snprintf(what, sizeof(what), "%s did not answer.", device);
    return json_pack("{s:s, s:s, s:s}", "error", what, "todo", "See whether it is up, and \"nightjar status\" there.",
                     "device", device);
}

static json_t *pong_json(struct state *s, const struct question *q, const struct ipc_pong *pong)
{
    struct device_id id;
    memcpy(id.bytes, pong->relay, sizeof(id.bytes));
    const struct replica_device *relay = pong->path == IPC_PATH_RELAYED ? state_published(s, &id) : NULL;
    return json_pack("{s:s, s:I, s:s, s:s?}", "device", q->device, "rtt_us", (json_int_t)(pong->rtt / 1000), "path",
                     state_path_name(pong->path), "relay", relay ? relay->name : NULL);
}

void state_pong(struct state *s, const struct ipc_pong *pong)
{
    struct question *q = find_question(s, pong->number, COMMAND_PING);
    if (q)
        end_question(q, s, pong->rtt > 0 ? pong_json(s, q, pong) : no_answer(q->device));
}

/* ---- flows ---- */

/* What lives with a device that the engine was never told of is nothing. */
static void on_flows(struct state *s, uint32_t client, const struct control_request *request)
{
    const struct replica_device *device = state_published_by_name(s, request->device);
    struct question *q = begin_question(s, client, COMMAND_FLOWS);
    if (!q) {
        refuse(s, client, "Too many questions wait for an answer.", "Try again.");
        return;
    }
    memcpy(q->device, request->device, sizeof(q->device));
    if (!device) {
        end_question(q, s, state_flows_json(s, request->device, &(struct ipc_flows){0}, NULL));
        return;
    }
    struct ipc_ask_flows message = {.number = q->number};
    memcpy(message.id, device->id.bytes, sizeof(message.id));
    ask_engine(s, q, IPC_ASK_FLOWS, &message, sizeof(message));
}

void state_engine_flows(struct state *s, const struct ipc_flows *flows, const struct ipc_flow *list)
{
    struct question *q = find_question(s, flows->number, COMMAND_FLOWS);
    if (q)
        end_question(q, s, state_flows_json(s, q->device, flows, list));
}

/* ---- What is known here ---- */

static void on_devices(struct state *s, uint32_t client, const struct control_request *request)
{
    (void)request;
    answer(s, client, state_devices_json(s));
}

static void on_down(struct state *s, uint32_t client, const struct control_request *request)
{
    (void)request;
    answer(s, client, json_pack("{s:b}", "ok", 1));
    int error = ipc_send(s->setup.parent, IPC_STOP, NULL, 0);
    if (error)
        state_end(s, error == ERROR_GONE ? 0 : error);
}

static void on_knock(struct state *s, uint32_t client, const struct control_request *request)
{
    (void)request;
    state_knock(s);
    answer(s, client, json_pack("{s:b}", "ok", 1));
}

/* What was heard is forgotten with a restart; what came of it stands in the ledger. */
static bool find_outcome(struct state *s, const uint8_t statement[SHA256_SIZE], struct outcome *out)
{
    struct outcome *heard = state_outcome(s, statement);
    *out = (struct outcome){0};
    if (!heard)
        return replica_sequenced(s->replica, statement, &out->verdict, &out->index);
    heard->told = true;
    *out = *heard;
    return true;
}

static void on_outcome(struct state *s, uint32_t client, const struct control_request *request)
{
    struct outcome o;
    if (!find_outcome(s, request->statement, &o))
        answer(s, client, json_pack("{s:s}", "outcome", "pending"));
    else if (o.verdict == VERDICT_STANDS || o.verdict == VERDICT_ALREADY)
        answer(s, client,
               json_pack("{s:s, s:s, s:I}", "outcome", "stands", "sentence", fold_verdict_sentence(o.verdict), "index",
                         (json_int_t)o.index));
    else
        answer(s, client, json_pack("{s:s, s:s}", "outcome", "refused", "sentence", fold_verdict_sentence(o.verdict)));
}

static void (*const on[])(struct state *s, uint32_t client, const struct control_request *request) = {
    [COMMAND_STATUS] = on_status, [COMMAND_DEVICES] = on_devices, [COMMAND_PING] = on_ping,   [COMMAND_DOWN] = on_down,
    [COMMAND_KNOCK] = on_knock,   [COMMAND_OUTCOME] = on_outcome, [COMMAND_FLOWS] = on_flows,
};

void state_line(void *context, uint32_t client, const char *line, size_t len)
{
    struct state *s = context;
    struct control_request request;
    const char *fault = control_request_parse(&request, line, len);
    if (fault)
        refuse(s, client, fault, NULL);
    else if (!s->replica && request.command != COMMAND_DOWN)
        refuse(s, client, "The daemon is starting.", "Try again in a moment.");
    else
        on[request.command](s, client, &request);
}

/* ---- An engine that does not answer ---- */

void state_answer_timer(struct state *s, uint64_t now)
{
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++) {
        struct question *q = &s->questions[i];
        if (q->number == 0 || now < q->deadline)
            continue;
        if (q->command == COMMAND_PING)
            end_question(q, s, q->seeking ? nobody(q->device) : no_answer(q->device));
        else
            end_question(q, s,
                         json_pack("{s:s, s:s}", "error", "The daemon's engine does not answer.", "todo",
                                   "Look at the daemon's log; restart it if it stays so."));
    }
}

uint64_t state_answer_deadline(const struct state *s)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++)
        if (s->questions[i].number != 0 && s->questions[i].deadline < first)
            first = s->questions[i].deadline;
    return first;
}
