"""Members that reach each other directly: through which NATs they do, when they don't, and what happens to their
traffic when the way changes under it."""
import os
import signal
import threading
import time

import plant as plants
import pytest
from built import built_plant
from running import stays, wait_until
from streams import Stream, row

pytestmark = pytest.mark.deadline(180)

POLICY = """\
allow:
  - {from: sensors, to: brokers, tcp: any, udp: any, icmp: any}
"""
# name: site (None: on the public side); home-1 and home-2 share one NAT
MACHINES = {"home-1": "a", "home-2": "a", "home-3": "b", "hidden-1": "c", "hidden-2": "d", "public-1": None,
            "public-2": None}
BROKERS = ("home-2", "home-3", "hidden-2", "public-1")


@pytest.fixture(scope="module")
def plant():
    with built_plant(nat="home") as plant:
        plant.site("c", "symmetric")
        plant.site("d", "symmetric")
        plant.found()
        relay = plant.machine("relay-2")
        relay.join(plant.invite("relay-2", options=f"--relay {relay.host.v4}:{plants.PORT}"))
        relay.up()
        for name, site in MACHINES.items():
            plant.add(name, site=site, groups=["sensors"] + (["brokers"] if name in BROKERS else []))
        plant.publish(POLICY)
        yield plant


class End:
    """A machine as streams.py wants its nodes."""

    def __init__(self, machine):
        self.home, self.v4 = machine.host, machine.address()


def path(machine, device):
    peers = [peer for peer in machine.status()["peers"] if peer["device"] == device]
    return peers[0]["path"] if peers else {"kind": "none", "endpoint": None, "relay": None, "why": None}


def kind(machine, device):
    return path(machine, device)["kind"]


def meet(plant, one, other, deadline=20):
    """Until they do directly, both ways, while one goes on asking."""
    one, other = plant[one], plant[other]
    def direct():
        one.pings(other.name, deadline=3)
        return kind(one, other.name) == kind(other, one.name) == "direct"
    wait_until(direct, deadline, f"{one.name} and {other.name} meet: {path(one, other.name)}")


class Wall:
    """No IPv4 passes directly between these two addresses while it stands."""

    def __init__(self, plant, a, b):
        self.rules = [plant.internet.drop("forward", f"ip saddr {x} ip daddr {y}") for x, y in ((a, b), (b, a))]

    def remove(self):
        for rule in self.rules:
            rule.remove()


def test_behind_two_home_routers_they_meet_directly_within_two_seconds(plant):
    one = plant["home-1"]
    started = time.monotonic()
    assert one.pings("home-3", deadline=10)
    wait_until(lambda: kind(one, "home-3") == "direct", 10, "they meet", every=0.05)
    took = time.monotonic() - started
    print(f"direct {took:.2f} s after the first packet was asked for")
    assert took < 2
    assert path(one, "home-3")["endpoint"].split(":")[0] == plant.sites["b"].outside
    assert path(one, "home-3")["why"] is None
    said = one.nightjar("ping home-3 -c 1").stdout
    assert "direct" in said, said


def test_what_is_sent_goes_past_the_relays(plant):
    meet(plant, "home-1", "home-3")
    relays = [plant["hub"].host.v4, plant["relay-2"].host.v4]
    to_relays = plant.internet.counter("forward", f"ip saddr {plant.sites['a'].outside} "
                                                  f"ip daddr {{ {', '.join(relays)} }} meta length > 500")
    assert plant["home-1"].host.ping(plant["home-3"].address(), count=10, size=800)
    assert to_relays.packets == 0
    to_relays.remove()


def test_behind_two_symmetric_nats_they_stay_relayed_and_status_says_why(plant):
    one = plant["hidden-1"]
    assert one.pings("hidden-2", deadline=20)
    wait_until(lambda: path(one, "hidden-2")["why"] not in (None, "a direct path is being tried"), 20,
               "it was tried")
    assert kind(one, "hidden-2") == "relayed"
    assert path(one, "hidden-2")["why"] == "this NAT shows each destination another port"
    assert "this NAT shows each destination another port" in one.nightjar("status").stdout
    stays(lambda: kind(one, "hidden-2") == "relayed" and one.pings("hidden-2", deadline=2), 3)


def test_one_that_is_public_is_met_from_behind_a_symmetric_nat(plant):
    meet(plant, "hidden-1", "public-1")
    meet(plant, "home-1", "public-1")


