"""A relay that is hostile (relay.py), and the members that it carries for: what it may spoil, and what goes on."""
import os
import socket
import time

import hostile
import plant as plants
import pytest
from running import stays, wait_until
from streams import Stream, row

pytestmark = pytest.mark.deadline(90)


class End:
    """A machine as streams.py wants its nodes."""

    def __init__(self, machine):
        self.home, self.v4 = machine.host, machine.address()


class Members:
    def __init__(self, net):
        self.net, self.plant = net, net.plant
        self.sensor = net.add("sensor", "a", ["sensors"])
        self.broker = net.add("broker", "b", ["brokers"])
        self.plant.publish(hostile.POLICY)
        self.relay = None

    def take_over(self):
        self.relay = self.net.takes_over(self.sensor, self.broker)
        self.names = [device.name for device in self.relay.by_name.values()]
        self.a, self.b = (self.relay[machine.name] for machine in (self.sensor, self.broker))
        self.relay.wait_for(*self.names)

    def by_it(self):
        """Both anew, with a path through the hostile relay, which is honest so far."""
        self.relay.be_honest()
        self.relay.latest.clear()
        hostile.restart(self.sensor, self.broker)
        self.relay.wait_for(*self.names)
        before = len(self.relay.carried)
        assert self.ping()
        assert len(self.relay.carried) > before, "the control: it goes by it"
        return self.relay

    def ping(self, deadline=20):
        return self.sensor.host.ping(self.broker.address(), deadline=deadline)

    def path(self):
        return hostile.path(self.sensor, self.broker.name)


@pytest.fixture(scope="module")
def members():
    missing = plants.missing_programs()
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}")
    with hostile.network() as net:
        members = Members(net)
        yield members
        if members.relay:
            members.relay.close()


@pytest.fixture
def hostile_relay(members):
    """Its members have a path through it."""
    if not members.relay:
        members.take_over()
    relay = members.by_it()
    yield relay
    assert relay.is_well()


def test_one_that_drops_all_is_left_for_another(members, hostile_relay):
    hostile_relay.carry = lambda *_: None
    started = time.monotonic()
    assert members.ping(deadline=60)
    print(f"by the hub {time.monotonic() - started:.1f} s after the other began to drop")
    assert members.path() == ("relayed", "hub")
    stays(lambda: members.ping(deadline=2), 3)
