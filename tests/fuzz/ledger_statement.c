#include <string.h>

#include "ledger/statement.h"

#include "fuzz.h"

/* What passes the door is what writing it gives. */
static void must_be_written_the_same(const struct statement *s)
{
    uint8_t *again = malloc(s->body_len);
    must(again);
    must(statement_body(s, again, s->body_len) == (int)s->body_len);
    must(memcmp(again, s->body, s->body_len) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crypto *c;
    struct statement s;
    if (!c)
        must(crypto_new(&c, CRYPTO_BULK_OPENSSL) == 0);
    if (statement_decode(c, &s, data, size))
        return 0;
    must(s.signature_count > 0 && s.signature_count <= STATEMENT_SIGNATURES_MAX);
    must_be_written_the_same(&s);
    for (uint32_t i = 0; s.kind == STATEMENT_POLICY && i < s.policy.change_count; i++) {
        struct policy_change change;
        uint8_t bytes[POLICY_CHANGE_SIZE];
        statement_policy_change(&s.policy, i, &change);
        statement_policy_change_put(bytes, &change);
        must(memcmp(bytes, s.policy.changes + (size_t)i * POLICY_CHANGE_SIZE, sizeof(bytes)) == 0);
    }
    return 0;
}
