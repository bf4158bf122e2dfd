/* A replica that does what a test tells it to, and counts what it is told. */
#ifndef TESTS_UNIT_NODE_STATE_REPLICA_H
#define TESTS_UNIT_NODE_STATE_REPLICA_H

#include "ledger/replica.h"

struct replica {
    const struct replica_ops *ops;
    struct replica_config config;
    struct replica_self self;
    uint32_t openings, entries, frames, links, submissions, joins, begins;
    uint8_t submitted[SHA256_SIZE];
    int submit_error;
    bool has_sequenced; /* stands in the ledger: */
    uint8_t sequenced[SHA256_SIZE];
    void *test;                          /* a test's own */
    void (*on_frame)(struct replica *r); /* may be NULL */
    void (*on_join)(struct replica *r);
};
/* The one that there is; NULL before replica_new. */
struct replica *fake_replica(void);

#endif
