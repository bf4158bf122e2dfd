/* A disk in memory under SQLite, that fails or loses power at any write: each file has what was written and what was
 * synced, and a power cut leaves a mixture of both, sector by sector. */
#ifndef TESTS_CONTROLLER_DISK_H
#define TESTS_CONTROLLER_DISK_H

#include <stdint.h>

struct disk;

enum disk_trouble {
    DISK_GOOD,
    DISK_FULL,      /* from the chosen step on nothing can grow */
    DISK_ONE_ERROR, /* the chosen step fails, once */
    DISK_NO_POWER,  /* from the chosen step on nothing reaches the disk */
};

/* An empty disk, known to SQLite by this name of a VFS; one at a time. */
struct disk *disk_new(const char *vfs);
void disk_free(struct disk *d);

/* Writes, syncs, truncations and deletions are steps; the next one is step 0. */
void disk_fail(struct disk *d, enum disk_trouble trouble, uint32_t step);
/* Whether the trouble came. */
int disk_failed(const struct disk *d);
/* Space and power are back; what was never synced is there or not, as `seed` has it. All files must be closed if there
 * was no power. */
void disk_heal(struct disk *d, uint64_t seed);

#endif
