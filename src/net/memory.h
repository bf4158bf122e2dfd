/* What the process keeps in memory. */
#ifndef NET_MEMORY_H
#define NET_MEMORY_H

/* Gives back the pages of code and constants that start-up ran through (libipsec-mb's self-test alone touches 3 MB).
 * They are unmodified, and come back from their files when they are needed. */
void memory_release_code(void);

#endif
