/* Life and disk of a node and of the controller, and what keys is to a node. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "plant.h"

#define TAI64_EPOCH UINT64_C(0x400000000000000a)
#define PLAUSIBLE_FROM (UINT64_C(1793491200) * SECOND)
#define DAY (UINT64_C(86400) * SECOND)
#define FLOOR_AHEAD (10 * SECOND)

/* ---- Records ---- */

void plant_records_put(struct plant_records *r, const struct plant_record *what, const uint8_t *bytes)
{
    struct plant_record *kept = malloc(sizeof(*kept) + what->len);
    plant_must(kept != NULL, "memory");
    *kept = *what;
    kept->next = NULL;
    if (what->len > 0)
        memcpy(kept->bytes, bytes, what->len);
    if (!r->first)
        r->end = &r->first;
    *r->end = kept;
    r->end = &kept->next;
}

void plant_records_free(struct plant_records *r)
{
    while (r->first) {
        struct plant_record *gone = r->first;
        r->first = gone->next;
        free(gone);
    }
}

static struct plant_record *records_take(struct plant_records *r)
{
    struct plant_record *first = r->first;
    r->first = first->next;
    first->next = NULL;
    return first;
}

static void records_add(struct plant_records *r, struct plant_record *record)
{
    if (!r->first)
        r->end = &r->first;
    *r->end = record;
    r->end = &record->next;
}

void plant_keep(struct plant_node *n, const struct plant_record *what, const uint8_t *bytes)
{
    plant_records_put(&n->disk.unsynced, what, bytes);
}

static void replace(struct plant_record **at, struct plant_record *by)
{
    free(*at);
    *at = by;
}

/* Where a record belongs once it is durable; it is consumed. */
static void settle(struct plant_disk *d, struct plant_record *record)
{
    switch (record->where) {
    case KEPT_IN_ENTRIES:
        records_add(&d->entries, record);
        return;
    case KEPT_IN_OPENINGS:
        records_add(&d->openings, record);
        return;
    case KEPT_IN_TAKE_AWAYS:
        records_add(&d->take_aways, record);
        return;
    case KEPT_AS_HEAD:
        replace(&d->head, record);
        return;
    case KEPT_AS_BASE:
        plant_records_free(&d->entries);
        replace(&d->base, record);
        return;
    case KEPT_AS_FLOOR:
        d->floor = record->time;
        free(record);
        return;
    }
}

void plant_sync(struct plant_node *n)
{
    while (n->disk.unsynced.first)
        settle(&n->disk, records_take(&n->disk.unsynced));
}

/* Openings are written first: some of them may have reached the disk, and then the log's beginning. */
static void lose_unsynced(struct plant_node *n)
{
    bool openings = plant_chance(n->plant, 128), cut = !openings || plant_chance(n->plant, 128);
    while (n->disk.unsynced.first) {
        struct plant_record *record = records_take(&n->disk.unsynced);
        bool is_opening = record->where == KEPT_IN_OPENINGS;
        cut = cut || (!is_opening && plant_chance(n->plant, 60));
        if (is_opening ? openings : !cut)
            settle(&n->disk, record);
        else
            free(record);
    }
}

static void disk_free(struct plant_disk *d)
{
    plant_records_free(&d->entries);
    plant_records_free(&d->openings);
    plant_records_free(&d->take_aways);
    plant_records_free(&d->unsynced);
    free(d->base);
    free(d->head);
    *d = (struct plant_disk){0};
}

/* ---- keys ---- */

static void own_timestamp(struct plant_node *n, uint8_t out[MESSAGE_TIMESTAMP_SIZE])
{
    uint64_t coarse = plant_wall(n) * SECOND;
    n->was_ahead = n->was_ahead || n->clock_error > 86400;
    n->own_time = coarse > n->own_time ? coarse : n->own_time + 1;
    if (n->own_time > n->own_durable)
        n->own_durable = n->own_time + FLOOR_AHEAD;
    put_be64(out, TAI64_EPOCH + n->own_time / SECOND);
    put_be32(out + 8, (uint32_t)(n->own_time % SECOND));
}

static bool too_far_ahead(const struct plant_node *n, const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE])
{
    uint64_t wall = plant_wall(n) * SECOND;
    return wall >= PLAUSIBLE_FROM && get_be64(timestamp) > TAI64_EPOCH + (wall + DAY) / SECOND;
}

