/* Joining: the join is handed in until the ledger shows it; the ledger is believed from the ticket's floor on.
 * Founding: the ledger's first entries come in a ticket. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

#define JOIN_TIME (60 * SECOND)
#define SEND_EVERY SECOND
#define SWITCH_EVERY (5 * SECOND)
#define SLOT_INVITE 1u

void replica_join_clear(struct replica *r)
{
    free(r->joining.join);
    r->joining.join = NULL;
}

static void finish(struct replica *r, enum fold_verdict verdict, enum replica_join_reason reason)
{
    r->joining.ticket = NULL;
    if (verdict == VERDICT_STANDS && !reason)
        r->ops->erase_seed(r->ops->context);
    r->ops->joined(r->ops->context, verdict, reason);
}

static void publish_relays(struct replica *r, const struct ticket *t)
{
    for (uint32_t i = 0; i < t->relay_count; i++) {
        struct replica_device d = {.id = t->relays[i].device, .flags = REPLICA_MEMBER | REPLICA_RELAY};
        memcpy(d.static_key, t->relays[i].static_key, sizeof(d.static_key));
        d.has_endpoint = true;
        d.endpoint = t->relays[i].endpoint;
        r->ops->device(r->ops->context, &d);
    }
}

static int keep_opening(struct replica *r, struct frame_view opening)
{
    uint8_t commitment[SHA256_SIZE];
    int error = opening_commitment(r->c, commitment, opening.bytes, opening.len);
    if (!error)
        error = replica_openings_add(&r->openings, commitment, opening.bytes, opening.len);
    if (!error)
        r->ops->keep_opening(r->ops->context, commitment, opening.bytes, opening.len);
    return error == ERROR_EXISTS ? 0 : error;
}

/* Our own opening says whether we are to have all of the ledger. */
static int read_own(struct replica *r, const struct ticket *t, bool *full)
{
    struct statement invite;
    uint8_t commitment[SHA256_SIZE];
    struct opening o;
    int error = statement_decode(r->c, &invite, t->invite.bytes, t->invite.len);
    if (!error)
        error = opening_commitment(r->c, commitment, t->opening.bytes, t->opening.len);
    if (error)
        return error;
    if (invite.kind != STATEMENT_INVITE || memcmp(commitment, invite.invite.commitment, SHA256_SIZE) != 0)
        return ERROR_MALFORMED;
    error = opening_decode(&o, t->opening.bytes, t->opening.len);
    if (error)
        return error;
    error = o.kind == OPENING_INVITE ? 0 : ERROR_MALFORMED;
    *full = !error && (o.invite.relay || o.invite.controller);
    for (uint32_t i = 0; !error && i < o.invite.group_count; i++)
        *full = *full || strcmp(o.invite.groups[i].name, "operators") == 0;
    opening_clear(&o);
    return error ? error : keep_opening(r, (struct frame_view){t->opening.bytes, t->opening.len});
}

static int take_join(struct replica *r, const uint8_t *join, size_t len)
{
    struct joining *j = &r->joining;
    int error = crypto_sha256(r->c, j->hash, join, len);
    j->join = error ? NULL : malloc(len);
    if (!j->join)
        return error ? error : ERROR_MEMORY;
    memcpy(j->join, join, len);
    j->join_len = len;
    return 0;
}

static void fetch_ledger(struct replica *r)
{
    const struct joining *j = &r->joining;
    replica_bootstrap_begin(r, j->full ? SYNC_LEDGER : SYNC_FOLD, j->ticket->head_index);
}

int replica_join(struct replica *r, const struct ticket *ticket, const uint8_t *join, size_t join_len, uint64_t now,
                 uint64_t wall)
{
    struct joining *j = &r->joining;
    int error = ticket->founding || ticket->relay_count == 0 ? ERROR_INVALID : read_own(r, ticket, &j->full);
    if (!error)
        error = take_join(r, join, join_len);
    if (error)
        return error;
    r->now = r->began = r->alone_since = now;
    r->wall = wall;
    r->begun = true;
    j->ticket = ticket;
    j->slot = SLOT_INVITE;
    j->deadline = now + JOIN_TIME;
    j->next_send = now;
    j->next_switch = now + SWITCH_EVERY;
    replica_learn_time(r, ticket->time);
    replica_publish_self(r);
    publish_relays(r, ticket);
    r->ops->use_key(r->ops->context, j->slot);
    if (!r->fold)
        fetch_ledger(r);
    replica_want_openings(r, 0);
    r->dirty = true;
    replica_settle(r);
    replica_join_timer(r);
    return 0;
}

/* ---- the ledger ---- */

static int take_fold(struct replica *r, const uint8_t *blob, size_t len)
{
    struct fold *fold;
    uint8_t *base = malloc(len + 1);
    int error = base ? fold_load(&fold, r->c, blob, len) : ERROR_MEMORY;
    if (error) {
        free(base);
        return error;
    }
    memcpy(base, blob, len);
    r->fold = fold;
    r->history = (struct history){.first = fold_head(fold)->index + 1, .base = base, .base_len = len};
    return 0;
}

static int take_ledger(struct replica *r, const uint8_t *blob, size_t len)
{
    struct blob_reader reader;
    uint64_t time;
    struct frame_view statement;
    int error = blob_read_entries(&reader, blob, len);
    if (!error)
        error = fold_new(&r->fold, r->c);
    while (!error && blob_next_entry(&reader, &time, &statement))
        error = replica_apply_entry(r, time, statement);
    return error;
}

static bool is_the_tickets(const struct replica *r)
{
    return fold_head(r->fold)->index == r->joining.ticket->head_index && replica_passes_floor(r) &&
           memcmp(fold_network(r->fold), &r->config.network, sizeof(r->config.network)) == 0;
}

