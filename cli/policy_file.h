/* A policy file beside the network that it is for. */
#ifndef CLI_POLICY_FILE_H
#define CLI_POLICY_FILE_H

#include "policy/document.h"
#include "view.h"

struct policy_file {
    struct cli *cli;
    const char *path;
    char *text;
    size_t len;
    bool signs; /* STATE stays locked while this one decides what to sign */
    bool has_state;
    struct state state;
    struct view view;
    uint32_t unchecked; /* names, without a STATE to look them up in */
    struct rule_set *rules;
    struct policy_tests tests;
};

/* Each: failures have been said. */
must_check int policy_file_read(struct policy_file *w);
/* Opens STATE and its ledger. */
must_check int policy_file_look(struct policy_file *w);
/* Errors as FILE:LINE:COLUMN: text. Names are looked up if STATE was opened. */
must_check int policy_file_parse(struct policy_file *w);
void policy_file_close(struct policy_file *w);

/* In STATE/policy, of a version: N.yaml is the text that was published from here, N.statement the hash of the statement
 * in hexadecimal, for another operator's may have taken that version instead. */
#define POLICY_FILE_NAME_MAX 32
void policy_file_name(char out[POLICY_FILE_NAME_MAX], uint64_t version, const char *ending);

/* What is in force for a subject, if this node holds it; else NULL. */
const struct rule_set *policy_rules_now(const struct view *v, const struct subject *subject);

int policy_compare_subjects(const void *a, const void *b);

#endif
