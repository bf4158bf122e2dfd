"""A member whose identity is good and whose policy is narrow, with a client of its own (rogue.py): what reaches others of
it, what it costs them, and what goes on meanwhile."""
import contextlib
import os
import re
import socket
import struct
import threading
import time

import hostile
import noise
import plant as plants
import pytest
from built import built_plant
import rogue
import statements
from relay import ANSWER, CANDIDATES, INTRODUCE, PROBE, RELAYED, STATEMENT, frame, place
from running import stays, wait_until

pytestmark = pytest.mark.deadline(60)
POLICY = """\
allow:
  - {from: sensors, to: brokers, tcp: any, udp: any, icmp: any}
  - {from: rogues, to: brokers, udp: [7777]}
"""
PORT = 7777
BUDGET = 12
JOIN, JOINED, NOTICE, SIGN_OFF = 8, 9, 11, 12
PARTIAL = b"\x01\0\0\0"
ETH_P_ALL = 3


class Network:
    """The broker is in public; sensor and other, behind NATs, speak with it, and so may the rogue, to one port."""

    def __init__(self, plant):
        self.plant = plant
        plant.found()
        self.hub = plant.hub
        self.broker = plant.machine("broker")
        self.broker.join(plant.invite("broker", groups=["brokers"]))
        self.broker.up(f"--listen {plants.PORT}")
        self.sensor = plant.add("sensor", site="a", groups=["sensors"])
        self.other = plant.add("other", site="b", groups=["sensors"])
        self.rogue = plant.machine("rogue")
        self.rogue.join(plant.invite("rogue", groups=["rogues"]))
        plant.publish(POLICY)
        self.rogue.up()  # once, so that its addresses are known, and it to the broker
        self.own = {version: self.rogue.address(version) for version in (4, 6)}
        assert self.sensor.pings("broker") and self.rogue.pings("broker")
        self.rogue.down()
        self.private = (self.rogue.state / "keys/static").read_bytes()
        self.public = statements.static_public(self.broker)
        self.to = {version: self.broker.address(version) for version in (4, 6)}
        links = self.broker.host.ip("-o address show").stdout
        self.tun = re.search(rf"\d+: (\S+)\s+inet {re.escape(self.to[4])}/", links)[1]

    @contextlib.contextmanager
    def session(self, machine=None):
        """The rogue's, with the broker (directly) or another."""
        machine = machine or self.broker
        made = rogue.Rogue(self.rogue.host, self.private, statements.static_public(machine), (machine.host.v4, plants.PORT),
                           ahead=60)
        try:
            yield made
        finally:
            made.close()

    def works(self, deadline=15):
        return self.sensor.host.ping(self.to[4], deadline=deadline)

    @contextlib.contextmanager
    def unharmed(self, *machines, memory=4096):
        """What happens here: others' pings go on, memory and logs stay as they are."""
        came = []
        pinging = threading.Thread(target=lambda: came.append(hostile.echoes(self.sensor.host, self.to[4])))
        with hostile.bounded(self.broker, *machines, memory=memory):
            pinging.start()
            try:
                yield
            finally:
                pinging.join()
        assert came[0] >= 290, f"{came[0]} of 300 echoes came back"
        assert self.works()


@pytest.fixture(scope="module")
def net():
    with built_plant() as plant:
        made = Network(plant)
        yield made


# Packets

def sum_of(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ipv4(net, payload, protocol=17, *, flags=0, options=b"", source=None, total=None, header_sum=None):
    length = 20 + len(options) + len(payload)
    head = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, total or length, 7, flags, 64, protocol, 0,
                                 socket.inet_aton(source or net.own[4]), socket.inet_aton(net.to[4])) + options)
    head[10:12] = struct.pack(">H", (~sum_of(bytes(head)) & 0xFFFF) if header_sum is None else header_sum)
    return bytes(head) + payload


def ipv6(net, payload, next_header=17, *, source=None):
    return struct.pack(">IHBB16s16s", 6 << 28, len(payload), next_header, 64,
                       socket.inet_pton(socket.AF_INET6, source or net.own[6]),
                       socket.inet_pton(socket.AF_INET6, net.to[6])) + payload


def pseudo(net, version, protocol, length):
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    addresses = socket.inet_pton(family, net.own[version]) + socket.inet_pton(family, net.to[version])
    rest = struct.pack(">BBH", 0, protocol, length) if version == 4 else struct.pack(">IHBB", length, 0, 0, protocol)
    return addresses + rest