static void start_over(struct replica *r)
{
    struct joining *j = &r->joining;
    fold_free(r->fold);
    r->fold = NULL;
    replica_history_clear(&r->history);
    r->counters.bad_parts++;
    j->bad_ledger = true;
    if (++j->attempts < 2 * TICKET_RELAYS_MAX)
        fetch_ledger(r);
    else
        finish(r, VERDICT_STANDS, REPLICA_JOIN_BAD_LEDGER);
}

void replica_join_part(struct replica *r, const uint8_t *blob, size_t len)
{
    struct joining *j = &r->joining;
    if (!j->ticket || r->fold)
        return;
    int error = j->full ? take_ledger(r, blob, len) : take_fold(r, blob, len);
    if (error || !is_the_tickets(r)) {
        start_over(r);
        return;
    }
    j->bad_ledger = false;
    r->ops->keep_base(r->ops->context, r->history.base, r->history.base_len);
    replica_keep_entries(r, r->history.first);
    r->dirty = true;
}

/* ---- the join ---- */

void replica_join_verdict(struct replica *r, const struct frame_joined *joined)
{
    struct joining *j = &r->joining;
    if (!j->ticket || memcmp(joined->statement, j->hash, SHA256_SIZE) != 0)
        return;
    switch (joined->verdict) {
    case VERDICT_STANDS:
    case VERDICT_ALREADY:
        if (!j->settled)
            j->deadline = r->now + JOIN_TIME; /* for fetching what proves it */
        j->settled = true;
        break;
    case VERDICT_STORE:
    case VERDICT_UNKNOWN_INVITE: /* the invite may still be on its way */
        j->said = (enum fold_verdict)joined->verdict;
        break;
    default:
        if (joined->verdict < VERDICT_COUNT)
            finish(r, (enum fold_verdict)joined->verdict, REPLICA_JOIN_NO_REASON);
    }
}

/* A member once a verified head covers our join, whoever told, and we know where the relays are. */
void replica_join_look(struct replica *r)
{
    const struct fold_device *d = r->fold ? fold_device_by_signing_key(r->fold, r->config.signing_public) : NULL;
    if (!r->joining.ticket || !d || d->state != DEVICE_JOINED || !r->has_signed)
        return;
    if (r->signed_head.head.index < d->joined_at || !r->follow.openings_told)
        return;
    finish(r, VERDICT_STANDS, REPLICA_JOIN_NO_REASON);
}

static void hand_in(struct replica *r)
{
    struct joining *j = &r->joining;
    struct device_id to;
    struct frame frame = {.kind = FRAME_JOIN, .join = {{j->join, j->join_len}}};
    j->next_send = r->now + SEND_EVERY;
    if (replica_choose_upstream(r, j->turn++, &to))
        replica_send_frame(r, &to, &frame);
}

/* The answer may have been lost after the join was sequenced: then only our own key is answered. */
static void switch_key(struct replica *r)
{
    struct joining *j = &r->joining;
    j->next_switch = r->now + SWITCH_EVERY;
    if (j->heard && r->now < j->heard + SWITCH_EVERY)
        return;
    j->slot ^= 1;
    r->ops->use_key(r->ops->context, j->slot);
}

void replica_join_timer(struct replica *r)
{
    struct joining *j = &r->joining;
    if (!j->ticket)
        return;
    if (r->now >= j->deadline) {
        bool said = j->said != VERDICT_STANDS;
        finish(r, j->said,
               j->bad_ledger ? REPLICA_JOIN_BAD_LEDGER
               : said        ? REPLICA_JOIN_NO_REASON
                             : REPLICA_JOIN_UNREACHABLE);
        return;
    }
    if (r->now >= j->next_send)
        hand_in(r);
    if (r->now >= j->next_switch)
        switch_key(r);
}

uint64_t replica_join_deadline(const struct replica *r)
{
    const struct joining *j = &r->joining;
    if (!j->ticket)
        return UINT64_MAX;
    uint64_t first = j->next_send < j->next_switch ? j->next_send : j->next_switch;
    return first < j->deadline ? first : j->deadline;
}

/* ---- founding ---- */

static int found_entries(struct replica *r, const struct ticket *t)
{
    int error = fold_new(&r->fold, r->c);
    for (uint32_t i = 0; !error && i < t->statement_count; i++) {
        error = replica_apply_entry(r, t->times[i], (struct frame_view){t->statements[i].bytes, t->statements[i].len});
        if (!error && replica_history_at(&r->history, i)->verdict != VERDICT_STANDS)
            error = ERROR_AUTHENTICATION;
    }
    if (!error &&
        (t->statement_count == 0 || memcmp(fold_network(r->fold), &r->config.network, sizeof(r->config.network)) != 0))
        error = ERROR_MALFORMED;
    return error;
}

int replica_found(struct replica *r, const struct ticket *ticket)
{
    if (r->fold || !ticket->founding)
        return ERROR_INVALID;
    int error = found_entries(r, ticket);
    if (error) {
        fold_free(r->fold);
        r->fold = NULL;
        replica_history_clear(&r->history);
        return error;
    }
    r->ops->keep_base(r->ops->context, NULL, 0);
    replica_keep_entries(r, 0);
    for (uint32_t i = 0; !error && i < ticket->opening_count; i++)
        error = keep_opening(r, (struct frame_view){ticket->openings[i].bytes, ticket->openings[i].len});
    if (!error && ticket->opening.len)
        error = keep_opening(r, (struct frame_view){ticket->opening.bytes, ticket->opening.len});
    r->dirty = true;
    return error;
}
