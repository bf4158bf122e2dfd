/* The processes that nightjard executes itself as (--role=NAME): each returns its exit status. */
#ifndef NODE_ROLES_H
#define NODE_ROLES_H

int keys_main(void);
int engine_main(void);
int state_main(void);

#endif