def udp(net, body=b"bad", version=4, *, port=PORT, partial=True, length=None, checksum=None):
    length = length or 8 + len(body)
    head = struct.pack(">HHHH", 4000, port, length, 0)
    whole = sum_of(pseudo(net, version, 17, 8 + len(body)) + (b"" if partial else head + body))
    if checksum is None:
        checksum = whole if partial else ~whole & 0xFFFF
    return head[:6] + struct.pack(">H", checksum) + body


def tcp(net, port=PORT, offset=5):
    return struct.pack(">HHIIBBHHH", 4000, port, 1, 0, offset << 4, 2, 1000, sum_of(pseudo(net, 4, 6, 20)), 0)


def good(net):
    """(inner header, packet) of what the rogue may send."""
    return [(PARTIAL, ipv4(net, udp(net, b"good"))), (bytes(4), ipv4(net, udp(net, b"good", partial=False))),
            (PARTIAL, ipv6(net, udp(net, b"good", 6))), (bytes(4), ipv6(net, udp(net, b"good", 6, partial=False)))]


def may_not_be_partial(net):
    """Packets that may not have the flag of a partial checksum, or that mean nothing."""
    u, u6 = udp(net), udp(net, version=6)
    yield from (ipv4(net, u, flags=flags) for flags in (0x2000, 0x2001, 1, 0x1FFF, 185))
    yield from (ipv4(net, u, options=options) for options in (bytes(4), b"\x01" * 40, b"\x44\x04\x05\x00", b"\x83\x03\x04\0"))
    yield from (ipv4(net, u, protocol) for protocol in (0, 1, 2, 4, 41, 47, 50, 58, 132, 136, 255))
    yield from (ipv4(net, u, total=total) for total in (1, 19, 20, 27, 65535))
    yield ipv4(net, u, header_sum=0x1234)
    yield from (ipv4(net, udp(net, length=length)) for length in (1, 7, 8, 10, 12, 65535))
    yield ipv4(net, u[:7])
    yield from (ipv4(net, tcp(net, offset=offset), 6) for offset in (0, 4, 6, 15))
    yield ipv4(net, tcp(net)[:19], 6)
    yield from (ipv6(net, bytes([17, 0]) + bytes(6) + u6, header) for header in (0, 43, 44, 60, 135))
    yield from (ipv6(net, u6, header) for header in (1, 6, 58, 59, 132))
    yield from (ipv4(net, u)[:size] for size in (1, 2, 19, 20, 24, 28, 30))
    yield from (ipv6(net, u6)[:size] for size in (1, 39, 40, 47))
    yield from (bytes([first]) + os.urandom(60) for first in (0x40, 0x44, 0x4F, 0x50, 0x60, 0x70, 0xF5))


def forbidden(net):
    """Whole packets to what it may not reach."""
    yield from (ipv4(net, udp(net, port=port, partial=False)) for port in (53, 5683, 7776, 7778, 51820))
    yield ipv4(net, tcp(net), 6)
    yield ipv4(net, b"\x08\0\xf7\xfd\0\x01\0\x01", 1)
    yield ipv6(net, b"\x80\0\x12\x34\0\x01\0\x01", 58)
    for source in (net.sensor.address(), net.hub.address(), net.to[4], "127.0.0.1", "0.0.0.0", "224.0.0.1",
                   "255.255.255.255", net.rogue.host.v4, "8.8.8.8"):
        yield ipv4(net, udp(net, b"bad", partial=False), source=source)
    for source in (net.sensor.address(6), net.to[6], "::1", "fe80::1", "ff02::1", "::", f"::ffff:{net.own[4]}"):
        yield ipv6(net, udp(net, b"bad", 6, partial=False), source=source)


def udp_port(packet):
    """Where the beginning of a datagram goes, behind options and extension headers; None: it is none."""
    if packet[0] >> 4 == 4:
        at, protocol, later = 4 * (packet[0] & 15), packet[9], packet[6:8] != b"\0\0"
    else:
        at, protocol, later = 40, packet[6], False
        while protocol in (0, 43, 44, 60, 135):
            protocol, at = packet[at], at + (8 if protocol == 44 else 8 + 8 * packet[at + 1])
    return int.from_bytes(packet[at + 2:at + 4], "big") if protocol == 17 and not later else None


