/* What reads a policy file: rules in document.c, tests in document_test.c. */
#ifndef POLICY_DOCUMENT_READER_H
#define POLICY_DOCUMENT_READER_H

#include "policy/document_tree.h"

#define SIDE_MAX 256u /* names on one side of a rule */
#define PORT_MAX 65535u

struct named {
    struct subject subject;
    const char *name; /* in the tree */
};

/* A rule as it is written: every one of `from` toward every one of `to`. */
struct draft {
    struct named sides[2][SIDE_MAX]; /* from, to */
    uint32_t side_counts[2];
    struct grant grants[GRANTS_MAX];
    uint32_t grant_count;
    bool grants_overflow;
};

struct reader {
    struct complaints complaints;
    const struct policy_names *names;
    struct rule_set *set;
    uint32_t capacity;
    struct draft draft;
    struct policy_tests tests;
    uint32_t test_capacity;
    struct policy_test test; /* the one that is being read */
    int error;               /* ERROR_MEMORY */
};

struct keyword {
    const char *name;
    void (*read)(struct reader *r, const struct node *value);
};
/* Reads each value by its key's row; returns a bit for each row whose key was there. `known` lists the keys. */
uint32_t reader_map(struct reader *r, const struct node *map, const struct keyword *words, size_t count,
                    const char *known);
/* What a scalar names. False: nobody, which was complained of. */
bool reader_look_up(struct reader *r, const struct node *node, struct subject *out);
/* "502", "9000-9010" */
bool reader_ports(const char *text, uint32_t *low, uint32_t *high);

void document_read_tests(struct reader *r, const struct node *value);

#endif
