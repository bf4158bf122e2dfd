"""After a restart of the hub or a member, or when a router forgets its mappings, traffic is back within seconds."""
import os
import signal
import subprocess
import threading
import time

import pytest
from built import built_plant
from running import wait_until

pytestmark = pytest.mark.deadline(120)

POLICY = """\
allow:
  - {from: sensors, to: brokers, icmp: any}
  - {from: brokers, to: sensors, icmp: any}
"""
SECONDS = 25  # one or two as a rule; an idle relay session is probed each ten only, and a lost initiation waits five

# ctnetlink: deletes every connection that the router knows.
FORGET = """
import socket, struct
for family in (socket.AF_INET, socket.AF_INET6):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    s.bind((0, 0))
    s.send(struct.pack("=IHHII", 20, 1 << 8 | 2, 5, 1, 0) + struct.pack("=BBH", family, 0, 0))
    assert struct.unpack_from("=i", s.recv(4096), 16)[0] == 0
"""


class Flow:
    """Echoes each 100 ms, and when they were answered."""

    def __init__(self, machine, address):
        self.process = machine.host.popen(["ping", "-i", "0.1", "-n", address], stdout=subprocess.PIPE,
                                          stderr=subprocess.DEVNULL, text=True)
        self.times = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            if "bytes from" in line:
                self.times.append(time.monotonic())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def comes_back(self, since):
        wait_until(lambda: any(at > since for at in self.times), SECONDS, "echoes are answered again")


def kill(machine):
    for pid in machine.pids():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not machine.pids(), what=f"{machine.name} is dead")


def down(machine):
    machine.down()


@pytest.fixture(scope="module")
def network():
    with built_plant() as plant:
        plant.found()
        plant.add("sensor-7", site="a", groups=["sensors"])
        plant.add("broker-1", site="b", groups=["brokers"])
        plant.publish(POLICY)
        yield plant


@pytest.mark.parametrize("end", [down, kill])
def test_traffic_outlives_a_restart_of_the_hub(network, end):
    sensor, broker = network["sensor-7"], network["broker-1"]
    with Flow(sensor, broker.address()) as flow:
        wait_until(lambda: flow.times, 10, "echoes are answered")
        end(network.hub)
        network.hub.up()
        flow.comes_back(time.monotonic())
    for machine in (sensor, broker, network.hub):
        wait_until(lambda: not machine.problems(), 20, f"{machine.name} sees no problem")


@pytest.mark.parametrize("end", [down, kill])
@pytest.mark.parametrize("who", ["sensor-7", "broker-1"])
def test_a_member_that_restarted_is_reached_at_once(network, end, who):
    sensor, broker = network["sensor-7"], network["broker-1"]
    address = broker.address()
    assert sensor.pings("broker-1")
    end(network[who])
    network[who].up()
    since = time.monotonic()
    with Flow(sensor, address) as flow:
        flow.comes_back(since)


def test_a_router_that_forgets_its_mappings_is_got_over(network):
    sensor, broker = network["sensor-7"], network["broker-1"]
    with Flow(broker, sensor.address()) as flow:
        wait_until(lambda: flow.times, 10, "echoes are answered")
        network.sites["a"].router.run(["/usr/bin/python3", "-c", FORGET])
        time.sleep(0.2)
        flow.comes_back(time.monotonic())
