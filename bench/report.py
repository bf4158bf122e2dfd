"""Turns the rounds' values into tables and verdicts."""
import statistics
from collections import namedtuple

from contenders import BARE, DIRECT, DIRECT_CHACHA, DIRECT_RELAYED, GO, MTU, NEBULA, NEBULA_RELAYED, OURS, RELAYED, RELAYED_MTU, STRAIGHT
from flooded import RATE
from silence import NODES

NODE = "Nightjar node"
NETWORK = f"Nightjar, {NODES} nodes"
FLOODED = "a relay's port"

NOISY_SPREAD = 0.25

Row = namedtuple("Row", "quantity title unit digits method")
ROWS = (
    Row("tcp forward", "One TCP stream, forward", "Gb/s", 2, "iperf3, received, near to far"),
    Row("tcp reverse", "One TCP stream, reverse", "Gb/s", 2, "iperf3 -R, received, far to near"),
    Row("cpu processes", "CPU, tunnel processes", "s/GB", 2,
        "user and system time of the tunnel's processes at both ends, and at the relay, over both iperf3 runs, per GB "
        "received"),
    Row("cpu machine", "CPU, whole machine", "s/GB", 2,
        "busy time in /proc/stat (user, nice, system, irq, softirq; not steal) over the same runs: "
        "includes iperf3, both network stacks and whatever else ran"),
    Row("udp", "UDP, 64 B datagrams", "kpps", 0,
        "iperf3 -u for 1 s: the highest rate, in steps of 15 %, of which at most 0.1 % was lost"),
    Row("ping", "Round trip, 64 B", "ms", 3, "median of 500 pings, 2 ms apart"),
    Row("rss idle", "RSS, idle", "MB", 1, "VmRSS of the larger of the two ends, after the handshake"),
    Row("pss idle", "PSS, idle", "MB", 1, "Pss in smaps_rollup, likewise"),
    Row("rss loaded", "RSS, after load", "MB", 1, "VmRSS of the larger of the two ends, after all rounds"),
    Row("pss loaded", "PSS, after load", "MB", 1, "Pss in smaps_rollup, likewise"),
    Row("node idle", "A node's processes together, idle", "MB", 1,
        "parent, keys, engine and state of a member at one of the sites: the physical pages that they have mapped, each "
        "counted once; it is what their PSS adds up to while nobody else on the machine uses the same program and "
        "libraries"),
    Row("node loaded", "A node's processes together, after load", "MB", 1, "likewise, after all rounds"),
    *(Row(f"node {role} {when}", f"- {role} alone, {name}", "MB", 1, "likewise, pages that no other of the four has mapped")
      for when, name in (("idle", "idle"), ("loaded", "after load")) for role in ("parent", "keys", "engine", "state")),
    Row("wakeups", "Wake-ups, idle", "a minute", 0,
        "voluntary context switches of all threads of that node's processes, over 30 s before any load"),
    Row("join", "From join to the first answered ping", "s", 2,
        "`nightjar join` with a ticket that was made before, `nightjar up`, then ordinary pings, 10 ms apart, to a device "
        "at the other site until one is answered; a new machine each round"),
    Row("join only", "- until join ends", "s", 2, "the first part of it"),
    Row("join up", "- until up ends", "s", 2, "the second"),
    Row("join answer", "- until the answer", "s", 3, "the third"),
    Row("revoke", "From revoke to silence", "s", 3,
        "in a network of 30 nodes, five of which exchange datagrams with a device, directly if they have met within 12 s, each every 5 ms: from the beginning of "
        "`nightjar revoke` to the last datagram that was delivered to the device or from it, within 3 s; another device "
        "each round, five rounds at least"),
    Row("revoke signed", "- from the signature on", "s", 3, "the part of it behind the signing"),
    Row("revoke direct", "- of the five, met directly", "", 0, "what paths `nightjar status` of the device showed just before"),
    Row("revoke stands", "- until revoke ends", "s", 2, "when the command has seen it under a signed head"),
    Row("p99 quiet", "Round trip to a relay, p99, quiet", "ms", 2,
        "the 99th of 100 of 1000 pings, 5 ms apart, from a member behind a router to its relay, both darkened"),
    *(Row(f"p99 {kind}", f"- while flooded with {what}", "ms", 2,
          f"likewise, under {RATE // 1000},000 datagrams a second from 65,536 spoofed addresses, made on the same machine")
      for kind, what in (("garbage", "garbage"), ("initiations", "initiations of unknown keys"),
                         ("replays", "replayed initiations"))),
    Row("flood lost", "- lost while flooded", "%", 1, "of the pings under all three"),
    Row("flood rate", "- rate of the slowest flood", "kpps", 0, "as it was sent"),
)
RATIOS = ("tcp forward", "tcp reverse", "cpu processes", "cpu machine", "udp", "ping")


