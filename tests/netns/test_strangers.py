"""What strangers get from the hosts of a network: nothing, from `up --darken` to `down`, daemon alive or dead."""
import os
import re
import signal
import socket

import pytest
from built import built_plant

import plant as plants
from running import stays, wait_until

pytestmark = pytest.mark.deadline(120)
KEPT = 2222


@pytest.fixture(scope="module")
def plant():
    with built_plant() as plant:
        plant.found(up=f"--darken --keep tcp/{KEPT}")
        plant.add("sensor-7", site="a", groups=["sensors"])
        plant.add("public-1", site=None, groups=["brokers"], up="--darken")
        plant.publish("allow:\n  - {from: sensors, to: brokers, tcp: [1883], icmp: any}\n")
        yield plant


def drawn_by(plant, host):
    """Counts all that the host sends to the stranger."""
    return host.counter("output", f"ip daddr {plant.stranger.v4}"), host.counter("output", f"ip6 daddr {plant.stranger.v6}")


def probe(plant, address):
    """What a scanner tries, and what only looks like ours."""
    plant.stranger.run(f"nmap -n -Pn -sS -p 1-200,1883,5683,8883,{plants.PORT} --max-retries 0 -T5 --host-timeout 8s "
                       f"{address}", check=False, timeout=40)
    plant.stranger.run(f"nmap -n -Pn -sU -p 53,123,5683,{plants.PORT} --max-retries 0 -T5 --host-timeout 8s {address}",
                       check=False, timeout=40)
    plant.stranger.run(f"ping -n -c 3 -i 0.2 -W 1 {address}", check=False, timeout=10)
    with plant.stranger.socket() as sock:
        for port in (plants.PORT, 1883, 9):
            for kind in range(8):
                for size in (0, 1, 32, 64, 92, 148, 1400):
                    sock.sendto(bytes([kind]) + bytes(size), (address, port))


@pytest.mark.parametrize("name", ["hub", "public-1"])
def test_a_darkened_host_sends_no_byte_to_a_stranger(plant, name):
    host = plant[name].host
    drawn = drawn_by(plant, host)
    probe(plant, host.v4)
    stays(lambda: all(counter.bytes == 0 for counter in drawn), 1, "no byte is drawn")
    for counter in drawn:
        counter.remove()


def test_the_network_works_meanwhile(plant):
    assert plant["sensor-7"].pings("public-1", deadline=20)
    assert plant["sensor-7"].host.ping(plant["public-1"].address(), deadline=10)


def test_a_kept_port_answers(plant):
    listener = plant.hub.host.popen(["/usr/bin/python3", "-c", "import socket, time\n"
                                     f"s = socket.create_server(('0.0.0.0', {KEPT}))\ntime.sleep(60)"])
    def connects():
        with plant.stranger.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.settimeout(2)
            return sock.connect_ex((plant.hub.host.v4, KEPT)) == 0
    try:
        wait_until(connects, 10, "the kept port can be connected to")
    finally:
        plant.world.end(listener)


def test_what_was_recorded_and_sent_again_draws_nothing(plant):
    """Real datagrams of a member, from another source and again after a restart of the hub."""
    with plant.hub.host.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as tap:
        tap.settimeout(5)
        sensor = plant["sensor-7"]
        sensor.down()
        sensor.up()
        recorded = []
        while len(recorded) < 4:
            frame = tap.recv(4000)
            if frame[23] == 17 and int.from_bytes(frame[36:38], "big") == plants.PORT:
                recorded.append(frame[42:])
    assert any(datagram[0] == 1 and len(datagram) == 148 for datagram in recorded), "an initiation is among them"
    drawn = drawn_by(plant, plant.hub.host)
    with plant.stranger.socket() as sock:
        for datagram in recorded * 3:
            sock.sendto(datagram, (plant.hub.host.v4, plants.PORT))
        stays(lambda: drawn[0].bytes == 0, 1, "no byte is drawn")
        plant.hub.down()
        plant.hub.up(f"--darken --keep tcp/{KEPT}")
        for datagram in recorded * 3:
            sock.sendto(datagram, (plant.hub.host.v4, plants.PORT))
        stays(lambda: drawn[0].bytes == 0, 1, "no byte is drawn after a restart")
    for counter in drawn:
        counter.remove()
    wait_until(lambda: plant["sensor-7"].pings("public-1", deadline=3), 60, "and the network works")


def test_a_packet_that_claims_an_overlay_address_does_not_come_in_from_outside(plant):
    broker = plant["public-1"]
    listener = broker.host.popen(["/usr/bin/python3", "-c", "import socket, sys\n"
                                  "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                                  f"s.bind(({broker.address()!r}, 7000))\ns.settimeout(20)\n"
                                  "print(s.recv(100), flush=True)"], log=plant.world.dir / "spoof.log")
    plant.internet.route(broker.address() + "/32", via=broker.host.v4)
    plant.stranger.ip(f"address add {plant['sensor-7'].address()}/32 dev {plant.stranger.device}")
    try:
        with plant.stranger.socket() as sock:
            sock.bind((plant["sensor-7"].address(), 0))
            for _ in range(5):
                sock.sendto(b"spoofed", (broker.address(), 7000))
        stays(lambda: not re.search("spoofed", (plant.world.dir / "spoof.log").read_text()), 2, "nothing comes in")
    finally:
        plant.world.end(listener)


def test_it_stays_dark_when_the_daemon_is_killed_and_is_as_before_after_down(plant):
    machine = plant["public-1"]
    for pid in machine.pids("nightjard"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not machine.pids(), 10, "dead")
    drawn = drawn_by(plant, machine.host)
    probe(plant, machine.host.v4)
    stays(lambda: all(counter.bytes == 0 for counter in drawn), 0.5, "no byte is drawn from the dead")
    machine.down()
    assert plant.stranger.ping(machine.host.v4), "after down the host is as it was"
    machine.up("--darken")
    assert plant["sensor-7"].pings("public-1", deadline=40)
