/* The table of subcommands, and what help says of each. */
#include "command.h"

#define WAIT_OPTION                                                                         \
    {                                                                                       \
        "--wait", NULL, false, "exit with 1 if the network's word has not come within 10 s" \
    }

static const struct option init_options[] = {
    {"--endpoint", "HOST:PORT", false, "where its public host is reached: address and port in numbers"},
    {"--all-on-this-host", NULL, false, "for trials: operator, controller and relay in one"},
    {"--ipv4", "none", false, "devices get IPv6 addresses only"},
    {"--passphrase-fd", "N", false, "read the passphrase of the owner's keys from descriptor N"},
    {"--no-passphrase", NULL, false, "leave the owner's keys bare"},
    {0},
};
static const struct option invite_options[] = {
    {"--group", "G", true, "put it into a group; may be repeated"},
    {"--site", "S", false, "the site where it stands"},
    {"--relay", "HOST:PORT", false, "it may be a relay, reached there"},
    {"--expires", "24h", false, "how long the ticket is good for (s, m, h, d); 24h if not given"},
    {"--until", "DATE", false, "its membership ends after that day, as 2027-12-31"},
    {"--qr", NULL, false, "print the ticket as a QR code"},
    WAIT_OPTION,
    {"--passphrase-fd", "N", false, "read the passphrase of the owner's keys from descriptor N"},
    {0},
};
static const struct option up_options[] = {
    {"--darken", NULL, false, "strangers get no answer from any port of this host"},
    {"--keep", "tcp/22", true, "but from this one; may be repeated"},
    {"--listen", "PORT", false, "the UDP port to use, from now on"},
    {"--foreground", NULL, false, "stay in the foreground and log to stderr (for systemd)"},
    {0},
};
static const struct option ping_options[] = {{"-c", "N", false, "how many times; 3 if not given"}, {0}};
static const struct option publish_options[] = {
    WAIT_OPTION,
    {"--passphrase-fd", "N", false, "read the passphrase of the owner's keys from descriptor N"},
    {0},
};
static const struct option revoke_options[] = {
    {"--reason", "TEXT", false, "why; kept in STATE/owner here, and told to nobody"},
    {"--yes", NULL, false, "do not ask"},
    WAIT_OPTION,
    {"--passphrase-fd", "N", false, "read the passphrase of the owner's keys from descriptor N"},
    {0},
};
static const struct option give_back_options[] = {
    {"--reason", "TEXT", false, "why; kept in STATE/owner here, and told to nobody"},
    WAIT_OPTION,
    {"--passphrase-fd", "N", false, "read the passphrase of the owner's keys from descriptor N"},
    {0},
};
static const struct option no_options[] = {{0}};

