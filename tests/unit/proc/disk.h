/* A disk in memory for files_calls, which fails or loses power at any of its operations, and afterwards holds what was
 * synced, with or without the rest. */
#ifndef TEST_PROC_DISK_H
#define TEST_PROC_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc/files.h"

#define DISK_FILES 16
#define DISK_BYTES 65536

struct disk_content {
    uint8_t bytes[DISK_BYTES];
    size_t len;
};

struct disk {
    struct disk_content now[DISK_FILES], synced[DISK_FILES]; /* by inode */
    char names_now[DISK_FILES][64], names_synced[DISK_FILES][64];
    int inode_count;
    size_t places[DISK_FILES * 4]; /* of descriptors */
    int inodes[DISK_FILES * 4];
    int fd_count;
    unsigned operations; /* that changed or synced something */
    unsigned syncs;
    unsigned fail_at; /* 0: never; the operation of that number fails with `failure` */
    int failure;      /* an errno */
    bool fail_on;     /* and all after it */
    unsigned cut_at;  /* 0: never; power fails in that operation, which may be half done */
    bool dead;
};

struct disk *disk_new(void);
struct files disk_files(struct disk *d);
/* Power is back. What was not synced is there, or not: contents and names apart. */
void disk_restart(struct disk *d, bool keep_contents, bool keep_names);
/* The content of a name, or NULL. */
const struct disk_content *disk_find(const struct disk *d, const char *name);

#endif
