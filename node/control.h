/* The control socket: lines in, one answer to each, for a few clients that may ask (root, this daemon's own user, the
 * group nightjar). Who sends too long a line or does not read is dropped;
 * whoever has said nothing for 10 s makes room for a newcomer. */
#ifndef NODE_CONTROL_H
#define NODE_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/loop.h"

#define CONTROL_CLIENTS 32
#define CONTROL_LINE_MAX (64u * 1024)
#define CONTROL_ANSWER_MAX (16u << 20)

struct control;

struct control_setup {
    struct loop *loop;
    int fd;    /* listening; stays the caller's */
    uid_t uid; /* may ask, as root may */
    gid_t gid; /* members may ask; (gid_t)-1: no such group */
    /* A whole line without its newline, borrowed. No more is read from that client until control_answer. */
    void (*line)(void *context, uint32_t client, const char *line, size_t len);
    void *context;
};

must_check int control_new(struct control **out, const struct control_setup *setup);
void control_free(struct control *c);

/* The answer to the client of that id; a newline is added. Nothing if it has gone. */
void control_answer(struct control *c, uint32_t id, const char *text, size_t len);
/* Drops clients that do not read for 10 s; goes on with lines that waited for an answer to one before. */
void control_timer(struct control *c, uint64_t now);
uint64_t control_deadline(const struct control *c);

#endif
