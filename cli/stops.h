/* What stops when a device is taken away: its live flows as far as this node sees them, and what the rules in force let
 * it do. */
#ifndef CLI_STOPS_H
#define CLI_STOPS_H

#include <jansson.h>

#include "view.h"

/* {"flows": [as the daemon answers "flows"] or null without a daemon, "flows_more": n, "flows_scope": sentence,
 *  "rules": [{direction, with, devices: [names], services: ["tcp/502", ...]}]}. NULL: no memory. */
json_t *stops_look(struct cli *cli, const struct view *v, const struct fold_device *d);
/* For people, on stderr. */
void stops_print(const struct cli *cli, const char *name, const json_t *stops);

/* "tcp/502", "udp/9000-9010", "tcp/any", "icmp". */
#define SERVICE_MAX 20
void service_print(char out[SERVICE_MAX], const struct grant *grant);

#endif
