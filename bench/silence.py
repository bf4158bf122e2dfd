"""From `nightjar revoke` to silence, in a network of 30 nodes: how long after the command began, and after the statement
was signed, the last packet to or from the revoked device was delivered."""
import os
import selectors
import socket
import threading
import time

from plant import Plant
from world import World, WorldError, wait_until

NODES = 30
PEERS = 5  # that exchange packets with the device that is revoked
INTERVAL = 0.005  # s, between two packets of a peer
PORT = 5683
MEETING = 12.0  # s, until they have met directly: a way that did not work at once is tried again after 10
QUIET = 3.0  # s without any packet: that is silence
POLICY = """\
allow:
  - {from: members, to: victims, udp: any, icmp: any}
"""


class Exchange:
    """Peers send to a device, which sends each packet back; and when the last one was delivered at either end."""

    def __init__(self, peers, victim):
        self.last, self.count = 0.0, 0
        self.stop = threading.Event()
        self.selector = selectors.DefaultSelector()
        self.victim = self._socket(victim, PORT)
        self.peers = [self._socket(peer, 0) for peer in peers]
        self.target = victim.address(), PORT
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._receive)]

    def _socket(self, machine, port):
        sock = machine.host.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((machine.address(), port))
        sock.setblocking(False)
        self.selector.register(sock, selectors.EVENT_READ)
        return sock

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.count > 40 * PEERS, 20, "packets go there and back")
        return self

    def _send(self):
        while not self.stop.wait(INTERVAL):
            for sock in self.peers:
                try:
                    sock.sendto(bytes(64), self.target)
                except OSError:  # policy refuses it, or there is no room
                    pass

    def _receive(self):
        while not self.stop.is_set():
            for key, _ in self.selector.select(0.1):
                try:
                    data, source = key.fileobj.recvfrom(2048)
                    self.last, self.count = time.time(), self.count + 1
                    if key.fileobj is self.victim:
                        self.victim.sendto(data, source)
                except OSError:
                    pass

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        self.selector.close()
        for sock in (self.victim, *self.peers):
            sock.close()


class Network:
    def __init__(self, world, rounds):
        self.plant = Plant(world, nat="home")  # members meet directly: no relay that hears first can cut them off
        self.plant.found()
        members = [self._add(f"member-{number}", number, "members") for number in range(NODES - 2 - rounds)]
        self.victims = [self._add(f"victim-{number}", number, "victims") for number in range(rounds)]
        self.peers = members[:PEERS]
        self.plant.publish(POLICY)

    def _add(self, name, number, group):
        return self.plant.add(name, site="ab"[number % 2], groups=[group])

    def paths(self, victim):
        return {peer["device"]: peer["path"] for peer in victim.status()["peers"]}

    def met(self, victim):
        """How many of the peers it reaches directly."""
        paths = self.paths(victim)
        return sum(peer.name in paths and paths[peer.name]["kind"] == "direct" for peer in self.peers)

    def met_in_time(self, victim):
        end = time.monotonic() + MEETING
        while self.met(victim) < PEERS and time.monotonic() < end:
            time.sleep(0.2)
        return self.met(victim)

    def revoke(self, victim):
        """{quantity: seconds}"""
        operator = self.plant.operator
        with Exchange(self.peers, victim) as exchange:
            met = self.met_in_time(victim)
            began = time.time()
            operator.nightjar(f"revoke {victim.name} --reason bench --yes --quiet", timeout=30)
            ended = time.time()
            # The line that says why is written as soon as the statement is signed.
            signed = os.stat(operator.state / "owner/taken").st_mtime_ns / 1e9
            wait_until(lambda: time.time() - max(ended, exchange.last) > QUIET, 30, "silence")
        return {"revoke": exchange.last - began, "revoke signed": max(0.0, exchange.last - signed),
                "revoke stands": ended - began, "revoke direct": met}


def measure(rounds):
    """A dictionary for each round."""
    with World() as world:
        try:
            network = Network(world, rounds)
            return [network.revoke(victim) for victim in network.victims]
        except WorldError as failure:
            raise WorldError(f"{failure}\n{world.logs(10)}") from None


__all__ = ["NODES", "measure"]
