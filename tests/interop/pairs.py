"""Pairs of WireGuard implementations, each with the other's."""
import itertools
from dataclasses import dataclass

import world as worlds

KINDS = [("wg-peer", "wireguard-go"), ("wireguard-go", "wg-peer"), ("wg-peer", "wg-peer")]
CONFIGURATIONS = [(left, right, offloads) for offloads, (left, right) in itertools.product((True, False), KINDS)]


def title(configuration):
    left, right, offloads = configuration
    return f"{left}--{right}" + ("" if offloads else "--no-offloads")


@dataclass
class Pair:
    """Two nodes on hosts a and b, with a router between them."""

    world: worlds.World
    router: worlds.Host
    left: worlds.Node
    right: worlds.Node

    def ends(self):
        return (self.left, self.right), (self.right, self.left)

    def link(self, **options):
        worlds.link(self.left, self.right, **options)

    def expect_traffic(self, version=4):
        for node, other in self.ends():
            assert reaches(node, other, version), f"{node.title} does not reach {other.title}"


def reaches(node, other, version=4, *, count=1, size=56, deadline=5, options=""):
    return node.home.ping(other.address(version), count=count, size=size, deadline=deadline, options=options)


def follow_route(node, other, version):
    """Have a node forget which of its addresses it last sent from, where it can't tell by itself.

    Sending from an address that is gone gives EINVAL, or ENETUNREACH for IPv4 on newer kernels, which
    wireguard-go 0.0.20220316 doesn't take as a reason to try another.
    """
    if node.kind == "wireguard-go" and version == 4:
        node.set(f"peer {other.public} endpoint {worlds.endpoint_text(other.host.v4, other.port)}")


def make_pair(world, configuration):
    left, right, offloads = configuration
    router = world.router("r")
    nodes = []
    for place, kind in ((1, left), (2, right)):
        host = world.attach(world.host("ab"[place - 1]), router)
        options = ["--no-offloads"] if kind == "wg-peer" and not offloads else []
        nodes.append(world.node(host, kind, [f"10.9.0.{place}/24", f"fd09::{place}/64"], options=options,
                                env={"LOG_LEVEL": "verbose"}))
    return Pair(world, router, *nodes)
