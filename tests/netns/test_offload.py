"""Partial checksums between two real nodes (docs/PROTOCOL.md section 21): what is right arrives byte for byte with and
without offloads, and what was wrong before it came to a node arrives wrong, and nobody gets it."""
import contextlib
import hashlib
import os
import socket
import struct
import threading

import pytest
from built import built_plant

from running import wait_until

pytestmark = pytest.mark.deadline(120)

POLICY = """\
allow:
  - {from: sensors, to: brokers, tcp: any, udp: any, icmp: any}
  - {from: brokers, to: sensors, tcp: any, udp: any, icmp: any}
"""
AMOUNT = 4 << 20
PORT = 7000
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
SOL_PACKET, PACKET_AUXDATA, CHECKSUM_NOT_READY, OUTGOING = 263, 8, 8, 4


@pytest.fixture(scope="module")
def pair():
    with built_plant() as plant:
        plant.found()
        sensor = plant.add("sensor-7", site="a", groups=["sensors"])
        broker = plant.add("broker-1", site="b", groups=["brokers"])
        plant.publish(POLICY)
        assert sensor.pings("broker-1", deadline=20)
        wait_until(lambda: all(transport(*who).startswith("native") for who in ((sensor, broker), (broker, sensor))),
                   20, "both speak native transport")
        yield plant, sensor, broker


def transport(machine, peer):
    return next((p["path"]["transport"] or "" for p in machine.status()["peers"] if p["device"] == peer.name), "")


def interface(machine):
    lines = machine.host.ip(f"-o address show to {machine.address()}").stdout.split()
    return lines[1]


