#include "policy/document_error.h"

#include <stdarg.h>

struct writing {
    char *at, *end;
};

static void write_piece(struct writing *w, const char *piece)
{
    for (; *piece && w->at < w->end; piece++)
        *w->at++ = *piece >= ' ' && *piece <= '~' ? *piece : '?';
}

void complain_pieces(struct complaints *c, struct place at, ...)
{
    c->any = true;
    if (c->count == c->max)
        return;
    struct policy_error *error = &c->errors[c->count++];
    error->line = at.line;
    error->column = at.column;
    struct writing w = {.at = error->text, .end = error->text + sizeof(error->text) - 1};
    va_list pieces;
    va_start(pieces, at);
    for (const char *piece = va_arg(pieces, const char *); piece; piece = va_arg(pieces, const char *))
        write_piece(&w, piece);
    va_end(pieces);
    *w.at = 0;
}

static bool comes_before(const struct policy_error *a, const struct policy_error *b)
{
    return a->line != b->line ? a->line < b->line : a->column < b->column;
}

/* By insertion: they are few, and mostly in order. */
void complaints_sort(struct complaints *c)
{
    for (uint32_t i = 1; i < c->count; i++) {
        struct policy_error error = c->errors[i];
        uint32_t j = i;
        for (; j > 0 && comes_before(&error, &c->errors[j - 1]); j--)
            c->errors[j] = c->errors[j - 1];
        c->errors[j] = error;
    }
}
