"""A hub under floods of 100,000 datagrams a second from spoofed addresses: members notice little, strangers get nothing."""
import base64
import contextlib
import json
import os
import signal
import struct
import subprocess
from pathlib import Path

import pytest

import plant as plants
import world as worlds
from noise import INITIATION
from probes import Tap, of_type

SPOOFED = "172.31.0.0"
RATE = 100000
POLICY = """
allow:
  - {from: sensor-7, to: hub, icmp: any}
  - {from: broker-1, to: hub, icmp: any}
"""


@pytest.fixture(scope="module")
def plant():
    if missing := plants.missing_programs() + [name for name in ("bench/flood",) if not os.access(plants.program(name), os.X_OK)]:
        pytest.skip(f"not built: {', '.join(missing)}")
    with plants.Plant() as plant:
        plant.found("--darken")
        plant.add("sensor-7", site="a", up="--darken")
        plant.add("broker-1", site="b", up="--darken")
        plant.publish(POLICY)
        assert plant["sensor-7"].pings("hub") and plant["broker-1"].pings("hub")
        plant.drawn = [plant.hub.host.bytes_to(plant.stranger, plants.PORT),
                       plant.hub.host.counter("postrouting", f"ip daddr {SPOOFED}/16")]
        yield plant


def static_key(machine):
    private = (machine.state / "keys" / "static").read_bytes()
    return worlds.to_hex(worlds.public_key(base64.b64encode(private).decode()))


def captured(plant, count=6):
    """Initiations that a member sent to the hub and that were answered: gated, but for the first. In a file."""
    tap = Tap(plant.hub.host, plant.hub.host.device)
    member = plant["broker-1"]
    for _ in range(count):
        member.down()
        member.up("--darken")
        assert member.pings("hub")
    initiations = of_type(INITIATION, tap.datagrams(plant.sites["b"].outside))
    tap.close()
    assert len(initiations) >= count
    path = plant.world.dir / "captured"
    path.write_bytes(b"".join(struct.pack(">H", len(datagram)) + datagram for datagram in initiations))
    return path


def options(plant, kind):
    if kind == "initiations":
        return ["--key", static_key(plant.hub)]
    return ["--captured", str(captured(plant))] if kind == "replays" else []


class Flood:
    def __init__(self, plant, kind, seconds):
        self.process = plant.stranger.popen(
            [plants.program("bench/flood"), kind, "--to", plant.hub.host.v4, "--port", str(plants.PORT), "--rate", str(RATE),
             "--seconds", str(seconds), "--spoof", SPOOFED, *options(plant, kind)], stdout=subprocess.PIPE, text=True)

    def end(self):
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return json.loads(said)


def p99(times):
    return sorted(times)[min(len(times) - 1, len(times) * 99 // 100)]


def rss(machine):
    """KiB, of all of its processes."""
    total = 0
    for pid in machine.pids():
        status = Path(f"/proc/{pid}/status").read_text()
        total += int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    return total


PINGS = 1000


def echoes(plant, count=PINGS):
    return plant["sensor-7"].host.ping_times(plant.hub.address(4), count=count, interval=0.005)


@pytest.mark.parametrize("kind", ["garbage", "initiations", "replays"])
def test_members_go_on_while_strangers_flood_the_hub(plant, kind, capsys):
    quiet = echoes(plant)
    before = rss(plant.hub)
    flood = Flood(plant, kind, 14)
    flooded = echoes(plant)
    member = plant["broker-1"]
    member.down()
    member.up("--darken")
    back = member.pings("hub", deadline=8)
    running = flood.process.poll() is None
    said = flood.end()
    with capsys.disabled():
        print(f"\n{kind}: {said['rate']:.0f}/s; p99 {p99(quiet):.2f} ms quiet, {p99(flooded):.2f} ms flooded; "
              f"{PINGS - len(flooded)} of {PINGS} lost; RSS {before} -> {rss(plant.hub)} KiB")
    assert running, "the member came back under the flood"
    assert back, "a member that restarts under the flood gets a session"
    assert len(flooded) >= PINGS * 99 // 100
    assert p99(flooded) < 50
    assert rss(plant.hub) < before + 4096
    assert all(counter.bytes == 0 for counter in plant.drawn), "nobody that floods is sent a byte"


def kill(machine):
    for pid in machine.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    worlds.wait_until(lambda: not machine.pids(), what="its processes end")


def test_a_hub_that_is_killed_under_a_flood_gets_its_members_back(plant):
    flood = Flood(plant, "initiations", 20)
    kill(plant.hub)
    plant.hub.up("--darken")
    back = [plant[name].pings("hub", deadline=8) for name in ("sensor-7", "broker-1")]
    running = flood.process.poll() is None
    flood.end()
    assert running and back == [True, True]
    assert all(counter.bytes == 0 for counter in plant.drawn)
