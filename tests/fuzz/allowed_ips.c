/* A history of operations, six bytes each, on the trie and on its slow twin; both must say the same all along.
 * Byte 0: operation (bits 0-1), owner (bits 2-4), family (bit 5). Byte 1: cidr. Bytes 2-5: the address. */
#include "tunnel/allowed_ips.h"

#include "../unit/tunnel/linear_ips.h"
#include "fuzz.h"

#define OWNERS 8
#define OPERATION_SIZE 6

enum operation { INSERT, REMOVE, REMOVE_ALL, LOOKUP };

struct both {
    struct allowed_ips trie;
    struct reclaim reclaim;
    struct linear_ips linear;
    struct allowed_list owners[OWNERS];
};

struct decoded {
    enum operation operation;
    struct allowed_list *owner;
    unsigned cidr;
    unsigned address_len;
    uint8_t address[16];
};

static struct decoded decode(struct both *b, const uint8_t *bytes)
{
    struct decoded d = {.operation = (enum operation)(bytes[0] & 3), .owner = &b->owners[bytes[0] >> 2 & 7]};
    d.cidr = bytes[1];
    d.address_len = bytes[0] & 32 ? 16 : 4;
    /* An IPv6 address is set at its ends and on both sides of its middle. */
    static const uint8_t place6[] = {0, 7, 8, 15};
    for (unsigned i = 0; i < 4; i++)
        d.address[d.address_len == 16 ? place6[i] : i] = bytes[2 + i];
    return d;
}

static void check_lookup(struct both *b, const struct decoded *d)
{
    const void *owner =
        d->address_len == 16 ? allowed_ips_lookup6(&b->trie, d->address) : allowed_ips_lookup4(&b->trie, d->address);
    must(owner == linear_lookup(&b->linear, d->address, d->address_len));
}

static void insert(struct both *b, const struct decoded *d)
{
    int error = allowed_ips_insert(&b->trie, &b->reclaim, d->address, d->address_len, d->cidr, d->owner, d->owner);
    bool valid = d->cidr <= d->address_len * 8;
    must(error == (valid ? 0 : ERROR_INVALID));
    if (valid)
        must(linear_insert(&b->linear, d->address, d->address_len, d->cidr, d->owner));
}

static void remove_one(struct both *b, const struct decoded *d)
{
    int error = allowed_ips_remove(&b->trie, &b->reclaim, d->address, d->address_len, d->cidr, d->owner, d->owner);
    if (d->cidr > d->address_len * 8)
        must(error == ERROR_INVALID);
    else
        must((error == 0) == linear_remove(&b->linear, d->address, d->address_len, d->cidr, d->owner));
}

static void apply(struct both *b, const struct decoded *d)
{
    switch (d->operation) {
    case INSERT:
        insert(b, d);
        break;
    case REMOVE:
        remove_one(b, d);
        break;
    case REMOVE_ALL:
        allowed_ips_remove_all(&b->trie, &b->reclaim, d->owner);
        linear_remove_all(&b->linear, d->owner);
        break;
    case LOOKUP:
        break;
    }
    check_lookup(b, d);
    must(d->owner->count == linear_count_of(&b->linear, d->owner));
    reclaim_collect(&b->reclaim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct both b;
    memset(b.owners, 0, sizeof(b.owners));
    b.linear.count = 0;
    allowed_ips_init(&b.trie);
    reclaim_init(&b.reclaim);
    if (size > LINEAR_IPS_MAX * OPERATION_SIZE)
        size = LINEAR_IPS_MAX * OPERATION_SIZE;
    for (size_t at = 0; at + OPERATION_SIZE <= size; at += OPERATION_SIZE) {
        struct decoded d = decode(&b, data + at);
        apply(&b, &d);
    }
    for (size_t i = 0; i < OWNERS; i++)
        allowed_ips_remove_all(&b.trie, &b.reclaim, &b.owners[i]);
    must(b.trie.root4 == NULL && b.trie.root6 == NULL);
    reclaim_clear(&b.reclaim);
    return 0;
}
