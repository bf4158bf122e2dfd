"""Turns the rounds' values into tables and verdicts."""
import statistics
from collections import namedtuple

from contenders import BARE, GO, NEBULA, OURS

NOISY_SPREAD = 0.25

Row = namedtuple("Row", "quantity title unit digits method")
ROWS = (
    Row("tcp forward", "One TCP stream, forward", "Gb/s", 2, "iperf3, received, near to far"),
    Row("tcp reverse", "One TCP stream, reverse", "Gb/s", 2, "iperf3 -R, received, far to near"),
    Row("cpu processes", "CPU, tunnel processes", "s/GB", 2,
        "user and system time of both ends' tunnel processes over both iperf3 runs, per GB received"),
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


def values_table(results, names):
    """results: {(contender, quantity): [a value each round]}."""
    rows = []
    for row in ROWS:
        cells = [results.get((name, row.quantity)) for name in names]
        if any(cells):
            rows.append([f"{row.title}, {row.unit}", *(spread(values, row.digits) if values else "" for values in cells)])
    return table(["Median (min-max)", *names], rows)


def ratios(results, quantity, other):
    """Ours over the other's, round by round: what disturbs a round disturbs both."""
    ours, theirs = results.get((OURS, quantity), []), results.get((other, quantity), [])
    return [mine / his for mine, his in zip(ours, theirs)]


def ratios_table(results):
    others = (BARE, NEBULA, GO)
    rows = []
    for row in ROWS:
        cells = [ratios(results, row.quantity, other) for other in others] if row.quantity in RATIOS else []
        if any(cells):
            rows.append([row.title, *(spread(values, 2) if values else "" for values in cells)])
    return table([f"{OURS} /", *others], rows)


def noise(results, busy):
    """Sentences on what makes this run doubtful."""
    notes = [f"Others kept up to {share:.0%} of a processor busy in pauses of round {number}."
             for number, share in enumerate(busy, 1) if share > 0.1]
    for (name, quantity), values in results.items():
        wide = (max(values) - min(values)) / statistics.median(values)
        if quantity in RATIOS and wide > NOISY_SPREAD:
            notes.append(f"{name}, {quantity}: the rounds differ by {wide:.0%} of the median.")
    return notes


def targets(results):
    """(sentence, met) for each target that this run can judge."""
    verdicts = []
    if (OURS, "tcp forward") in results:
        times = statistics.median(ratios(results, "tcp forward", NEBULA))
        verdicts.append((f"One TCP stream at least 4 times Nebula's: {times:.1f} times", times >= 4))
    if (OURS, "rss loaded") in results:
        rss = results[OURS, "rss loaded"][0]
        verdicts.append((f"At most 10 MB of RSS after load: {rss:.1f} MB", rss <= 10))
    return verdicts


def verdict_lines(results):
    return [f"{sentence}: {'met' if met else 'MISSED'}" for sentence, met in targets(results)]


def methods(results):
    measured = {quantity for _, quantity in results}
    return [f"- {row.title}: {row.method}." for row in ROWS if row.quantity in measured]
