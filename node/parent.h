/* The parent: opens what needs privilege, starts the others, and parses nothing that came from a network. */
#ifndef NODE_PARENT_H
#define NODE_PARENT_H

#include "options.h"

/* Returns the exit status. */
int parent_main(const struct options *options);

#endif