/* Whether it is greater than any before, which from now on it is. */
static bool note_timestamp(struct plant_node *n, const uint8_t *key, const uint8_t *timestamp)
{
    uint32_t i = 0;
    while (i < n->seen_count && memcmp(n->seen[i].key, key, X25519_SIZE) != 0)
        i++;
    if (i < n->seen_count && memcmp(timestamp, n->seen[i].timestamp, MESSAGE_TIMESTAMP_SIZE) <= 0)
        return false;
    plant_must(i < PLANT_SEEN_MAX, "there is room for all keys");
    memcpy(n->seen[i].key, key, X25519_SIZE);
    memcpy(n->seen[i].timestamp, timestamp, MESSAGE_TIMESTAMP_SIZE);
    n->seen_count += i == n->seen_count;
    return true;
}

void plant_step(struct plant_node *n, struct static_step *step)
{
    const uint8_t *key = step->local == 0 ? n->private_key : n->invite.keys.static_private;
    if (step->text_kind == STATIC_STEP_SEAL_TEXT && step->text_len == MESSAGE_TIMESTAMP_SIZE)
        own_timestamp(n, step->text);
    if (step->local == 1 && !n->has_seed)
        step->result = ERROR_INVALID;
    else
        static_step_run(step, n->plant->c, key);
    bool theirs = step->text_kind == STATIC_STEP_OPEN_TEXT && step->text_len == MESSAGE_TIMESTAMP_SIZE;
    if (theirs && step->result == 0 && (too_far_ahead(n, step->text) || !note_timestamp(n, step->remote, step->text)))
        step->result = ERROR_REPLAYED;
}

/* ---- Life ---- */

static void make_replica(struct plant_node *n)
{
    struct replica_config config = {.network = n->plant->network, .build_time = PLANT_WALL - 86400};
    memcpy(config.signing_public, n->signing_public, ED25519_PUBLIC_SIZE);
    memcpy(config.static_public, n->public_key, X25519_SIZE);
    if (n->has_seed)
        memcpy(config.invite_static_public, n->invite.keys.static_public, X25519_SIZE);
    n->ops = plant_replica_ops;
    n->ops.context = n;
    plant_must(replica_new(&n->replica, n->plant->c, &config, &n->ops) == 0, "memory");
}

static int restore(struct plant_node *n)
{
    const struct plant_disk *d = &n->disk;
    struct replica *r = n->replica;
    int error = 0;
    for (const struct plant_record *o = d->openings.first; o && error == 0; o = o->next)
        error = replica_restore_opening(r, o->bytes, o->len);
    if (error == 0 && d->base && d->base->len > 0)
        error = replica_restore_base(r, d->base->bytes, d->base->len);
    for (const struct plant_record *e = d->entries.first; e && error == 0; e = e->next)
        error = replica_restore_entry(r, e->index, e->time, e->verdict, e->bytes, e->len);
    for (const struct plant_record *t = d->take_aways.first; t && error == 0; t = t->next)
        error = replica_restore_take_away(r, t->bytes, t->len);
    if (error == 0 && d->head)
        error = replica_restore_head(r, d->head->bytes);
    if (error == 0 && d->floor > 0)
        replica_restore_floor(r, d->floor);
    return error;
}

static void begin_engine(struct plant_node *n)
{
    n->on = true;
    n->has_self = n->join_ended = false;
    n->self = (struct replica_self){0};
    n->slot = 0;
    n->jobs_end = &n->jobs;
    n->own_time = n->own_durable;
    if (n->plant->flaw == PLANT_FORGETFUL)
        n->seen_count = 0;
    plant_must(plant_engine_start(n) == 0, "a node starts");
    plant_apply_keys(n);
}

void plant_node_start(struct plant_node *n)
{
    struct plant *p = n->plant;
    begin_engine(n);
    make_replica(n);
    if (n->number == PLANT_HUB)
        plant_sequencer_start(p);
    if (!n->disk.entries.first && !n->disk.base)
        plant_must(replica_found(n->replica, &n->ticket) == 0, "a founding ticket founds");
    else if (restore(n) != 0)
        plant_fail(p, n, "what was kept is taken back");
    if (!p->failure)
        plant_must(replica_begin(n->replica, plant_monotonic(p), plant_wall(n)) == 0, "a replica begins");
    if (n->number == PLANT_OPERATOR)
        plant_knock(p);
    plant_drain(n);
}

