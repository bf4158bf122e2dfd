/* The processes that nightjard executes itself as (--role=NAME): each returns its exit status. */
#ifndef NODE_ROLES_H
#define NODE_ROLES_H

/* The exit status of a role that met what has not its form: while it starts, what it keeps in STATE. */
#define EXIT_MALFORMED 65

/* The one option that a role may have: the engine offers no AES (aead=chacha20 in node.conf). */
#define ROLE_CHACHA20 "--aead=chacha20"

/* `option`: ROLE_CHACHA20, or NULL. */
int keys_main(const char *option);
int engine_main(const char *option);
int state_main(const char *option);

#endif
