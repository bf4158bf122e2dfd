"""A network for hostile members and relays: the hub, a second relay, members that prefer the latter, and a victim."""
import contextlib
import hashlib
import itertools
import os
import re
from pathlib import Path

import plant as plants
import statements
from relay import Device, Relay, device_of

POLICY = """\
allow:
  - {from: sensors, to: brokers, tcp: any, udp: any, icmp: any}
  - {from: brokers, to: sensors, icmp: any}
"""


class Network:
    """sensor and broker meet by relays alone; both ask relay-2 before the hub."""

    def __init__(self, plant):
        self.plant = plant
        plant.found()
        self.relay_2 = plant.machine("relay-2")
        self.relay_2.join(plant.invite("relay-2", options=f"--relay {self.relay_2.host.v4}:{plants.PORT}"))
        self.relay_2.up()
        self.ids = {row["name"]: bytes.fromhex(row["id"]) for row in plant.operator.json("devices")["devices"]}
        self.tickets, self.serial = {}, itertools.count(1)

    hub = property(lambda self: self.plant.hub)
    operator = property(lambda self: self.plant.operator)

    def prefers_relay_2(self, device):
        hub, other = (hashlib.sha256(self.ids[name] + device).digest() for name in ("hub", "relay-2"))
        return other > hub

    def invite(self, prefix, groups, options=""):
        """(name, ticket), of one that looks for relay-2 first, and is looked for there."""
        while True:
            name = f"{prefix}-{next(self.serial)}"
            text = self.plant.invite(name, groups=groups, options=options)
            ticket = statements.Ticket(text)
            if self.prefers_relay_2(ticket.device):
                self.tickets[name] = ticket
                return name, text

    def add(self, prefix, site, groups, up=""):
        name, text = self.invite(prefix, groups)
        machine = self.plant.machine(name, site)
        machine.join(text)
        return machine if up is None else machine.up(up)

    def device(self, machine):
        return device_of(machine, self.tickets[machine.name])

    def takes_over(self, *machines):
        """relay-2, from now on ours."""
        return Relay(self.relay_2, [self.device(machine) for machine in machines])


class MadeUp:
    """The ticket of nobody."""

    def __init__(self):
        self.device, self.opening = os.urandom(16), os.urandom(60)


def device_that_is_down(machine, ticket):
    """With its private key, for who speaks in its place."""
    device = Device(machine.name, ticket, statements.static_public(machine))
    device.private = (machine.state / "keys/static").read_bytes()
    return device


@contextlib.contextmanager
def network():
    with plants.Plant() as plant:
        try:
            yield Network(plant)
        except BaseException:
            print(plant.logs())
            raise


def peer(machine, device):
    return next((peer for peer in machine.status()["peers"] if peer["device"] == device), None)


def path(machine, device):
    """(kind, relay) by which a device is reached."""
    found = peer(machine, device)
    return (found["path"]["kind"], found["path"]["relay"]) if found else (None, None)


def counters(machine):
    return machine.status()["counters"]


def rss(machine):
    """KiB, of all of its processes."""
    total = 0
    for pid in machine.pids():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
    return total


def log_size(machine):
    return machine.runtime("log").stat().st_size


@contextlib.contextmanager
def bounded(*machines, memory=4096, log=8 << 10):
    """What happens in this block leaves memory (KiB) and logs (bytes) as they are, but for a little; and every process
    alive."""
    before = [(machine.pids(), rss(machine), log_size(machine)) for machine in machines]
    yield
    for machine, (pids, kib, size) in zip(machines, before):
        assert machine.pids() == pids, f"{machine.name}'s processes are those of before"
        assert rss(machine) < kib + memory, f"{machine.name}: {kib} -> {rss(machine)} KiB"
        assert log_size(machine) < size + log, f"{machine.name}'s log grew by {log_size(machine) - size} bytes"


def echoes(host, address, count=300, interval=0.01):
    """How many of so many came back; none is asked for again."""
    said = host.run(f"ping -n -q -c {count} -i {interval} -W 1 {address}", check=False, timeout=20 + 2 * count * interval)
    return int(re.search(r"(\d+) received", said.stdout)[1])


def restart(*machines):
    """With no session left."""
    for machine in machines:
        machine.down()
    for machine in machines:
        machine.up()  # on the port that node.conf keeps
