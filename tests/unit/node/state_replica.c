#include "state_replica.h"

#include <stdlib.h>
#include <string.h>

static struct replica *the_replica;

struct replica *fake_replica(void)
{
    return the_replica;
}

const struct device_id replica_controller;

int replica_new(struct replica **out, struct crypto *c, const struct replica_config *config,
                const struct replica_ops *ops)
{
    (void)c;
    struct replica *r = calloc(1, sizeof(*r));
    if (!r)
        return ERROR_MEMORY;
    r->ops = ops;
    r->config = *config;
    *out = the_replica = r;
    return 0;
}

void replica_free(struct replica *r)
{
    free(r);
    the_replica = NULL;
}

int replica_restore_opening(struct replica *r, const uint8_t *bytes, size_t len)
{
    (void)bytes;
    (void)len;
    r->openings++;
    return 0;
}

int replica_restore_base(struct replica *r, const uint8_t *fold, size_t len)
{
    (void)r;
    (void)fold;
    (void)len;
    return 0;
}

int replica_restore_entry(struct replica *r, uint64_t index, uint64_t time, enum fold_verdict verdict,
                          const uint8_t *bytes, size_t len)
{
    (void)time;
    (void)verdict;
    (void)bytes;
    (void)len;
    return index == r->entries++ ? 0 : ERROR_MALFORMED;
}

int replica_restore_take_away(struct replica *r, const uint8_t *bytes, size_t len)
{
    (void)r;
    (void)bytes;
    (void)len;
    return 0;
}

int replica_restore_head(struct replica *r, const uint8_t signed_head[SIGNED_HEAD_SIZE])
{
    (void)r;
    (void)signed_head;
    return 0;
}

void replica_restore_floor(struct replica *r, uint64_t seconds)
{
    (void)r;
    (void)seconds;
}

/* A member, beside one device that it may talk to. */
int replica_begin(struct replica *r, uint64_t now, uint64_t wall)
{
    static const struct grant out[] = {{GRANT_TCP, 502, 502}, {GRANT_UDP, 1, 9}}, in[] = {{GRANT_ICMP, 0, 0}};
    struct replica_device d = {.id = {{2}},
                               .flags = REPLICA_MEMBER,
                               .name = "plc-1",
                               .has_ipv6 = true,
                               .ipv6 = {0xfd, 2},
                               .out_count = 2,
                               .out = out,
                               .in_count = 1,
                               .in = in};
    (void)now;
    (void)wall;
    r->begins++;
    r->self = (struct replica_self){.member = true, .id = {{1}}, .name = "hub", .ipv6 = {0xfd, 1}};
    r->ops->self(r->ops->context, &r->self);
    r->ops->device(r->ops->context, &d);
    return 0;
}

int replica_join(struct replica *r, const struct ticket *ticket, const uint8_t *join, size_t join_len, uint64_t now,
                 uint64_t wall)
{
    (void)ticket;
    (void)join;
    (void)now;
    (void)wall;
    r->joins += join_len > 0;
    if (r->on_join)
        r->on_join(r);
    return 0;
}

int replica_found(struct replica *r, const struct ticket *ticket)
{
    (void)r;
    (void)ticket;
    return 0;
}

void replica_frame(struct replica *r, const struct device_id *from, bool invite, const uint8_t *frame, size_t len,
                   uint64_t now)
{
    (void)from;
    (void)invite;
    (void)frame;
    (void)len;
    (void)now;
    r->frames++;
    if (r->on_frame)
        r->on_frame(r);
}

void replica_link(struct replica *r, const struct device_id *id, bool up, uint64_t now)
{
    (void)id;
    (void)now;
    r->links += up;
}

void replica_learn(struct replica *r, const struct device_id *from, struct frame_view opening, struct frame_view head,
                   uint64_t now)
{
    (void)r;
    (void)from;
    (void)opening;
    (void)head;
    (void)now;
}

void replica_seen(struct replica *r, const struct device_id *id, uint64_t now)
{
    (void)r;
    (void)id;
    (void)now;
}

void replica_intruder(struct replica *r, const struct device_id *id, uint64_t now)
{
    (void)r;
    (void)id;
    (void)now;
}

int replica_submit(struct replica *r, const uint8_t *bytes, size_t len, uint64_t now)
{
    (void)bytes;
    (void)len;
    (void)now;
    r->submissions++;
    return r->submit_error;
}

bool replica_meet(struct replica *r, const struct device_id *asker, const struct frame_introduce *what,
                  struct replica_meeting *out)
{
    (void)r;
    (void)what;
    *out = (struct replica_meeting){.target = {{2}}, .asker_opening = {(const uint8_t *)"abc", 3}};
    return asker->bytes[0] == 2;
}

void replica_timer(struct replica *r, uint64_t now, uint64_t wall)
{
    (void)r;
    (void)now;
    (void)wall;
}

uint64_t replica_deadline(const struct replica *r)
{
    (void)r;
    return UINT64_MAX;
}

const struct fold *replica_fold(const struct replica *r)
{
    (void)r;
    return NULL;
}

const struct replica_self *replica_self(const struct replica *r)
{
    return &r->self;
}

const struct signed_head *replica_signed_head(const struct replica *r)
{
    (void)r;
    return NULL;
}

const struct opening_invite *replica_opening(struct replica *r, const struct device_id *id)
{
    (void)r;
    (void)id;
    return NULL;
}

bool replica_sequenced(const struct replica *r, const uint8_t statement[SHA256_SIZE], enum fold_verdict *verdict,
                       uint64_t *index)
{
    *verdict = VERDICT_STANDS;
    *index = 5;
    return r->has_sequenced && memcmp(r->sequenced, statement, SHA256_SIZE) == 0;
}

uint64_t replica_policy_version(const struct replica *r)
{
    (void)r;
    return 3;
}

bool replica_problem_at(const struct replica *r, uint32_t i, struct replica_problem *out)
{
    (void)r;
    (void)i;
    (void)out;
    return false;
}

bool replica_has_submissions(const struct replica *r)
{
    return r->submissions > 0;
}

void replica_read_counters(const struct replica *r, struct replica_counters *out)
{
    (void)r;
    *out = (struct replica_counters){.malformed = 4};
}
