"""A plant whose members are dark, strangers and neighbours who count what they are sent, and a host that is not dark
beside it: what draws nothing from members draws something there."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import noise
import pytest
from built import built_plant
import statements
from probes import address_family, costly
from running import wait_until

POLICY = """\
allow:
  - {from: sensors, to: brokers, tcp: [1883], icmp: any}
"""
KEPT, OTHER = 22, 8080
USUAL_UDP = "53,67,68,69,123,137,161,443,500,514,546,547,1194,1701,1900,4500,5353,5683,51820,51821"
MEMBERS = ("hub", "operator", "sensor-7", "broker-1")
LISTEN = """\
import socket, threading
def serve(port):
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        while True:
            connection, _ = server.accept()
            connection.sendall(b"hello")
            connection.close()
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::", 9999))
for port in (%d, %d):
    threading.Thread(target=serve, args=(port,), daemon=True).start()
def echo(port):
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        connection, _ = server.accept()
        while data := connection.recv(100):
            connection.sendall(data)
threading.Thread(target=echo, args=(%d,), daemon=True).start()
while True:
    data, source = udp.recvfrom(2048)
    udp.sendto(data, source)
"""
NEIGHBOUR_DISCOVERY = "{ nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }"


class Total:
    """Several counting rules, of any hosts, read as one; a listing a chain."""

    def __init__(self, rules):
        self.chains = {}
        for rule in rules:
            self.chains.setdefault((rule.host, rule.chain), {})[rule.handle] = rule.text

    def each(self):
        """{(host, what it matches): bytes}"""
        found = {}
        for (host, chain), texts in self.chains.items():
            for item in json.loads(host.run(f"nft -j list chain inet nj {chain}").stdout)["nftables"]:
                rule = item.get("rule", {})
                if rule.get("handle") in texts:
                    found[host.name, texts[rule["handle"]]] = next(
                        part["counter"]["bytes"] for part in rule["expr"] if "counter" in part)
        return found

    bytes = property(lambda self: sum(self.each().values()))


def but_neighbour_discovery(match=""):
    """Rules that between them match all packets but those of neighbour discovery."""
    return (f"{match} meta nfproto ipv4", f"{match} meta nfproto ipv6 meta l4proto != 58",
            f"{match} icmpv6 type != {NEIGHBOUR_DISCOVERY}")


class Watch:
    """A stranger of a member, and what it is sent, of any protocol but neighbour discovery: counted as it leaves the
    member, and as it comes to the stranger from anybody but its own router. One on the member's link is named with the
    member's `end` there, and all that leaves by it counts, to whichever address."""

    def __init__(self, machine, stranger, end=None):
        self.machine, self.stranger = machine, stranger
        self.end = end or machine.host.ends[0]
        if end:
            leaving = [f'oifname "{end.device}"']
            own = ", ".join([self.peer.v6, link_local(self.peer)])
            # What it sends to many comes back to itself.
            coming = [f'iifname "{self.peer.device}" ip saddr != {self.peer.v4}',
                      f'iifname "{self.peer.device}" ip6 saddr != {{ {own} }}']
        else:
            leaving = [f"ip daddr {stranger.v4}", f"ip6 daddr {stranger.v6}"]
            coming = [f"ip saddr != {stranger.gateway.v4}", f"ip6 saddr != {{ {stranger.gateway.v6}, fe80::/10 }}"]
        rules = [machine.host.counter("postrouting", match) for side in leaving for match in but_neighbour_discovery(side)
                 if fits(side, match)]
        rules += [stranger.counter("prerouting", f'iifname != "lo" {match}') for side in coming
                  for match in but_neighbour_discovery(side) if fits(side, match)]
        self.total = Total(rules)

    bytes = property(lambda self: self.total.bytes)

    @property
    def peer(self):
        """The stranger's end of a link that it shares with the member."""
        net = self.end.v4.rsplit(".", 1)[0]
        return next(end for end in self.stranger.ends if end.v4.rsplit(".", 1)[0] == net)

    @property
    def source(self):
        """The stranger's end of the way to the member."""
        return self.stranger.ends[0] if self.stranger.gateway else self.peer

    def target(self, version=4):
        """Where the stranger reaches the member."""
        return self.end.address(version)

    def arrived(self):
        """Packets that came to the member by this way, whatever became of them."""
        report = json.loads(self.machine.host.ip(f"-s -j link show {self.end.device}").stdout)
        return report[0]["stats64"]["rx"]["packets"]


def mac_of(end):
    return json.loads(end.host.ip(f"-j link show dev {end.device}").stdout)[0]["address"]


