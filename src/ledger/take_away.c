#include <stdlib.h>
#include <string.h>

#include "ledger/fold_internal.h"

uint8_t fold_waiting_bit(enum statement_kind kind)
{
    switch (kind) {
    case STATEMENT_REVOKE:
        return 1;
    case STATEMENT_ISOLATE:
        return 2;
    case STATEMENT_UNINVITE:
        return 4;
    default:
        return 0;
    }
}

static uint32_t find(const struct fold *f, const uint8_t hash[SHA256_SIZE])
{
    for (uint32_t i = 0; i < f->take_away_count; i++)
        if (memcmp(f->take_aways[i].hash, hash, SHA256_SIZE) == 0)
            return i;
    return NOWHERE;
}

static void refresh_device(struct fold *f, uint32_t device)
{
    uint8_t waiting = 0;
    for (uint32_t i = 0; i < f->take_away_count; i++)
        if (f->take_aways[i].device == device)
            waiting |= fold_waiting_bit(f->take_aways[i].kind);
    f->devices[device].waiting = waiting;
}

static void drop(struct fold *f, uint32_t i)
{
    uint32_t device = f->take_aways[i].device;
    f->take_aways[i] = f->take_aways[--f->take_away_count];
    refresh_device(f, device);
}

static bool signer_stands(const struct fold *f, const struct take_away *t)
{
    const struct root_role *role = fold_find_role(f, t->signer);
    return role && (role->roles & fold_roles_for(t->kind));
}

void fold_settle_take_aways(struct fold *f, const struct statement *s, bool stands)
{
    uint32_t same = find(f, s->hash);
    if (same != NOWHERE)
        drop(f, same);
    if (!stands || s->kind != STATEMENT_ROOT)
        return;
    for (uint32_t i = f->take_away_count; i-- > 0;)
        if (!signer_stands(f, &f->take_aways[i]))
            drop(f, i);
}

static int make_room(struct fold *f)
{
    if (f->take_away_count < f->take_away_capacity)
        return 0;
    uint32_t capacity = f->take_away_capacity ? f->take_away_capacity * 2 : 8;
    void *grown = realloc(f->take_aways, capacity * sizeof(*f->take_aways));
    if (!grown)
        return ERROR_MEMORY;
    f->take_aways = grown;
    f->take_away_capacity = capacity;
    return 0;
}

static void add(struct fold *f, const struct statement *s)
{
    struct take_away *t = &f->take_aways[f->take_away_count++];
    t->kind = s->kind;
    t->device = fold_find_invite(f, s->about.invite);
    memcpy(t->hash, s->hash, SHA256_SIZE);
    memcpy(t->signer, s->signatures[0].key, ED25519_PUBLIC_SIZE);
    f->devices[t->device].waiting |= fold_waiting_bit(s->kind);
}

int fold_take_away(struct fold *f, const struct statement *s, enum fold_verdict *verdict)
{
    if (fold_is_empty(f) || fold_waiting_bit(s->kind) == 0)
        return ERROR_INVALID;
    int error = 0;
    if (find(f, s->hash) != NOWHERE)
        *verdict = VERDICT_ALREADY;
    else
        *verdict = fold_judge_as(f, s, f->head.time, true, &error);
    if (error || *verdict != VERDICT_STANDS)
        return error;
    if (f->take_away_count >= TAKE_AWAYS_MAX) {
        *verdict = VERDICT_FULL;
        return 0;
    }
    error = make_room(f);
    if (!error)
        add(f, s);
    return error;
}

uint32_t fold_isolations_waiting(const struct fold *f, const struct device_id *id, uint8_t (*out)[SHA256_SIZE],
                                 uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->take_away_count; i++) {
        const struct take_away *t = &f->take_aways[i];
        if (t->kind != STATEMENT_ISOLATE || !device_id_equal(&f->devices[t->device].is.id, id))
            continue;
        if (count < max)
            memcpy(out[count], t->hash, SHA256_SIZE);
        count++;
    }
    return count;
}
