/* The processes that nightjard executes itself as (--role=NAME): each returns its exit status. */
#ifndef NODE_ROLES_H
#define NODE_ROLES_H

/* The exit status of a role that met what has not its form: while it starts, what it keeps in STATE. */
#define EXIT_MALFORMED 65

int keys_main(void);
int engine_main(void);
int state_main(void);

#endif
