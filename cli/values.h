/* Values as people write them on the command line. */
#ifndef CLI_VALUES_H
#define CLI_VALUES_H

#include <stdbool.h>
#include <stdint.h>

/* "90s", "30m", "24h", "7d"; a whole number of at most nine digits and a unit; not 0. Seconds. */
bool duration_parse(uint64_t *out, const char *text);
/* "2027-12-31": s since 1970 at the end of that day, UTC. Years 1970 to 9999. */
bool date_parse(uint64_t *out, const char *text);
/* A decimal number from min to max, without sign or spaces. */
bool number_parse(uint64_t *out, const char *text, uint64_t min, uint64_t max);
/* A size or a duration for people, at most 31 characters: "1.5 MB", "3 min". */
#define AMOUNT_MAX 32
void bytes_print(char out[AMOUNT_MAX], uint64_t bytes);
void seconds_print(char out[AMOUNT_MAX], uint64_t seconds);

#endif
