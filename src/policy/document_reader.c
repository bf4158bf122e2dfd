#include "policy/document_reader.h"

#include <string.h>

/* ---- Words ---- */

#define WORD_MAX 64u

static uint32_t least(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t d = a < b ? a : b;
    return d < c ? d : c;
}

/* Levenshtein's: insertions, deletions and replacements; great for long words, which nobody misspelt. */
static uint32_t distance(const char *a, const char *b)
{
    uint32_t row[WORD_MAX + 1];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > WORD_MAX || b_len > WORD_MAX)
        return UINT32_MAX;
    for (uint32_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a_len; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b_len; j++) {
            uint32_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, row[j] + 1, row[j - 1] + 1);
        }
    }
    return row[b_len];
}

/* Keeps the better guess at what `word` should have been; a guess is at most two letters away, one in a short word. */
static void consider(const char *word, const char *candidate, const char **best, uint32_t *best_distance)
{
    uint32_t d = distance(word, candidate), limit = strlen(word) > 4 ? 2 : 1;
    if (d <= limit && (!*best || d < *best_distance)) {
        *best = candidate;
        *best_distance = d;
    }
}

/* ---- Maps with known keys ---- */

static const struct keyword *find_keyword(const struct keyword *words, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i].name, name) == 0)
            return &words[i];
    return NULL;
}

static void complain_of_key(struct reader *r, const struct node *key, const struct keyword *words, size_t count,
                            const char *known)
{
    const char *best = NULL;
    uint32_t best_distance = 0;
    for (size_t i = 0; i < count; i++)
        consider(key->text, words[i].name, &best, &best_distance);
    if (best)
        complain(&r->complaints, key->at, "unknown key \"", key->text, "\"; did you mean \"", best, "\"?");
    else
        complain(&r->complaints, key->at, "unknown key \"", key->text, "\"; what may stand here: ", known);
}

uint32_t reader_map(struct reader *r, const struct node *map, const struct keyword *words, size_t count,
                    const char *known)
{
    uint32_t seen = 0;
    for (const struct node *key = map->child; key && key->next; key = key->next->next) {
        if (key->kind != NODE_SCALAR) {
            if (key->kind != NODE_WRONG)
                complain(&r->complaints, key->at, "a key must be a word; what may stand here: ", known);
            continue;
        }
        const struct keyword *word = find_keyword(words, count, key->text);
        if (!word) {
            complain_of_key(r, key, words, count, known);
            continue;
        }
        uint32_t bit = 1u << (word - words);
        if (seen & bit)
            complain(&r->complaints, key->at, "\"", key->text, "\" stands here twice; put both into one");
        else
            word->read(r, key->next);
        seen |= bit;
    }
    return seen;
}

/* ---- Names ---- */

static void complain_of_unknown(struct reader *r, const struct node *node)
{
    const char *best = NULL, *known;
    uint32_t best_distance = 0;
    bool guess = r->names->known && r->complaints.count < r->complaints.max;
    for (uint32_t i = 0; guess && (known = r->names->known(r->names->context, i)); i++)
        consider(node->text, known, &best, &best_distance);
    if (best)
        complain(&r->complaints, node->at, "no group or device is called \"", node->text, "\"; did you mean \"", best,
                 "\"?");
    else
        complain(&r->complaints, node->at, "no group or device is called \"", node->text,
                 "\"; invite a device of that name or into that group first");
}

bool reader_look_up(struct reader *r, const struct node *node, struct subject *out)
{
    struct subject group, device;
    if (strcmp(node->text, "all") == 0) {
        *out = (struct subject){0};
        return true;
    }
    if (!name_is_valid(node->text, strlen(node->text))) {
        complain(&r->complaints, node->at, "\"", node->text,
                 "\" is no name; names are of a-z, 0-9 and inner hyphens, at most 63 of them");
        return false;
    }
    bool is_group = r->names->group(r->names->context, node->text, &group);
    bool is_device = r->names->device(r->names->context, node->text, &device);
    if (is_group && is_device)
        complain(&r->complaints, node->at, "\"", node->text,
                 "\" is both a group and a device; rename one, so that it is clear who is meant");
    else if (!is_group && !is_device)
        complain_of_unknown(r, node);
    *out = is_group ? group : device;
    return is_group != is_device;
}

/* ---- Ports ---- */

/* A number from 1 to 65535 without leading zeroes; moves `*text` behind it. */
static bool take_port(const char **text, uint32_t *out)
{
    const char *digit = *text;
    uint32_t value = 0;
    while (*digit >= '0' && *digit <= '9' && value <= PORT_MAX)
        value = value * 10 + (uint32_t)(*digit++ - '0');
    if (**text == '0' || digit == *text || value > PORT_MAX)
        return false;
    *text = digit;
    *out = value;
    return true;
}

bool reader_ports(const char *text, uint32_t *low, uint32_t *high)
{
    if (!take_port(&text, low))
        return false;
    *high = *low;
    if (*text == '-') {
        text++;
        if (!take_port(&text, high))
            return false;
    }
    return *text == 0 && *low <= *high;
}