def link_local(end):
    report = json.loads(end.host.ip(f"-j -6 address show dev {end.device} scope link").stdout)
    return next(info["local"] for item in report for info in item.get("addr_info", []) if "local" in info)


def fits(side, match):
    """Not IPv6's addresses in a rule for IPv4, and the other way round."""
    return not ("ip6 " in side and "ipv4" in match) and not ("ip " in side and ("ipv6" in match or "icmpv6" in match))


class Bait:
    """A host like the others, with the same listeners, that is no member and not dark."""

    def __init__(self, plant):
        self.plant = plant
        self.host = plant.world.attach(plant.world.host("bait"), plant.internet)


class Dark:
    """A plant whose members are dark, each with a stranger one router away; the hub has a neighbour on its link too."""

    def __init__(self, plant):
        self.plant = plant
        plant.found("--darken")
        plant.add("sensor-7", site="a", groups=["sensors"], up="--darken")
        plant.add("broker-1", site="b", groups=["brokers"], up=f"--darken --keep tcp/{KEPT}")
        plant.publish(POLICY)
        self.ports = {name: plant[name].status()["port"] for name in MEMBERS}
        self.watches = {"hub": Watch(plant.hub, plant.stranger)}
        for name, site in (("operator", "office"), ("sensor-7", "a"), ("broker-1", "b")):
            router = plant.sites[site].router
            self.watches[name] = Watch(plant[name], plant.world.stranger(router, f"stranger-{site}"))
        neighbour = plant.world.host("neighbour")
        self.neighbour = Watch(plant.hub, neighbour, plant.world.wire(neighbour, plant.hub.host)[1])
        self.bait = Bait(plant)
        self.baited = Watch(self.bait, plant.world.stranger(plant.internet, "angler"))
        self.baited_neighbour = Watch(self.bait, neighbour, plant.world.wire(neighbour, self.bait.host)[1])
        # Whoever answers to a member's key is sent to by and by, so it has an address of its own.
        self.guest = Watch(plant.hub, plant.world.stranger(plant.internet, "guest"))
        hosts = [*(plant[name].host for name in MEMBERS), self.bait.host]
        for host in hosts:
            host.popen(["/usr/bin/python3", "-c", LISTEN % (KEPT, OTHER, OTHER + 1)])
        for host in hosts:
            wait_until(lambda: connects(host, "127.0.0.1", OTHER) == b"hello", 10, "the listeners listen")
        # A kernel tells new links twice within a second which groups it listens to, for neighbour discovery (RFC 3810).
        time.sleep(1.2)

    def all_watches(self):
        return [*self.watches.values(), self.neighbour]

    def works(self):
        return self.plant["sensor-7"].pings("broker-1", deadline=20)

    def up(self, name):
        self.plant[name].up("--darken" + (f" --keep tcp/{KEPT}" if name == "broker-1" else ""))

    @contextlib.contextmanager
    def silence(self, *watches, seconds=0.4):
        """What is sent in this block draws no byte toward the stranger."""
        watches = watches or self.all_watches()
        before = [watch.total.each() for watch in watches]
        yield
        end = time.monotonic() + seconds
        while True:
            now = [watch.total.each() for watch in watches]
            drawn = {(watch.machine.host.name, watch.stranger.name): {rule: now_each[rule] for rule in now_each
                     if now_each[rule] != then[rule]} for watch, then, now_each in zip(watches, before, now, strict=True)
                     if now_each != then}
            assert not drawn, f"bytes are drawn: {drawn}"
            if time.monotonic() > end:
                break
            time.sleep(0.1)


@pytest.fixture(scope="module")
def dark():
    with built_plant() as plant:
        dark = Dark(plant)
        assert dark.works()
        yield dark


