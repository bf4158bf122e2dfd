"""Members and relays speak native transport to each other, as soon as they have said hello (PROTOCOL.md section 21)."""
import subprocess

import pytest
from built import built_plant
from running import wait_until

pytestmark = pytest.mark.deadline(60)

POLICY = "allow:\n  - {from: sensors, to: brokers, udp: any, icmp: any}\n"
PACKETS = 100


@pytest.fixture(scope="module")
def plant():
    with built_plant() as plant:
        plant.found()
        plant.add("sensor-7", site="a", groups=["sensors"])
        plant.add("broker-1", site="b", groups=["brokers"])
        plant.publish(POLICY)
        yield plant


def captured(capture, kind):
    """Datagrams of this message type."""
    out = subprocess.run(["tcpdump", "-n", "-r", capture, f"udp[8:4] == 0x{kind:02x}000000"], capture_output=True,
                         check=True, text=True).stdout
    return out.splitlines()


def test_what_two_say_through_a_relay_is_native_on_both_legs(plant):
    sensor, broker, hub = plant["sensor-7"], plant["broker-1"], plant.hub
    capture, log = plant.world.dir / "native.pcap", plant.world.dir / "native.log"
    wait_until(lambda: sensor.pings("broker-1"), 20, "the two meet")
    tcpdump = hub.host.popen(["tcpdump", "-i", "any", "-U", "-w", capture, "udp"], log=log)
    wait_until(lambda: "listening" in log.read_text(), 10, "tcpdump listens")
    with broker.host.socket() as receiver, sensor.host.socket() as sender:
        receiver.bind((broker.address(), 5683))
        receiver.settimeout(3)
        sender.connect((broker.address(), 5683))
        for number in range(PACKETS):
            sender.send(bytes([number]) * 500)
            assert receiver.recv(2048) == bytes([number]) * 500
    wait_until(lambda: len(captured(capture, 5)) >= 2 * PACKETS, 10, "each packet twice, to the relay and from it")
    plant.world.end(tcpdump)
    assert len(captured(capture, 4)) <= PACKETS // 10, "but for what is said before a hello"
