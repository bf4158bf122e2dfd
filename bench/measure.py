"""Single measurements. Each returns {quantity: value}; the quantities are the rows of the report."""
import os
import statistics
import time
from pathlib import Path

from world import WorldError

UDP_RATES = [round(5000 * 1.15 ** step) for step in range(36)]  # datagrams per second, up to 660,000
TICK = os.sysconf("SC_CLK_TCK")


def process_seconds(process):
    """User and system time of a process so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def machine_seconds():
    """Busy time of all processors so far: user, nice, system, irq and softirq."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(fields[place]) for place in (0, 1, 2, 5, 6)) / TICK


def idle_share(seconds=0.25):
    """The part of one processor that others keep busy while we do nothing."""
    before = machine_seconds()
    time.sleep(seconds)
    return (machine_seconds() - before) / seconds


class Meter:
    """CPU time between its making and read(): of a contender's processes and of the whole machine."""

    def __init__(self, contender):
        self.contender = contender
        self.start = self._now()

    def _now(self):
        return sum(map(process_seconds, self.contender.processes)), machine_seconds()

    def read(self):
        return tuple(now - then for now, then in zip(self._now(), self.start))


def tcp(world, contender, seconds):
    """One TCP stream forward, then one in reverse; CPU time is over both."""
    speeds, gigabytes, meter = {}, 0.0, Meter(contender)
    for quantity, options in (("tcp forward", ()), ("tcp reverse", ("-R",))):
        report = world.iperf3(contender.far, contender.near, contender.address, "-t", str(seconds), *options, timeout=seconds + 20)
        received = report["end"]["sum_received"]
        speeds[quantity] = received["bits_per_second"] / 1e9
        gigabytes += received["bytes"] / 1e9
    processes, machine = meter.read()
    costs = {"cpu machine": machine / gigabytes}
    if contender.processes:
        costs["cpu processes"] = processes / gigabytes
    return {**speeds, **costs}


def carries(world, contender, rate):
    """Whether a second of 64 B datagrams at this rate arrives with at most 0.1 % lost."""
    options = ["-u", "-l", "64", "-b", str(rate * 64 * 8), "-t", "1"]
    total = world.iperf3(contender.far, contender.near, contender.address, *options, timeout=20)["end"]["sum"]
    sent = total["packets"] / total["seconds"]
    return sent > rate * 0.95 and total["lost_percent"] <= 0.1


def udp(world, contender):
    """The highest of UDP_RATES that is carried, found by halving."""
    low, high = 0, len(UDP_RATES)
    while low < high:
        middle = (low + high) // 2
        if carries(world, contender, UDP_RATES[middle]):
            low = middle + 1
        else:
            high = middle
    return {"udp": UDP_RATES[low - 1] / 1000 if low else 0.0}


def ping(contender, count=500):
    times = contender.near.ping_times(contender.address, count=count)
    if len(times) < count * 0.98:
        raise WorldError(f"{contender.name}: only {len(times)} of {count} pings came back")
    return {"ping": statistics.median(times)}


def memory(contender, when):
    """Of the larger of the two ends, in MB."""
    def field(process, file, name):
        lines = Path(f"/proc/{process.pid}/{file}").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6

    return {f"{name} {when}": max(field(process, file, key) for process in contender.processes)
            for name, file, key in (("rss", "status", "VmRSS:"), ("pss", "smaps_rollup", "Pss:"))}
