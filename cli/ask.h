/* A question that a person answers with yes or no. */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "command.h"

/* Whether there is somebody to ask. */
bool ask_is_possible(void);
/* Asks "QUESTION [y/N] " on the terminal; anything but y or yes is a no, also no terminal. */
bool ask_yes(const char *question);

/* The same on an open terminal. */
bool ask_yes_on(int terminal, const char *question);

#endif