def connects(host, address, port, timeout=1.5):
    """What a connection says first; None: there is none."""
    with host.socket(address_family(6 if ":" in address else 4), socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect((address, port))
            return sock.recv(16)
        except OSError:
            return None


def wireguard_messages(public):
    """All kinds: of no use, with a wrong mac1, with a right one before garbage, and by a key that is no member's."""
    stranger = [noise.Initiator(os.urandom(32), public).initiation() for _ in range(5)]
    kinds = [bytes([kind, 0, 0, 0]) for kind in (0, 1, 2, 3, 4, 5, 255)]
    garbage = [kind + os.urandom(size - 4) for kind in kinds for size in (4, 16, 32, 64, 92, 148, 149, 1400)]
    right = [noise.with_macs(kind + os.urandom(size - 36), public) for kind in kinds for size in (64, 92, 148)]
    with_mac2 = [message[:-16] + os.urandom(16) for message in right]
    return [*garbage, *map(noise.with_bad_mac1, stranger), *costly(public, 20), *right, *with_mac2, *stranger]


def prod(watch, port, messages):
    """The messages to the tunnel's port, and knocks at others, over IPv4 and IPv6."""
    pings = [watch.stranger.popen(f"ping -n -q -c 3 -i 0.2 -w 1 {watch.target(version)}", stdout=subprocess.DEVNULL)
             for version in (4, 6)]
    for version in (4, 6):
        target = watch.target(version)
        with watch.stranger.socket(address_family(version)) as sock:
            for message in messages:
                sock.sendto(message, (target, port))
            for other in (9, 53, 9999):
                sock.sendto(b"hello", (target, other))
        # Every listener is on these: a connection that came about would be seen.
        assert connects(watch.stranger, target, OTHER, timeout=0.2) is None
    assert all(ping.wait(5) == 1 for ping in pings), "no echo came back"


def member(dark, name):
    """A member's side of a handshake with the hub; it never comes up itself."""
    if name not in dark.plant.machines:
        machine = dark.plant.machine(name, "a")
        machine.ticket = dark.plant.invite(name)
        machine.join(machine.ticket)
    private = (dark.plant[name].state / "keys/static").read_bytes()
    return noise.Initiator(private, statements.static_public(dark.plant.hub))


def answer(sock, dark, message, version=4, timeout=3):
    """What a message to the hub's port draws; None: nothing."""
    sock.settimeout(timeout)
    sock.sendto(message, (dark.guest.target(version), dark.ports["hub"]))
    try:
        return sock.recv(2048)
    except TimeoutError:
        return None


def scan(watch, options):
    return watch.stranger.popen(["nmap", "-Pn", "-n", "--max-retries", "0", "-T5", "--max-rtt-timeout", "100ms", *options.split()],
                                log=watch.machine.plant.world.dir / f"nmap-{watch.stranger.name}.log")


def scanned(dark, watches, options, limit=40):
    """All of these at once, with no byte drawn; returns nothing, since nmap has nothing to tell."""
    with dark.silence(*watches):
        scans = [scan(watch, f"{options} {watch.target(6 if '-6' in options else 4)}") for watch in watches]
        for process in scans:
            assert process.wait(limit) == 0
    for watch in watches:
        report = (dark.plant.world.dir / f"nmap-{watch.stranger.name}.log").read_text()
        assert " open " not in report and " closed " not in report and " unfiltered " not in report, report


def kill(machine, role):
    """kill -9 of one role ("parent" for none); waits until all of the daemon is gone."""
    roles = {pid for name in ("keys", "engine", "state") for pid in machine.pids(name)}
    pids = machine.pids(role) if role != "parent" else set(machine.pids("nightjard")) - roles
    assert len(pids) == 1, pids
    os.kill(next(iter(pids)), signal.SIGKILL)
    wait_until(lambda: not machine.pids(), 10, "all of it has ended")


@contextlib.contextmanager
def incessantly(dark, watch, name):
    """All of it, again and again, while something is done."""
    over = threading.Event()
    messages = wireguard_messages(statements.static_public(dark.plant[name]))
    target = (watch.target(), dark.ports[name])

    def send():
        with watch.stranger.socket() as sock:
            while not over.is_set():
                for message in messages:
                    with contextlib.suppress(OSError):
                        sock.sendto(message, target)
                time.sleep(0.01)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# What must not grow

LOG_GROWTH, DISK_GROWTH, MEMORY_GROWTH = 8 << 10, 64 << 10, 4 << 20  # bytes; signed heads come in meanwhile


def disk_of(machine):
    return sum(path.stat().st_size for path in machine.state.rglob("*") if path.is_file())


def memory_of(machine):
    total = 0
    for pid in machine.pids():
        status = Path(f"/proc/{pid}/status").read_text()
        total += int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    return total << 10


@contextlib.contextmanager
def nothing_grows(*machines, memory=True):
    """What happens in this block leaves logs, disks and memory as they are, but for a little."""
    def sizes():
        return [(machine.runtime("log").stat().st_size, disk_of(machine), memory_of(machine)) for machine in machines]
    before = sizes()
    yield
    for machine, then, now in zip(machines, before, sizes(), strict=True):
        log, disk, held = (now[i] - then[i] for i in range(3))
        assert log < LOG_GROWTH, f"{machine.name}'s log grew by {log} bytes"
        assert disk < DISK_GROWTH, f"{machine.name}'s disk grew by {disk} bytes"
        assert held < MEMORY_GROWTH or not memory, f"{machine.name}'s memory grew by {held} bytes"
