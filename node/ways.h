/* The parent's ways into the world: the TUN interface, the UDP port, the control socket, and the table of darkness.
 * What it opens here it hands to its children. */
#ifndef NODE_WAYS_H
#define NODE_WAYS_H

#include "net/tun.h"
#include "options.h"
#include "place.h"
#include "proc/messages.h"

#define WAYS_MTU 1360

struct ways {
    struct tun *tun; /* NULL while joining */
    uint32_t interface;
    char name[16]; /* of the interface */
    int udp[2];    /* -1: none */
    uint16_t port;
    int control; /* listening, for state to accept from; -1 while joining */
    bool darkened;
    bool guarded;     /* overlay addresses, on other interfaces */
    struct keep keep; /* of the command line and node.conf */
};

/* In the order that leaves no moment of light: interface, table, port. On failure a sentence. */
must_check int ways_open(struct ways *out, const struct options *options, struct place *place,
                         char complaint[PLACE_COMPLAINT]);
/* The children have the interface and the port. The control socket stays open here, too: that it can be connected to
 * says that the daemon has not wholly ended. */
void ways_give_away(struct ways *w);
/* Orderly: the control socket's name and the table go as well. */
void ways_close(struct ways *w, const struct place *place);

/* Sets the interface's addresses, brings it up, and keeps overlay addresses off all others. */
void ways_configure(struct ways *w, const struct place *place, const struct ipc_configure *what,
                    struct ipc_configured *out);

/* Removes the table of darkness of a place whose daemon is dead. */
must_check int ways_undarken(const struct place *place);

#endif
