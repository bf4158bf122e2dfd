"""Relays without a controller: the door through one, members whose sessions are with different ones, one that dies."""
import os
import signal

import plant as plants
import pytest
from built import built_plant
from running import stays, wait_until

pytestmark = pytest.mark.deadline(120)

POLICY = """\
allow:
  - {from: sensors, to: brokers, udp: any, icmp: any}
"""


class Relays:
    """The hub and two more relays in public; walls say which of them a site reaches."""

    def __init__(self, plant):
        self.plant, self.walls = plant, {}
        plant.found()
        for name in ("relay-2", "relay-3"):
            self.add_relay(name)

    def add_relay(self, name):
        machine = self.plant.machine(name)
        ticket = self.plant.invite(name, options=f"--relay {machine.host.v4}:{plants.PORT}")
        machine.join(ticket)
        machine.up()

    def wall(self, site, name):
        """Nothing passes between a site and a relay, while this rule stands."""
        router, relay = self.plant.sites[site].router, self.plant[name].host
        rules = [router.drop("forward", f"ip {way} {relay.v4}") for way in ("daddr", "saddr")]
        rules += [router.drop("forward", f"ip6 {way} {relay.v6}") for way in ("daddr", "saddr")]
        self.walls.setdefault(site, []).extend(rules)

    def only(self, site, name):
        for other in ("hub", "relay-2", "relay-3"):
            if other != name:
                self.wall(site, other)

    def open_for(self, site):
        for rule in self.walls.pop(site, []):
            rule.remove()


def sessions(machine):
    """Relays that it has a live session with."""
    return {peer["device"] for peer in machine.status()["peers"]
            if peer["is_relay"] and peer["last_handshake_s"] is not None and peer["last_handshake_s"] < 180}


def path(machine, device):
    """The relay by which a device is reached."""
    peers = [peer for peer in machine.status()["peers"] if peer["device"] == device]
    return peers[0]["path"]["relay"] if peers else None


@pytest.fixture(scope="module")
def relays():
    with built_plant() as plant:
        yield Relays(plant)


def test_a_relay_that_joins_is_one(relays):
    for name in ("relay-2", "relay-3"):
        status = relays.plant[name].status()
        assert (status["relay"], status["controller"]) == (True, False)
        assert not relays.plant[name].pids("nightjar-controller")


def test_a_device_joins_through_a_relay_without_a_controller(relays):
    plant = relays.plant
    relays.only("a", "relay-2")
    to_hub = plant.internet.counter("forward", f"ip saddr {plant.sites['a'].outside} ip daddr {plant.hub.host.v4}")
    plant.add("sensor-7", site="a", groups=["sensors"])
    assert to_hub.packets == 0, "the wall stands"
    assert plant["sensor-7"].status()["device"] == "sensor-7"
    to_hub.remove()


def test_members_with_sessions_at_different_relays_meet(relays):
    plant = relays.plant
    relays.only("b", "relay-3")
    plant.add("broker-1", site="b", groups=["brokers"])
    plant.publish(POLICY)
    sensor, broker = plant["sensor-7"], plant["broker-1"]
    assert (sessions(sensor), sessions(broker)) == ({"relay-2"}, {"relay-3"})
    assert not sensor.pings("broker-1", deadline=3), "the control: they have no relay in common"
    relays.open_for("a")
    wait_until(lambda: sensor.pings("broker-1", deadline=3), 60, "it goes to the other's relay")
    assert path(sensor, "broker-1") == "relay-3"


def test_when_a_relay_dies_traffic_goes_on_by_another_and_it_returns(relays):
    plant = relays.plant
    sensor, broker = plant["sensor-7"], plant["broker-1"]
    relays.open_for("b")
    wait_until(lambda: len(sessions(sensor)) >= 2 and len(sessions(broker)) >= 2, 60, "two relays each")
    assert sensor.pings("broker-1", deadline=20)
    used = path(sensor, "broker-1")
    assert used
    for pid in plant[used].pids():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: sensor.pings("broker-1", deadline=2), 30, "by another relay")
    assert path(sensor, "broker-1") != used
    stays(lambda: sensor.pings("broker-1", deadline=2), 3)
    plant[used].up()
    wait_until(lambda: sensor.pings(used, deadline=2) or used in sessions(sensor), 60, "and it is back")