def spread(values, digits):
    """Median (min-max)."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(heads, rows):
    """A Markdown table that is also legible as text."""
    lines = [list(heads), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    texts = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    return "\n".join([texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]])


# Those that are compared with each other: a title, what is said of them, who they are, and whose ratios to whom.
Group = namedtuple("Group", "title text names first others")
GROUPS = (
    Group("Between two hosts",
          f"Two network namespaces on one veth pair at MTU 1500. Each tunnel's MTU is {MTU}.",
          (BARE, OURS, GO, NEBULA), OURS, (BARE, NEBULA, GO)),
    Group("Between two members",
          "Two members of a network on a veth pair like the one above, at an inner MTU of 1360, by native transport\n"
          "(AES-256-GCM; ChaCha20-Poly1305 between two that were told to go without AES) and with policy. Relayed: the first\n"
          "two again, while what they say to each other is dropped on arrival; their relay is a hop behind the far one, on\n"
          "the same machine, and what it costs is in the CPU time. The others' values are those of the same rounds.\n"
          "Nodes are daemons in sessions of their own, and the others run in the bench's; the scheduler's autogroups are off\n"
          "while the bench runs, so that nobody is given more or less for that.",
          (BARE, DIRECT, DIRECT_CHACHA, DIRECT_RELAYED), DIRECT, (BARE, OURS, NEBULA, GO, DIRECT_CHACHA, DIRECT_RELAYED)),
    Group("Between two sites",
          "Two hosts, each behind a router with NAT of its own, on two wires of a public router; the relay's host is on a\n"
          "third. The relayed ways need the relay: the sites' routers let nothing in. wg-peer goes straight (one router\n"
          "forwards its port), but on the same routers and wires: what it sends is routed by way of the relay's host,\n"
          "whose kernel forwards it where a relay would have opened, checked, sealed and sent it. Besides the relay two things\n"
          f"differ: its path has an MTU of {RELAYED_MTU} (Nebula's relayed tunnel too) instead of {MTU}, and members speak native\n"
          "transport, with AES, where wg-peer speaks WireGuard; what a relay alone costs stands under \"Between two members\".\n"
          "CPU time is that of both ends and the relay. The limit that a relay sets each device is far above what is measured.",
          (STRAIGHT, RELAYED, NEBULA_RELAYED), RELAYED, (STRAIGHT, OURS, NEBULA_RELAYED)),
)


def values_table(results, names):
    """results: {(contender, quantity): [a value each round]}."""
    rows = []
    for row in ROWS:
        cells = [results.get((name, row.quantity)) for name in names]
        if any(cells):
            rows.append([f"{row.title}, {row.unit}".rstrip(", "), *(spread(values, row.digits) if values else "" for values in cells)])
    return table(["Median (min-max)", *names], rows)


def ratios(results, quantity, first, other):
    """One's over another's, round by round: what disturbs a round disturbs both."""
    ours, theirs = results.get((first, quantity), []), results.get((other, quantity), [])
    return [mine / his for mine, his in zip(ours, theirs)]


def ratios_table(results, first, others):
    rows = []
    for row in ROWS:
        cells = [ratios(results, row.quantity, first, other) for other in others] if row.quantity in RATIOS else []
        if any(cells):
            rows.append([row.title, *(spread(values, 2) if values else "" for values in cells)])
    return table([f"{first} /", *others], rows)


def tables(results):
    """Lines of Markdown: each group that was measured, then what one node costs."""
    lines = []
    measured = {name for name, _ in results}
    for group in GROUPS:
        if measured.isdisjoint(group.names):
            continue
        lines += [f"## {group.title}", "", group.text, "", values_table(results, group.names), "",
                  "Ratios are taken within a round; the median and range of the rounds are shown:", "",
                  ratios_table(results, group.first, group.others), ""]
    if NODE in measured:
        lines += ["## One node", "", values_table(results, (NODE,)), ""]
    if NETWORK in measured:
        lines += ["## One network", "", values_table(results, (NETWORK,)), ""]
    if FLOODED in measured:
        lines += ["## Under a flood", "", values_table(results, (FLOODED,)), ""]
    return lines


def noise(results, busy):
    """Sentences on what makes this run doubtful."""
    notes = [f"Others kept up to {share:.0%} of a processor busy in pauses of round {number}."
             for number, share in enumerate(busy, 1) if share > 0.1]
    for (name, quantity), values in results.items():
        if quantity not in (*RATIOS, "join"):
            continue
        wide = (max(values) - min(values)) / statistics.median(values)
        if wide > NOISY_SPREAD:
            notes.append(f"{name}, {quantity}: the rounds differ by {wide:.0%} of the median.")
    return notes


def targets(results):
    """(sentence, met) for each target that this run can judge."""
    verdicts = []
    if (OURS, "tcp forward") in results:
        times = statistics.median(ratios(results, "tcp forward", OURS, NEBULA))
        verdicts.append((f"One TCP stream at least 4 times Nebula's: {times:.1f} times", times >= 4))
    for other, least in ((NEBULA, 6), (GO, 8)):
        if (DIRECT, "tcp forward") in results:
            times = statistics.median(ratios(results, "tcp forward", DIRECT, other))
            verdicts.append((f"One TCP stream between two members at least {least} times {other}'s: {times:.1f} times",
                             times >= least))
    if (DIRECT_RELAYED, "tcp forward") in results:
        part = statistics.median(ratios(results, "tcp forward", DIRECT_RELAYED, DIRECT))
        verdicts.append((f"The same two members through their relay at least 0.35 of what they have directly: {part:.2f}", part >= 0.35))
    if (OURS, "rss loaded") in results:
        rss = results[OURS, "rss loaded"][0]
        verdicts.append((f"At most 10 MB of RSS after load: {rss:.1f} MB", rss <= 10))
    if (RELAYED, "tcp forward") in results:
        part = statistics.median(ratios(results, "tcp forward", RELAYED, STRAIGHT))
        verdicts.append((f"One TCP stream between two sites through a relay at least 0.35 of wg-peer's straight one: {part:.2f}", part >= 0.35))
    if (NODE, "node idle") in results:
        held = results[NODE, "node idle"][0]
        verdicts.append((f"A node alone on its machine holds at most 12 MB, idle: {held:.1f} MB", held <= 12))
    if (NODE, "join") in results:
        longest = max(results[NODE, "join"])
        verdicts.append((f"From join to the first answered ping at most 2 s: {longest:.2f} s at most", longest <= 2))
    if (NETWORK, "revoke") in results:
        longest = max(results[NETWORK, "revoke"])
        verdicts.append((f"From revoke to silence at {NODES} nodes at most 1 s: {longest:.3f} s at most", longest <= 1))
    return verdicts


def verdict_lines(results):
    return [f"{sentence}: {'met' if met else 'MISSED'}" for sentence, met in targets(results)]


def methods(results):
    measured = {quantity for _, quantity in results}
    return [f"- {row.title}: {row.method}." for row in ROWS if row.quantity in measured]
