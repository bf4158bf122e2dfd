/* Time and randomness. */
#ifndef CLI_GROUND_H
#define CLI_GROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fills `out`; `context` is not looked at. */
void random_draw(void *context, void *out, size_t len);
/* s since 1970; warns when the clock was never set. */
uint64_t clock_now(void);
bool clock_is_plausible(uint64_t now);
uint64_t clock_wall(void); /* without a warning */
/* ms, monotonic. */
int64_t clock_ms(void);

#endif
