/* Writes what a node begins with into a new STATE: keys, the ledger's first entries, a controller. Failures have been
 * said. */
#ifndef CLI_FOUNDER_H
#define CLI_FOUNDER_H

#include "identity/ticket.h"
#include "state.h"

/* The device's keys, and the seed of its invite (may be NULL) where the daemon looks for them. */
must_check int founder_write_keys(struct cli *cli, struct state *s, const uint8_t signing[ED25519_SEED_SIZE],
                                  const uint8_t static_private[X25519_SIZE], const uint8_t *seed);
/* The time that the device's initiations count from. */
must_check int founder_write_floor(struct cli *cli, struct state *s, uint64_t seconds);
/* The ticket, without its seed: what founds the ledger, or what is to be joined with; and the network's name. */
must_check int founder_write_ledger(struct cli *cli, struct state *s, const struct ticket *ticket);
/* The port to listen on; 0: the daemon picks one. */
must_check int founder_write_port(struct cli *cli, struct state *s, uint16_t port);

/* Makes STATE/controller and the sequencer's key. */
must_check int founder_init_controller(struct cli *cli, struct state *s, uint8_t sequencer[ED25519_PUBLIC_SIZE]);
/* Hands it the network's first entries. */
must_check int founder_found_controller(struct cli *cli, struct state *s, const struct ticket *ticket);

#endif
