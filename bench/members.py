"""Two members of a network on one veth pair, directly and by way of their relay; and two more that go without AES.

The pair's wire is plain, as the other contenders'; the far one's machine also forwards what the near one says to the
relay, which hears both at their addresses on that wire, and they are introduced by it and meet there.
"""
import itertools

from contenders import DIRECT, DIRECT_CHACHA, DIRECT_RELAYED, Contender
from sites import POLICY, processes
from world import wait_until

AES, CHACHA = "aes-256-gcm", "chacha20-poly1305"
RULE = "  - {from: pairs, to: pairs, tcp: any, udp: any, icmp: any}\n"
_serial = itertools.count(1)
PATIENCE = 40  # seconds, until two members meet


class Pair:
    def __init__(self, plant, name, conf=""):
        self.plant, number = plant, next(_serial)
        near, far = (plant.world.host(f"{name}-{end}") for end in ("near", "far"))
        self.wire = plant.world.wire(near, far, mtu=1500, subnets=(f"10.78.{number}.0/24",))
        plant.world.attach(far, plant.internet)
        self.near, self.far = (plant.adopt(host) for host in (near, far))
        self.carry(far)
        self.wall = False
        self.carried = []  # processes of both and of the relay: those that are up now
        for machine in (self.near, self.far):
            machine.join(plant.invite(machine.name, groups=["pairs"]))
            with open(machine.state / "node.conf", "a", encoding="utf-8") as file:
                file.write(conf)
            machine.up()

    def carry(self, far):
        """The far one passes on what the near one and the hub say to each other, and is itself known by its address on the
        wire."""
        near_end, far_end = self.wire
        far.sysctl("net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0")
        near_end.host.route("default", via=far_end.v4, device=near_end.device)
        far.route("default", via=far.gateway.v4, options=f"src {far_end.v4}")
        self.plant.internet.route(f"{far_end.v4.rsplit('.', 1)[0]}.0/24", via=far.ends[-1].v4)

    def block(self, stand):
        """Whether what the two say to each other is dropped on arrival."""
        if stand == self.wall:
            return
        self.wall = stand
        for machine, other in ((self.near, self.far), (self.far, self.near)):
            theirs = ", ".join(end.v4 for end in other.host.ends)
            wall = ("table inet wall { chain input { type filter hook input priority 0;\n"
                    f"ip saddr {{ {theirs} }} meta l4proto udp drop\n}}\n}}\n")
            machine.host.nft(wall if stand else "delete table inet wall\n")

    def path(self, machine, other):
        return next((peer["path"] for peer in machine.status()["peers"] if peer["device"] == other.name), {"kind": "none"})

    def meet(self, kind, transport):
        """Brings both to speak with each other that way. Who fell back from a direct path tries it again only after a while:
        so one of them begins anew."""
        def met():
            self.near.pings(self.far.name, deadline=5)
            paths = [self.path(self.near, self.far), self.path(self.far, self.near)]
            return all(path["kind"] == kind and (path["transport"] or "").endswith(transport) for path in paths)
        self.block(kind == "relayed")
        if not met():
            self.far.down()
            self.far.up()
        wait_until(met, PATIENCE, f"{self.near.name} and {self.far.name} are {kind} by {transport}")
        hub = [] if kind == "direct" else [self.plant.hub]
        self.carried[:] = processes(self.near, self.far, *hub)

    def contender(self, name, kind, transport):
        return Contender(name, self.near.host, self.far.host, self.far.address(), self.carried,
                         lambda: self.meet(kind, transport))


def contenders(plant):
    aes, chacha = Pair(plant, "pair"), Pair(plant, "chacha", "aead=chacha20\n")
    plant.publish(POLICY + RULE)
    return [aes.contender(DIRECT, "direct", AES), chacha.contender(DIRECT_CHACHA, "direct", CHACHA),
            aes.contender(DIRECT_RELAYED, "relayed", AES)]
