"""A dark node, a friend of it, and a stranger one router away."""
import base64
import contextlib
import os

import pytest

import world as worlds
from probes import address_family, udp_drops

# What runs for minutes: make dark-full.
collect_ignore = [] if os.environ.get("NIGHTJAR_DARK_FULL") else ["test_dark_full.py"]


class Dark:
    """node is a dark wg-peer, friend a wireguard-go that knows it, stranger a host that nobody told anything."""

    def __init__(self, world):
        self.world = world
        self.router = world.router()
        hosts = [world.attach(world.host(name), self.router) for name in ("node", "friend")]
        self.stranger = world.stranger(self.router)
        state = world.dir / "state"
        state.mkdir()
        self.node = world.node(hosts[0], "wg-peer", ["10.9.0.1/24"], options=["--dark", "--state", state])
        self.friend = world.node(hosts[1], "wireguard-go", ["10.9.0.2/24"], env={"LOG_LEVEL": "verbose"})
        worlds.link(self.node, self.friend)
        self.public = base64.b64decode(self.node.public)
        self.to_stranger = self.node.host.bytes_to(self.stranger, self.node.port)
        self.to_friend = self.node.host.bytes_to(self.friend.host, self.node.port)
        self.arrived = self.node.host.counter("input", f"udp dport {self.node.port}")

    def address(self, version=4):
        return self.node.host.address(version), self.node.port

    def works(self, deadline=5):
        return self.friend.host.ping(self.node.v4, deadline=deadline)

    @contextlib.contextmanager
    def silence(self, count, toward=None):
        """What is sent in this block, `count` datagrams, arrives, is read, and draws no byte."""
        toward = toward or self.to_stranger
        arrived, drawn, dropped = self.arrived.packets, toward.bytes, udp_drops(self.node.host, self.node.port)
        yield
        worlds.wait_until(lambda: self.arrived.packets >= arrived + count, what=f"{count} datagrams arrive")
        worlds.stays(lambda: toward.bytes == drawn, 0.4, "no byte is drawn")
        assert udp_drops(self.node.host, self.node.port) == dropped, "each was read"

    def probe(self, datagrams, version=4):
        """The stranger sends these and gets nothing."""
        with self.stranger.socket(address_family(version)) as sock:
            # In lots that any socket's buffer holds; a friend's echo says that the lot before has been read.
            for start in range(0, len(datagrams), 100):
                lot = datagrams[start:start + 100]
                with self.silence(len(lot)):
                    for datagram in lot:
                        sock.sendto(datagram, self.address(version))
                assert self.works()


@pytest.fixture(scope="module")
def dark():
    with worlds.World() as world:
        dark = Dark(world)
        assert dark.works()
        yield dark
