"""Whom members send to by themselves: relays, and the peers that they were introduced to, where those are to be found.
Nobody else: no name server, no clock, no group. NIGHTJAR_DARK_FULL makes it ten minutes of idling and traffic."""
import os
import socket
import struct
import threading
import time
from collections import Counter

import packets as p
import plant as plants
import pytest
from built import built_plant
from darkness import nothing_grows
from running import wait_until

SECONDS = 600 if os.environ.get("NIGHTJAR_DARK_FULL") else 40
pytestmark = pytest.mark.deadline(SECONDS + 120)
POLICY = """\
allow:
  - {from: sensors, to: brokers, udp: [5683], icmp: any}
"""
IPV4, IPV6, OUTGOING, ALL = 0x0800, 0x86dd, 4, 3
LINK_ONLY = (133, 134, 135, 136)  # neighbour discovery
MEMBERS = {"sensor-7": "a", "sensor-8": "a", "broker-1": "b", "public-1": None}


class Leaving:
    """What leaves a machine by its uplink: {(protocol, source port, destination, port): packets}."""

    def __init__(self, machine):
        self.machine, self.seen, self.over = machine, Counter(), threading.Event()
        self.sock = machine.host.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.bind((machine.host.device, ALL))
        self.sock.settimeout(0.2)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while not self.over.is_set():
            try:
                packet, (_, ethertype, kind, *_) = self.sock.recvfrom(65535)
            except TimeoutError:
                continue
            if kind == OUTGOING and ethertype in (IPV4, IPV6):
                self._note(packet)

    def _note(self, packet):
        if packet[0] >> 4 == 4:
            protocol, target, rest = packet[9], socket.inet_ntoa(packet[16:20]), packet[4 * (packet[0] & 15):]
        else:
            protocol, target, rest = packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40]), packet[40:]
            if protocol == p.ICMP6 and rest[0] in LINK_ONLY:
                return
        ports = struct.unpack("!HH", rest[:4]) if protocol in (p.TCP, p.UDP) else (0, 0)
        self.seen[protocol, ports[0], target, ports[1]] += 1

    def end(self):
        self.over.set()
        self.thread.join()
        self.sock.close()


@pytest.fixture(scope="module")
def plant():
    with built_plant(nat="home") as plant:
        plant.found("--darken")
        relay = plant.machine("relay-2")
        relay.join(plant.invite("relay-2", options=f"--relay {relay.host.v4}:{plants.PORT}"))
        relay.up("--darken")
        for name, site in MEMBERS.items():
            plant.add(name, site=site, groups=["sensors" if "sensor" in name else "brokers"], up="--darken")
        plant.publish(POLICY)
        yield plant


RELAYS = ("hub", "relay-2")


def places(plant, name):
    """Where a member is to be found: {(address, port or None for any)}."""
    machine = plant[name]
    port = machine.status()["port"]
    found = {(machine.host.v4, port), (machine.host.v6, port)}
    site = {"operator": "office", **MEMBERS}.get(name)
    if site:
        end = plant.sites[site].router.ends[0]
        found |= {(end.v4, None), (end.v6, None)}
    return found


def may_send_to(plant, name):
    """Relays, and those that a rule joins it to; relays also answer who came to them."""
    if name in RELAYS:
        return set().union(*(places(plant, other) for other in plant.machines if other != name))
    peers = [other for other in MEMBERS if ("sensor" in name) != ("sensor" in other)] if name in MEMBERS else []
    return {(plant[relay].host.v4, plants.PORT) for relay in RELAYS}.union(*(places(plant, peer) for peer in peers))


def strange(leaving, own_port, allowed):
    return {flow: count for flow, count in leaving.seen.items() if flow[0] != p.UDP or flow[1] != own_port
            or not {(flow[2], flow[3]), (flow[2], None)} & allowed}


def direct(plant, name, other):
    return any(peer["device"] == other and peer["path"]["kind"] == "direct" for peer in plant[name].status()["peers"])


def test_members_send_to_relays_and_introduced_peers_alone(plant):
    names = list(plant.machines)
    assert len(names) == 7
    allowed = {name: may_send_to(plant, name) for name in names}
    ports = {name: plant[name].status()["port"] for name in names}
    leaving = {name: Leaving(plant[name]) for name in names}
    end = time.monotonic() + SECONDS
    with nothing_grows(*plant.machines.values(), memory=False):
        for name, other in (("sensor-7", "broker-1"), ("sensor-8", "broker-1"), ("sensor-7", "public-1")):
            wait_until(lambda: plant[name].pings(other, deadline=3) and direct(plant, name, other), 20, f"{name} meets {other}")
        while time.monotonic() < end:
            plant["sensor-7"].host.run(f"ping -n -q -c 20 -i 0.1 -w 4 {plant['broker-1'].address()}", check=False)
            plant["sensor-8"].host.run(f"ping -n -q -c 2 -w 3 {plant['public-1'].address(6)}", check=False)
            time.sleep(min(SECONDS / 4, max(0, end - time.monotonic())))
    found = {name: strange(leaving[name], ports[name], allowed[name]) for name in names}
    assert not any(found.values()), found
    to_peer = sum(count for flow, count in leaving["sensor-7"].seen.items() if flow[2] == plant.sites["b"].outside)
    to_relay = sum(count for flow, count in leaving["sensor-7"].seen.items() if flow[2] == plant.hub.host.v4)
    assert to_peer > 20 and to_relay > 0, "what leaves is seen"
    # The control: one question to a name server would be seen.
    with plant["sensor-7"].host.socket() as sock:
        sock.sendto(b"who", (plant.stranger.v4, 53))
    wait_until(lambda: strange(leaving["sensor-7"], ports["sensor-7"], allowed["sensor-7"]), what="it is seen")
    for one in leaving.values():
        one.end()
