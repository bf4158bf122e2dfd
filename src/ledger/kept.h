/* What a node keeps of the ledger, and in which files, so that the process that writes them and the command line that
 * reads them agree. Both are logs of records (proc/files.h) that are only appended to, or replaced whole:
 *
 *   STATE/ledger/log       each record is one CBOR array, as below; the first may be a base
 *   STATE/openings/log     each record is one opening; its commitment is its hash
 *   STATE/ledger/founding  until the log has a first record: the text of the founding ticket that this node began with
 *                          (on the operator's machine and the hub), its seed zero; replica_found takes it in
 *   STATE/ledger/ticket    until the node has joined: the text of the ticket, its seed zero; replica_join takes it
 *   STATE/ledger/network   the network's name, as text
 *   STATE/outbox/HEX       a submission (ledger/blob.h), by its statement's hash in 64 lowercase digits; the state
 *                          removes it once its outcome is known
 */
#ifndef LEDGER_KEPT_H
#define LEDGER_KEPT_H

#include "ledger/fold.h"

#define KEPT_LOG "log"
#define KEPT_FOUNDING "founding"
#define KEPT_TICKET "ticket"
#define KEPT_NETWORK "network"
#define KEPT_NAME_SIZE 65                     /* a statement's hash as a file name, with its NUL */
#define KEPT_RECORD_MAX (STATEMENT_MAX + 64u) /* but for a base */

enum kept_kind {
    KEPT_ENTRY = 1,     /* [1, index, time, verdict, statement] */
    KEPT_HEAD = 2,      /* [2, signed head]; the last one counts */
    KEPT_TAKE_AWAY = 3, /* [3, statement] */
    KEPT_FLOOR = 4,     /* [4, s since 1970]; the greatest counts */
    KEPT_EVIDENCE = 5,  /* [5, signed head, signed head] */
    KEPT_BASE = 6,      /* [6, fold]; entries that follow come behind it; an empty fold: from entry 0 */
};

/* Bytes are borrowed. */
struct kept {
    enum kept_kind kind;
    uint64_t index;            /* entry */
    uint64_t time;             /* entry, floor */
    enum fold_verdict verdict; /* entry */
    const uint8_t *bytes;      /* statement, signed head, first head of the evidence, or fold */
    size_t len;
    const uint8_t *other; /* second head of the evidence */
};

/* Returns the length; ERROR_OVERFLOW. */
must_check int64_t kept_encode(const struct kept *kept, uint8_t *out, size_t capacity);
/* ERROR_MALFORMED. Statements and folds are not looked into. */
must_check int kept_decode(struct kept *out, const uint8_t *bytes, size_t len);

/* The name of a submission's file. */
void kept_name(char out[KEPT_NAME_SIZE], const uint8_t statement[SHA256_SIZE]);
/* False: not such a name. */
bool kept_name_parse(uint8_t statement[SHA256_SIZE], const char *name);

#endif
