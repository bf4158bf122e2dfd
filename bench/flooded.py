"""Round trips to a relay while strangers flood its port, from spoofed addresses, beside those on a quiet port."""
import base64
import json
import subprocess
import sys

from plant import PORT, Plant, program
from world import ROOT, World, WorldError, public_key, to_hex

sys.path.append(str(ROOT / "tests" / "netns"))
from noise import INITIATION  # noqa: E402
from probes import Tap, of_type  # noqa: E402

RATE = 100000  # datagrams a second
SPOOFED = "172.31.0.0"
KINDS = ("garbage", "initiations", "replays")
PINGS, INTERVAL = 1000, 0.005
SECONDS = 7  # of a flood: longer than the pings take
CAPTURED = 6
POLICY = """\
allow:
  - {from: device-a, to: hub, icmp: any}
"""


class Target:
    """A relay, a member that speaks with it, and what floods need to know of it."""

    def __init__(self, world):
        self.plant = Plant(world)
        self.plant.found("--darken")
        self.member = self.plant.add("device-a", site="a", up="--darken")
        self.plant.publish(POLICY)
        self.hub, self.captured = self.plant.hub, world.dir / "captured"
        private = (self.hub.state / "keys" / "static").read_bytes()
        self.key = to_hex(public_key(base64.b64encode(private).decode()))
        self.capture()

    def capture(self):
        """Initiations that were answered."""
        tap = Tap(self.hub.host, self.hub.host.device)
        for _ in range(CAPTURED):
            self.member.down()
            self.member.up("--darken")
            self.member.pings("hub")
        initiations = of_type(INITIATION, tap.datagrams(self.plant.sites["a"].outside))
        tap.close()
        self.captured.write_bytes(b"".join(len(one).to_bytes(2, "big") + one for one in initiations))

    def p99(self):
        """In milliseconds; and how many pings of all were lost."""
        times = sorted(self.member.host.ping_times(self.hub.address(4), count=PINGS, interval=INTERVAL))
        if not times:
            raise WorldError("no ping came back")
        return times[min(len(times) - 1, len(times) * 99 // 100)], PINGS - len(times)

    def flood(self, kind):
        options = {"initiations": ["--key", self.key], "replays": ["--captured", str(self.captured)]}.get(kind, [])
        return self.plant.stranger.popen(
            [program("bench/flood"), kind, "--to", self.hub.host.v4, "--port", str(PORT), "--rate", str(RATE),
             "--seconds", str(SECONDS), "--spoof", SPOOFED, *options], stdout=subprocess.PIPE, text=True)

    def round(self):
        values = {"p99 quiet": self.p99()[0]}
        lost, rates = 0, []
        for kind in KINDS:
            process = self.flood(kind)
            values[f"p99 {kind}"], gone = self.p99()
            said, _ = process.communicate(timeout=60)
            lost, rates = lost + gone, [*rates, json.loads(said)["rate"]]
        return {**values, "flood lost": 100 * lost / (PINGS * len(KINDS)), "flood rate": min(rates) / 1000}


def measure(rounds):
    """A dictionary for each round."""
    with World() as world:
        try:
            target = Target(world)
            return [target.round() for _ in range(rounds)]
        except WorldError as failure:
            raise WorldError(f"{failure}\n{world.logs(10)}") from None


__all__ = ["RATE", "measure"]