@contextlib.contextmanager
def listening(machine, kind, version=4):
    with machine.host.socket(FAMILIES[version], kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((machine.address(version), PORT))
        sock.settimeout(10)
        yield sock


class Tap:
    """TCP and UDP packets that come out of a node's interface: finished ones and partial ones."""

    def __init__(self, machine):
        self.sock = machine.host.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.bind((interface(machine), 3))
        self.sock.setblocking(False)
        self.finished = self.partial = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def look(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, control, _, source = self.sock.recvmsg(128, 200)
                protocol = packet[9] if packet[0] >> 4 == 4 else packet[6]
                if source[2] == OUTGOING or protocol not in (6, 17):
                    continue
                status = struct.unpack_from("I", control[0][2])[0]
                if status & CHECKSUM_NOT_READY:
                    self.partial += 1
                else:
                    self.finished += 1
        return self


def stream(sender_host, receiver, version=4, amount=AMOUNT, to=None):
    """TCP of random bytes; whether they all came as they were."""
    sent, came = hashlib.sha256(), hashlib.sha256()
    data = os.urandom(amount)
    sent.update(data)
    with listening(receiver, socket.SOCK_STREAM, version) as listener, \
            sender_host.socket(FAMILIES[version], socket.SOCK_STREAM) as out:
        listener.listen()
        out.settimeout(20)
        out.connect((to or receiver.address(version), PORT))
        into, _ = listener.accept()
        into.settimeout(20)

        def send():
            out.sendall(data)
            out.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        with into:
            while part := into.recv(1 << 20):
                came.update(part)
        thread.join()
    return sent.digest() == came.digest()


def datagrams(sender_host, receiver, version=4, lens=(1, 2, 100, 1001, 1300, 5000), to=None):
    """Of all these sizes, the longest in fragments."""
    with listening(receiver, socket.SOCK_DGRAM, version) as into, sender_host.socket(FAMILIES[version]) as out:
        for length in lens:
            data = os.urandom(length)
            out.sendto(data, (to or receiver.address(version), PORT))
            if into.recv(10000) != data:
                return False
    return True


@contextlib.contextmanager
def unoffloaded(machine):
    """Its kernel sums and segments for itself."""
    device = interface(machine)
    machine.host.run(f"ethtool -K {device} tx off")
    try:
        yield
    finally:
        machine.host.run(f"ethtool -K {device} tx on")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("forth", [True, False])
def test_tcp_arrives_byte_for_byte_and_nobody_summed_it(pair, version, forth):
    _, sensor, broker = pair
    sender, receiver = (sensor, broker) if forth else (broker, sensor)
    with Tap(receiver) as tap:
        assert stream(sender.host, receiver, version)
        tap.look()
        assert tap.partial > 0 and tap.finished == 0


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("forth", [True, False])
def test_datagrams_arrive_byte_for_byte(pair, version, forth):
    _, sensor, broker = pair
    sender, receiver = (sensor, broker) if forth else (broker, sensor)
    with Tap(receiver) as tap:
        assert datagrams(sender.host, receiver, version)
        assert tap.look().partial == 5


@pytest.mark.parametrize("version", [4, 6])
def test_without_offloads_checksums_come_finished(pair, version):
    _, sensor, broker = pair
    with unoffloaded(sensor), Tap(broker) as tap:
        assert datagrams(sensor.host, broker, version)
        assert tap.look().partial == 0 and tap.finished >= 5
        assert stream(sensor.host, broker, version)
    with unoffloaded(broker):
        assert stream(sensor.host, broker, version)


def test_extension_headers_go_whole(pair):
    _, sensor, broker = pair
    with Tap(broker) as tap, listening(broker, socket.SOCK_DGRAM, 6) as into, \
            sensor.host.socket(socket.AF_INET6) as out:
        out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
        out.sendto(b"between", into.getsockname()[:2])
        assert into.recv(100) == b"between"
        assert tap.look().partial == 0


# From a machine behind a node, through that.


@pytest.fixture(scope="module")
def behind(pair):
    """A controller in a machine's local network, for which the node forwards a port of its own to the other's overlay
    address. (Nothing else gets into the overlay from elsewhere.)"""
    plant, sensor, broker = pair
    host = plant.world.host("plc")
    near, far = plant.world.wire(host, sensor.host)
    host.gateway = far
    host.route_out(near)
    # Connection tracking would set what is wrong aside before it comes to the node.
    sensor.host.sysctl("net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_checksum=0")
    sensor.host.masquerade(interface(sensor))
    sensor.host.rule("dstnat", f'iifname "{far.device}" th dport {PORT} dnat ip to {broker.address()}')
    return host


def test_what_is_forwarded_arrives_byte_for_byte(pair, behind):
    _, _, broker = pair
    with Tap(broker) as tap:
        assert stream(behind, broker, to=behind.gateway.v4)
        assert datagrams(behind, broker, lens=(1, 100, 1300), to=behind.gateway.v4)
        assert tap.look().partial > 0, "between namespaces of one machine nobody has summed it yet"


def checksum(data):
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def raw_datagram(source, destination, text, *, wrong):
    source, destination = socket.inet_aton(source), socket.inet_aton(destination)
    length = 8 + len(text)
    udp = struct.pack(">HHHH", 6000, PORT, length, 0) + text
    right = checksum(source + destination + struct.pack(">HH", 17, length) + udp)
    udp = udp[:6] + struct.pack(">H", right ^ wrong) + udp[8:]
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + length, 1, 0, 64, 17, 0, source, destination)
    return ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:] + udp


def counted_wrong(machine):
    """Datagrams that its kernel threw away for their checksums."""
    names, values = [line.split() for line in machine.host.run("cat /proc/net/snmp").stdout.splitlines()
                     if line.startswith("Udp:")]
    return int(values[names.index("InCsumErrors")])


@pytest.mark.parametrize("wrong", [1, 0x100, 0xffff ^ 1])
@pytest.mark.parametrize("from_behind", [False, True])
def test_a_wrong_checksum_arrives_wrong_and_nobody_gets_it(pair, behind, wrong, from_behind):
    _, sensor, broker = pair
    host, source, to = sensor.host, sensor.address(), broker.address()
    if from_behind:
        host, source, to = behind, behind.v4, behind.gateway.v4
    with Tap(broker) as tap, listening(broker, socket.SOCK_DGRAM) as into, \
            host.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        before = counted_wrong(broker)
        raw.sendto(raw_datagram(source, to, b"wrong", wrong=wrong), (to, 0))
        raw.sendto(raw_datagram(source, to, b"right", wrong=0), (to, 0))
        assert into.recv(100) == b"right"
        assert counted_wrong(broker) == before + 1
        assert tap.look().partial == 0 and tap.finished == 2
