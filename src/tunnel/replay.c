#include "tunnel/replay.h"

#define WORD_BITS 64

/* Empties the words that begin between the greatest counter and `counter`: they still hold the ring's previous turn. */
static void advance(struct replay *window, uint64_t counter)
{
    uint64_t first = (window->next + WORD_BITS - 1) / WORD_BITS;
    uint64_t count = counter / WORD_BITS + 1 - first;
    if (count > REPLAY_WORDS)
        count = REPLAY_WORDS;
    for (uint64_t i = 0; i < count; i++)
        window->words[(first + i) % REPLAY_WORDS] = 0;
    window->next = counter + 1;
}

bool replay_accept(struct replay *window, uint64_t counter)
{
    /* The limit also keeps the sum below from wrapping. */
    if (counter >= REJECT_AFTER_MESSAGES || counter + REPLAY_WINDOW + 1 < window->next)
        return false;
    if (counter >= window->next)
        advance(window, counter);
    uint64_t *word = &window->words[counter / WORD_BITS % REPLAY_WORDS];
    uint64_t bit = UINT64_C(1) << counter % WORD_BITS;
    if (*word & bit)
        return false;
    *word |= bit;
    return true;
}
