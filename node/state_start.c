#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/time.h"
#include "identity/ticket.h"
#include "ledger/kept.h"
#include "net/memory.h"
#include "state_internal.h"

static bool is_joining(const struct state *s)
{
    return s->setup.control_fd < 0;
}

/* ---- What the command line left ---- */

/* Reads a ticket's file into s->ticket. ERROR_NOT_FOUND: there is none. */
static int read_ticket(struct state *s, const char *name)
{
    uint8_t *text;
    size_t len;
    int error = files_read_new(&s->setup.ledger, name, TICKET_TEXT_MAX, &text, &len);
    if (error)
        return error;
    free(s->ticket_buffer);
    s->ticket_buffer_len = len + 1;
    s->ticket_buffer = calloc(1, s->ticket_buffer_len);
    if (!s->ticket_buffer)
        error = ERROR_MEMORY;
    else if (ticket_parse(s->setup.crypto, &s->ticket, (const char *)text, len, s->ticket_buffer) != TICKET_GOOD)
        error = ERROR_MALFORMED;
    free(text);
    return error;
}

static void remove_file(struct state *s, const char *name)
{
    int error = files_remove(&s->setup.ledger, name);
    if (error && error != ERROR_NOT_FOUND)
        state_log("warning", "not-removed", "file", name);
}

static void read_network_name(struct state *s)
{
    size_t len;
    int error = files_read(&s->setup.ledger, KEPT_NETWORK, s->network_name, NAME_MAX_LEN, &len);
    if (error || !name_is_valid(s->network_name, len))
        s->network_name[0] = 0;
    else
        s->network_name[len] = 0;
}

/* ---- Beginnings ---- */

static int make_replica(struct state *s, const struct network_id *network)
{
    struct replica_config config = {.network = *network, .build_time = s->setup.build_time};
    s->ops = state_replica_ops;
    s->ops.context = s;
    memcpy(config.signing_public, s->keys.signing, sizeof(config.signing_public));
    memcpy(config.static_public, s->keys.own, sizeof(config.static_public));
    memcpy(config.invite_static_public, s->keys.invite, sizeof(config.invite_static_public));
    return replica_new(&s->replica, s->setup.crypto, &config, &s->ops);
}

/* The first node of a network, and its hub: from the founding ticket, which the log then replaces. */
static int found(struct state *s)
{
    int error = read_ticket(s, KEPT_FOUNDING);
    if (!error)
        error = make_replica(s, &s->ticket.network);
    if (!error)
        error = replica_found(s->replica, &s->ticket);
    return error;
}

static int restore(struct state *s)
{
    int error = make_replica(s, state_store_network(s->store));
    return error ? error : state_store_restore(s->store, s->replica);
}

static int begin_member(struct state *s)
{
    bool founding = state_store_is_empty(s->store);
    int error = founding ? found(s) : restore(s);
    if (!error)
        error = replica_begin(s->replica, loop_monotonic(), loop_wall() / SECOND);
    if (error)
        return error;
    if (state_commit(s))
        remove_file(s, KEPT_FOUNDING);
    if (!is_joining(s))
        state_knock(s);
    return 0;
}

/* Had joined already, or will now: true if keys was asked to build the join. */
static int begin_joining(struct state *s)
{
    struct ipc_build_join build = {0};
    int error = read_ticket(s, KEPT_TICKET);
    if (error)
        return error;
    state_store_reset(s->store); /* of an attempt that did not end */
    memcpy(build.network, s->ticket.network.bytes, sizeof(build.network));
    error = crypto_sha256(s->setup.crypto, build.invite, s->ticket.invite.bytes, s->ticket.invite.len);
    if (!error)
        error = make_replica(s, &s->ticket.network);
    return error ? error : ipc_send(s->setup.keys, IPC_BUILD_JOIN, &build, sizeof(build));
}

static bool has_ticket(const struct state *s)
{
    uint8_t *text;
    size_t len;
    int error = files_read_new(&s->setup.ledger, KEPT_TICKET, TICKET_TEXT_MAX, &text, &len);
    if (!error)
        free(text);
    return error != ERROR_NOT_FOUND;
}

/* While the seed is held, a ticket has not done its work; once it is erased, it has. */
static int begin(struct state *s)
{
    bool ticket = has_ticket(s), seed = !is_zero(s->keys.invite, sizeof(s->keys.invite));
    if (ticket && seed && is_joining(s))
        return begin_joining(s);
    if (ticket && seed) {
        state_log("error", "not-joined", "todo", "nightjar join TICKET");
        return ERROR_NOT_FOUND;
    }
    if (ticket)
        remove_file(s, KEPT_TICKET);
    int error = begin_member(s);
    if (error == ERROR_NOT_FOUND)
        error = ERROR_MALFORMED; /* a member that has lost its ledger, and what it could begin one with */
    if (error || !is_joining(s))
        return error;
    s->has_result = true;
    s->result.done = replica_self(s->replica)->member;
    return 0;
}

/* Also a device that is no member (any more) has its interface, so that `status` can say why nothing goes through. */
static int state_ready(struct state *s)
{
    if (!s->has_configure) {
        struct ipc_configure message = {.ipv6_len = ADDRESS_IPV6_PREFIX_LEN};
        int error =
            address_ipv6(s->setup.crypto, message.ipv6, fold_network(replica_fold(s->replica)), s->keys.signing);
        if (error)
            return error;
        state_configure(s, &message);
    }
    memory_release_code(); /* what reading the ledger took, an idle node does without */
    return ipc_send(s->setup.parent, IPC_STATE_READY, NULL, 0);
}

void state_begin(struct state *s)
{
    read_network_name(s);
    int error = begin(s);
    if (!error && !is_joining(s))
        error = state_ready(s);
    if (error) {
        state_log("error", "state-begin", "why", error_sentence(error));
        state_end(s, error);
        return;
    }
    state_finish_join(s);
}

void state_join(struct state *s, const uint8_t *statement, size_t len)
{
    int error = s->replica && is_joining(s) && len > 0 ? 0 : ERROR_NOT_FOUND;
    if (!error)
        error = replica_join(s->replica, &s->ticket, statement, len, loop_monotonic(), loop_wall() / SECOND);
    if (!error)
        return;
    state_log("error", "join", "why", error_sentence(error));
    state_end(s, error);
}

void state_finish_join(struct state *s)
{
    if (!s->has_result || s->erasing)
        return;
    s->has_result = false;
    int error = ipc_send(s->setup.parent, IPC_JOIN_RESULT, &s->result, sizeof(s->result));
    if (error)
        state_end(s, error);
}
