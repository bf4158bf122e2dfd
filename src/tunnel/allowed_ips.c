#include "tunnel/allowed_ips.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* A prefix with an owner, or (owner NULL) a branch that two longer prefixes share. A branch always has two children;
 * a child's prefix is longer than its parent's and begins with it. What readers look at stays as it is when the node
 * is unlinked, so a reader that still stands on it goes on through the trie as it was. */
struct allowed_node {
    union {
        struct reclaim_item retired; /* once unlinked */
        struct {                     /* the writer's: the place in the owner's list */
            struct allowed_node *next;
            struct allowed_node **back; /* what points here: the list's head or another node's `next` */
            struct allowed_list *list;  /* NULL: no owner */
        };
    };
    _Atomic(struct allowed_node *) child[2]; /* by the first bit behind the prefix */
    _Atomic(void *) owner;
    uint8_t cidr;
    uint8_t address_len;
    uint8_t address[]; /* address_len bytes, zero behind the prefix */
};

/* An IPv4 address fits into what would be padding. */
_Static_assert(offsetof(struct allowed_node, address) + 4 <= sizeof(struct allowed_node), "room for an IPv4 address");
#define NODE4_SIZE sizeof(struct allowed_node)
#define NODE6_SIZE (offsetof(struct allowed_node, address) + 16)

typedef _Atomic(struct allowed_node *) node_link;

static unsigned bit_at(const uint8_t *address, unsigned position)
{
    return address[position / 8] >> (7 - position % 8) & 1;
}

/* The number of leading bits that both share, `limit` at most. */
static unsigned shared_bits(const uint8_t *a, const uint8_t *b, unsigned limit)
{
    unsigned bits = 0;
    while (bits < limit && a[bits / 8] == b[bits / 8])
        bits += 8;
    if (bits < limit)
        bits += (unsigned)__builtin_clz(a[bits / 8] ^ b[bits / 8]) - 24;
    return bits < limit ? bits : limit;
}

/* ---- The writer's own view of what readers load with acquire ---- */

static struct allowed_node *follow(const node_link *link)
{
    return atomic_load_explicit(link, memory_order_relaxed);
}

static void publish(node_link *link, struct allowed_node *node)
{
    atomic_store_explicit(link, node, memory_order_release);
}

static node_link *root_of(struct allowed_ips *table, unsigned address_len)
{
    return address_len == 4 ? &table->root4 : &table->root6;
}

static bool is_prefix(unsigned address_len, unsigned cidr)
{
    return (address_len == 4 && cidr <= 32) || (address_len == 16 && cidr <= 128);
}

static struct allowed_node *node_new(const uint8_t *address, unsigned address_len, unsigned cidr)
{
    struct allowed_node *node = calloc(1, address_len == 4 ? NODE4_SIZE : NODE6_SIZE);
    if (node == NULL)
        return NULL;
    node->cidr = (uint8_t)cidr;
    node->address_len = (uint8_t)address_len;
    memcpy(node->address, address, (cidr + 7) / 8);
    if (cidr % 8 != 0)
        node->address[cidr / 8] &= (uint8_t)(0xff00 >> cidr % 8);
    return node;
}

static void node_release(struct reclaim_item *item)
{
    free(item);
}

/* ---- Owners' lists ---- */

static void disown(struct allowed_node *node)
{
    if (node->list == NULL)
        return;
    *node->back = node->next;
    if (node->next != NULL)
        node->next->back = node->back;
    else
        node->list->end = node->back;
    node->list->count--;
    node->list = NULL;
}

static void own(struct allowed_node *node, void *owner, struct allowed_list *list)
{
    disown(node);
    node->next = NULL;
    node->back = list->count > 0 ? list->end : &list->first;
    node->list = list;
    *node->back = node;
    list->end = &node->next;
    list->count++;
    atomic_store_explicit(&node->owner, owner, memory_order_release);
}

/* ---- Changing the trie ---- */

/* A link on the way to a prefix, and the one before it (NULL at the root). */
struct place {
    node_link *link;
    node_link *parent;
};

/* The link behind the last node whose prefix is shorter than address/cidr and covers it. */
static struct place descend(node_link *root, const uint8_t *address, unsigned cidr)
{
    struct place at = {root, NULL};
    for (struct allowed_node *node = follow(root); node != NULL; node = follow(at.link)) {
        if (node->cidr >= cidr || shared_bits(node->address, address, node->cidr) < node->cidr)
            break;
        at.parent = at.link;
        at.link = &node->child[bit_at(address, node->cidr)];
    }
    return at;
}

static bool is_exactly(const struct allowed_node *node, const uint8_t *address, unsigned cidr)
{
    return node != NULL && node->cidr == cidr && shared_bits(node->address, address, cidr) == cidr;
}

/* Puts `node`, which is new, where `other` stands; `other` goes below it, or beside it below a branch. */
static int put_before(node_link *link, struct allowed_node *node, struct allowed_node *other)
{
    unsigned limit = node->cidr < other->cidr ? node->cidr : other->cidr;
    unsigned shared = shared_bits(node->address, other->address, limit);
    struct allowed_node *top = node;
    if (shared < node->cidr) {
        top = node_new(node->address, node->address_len, shared);
        if (top == NULL)
            return ERROR_MEMORY;
        publish(&top->child[bit_at(node->address, shared)], node);
    }
    publish(&top->child[bit_at(other->address, shared)], other);
    publish(link, top);
    return 0;
}

