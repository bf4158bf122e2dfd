#include "arguments.h"

#include <stdio.h>
#include <string.h>

struct reading {
    struct arguments *out;
    const struct option *tables[2];
    char *complaint;
    size_t complaint_size;
};

/* What the option's name takes of a word: all before a '=', or one letter behind one dash. */
static size_t name_len(const char *word)
{
    return word[1] == '-' ? strcspn(word, "=") : 2;
}

/* NULL: no option has that name. */
static const struct option *find(const struct reading *r, const char *word)
{
    size_t len = name_len(word);
    for (unsigned t = 0; t < 2; t++)
        for (const struct option *o = r->tables[t]; o && o->name; o++)
            if (strlen(o->name) == len && memcmp(o->name, word, len) == 0)
                return o;
    return NULL;
}

static bool complain(struct reading *r, const char *before, const char *word, const char *after)
{
    snprintf(r->complaint, r->complaint_size, "%s%s%s", before, word, after);
    return false;
}

static bool take_operand(struct reading *r, const char *word)
{
    struct arguments *out = r->out;
    if (out->operand_count == OPERANDS_MAX)
        return complain(r, "\"", word, "\" is one word too many.");
    out->operands[out->operand_count++] = word;
    return true;
}

static bool note(struct reading *r, const struct option *o, const char *value)
{
    struct arguments *out = r->out;
    if (!o->repeats && argument_given(out, o->name))
        return complain(r, "", o->name, " is given twice.");
    if (out->given_count == OPTIONS_GIVEN_MAX)
        return complain(r, "There are too many options, from ", o->name, " on.");
    out->given[out->given_count].name = o->name;
    out->given[out->given_count++].value = value;
    return true;
}

/* `*i` moves on to the option's value if that is a word of its own. */
static bool take_option(struct reading *r, int argc, char *const *argv, int *i)
{
    const char *word = argv[*i], *attached = word + name_len(word);
    const struct option *o = find(r, word);
    if (!o)
        return complain(r, "There is no option ", word, ".");
    if (!o->value)
        return *attached ? complain(r, "", o->name, " takes no value.") : note(r, o, "");
    if (*attached)
        return note(r, o, attached + (*attached == '='));
    if (*i + 1 >= argc)
        return complain(r, "", o->name, " needs a value behind it.");
    return note(r, o, argv[++*i]);
}

bool arguments_read(struct arguments *out, int argc, char *const *argv, const struct option *options,
                    const struct option *also, char *complaint, size_t complaint_size)
{
    struct reading r = {out, {options, also}, complaint, complaint_size};
    bool only_operands = false;
    memset(out, 0, sizeof(*out));
    for (int i = 0; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0)
            only_operands = true;
        else if (only_operands || argv[i][0] != '-' || argv[i][1] == 0 ? !take_operand(&r, argv[i])
                                                                       : !take_option(&r, argc, argv, &i))
            return false;
    }
    return true;
}

const char *argument_value(const struct arguments *a, const char *name, unsigned i)
{
    for (unsigned g = 0; g < a->given_count; g++)
        if (strcmp(a->given[g].name, name) == 0 && i-- == 0)
            return a->given[g].value;
    return NULL;
}