void plant_node_join(struct plant_node *n)
{
    struct plant *p = n->plant;
    uint8_t join[1024], invite[SHA256_SIZE];
    disk_free(&n->disk); /* of an attempt that did not end */
    begin_engine(n);
    n->joining = true;
    make_replica(n);
    plant_must(crypto_sha256(p->c, invite, n->ticket.invite.bytes, n->ticket.invite.len) == 0, "a hash is made");
    size_t len = plant_join_statement(p, n, invite, &n->invite.keys, false, join, sizeof(join));
    plant_must(replica_join(n->replica, &n->ticket, join, len, plant_monotonic(p), plant_wall(n)) == 0,
               "a ticket is tried");
    plant_drain(n);
}

static void drop_jobs(struct plant_node *n)
{
    while (n->jobs) {
        struct plant_job *gone = n->jobs;
        n->jobs = gone->next;
        free(gone);
    }
    n->jobs_end = &n->jobs;
}

void plant_node_stop(struct plant_node *n, bool crash)
{
    if (!n->on)
        return;
    if (!crash) {
        mesh_sign_off(n->mesh);
        plant_drain(n);
    }
    if (n->number == PLANT_HUB)
        plant_sequencer_stop(n->plant);
    if (crash)
        lose_unsynced(n);
    plant_sync(n);
    drop_jobs(n);
    replica_free(n->replica);
    plant_engine_stop(n);
    n->replica = NULL;
    n->on = n->joining = false;
    n->due = UINT64_MAX;
    n->plant->restarts++;
}

void plant_node_free(struct plant_node *n)
{
    plant_node_stop(n, false);
    disk_free(&n->disk);
}

/* ---- The controller ---- */

static void run_from_controller(struct plant_node *n, const struct plant_job *j)
{
    replica_frame(n->replica, &replica_controller, false, j->bytes, j->len, plant_monotonic(n->plant));
}

static void sequencer_send(void *context, const uint8_t *frame, size_t len)
{
    struct plant *p = context;
    plant_post(&p->nodes[PLANT_HUB], run_from_controller, &(struct plant_job){0}, frame, len);
}

static int sequencer_store(void *context, const struct sequencer_entry *e)
{
    struct plant *p = context;
    uint8_t head[2 * SHA256_SIZE];
    if (p->store_fails && plant_chance(p, 128))
        return ERROR_IO;
    memcpy(head, e->hash, SHA256_SIZE);
    memcpy(head + SHA256_SIZE, e->head, SHA256_SIZE);
    plant_records_put(&p->store, &(struct plant_record){.where = KEPT_AS_HEAD, .len = sizeof(head)}, head);
    plant_records_put(
        &p->store,
        &(struct plant_record){.where = KEPT_IN_ENTRIES, .index = e->index, .time = e->time, .len = e->statement.len},
        e->statement.bytes);
    for (uint32_t i = 0; i < e->opening_count; i++)
        plant_records_put(&p->store, &(struct plant_record){.where = KEPT_IN_OPENINGS, .len = e->openings[i].bytes.len},
                          e->openings[i].bytes.bytes);
    return 0;
}

#define OPENINGS_MAX 128u

/* Returns what comes behind the entry. */
static const struct plant_record *restore_entry(struct plant *p, const struct plant_record *at)
{
    struct sequencer_opening openings[OPENINGS_MAX];
    const struct plant_record *statement = at->next;
    struct sequencer_entry e = {.index = statement->index,
                                .time = statement->time,
                                .statement = {statement->bytes, statement->len},
                                .openings = openings};
    memcpy(e.hash, at->bytes, SHA256_SIZE);
    memcpy(e.head, at->bytes + SHA256_SIZE, SHA256_SIZE);
    const struct plant_record *o = statement->next;
    for (; o && o->where == KEPT_IN_OPENINGS; o = o->next) {
        struct sequencer_opening *to = &openings[e.opening_count++];
        plant_must(e.opening_count < OPENINGS_MAX, "there is room for openings");
        to->bytes = (struct frame_view){o->bytes, o->len};
        plant_must(opening_commitment(p->c, to->commitment, o->bytes, o->len) == 0, "a commitment is made");
    }
    if (sequencer_restore(p->sequencer, &e) != 0)
        plant_fail(p, &p->nodes[PLANT_HUB], "the controller takes back what it kept");
    return o;
}

void plant_sequencer_start(struct plant *p)
{
    struct sequencer_ops ops = {.send = sequencer_send, .store = sequencer_store, .context = p};
    plant_must(sequencer_new(&p->sequencer, p->c, &ops, p->sequencer_seed) == 0, "memory");
    for (const struct plant_record *at = p->store.first; at && !p->failure;)
        at = restore_entry(p, at);
}

void plant_sequencer_stop(struct plant *p)
{
    sequencer_free(p->sequencer);
    p->sequencer = NULL;
}