class Ears:
    """What comes out of the broker's tunnel, from the rogue or from anybody who says what the rogue said."""

    def __init__(self, net):
        self.net = net
        self.tap = net.broker.host.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.tap.bind((net.tun, ETH_P_ALL))
        self.socks = {}
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            self.socks[version] = net.broker.host.socket(family)
            self.socks[version].bind((net.to[version], PORT))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in (self.tap, *self.socks.values()):
            sock.close()

    def packets(self):
        """Of those on the tunnel's device since last asked: UDP to the port, and others, but for echoes of the sensor."""
        self.tap.setblocking(False)
        right, wrong = 0, []
        ours = [socket.inet_aton(self.net.own[4]), socket.inet_pton(socket.AF_INET6, self.net.own[6])]
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (_, _, kind, *_) = self.tap.recvfrom(65535)
                if kind == socket.PACKET_OUTGOING:
                    continue
                from_rogue = packet[12:16] == ours[0] or packet[8:24] == ours[1]
                if from_rogue and udp_port(packet) == PORT:
                    right += 1
                elif from_rogue or b"bad" in packet:
                    wrong.append(packet)
        return right, wrong

    def said(self, version):
        sock, bodies = self.socks[version], []
        sock.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while True:
                bodies.append(sock.recv(65535))
        return bodies


def counted(net, *names):
    found = hostile.counters(net.broker)
    return [found[name] for name in names]


def test_only_whole_packets_to_the_port_it_may_reach_come_out(net):
    """The control first: with the flag and without, IPv4 and IPv6."""
    with net.session() as session, Ears(net) as ears, net.unharmed():
        for inner, packet in good(net):
            session.sock.send(session.session.native(packet, inner))
        assert (ears.said(4), ears.said(6)) == ([b"good"] * 2, [b"good"] * 2)
        assert ears.packets() == (4, [])
        before = counted(net, "partial_malformed", "bad_native", "bad_source")
        for packet in may_not_be_partial(net):
            session.sock.send(session.session.native(packet, PARTIAL))
        session.sock.send(session.session.native(ipv4(net, udp(net, checksum=0)), PARTIAL))
        for packet in (*may_not_be_partial(net), *forbidden(net)):
            for inner in (bytes(4), b"\x02\0\0\0", b"\x80\0\0\0", b"\xff\xff\xff\xff", b"\0\x01\0\0", b"\x01\0\0\x01"):
                session.sock.send(session.session.native(packet, inner))
            session.sock.send(session.session.data(packet))
        for inner in (PARTIAL, b"\x03\0\0\0"):
            session.sock.send(session.session.native(b"", inner))
            session.sock.send(session.session.native(frame(PROBE, {1: 1, 2: 2}), inner))
        for sealed in (b"", b"\x01", b"\x01\0\0"):
            session.sock.send(session.session.native(b"", sealed))
        whole = session.session.native(good(net)[0][1], PARTIAL)
        for size in range(0, len(whole), 5):
            session.sock.send(whole[:size])
        for inner, packet in good(net):
            session.sock.send(session.session.native(packet, inner))
        bodies = ears.said(4) + ears.said(6)
        assert bodies.count(b"good") == 4, "the session stands"
        assert all(body == b"good" for body in bodies), bodies
        right, wrong = ears.packets()
        assert right >= 4 and wrong == [], [packet.hex() for packet in wrong]
        after = counted(net, "partial_malformed", "bad_native", "bad_source")
    assert all(now > then for then, now in zip(before, after)), (before, after)


def test_frames_out_of_turn_change_nothing(net):
    with net.session() as session, net.unharmed():
        head = os.urandom(176)
        for n in range(200):
            for kind, fields in ((ANSWER, {1: n, 2: n}), (INTRODUCE, {1: n + 1, 2: 1, 3: os.urandom(16)}),
                                 (INTRODUCE, {1: n + 1, 2: 2, 3: os.urandom(16)}), (INTRODUCE, {1: n + 1, 2: 0, 5: "sensor"}),
                                 (INTRODUCE, {1: n + 1, 2: 3, 3: os.urandom(16), 6: 1}), (JOIN, {1: os.urandom(200)}),
                                 (JOINED, {1: os.urandom(32), 2: 0, 3: n, 4: head}), (NOTICE, {1: head}), (NOTICE, {}),
                                 (rogue.PART, {1: 1, 2: 1, 3: 5, 5: 0, 6: 2000, 7: os.urandom(1000)}),
                                 (rogue.GET, {1: 3, 2: 0, 3: rogue.LATEST, 5: n}), (63, {1: "x"}), (0, {})):
                session.send(kind, fields)
            for direction in (0, 1):
                inner = bytes([RELAYED, direction, 0, 0, 0, 0, 0, 148]) + os.urandom(8) + b"\x01\0\0\0" + os.urandom(144)
                session.sock.send(session.session.data(inner))
            session.sock.send(session.session.data(bytes([n % 16]) + os.urandom(n)))
            time.sleep(0.002)
        session.send(rogue.HELLO, {1: 9, 2: 9, 3: 0, 4: 0, 6: 1})
        session.send(rogue.HELLO, {1: 1, 2: 1, 3: 0, 4: 0, 6: 1})
        session.send(SIGN_OFF, {})


