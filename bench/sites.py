"""Contenders between two sites that each lie behind a router with NAT: straight, and by way of a relay.

All of them pass the same routers and wires. The relay's host is a stop on the straight way too: there its kernel
forwards what on the relayed ways its relay opens, checks, seals and sends on.
"""
import footprint
from contenders import MTU, NEBULA_RELAYED, RELAYED, RELAYED_MTU, STRAIGHT, Contender, nebula_authority, nebula_start
from plant import Plant
from world import link, wait_until

STRAIGHT_PORT = 51830
RELAY_MBITS = 100000  # far beyond what is measured
DETOUR_TABLE = 100
POLICY = """\
allow:
  - {from: device-a, to: device-b, tcp: any, udp: any, icmp: any}
  - {from: joiners, to: device-b, icmp: any}
"""


class Process:
    """One that is known by its number alone."""

    def __init__(self, pid):
        self.pid = pid


def processes(*machines):
    return [Process(pid) for machine in machines for pid in machine.pids("nightjard")]


class Sites:
    """The plant, with a member at each of two sites."""

    def __init__(self, world):
        self.world = world
        self.plant = Plant(world)
        self._found()
        self.near, self.far, self.hub = self.plant["device-a"], self.plant["device-b"], self.plant.hub
        self.detour()

    def _found(self):
        plant = self.plant
        plant.hub.join(plant.init())
        with open(plant.hub.state / "node.conf", "a", encoding="utf-8") as conf:
            conf.write(f"relay_rate={RELAY_MBITS}\n")
        plant.hub.up()
        plant.operator.up()
        wait_until(lambda: plant.operator.head() == plant.hub.head(), 20, "the operator's machine sees the hub's join")
        plant.add("device-a", site="a", groups=["joiners"])
        plant.add("device-b", site="b")
        plant.publish(POLICY)

    def detour(self):
        """What the sites send straight to each other passes the hub's host."""
        internet, hub = self.plant.internet, self.hub.host
        near, far = self.plant.sites["a"], self.plant.sites["b"]
        hub.sysctl("net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0",
                   f"net.ipv4.conf.{hub.device}.send_redirects=0")
        internet.ip(f"route add default via {hub.v4} table {DETOUR_TABLE}")
        for here, there in ((near, far), (far, near)):
            internet.ip(f"rule add iif to-{here.router.name} to {there.outside} lookup {DETOUR_TABLE}")

    def relayed(self):
        contender = Contender(RELAYED, self.near.host, self.far.host, self.far.address(),
                              processes(self.near, self.hub, self.far))
        wait_until(lambda: self.near.pings("device-b", deadline=10), 20, "one site reaches the other")
        return contender

    def join(self, name):
        return footprint.join(self.plant, name, self.far.address(), ["joiners"])

    def path(self):
        peer = next(peer for peer in self.near.status()["peers"] if peer["device"] == "device-b")
        return peer["path"]["kind"]

    def straight(self):
        near, far = (self.world.node(machine.host, "wg-peer", [f"10.9.4.{place}/24"], port=STRAIGHT_PORT, mtu=MTU,
                                     options=["--dark", "--state", self.world.dir])
                     for machine, place in ((self.near, 1), (self.far, 2)))
        site = self.plant.sites["b"]
        site.router.nft(f"insert rule inet nj forward udp dport {STRAIGHT_PORT} accept\n")
        site.router.rule("dstnat", f'iifname "{site.router.device}" udp dport {STRAIGHT_PORT}'
                                   f" dnat ip to {self.far.host.v4}")
        link(near, far, know=(False, False))
        near.set(f"peer {far.public} endpoint {site.outside}:{STRAIGHT_PORT}")
        return Contender(STRAIGHT, self.near.host, self.far.host, far.v4, [near.process, far.process])

    def nebula(self):
        """The hub is lighthouse and relay. Neither site is reached but by it: their routers let nothing in."""
        hosts = (self.near.host, self.far.host, self.hub.host)
        addresses = [f"10.9.5.{place}" for place in (1, 2, 3)]
        nebula_authority(self.world)
        started = [nebula_start(self.world, host, address, hub=addresses[2], at=self.hub.host.v4, relays=True,
                                mtu=RELAYED_MTU) for host, address in reversed(list(zip(hosts, addresses)))]
        return Contender(NEBULA_RELAYED, *hosts[:2], addresses[1], started)

    def contenders(self):
        return [self.straight(), self.relayed(), self.nebula()]