int allowed_ips_insert(struct allowed_ips *table, struct reclaim *reclaim, const uint8_t *address, unsigned address_len,
                       unsigned cidr, void *owner, struct allowed_list *list)
{
    (void)reclaim; /* insertion unlinks nothing */
    if (!is_prefix(address_len, cidr))
        return ERROR_INVALID;
    node_link *link = descend(root_of(table, address_len), address, cidr).link;
    struct allowed_node *there = follow(link);
    if (is_exactly(there, address, cidr)) {
        own(there, owner, list);
        return 0;
    }
    struct allowed_node *node = node_new(address, address_len, cidr);
    if (node == NULL)
        return ERROR_MEMORY;
    atomic_store_explicit(&node->owner, owner, memory_order_relaxed);
    if (there == NULL)
        publish(link, node);
    else if (put_before(link, node, there) < 0) {
        free(node);
        return ERROR_MEMORY;
    }
    own(node, owner, list);
    return 0;
}

/* Takes the node out of the trie if it has no owner and fewer than two children. */
static void prune(struct reclaim *reclaim, node_link *link)
{
    struct allowed_node *node = follow(link);
    struct allowed_node *left = follow(&node->child[0]), *right = follow(&node->child[1]);
    if (node->list != NULL || (left != NULL && right != NULL))
        return;
    publish(link, left != NULL ? left : right);
    reclaim_retire(reclaim, &node->retired, node_release);
}

/* Ends the ownership of the node at `at`, and of its place in the trie what is needless then. */
static void take(struct reclaim *reclaim, struct place at)
{
    struct allowed_node *node = follow(at.link);
    disown(node);
    atomic_store_explicit(&node->owner, NULL, memory_order_release);
    prune(reclaim, at.link);
    if (at.parent != NULL)
        prune(reclaim, at.parent);
}

int allowed_ips_remove(struct allowed_ips *table, struct reclaim *reclaim, const uint8_t *address, unsigned address_len,
                       unsigned cidr, void *owner, struct allowed_list *list)
{
    (void)owner; /* the list is as good a name */
    if (!is_prefix(address_len, cidr))
        return ERROR_INVALID;
    struct place at = descend(root_of(table, address_len), address, cidr);
    struct allowed_node *node = follow(at.link);
    if (!is_exactly(node, address, cidr) || node->list != list)
        return ERROR_NOT_FOUND;
    take(reclaim, at);
    return 0;
}

void allowed_ips_remove_all(struct allowed_ips *table, struct reclaim *reclaim, struct allowed_list *list)
{
    while (list->first != NULL) {
        const struct allowed_node *node = list->first;
        take(reclaim, descend(root_of(table, node->address_len), node->address, node->cidr));
    }
}

void allowed_ips_init(struct allowed_ips *table)
{
    atomic_init(&table->root4, NULL);
    atomic_init(&table->root6, NULL);
}

/* No deeper than an address has bits. */
static void free_below(node_link *link)
{
    struct allowed_node *node = follow(link);
    if (node == NULL)
        return;
    free_below(&node->child[0]);
    free_below(&node->child[1]);
    free(node);
    publish(link, NULL);
}

void allowed_ips_clear(struct allowed_ips *table)
{
    free_below(&table->root4);
    free_below(&table->root6);
}

int allowed_ips_each(const struct allowed_list *list,
                     int (*each)(void *context, const uint8_t *address, unsigned address_len, unsigned cidr),
                     void *context)
{
    int result = 0;
    for (const struct allowed_node *node = list->first; node != NULL && result == 0; node = node->next)
        result = each(context, node->address, node->address_len, node->cidr);
    return result;
}

/* ---- Readers ---- */

static const struct allowed_node *load_node(const node_link *link)
{
    return atomic_load_explicit(link, memory_order_acquire);
}

static void *owner_or(const struct allowed_node *node, void *shorter)
{
    void *owner = atomic_load_explicit(&node->owner, memory_order_acquire);
    return owner != NULL ? owner : shorter;
}

void *allowed_ips_lookup4(const struct allowed_ips *table, const uint8_t address[4])
{
    uint64_t key = get_be32(address);
    void *owner = NULL;
    const struct allowed_node *node = load_node(&table->root4);
    /* 64 bits wide, so that shifting by all 32 is defined; behind a /32 the bit is 0 and the child NULL. */
    while (node != NULL && (key ^ get_be32(node->address)) >> (32 - node->cidr) == 0) {
        owner = owner_or(node, owner);
        node = load_node(&node->child[(key << 1) >> (32 - node->cidr) & 1]);
    }
    return owner;
}

/* An IPv6 address as two numbers. */
struct halves {
    uint64_t high, low;
};

static struct halves halves_of(const uint8_t address[16])
{
    return (struct halves){get_be64(address), get_be64(address + 8)};
}

static bool covers6(const struct allowed_node *node, struct halves key)
{
    uint64_t high = get_be64(node->address) ^ key.high;
    if (node->cidr < 64)
        return node->cidr == 0 || high >> (64 - node->cidr) == 0;
    if (high != 0 || node->cidr == 64)
        return high == 0;
    return (get_be64(node->address + 8) ^ key.low) >> (128 - node->cidr) == 0;
}

static unsigned bit_behind6(const struct allowed_node *node, struct halves key)
{
    uint64_t half = node->cidr < 64 ? key.high : key.low;
    return half >> (63 - node->cidr % 64) & 1;
}

void *allowed_ips_lookup6(const struct allowed_ips *table, const uint8_t address[16])
{
    struct halves key = halves_of(address);
    void *owner = NULL;
    const struct allowed_node *node = load_node(&table->root6);
    /* Behind a /128 any bit will do: both children are NULL. */
    while (node != NULL && covers6(node, key)) {
        owner = owner_or(node, owner);
        node = load_node(&node->child[bit_behind6(node, key)]);
    }
    return owner;
}