def test_behind_the_same_nat_they_meet_on_their_own_network(plant):
    meet(plant, "home-1", "home-2")
    assert path(plant["home-1"], "home-2")["endpoint"].split(":")[0] == plant["home-2"].host.v4


def test_where_no_ipv4_leads_they_meet_by_ipv6(plant):
    wall = Wall(plant, plant["public-1"].host.v4, plant["public-2"].host.v4)
    meet(plant, "public-2", "public-1")
    assert path(plant["public-2"], "public-1")["endpoint"].startswith("[")
    wall.remove()


def test_a_firewall_in_the_middle_of_a_connection_breaks_nothing(plant):
    meet(plant, "home-1", "home-3")
    one = plant["home-1"]
    with Stream(End(one), End(plant["home-3"])) as stream:
        stream.flows(2 << 20)
        wall = Wall(plant, plant.sites["a"].outside, plant.sites["b"].outside)
        started = time.monotonic()
        try:
            wait_until(lambda: kind(one, "home-3") == "relayed", 20, "they fall back", every=0.1)
            print(f"relayed {time.monotonic() - started:.2f} s after the direct path was cut")
            stream.flows(2 << 20, deadline=20)
        finally:
            wall.remove()
        wait_until(lambda: kind(one, "home-3") == "direct", 60, "they meet again", every=0.2)
        stream.flows(2 << 20, deadline=20)


def test_nothing_is_lost_when_a_relayed_path_becomes_direct(plant):
    one, other = plant["home-1"], plant["home-3"]
    meet(plant, "home-1", "home-3")
    wall = Wall(plant, plant.sites["a"].outside, plant.sites["b"].outside)
    wait_until(lambda: one.pings("home-3", deadline=3) and kind(one, "home-3") == kind(other, "home-1") == "relayed", 30,
               "they fall back")
    opening = threading.Timer(1, wall.remove)
    opening.start()
    for _ in range(12):  # each for five seconds or more
        before = kind(one, "home-3")
        numbers = row(End(one), End(other), 5000, pace=0.0009)
        assert sorted(set(numbers)) == list(range(5000)), f"{5000 - len(set(numbers))} of 5000 are lost"
        if kind(one, "home-3") == "direct":
            break
    opening.join()
    assert (before, kind(one, "home-3")) == ("relayed", "direct"), "it changed under a row"


def is_direct_elsewhere(machine, device, old):
    """By IPv4 or IPv6, whichever answered first."""
    now = path(machine, device)
    return now["kind"] == "direct" and now["endpoint"] != old


def test_one_that_moves_to_another_address_is_followed(plant):
    meet(plant, "home-1", "public-1")
    one, other = plant["home-1"], plant["public-1"]
    old = path(one, "public-1")["endpoint"]
    with Stream(End(one), End(other)) as stream:
        stream.flows(1 << 20)
        started = time.monotonic()
        other.host.change_address(other.host.v4.rsplit(".", 1)[0] + ".77/24")
        stream.flows(2 << 20, deadline=30)
        wait_until(lambda: is_direct_elsewhere(one, "public-1", old), 30, "they meet again", every=0.2)
        print(f"direct {time.monotonic() - started:.2f} s after the move")
        stream.flows(1 << 20, deadline=20)


def test_a_router_that_gets_another_address_is_followed(plant):
    meet(plant, "home-1", "home-3")
    one, site = plant["home-1"], plant.sites["b"]
    old = path(one, "home-3")["endpoint"]
    with Stream(End(one), End(plant["home-3"])) as stream:
        stream.flows(1 << 20)
        started = time.monotonic()
        site.outside = site.outside.rsplit(".", 1)[0] + ".77"
        site.router.change_address(f"{site.outside}/24")
        stream.flows(2 << 20, deadline=30)
        wait_until(lambda: is_direct_elsewhere(one, "home-3", old), 60, "they meet again", every=0.2)
        print(f"direct {time.monotonic() - started:.2f} s after the router got its address")
        stream.flows(1 << 20, deadline=20)


def test_without_any_relay_a_direct_path_goes_on(plant):
    meet(plant, "home-1", "home-3")
    one = plant["home-1"]
    for name in ("hub", "relay-2"):
        for pid in plant[name].pids():
            os.kill(pid, signal.SIGKILL)
    stays(lambda: one.host.ping(plant["home-3"].address(), deadline=2), 12)
    assert kind(one, "home-3") == "direct"
    for name in ("hub", "relay-2"):
        plant[name].up()