const struct command commands[] = {
    {"init", "make a network", "NAME --endpoint HOST:PORT",
     "Makes a network on an operator's machine and prints its founding ticket: with it, one host that the Internet\n"
     "reaches becomes the network's controller and relay. The owner's keys, which can do everything, stay in STATE\n"
     "here, under a passphrase.\n"
     "\n"
     "Example, on the operator's machine and then on the public host 203.0.113.5:\n"
     "  nightjar init plant --endpoint 203.0.113.5:51820 > founding-ticket\n"
     "  nightjar join founding-ticket && nightjar up\n",
     init_options, 1, 1, command_init},
    {"invite", "admit a device: print a ticket for it", "DEVICE",
     "Signs an invite and prints the ticket that carries it. The ticket is a secret: the first machine that joins "
     "with\n"
     "it becomes DEVICE, and no second one can. Rules of the policy speak of groups and devices.\n"
     "\n"
     "Example:\n"
     "  nightjar invite pump-3 --group sensors --site north > pump-3.ticket\n",
     invite_options, 1, 1, command_invite},
    {"uninvite", "take back a ticket that nobody has used yet", "DEVICE",
     "Ends an invite with which no device has joined: whoever holds its ticket, or a copy, can do nothing with it any\n"
     "more, and draws no answer. A device that has joined already is revoked or isolated instead.\n"
     "\n"
     "Example:\n"
     "  nightjar uninvite pump-3\n",
     give_back_options, 1, 1, command_uninvite},
    {"revoke", "end a device's membership for good", "DEVICE --reason TEXT",
     "Shows what will stop (flows seen from here, and what the rules let the device do), asks, and ends the device "
     "for\n"
     "good. Every node that hears of it ends its sessions with the device at once and answers it no more; nodes tell\n"
     "each other, also without a controller. To let the machine in again, invite it anew.\n"
     "\n"
     "Example:\n"
     "  nightjar revoke pump-7 --reason \"stolen from site north\"\n",
     revoke_options, 1, 1, command_revoke},
    {"isolate", "cut a device off until it is restored", "DEVICE",
     "As revoke, at once and everywhere, but \"nightjar restore\" lifts it.\n"
     "\n"
     "Example:\n"
     "  nightjar isolate pump-7\n",
     revoke_options, 1, 1, command_isolate},
    {"restore", "lift a device's isolation", "DEVICE",
     "Lifts all isolations of a device. Unlike taking away, this counts only once it is in the ledger; the device "
     "then\n"
     "comes back by itself within seconds.\n"
     "\n"
     "Example:\n"
     "  nightjar restore pump-7\n",
     give_back_options, 1, 1, command_restore},
    {"join", "become a member with a ticket", "FILE|-",
     "Makes this machine's keys, which never leave it, and becomes a member with them. It needs no daemon and no TUN\n"
     "device, only a way to a relay. Repeating it is safe: after a lost answer it finishes, and once it is a member\n"
     "it says so. With a founding ticket the machine becomes the network's first controller and relay.\n"
     "\n"
     "Example:\n"
     "  nightjar join pump-3.ticket && nightjar up\n",
     no_options, 1, 1, command_join},
    {"up", "start the node", "",
     "Starts the daemon and returns when network interface, port and state are ready. Where this host is the\n"
     "controller, that starts too. With --darken the host's firewall drops whatever strangers send, on every port but\n"
     "those kept; until the node goes down, even if the daemon dies.\n"
     "\n"
     "Example:\n"
     "  nightjar up --darken --keep tcp/22\n",
     up_options, 0, 0, command_up},
    {"down", "stop the node", "",
     "Stops the daemon and takes its firewall rules away, also those of a daemon that died.\n"
     "\n"
     "Example:\n"
     "  nightjar down\n",
     no_options, 0, 0, command_down},
    {"status", "who I am, peers, paths, what is wrong", "",
     "Shows what the node is, its peers with the path to each, and every problem with what to do about it.\n"
     "\n"
     "Example:\n"
     "  nightjar status --json | jq '.problems[].what'\n",
     no_options, 0, 0, command_status},
    {"devices", "all devices that this node knows of", "",
     "Lists devices with state, site, addresses and groups. An operator's node, a relay and a controller know all of\n"
     "them; others know those that rules join them to.\n"
     "\n"
     "Example:\n"
     "  nightjar devices\n",
     no_options, 0, 0, command_devices},
    {"doctor", "each check: result, cause, what to do", "",
     "Looks at STATE, the daemon and its processes, the network as the daemon sees it, and this host. Changes nothing\n"
     "and sends nothing. Needs no daemon, but tells less without one. Exits with 1 if a check failed.\n"
     "\n"
     "Example:\n"
     "  nightjar doctor\n",
     no_options, 0, 0, command_doctor},
    {"ping", "the round trip to a device, and by which path", "DEVICE",
     "Asks a device for an answer through the tunnel. A device that does not exist and one that no rule joins to this\n"
     "one look alike. Exits with 0 if at least one answer came.\n"
     "\n"
     "Example:\n"
     "  nightjar ping pump-3 -c 1\n",
     ping_options, 1, 1, command_ping},
    {"can", "whether policy allows it, and the rule that says so", "FROM tcp|udp|icmp|publish|subscribe|coap [WHAT] TO",
     "Says yes or no, and the rule that says so or what comes nearest, by what STATE holds; the daemon may be down.\n"
     "FROM and TO are devices, or groups, which means all of their members. WHAT is a port, a topic or a path; icmp\n"
     "has none. Exits with 0 for yes, 1 for no.\n"
     "\n"
     "Example:\n"
     "  nightjar can sensor-7 tcp 1883 broker-1\n",
     no_options, 3, 4, command_can},
    {"policy check", "whether a policy is right, without publishing it", "FILE|-",
     "Reads a policy and says, with line and column, what is wrong in it. Names of groups and devices are looked up "
     "in\n"
     "STATE; where there is none, only the form is checked.\n"
     "\n"
     "Example:\n"
     "  nightjar policy check plant.yaml\n",
     no_options, 1, 1, command_policy_check},
    {"policy test", "run the tests that a policy carries", "FILE|-",
     "Holds what stands below \"tests:\" in a policy against its rules, by the groups and devices of STATE, without\n"
     "publishing anything. \"policy check\" and \"policy publish\" do so too.\n"
     "\n"
     "Example:\n"
     "  nightjar policy test plant.yaml\n",
     no_options, 1, 1, command_policy_test},
    {"policy diff", "what a policy would change", "FILE|-",
     "Compares a policy with the one in force: rules that come and go, and which device could then begin what with\n"
     "which other one that it cannot now, or no longer. Exits with 0 if it is the same, with 1 if not.\n"
     "\n"
     "Example:\n"
     "  nightjar policy diff plant.yaml\n",
     no_options, 1, 1, command_policy_diff},
    {"policy publish", "sign a policy and put it into force", "FILE|-",
     "Checks a policy, signs what changed against the one in force, and hands it in. Nodes that have it follow within\n"
     "seconds, and connections that it no longer allows end.\n"
     "\n"
     "Example:\n"
     "  nightjar policy publish plant.yaml\n",
     publish_options, 1, 1, command_policy_publish},
    {"policy show", "the policy in force", "",
     "Prints the file that was published from here, or else the rules that this node knows.\n"
     "\n"
     "Example:\n"
     "  nightjar policy show > plant.yaml\n",
     no_options, 0, 0, command_policy_show},
    {0},
};