def introduced(net, at_hub):
    """What the hub says of the broker: where it is, and its gate key."""
    broker = next(row["id"] for row in net.plant.operator.json("devices")["devices"] if row["name"] == "broker")
    _, said = at_hub.ask(device=bytes.fromhex(broker))
    assert said, "an answer"
    return statements.decode(said)[0]


def test_it_aims_nobody_at_a_victim(net):
    victim = net.plant.stranger
    at_victim = victim.counter("input", "meta l4proto udp")
    with net.session(net.hub) as at_hub, net.unharmed():
        relayed = rogue.Relayed(at_hub, net.private, net.public, introduced(net, at_hub)[3])
        relayed.send(PROBE, {1: 1, 2: 1})
        for n in range(300):
            relayed.send(CANDIDATES, {1: b"".join(place(victim.v4, 10000 + 8 * n + i) for i in range(8))})
            time.sleep(0.01)
        first = at_victim.packets
        stays(lambda: at_victim.packets == first, 2)
    assert 0 < at_victim.packets <= BUDGET
    print(f"{at_victim.packets} datagrams, {at_victim.bytes} bytes")


def test_it_spoils_nobody_s_handshake_with_the_gate_key_that_it_knows(net):
    """20,000 initiations a second that nothing but a Diffie-Hellman tells from good ones."""
    with net.session(net.hub) as at_hub:
        gate = introduced(net, at_hub)[10]
    assert len(gate) == 16
    over, sent = threading.Event(), 0

    def flood():
        nonlocal sent
        sock, started = net.rogue.host.socket(), time.monotonic()
        while not over.is_set():
            if sent > (time.monotonic() - started) * 20000:
                time.sleep(0.001)
                continue
            body = struct.pack("<I", noise.INITIATION) + os.urandom(112)
            sock.sendto(noise.with_macs(body, net.public, gate), (net.broker.host.v4, plants.PORT))
            sent += 1
        sock.close()

    with net.unharmed():
        thread = threading.Thread(target=flood)
        thread.start()
        try:
            time.sleep(2)
            started = time.monotonic()
            net.other.down()
            net.other.up()
            back = net.other.pings("broker", deadline=20)
            took, rate = time.monotonic() - started, sent / (time.monotonic() - started + 2)
        finally:
            over.set()
            thread.join()
    print(f"{rate:.0f}/s; another's handshake took {took:.1f} s")
    assert back


def test_ten_thousand_questions_leave_room_for_others(net):
    with net.session(net.hub) as session, net.unharmed(net.hub):
        for n in range(10000):
            key, value = ((3, os.urandom(16)), (4, os.urandom(4)), (5, f"nobody-{n}"), (5, "broker"))[n % 4]
            session.send(INTRODUCE, {1: n + 1, 2: 0, key: value})
            if n % 10 == 0:
                time.sleep(0.001)
        started = time.monotonic()
        net.other.down()
        net.other.up()
        assert net.other.pings("broker", deadline=15)
        print(f"another was introduced {time.monotonic() - started:.1f} s later")


def test_void_statements_cost_little_and_take_nobody_away(net):
    ids = {row["name"]: bytes.fromhex(row["id"]) for row in net.plant.operator.json("devices")["devices"]}

    def void():
        seed = os.urandom(32)
        body = statements.encode({0: statements.REVOKE, 1: os.urandom(32), 2: ids["sensor"] * 2, 3: os.urandom(16)})
        return statements.encode([statements.encode([body, [[statements.signing_public(seed), os.urandom(64)]]]), []])

    ready = [void() for _ in range(300)]
    with net.session() as session, net.session(net.hub) as at_hub, net.unharmed(net.hub):
        end, n = time.monotonic() + 4, 0
        while time.monotonic() < end:
            n += 1
            submission = ready[n % len(ready)]
            for to in (session, at_hub):
                to.send(STATEMENT, {1: os.urandom(32), 2: len(submission), 3: submission})
                to.send(STATEMENT, {1: os.urandom(32), 2: 60000})
            time.sleep(0.001)
    assert wait_until(net.works, 20)
