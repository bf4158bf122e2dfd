"""What somebody without a credential can do: listen on a wire, scan, and send what looks like the real thing."""
import base64
import hashlib
import os
import re
import socket
import struct
import time

from running import tail, wait_until

INITIATION, RESPONSE, COOKIE, DATA, NATIVE = 1, 2, 3, 4, 5
SIZE = {INITIATION: 148, RESPONSE: 92, COOKIE: 64, DATA: 32, NATIVE: 32}
ICMP_ERRORS = (3, 11)
RAW = 101  # a link without headers of its own, as a TUN


class Wiretap:
    """tcpdump on a device of a host, into a file."""

    def __init__(self, world, host, device):
        self.world = world
        self.path, log = (world.dir / f"tap-{host.name}-{device}.{end}" for end in ("pcap", "log"))
        self.process = host.popen(["tcpdump", "-Z", "root", "--immediate-mode", "-U", "-n", "-i", device, "-w", self.path],
                                  log=log)
        wait_until(lambda: "listening on" in tail(log), what=f"tcpdump listens at {host.name}")

    def end(self):
        self.world.end(self.process)
        return self

    def finds(self, needle):
        """How often these bytes occur in all that went by."""
        return self.path.read_bytes().count(needle)

    def timed(self):
        """(time, the packet from its IP header on) of each."""
        data, place = self.path.read_bytes(), 24
        link = struct.unpack_from("<I", data, 20)[0]
        while place + 16 <= len(data):
            seconds, micros, length = struct.unpack_from("<III", data, place)
            frame = data[place + 16:place + 16 + length]
            place += 16 + length
            if link == RAW:
                yield seconds + micros / 1e6, frame
            elif frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
                yield seconds + micros / 1e6, frame[14:]

    def packets(self):
        return (packet for _, packet in self.timed())

    def tunnel_messages(self):
        """(UDP payloads that are handshake or transport messages, count of all other IPv4 packets); routers' errors about
        such messages are neither."""
        payloads, others = [], 0
        for packet in self.packets():
            if packet[0] >> 4 != 4:
                continue
            body = packet[4 * (packet[0] & 15):]
            message = udp_payload(packet)
            if is_message(message):
                payloads.append(message)
            elif not (packet[9] == socket.IPPROTO_ICMP and body[0] in ICMP_ERRORS and is_message(udp_payload(body[8:]))):
                others += 1
        return payloads, others

    def between(self, *addresses, since=0, until=float("inf")):
        """The messages' payloads from one of these IPv4 addresses to another, in that time."""
        known = {socket.inet_aton(address) for address in addresses}
        return [payload for when, packet in self.timed() if since < when < until and is_message(payload := udp_payload(packet))
                and {packet[12:16], packet[16:20]} <= known]

    def bytes(self):
        """Of all packets, from the IP header on."""
        return sum(len(packet) for packet in self.packets())

    def from_address(self, address):
        """When each packet from this IPv4 address went by."""
        return [when for when, packet in self.timed() if packet[12:16] == socket.inet_aton(address)]


def udp_payload(packet):
    """Of an IPv4 packet, as much of it as is there; nothing of another one."""
    if len(packet) < 28 or packet[9] != socket.IPPROTO_UDP:
        return b""
    udp = packet[4 * (packet[0] & 15):]
    return udp[8:struct.unpack_from("!H", udp, 4)[0]]


def is_message(payload):
    return len(payload) >= 32 and payload[0] in SIZE and payload[1:4] == bytes(3)


def in_memory(pid, needle):
    """How often these bytes stand in a process's writable memory."""
    found = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            place = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not place:
                continue
            start, end = (int(text, 16) for text in place.groups())
            for chunk in range(start, end, 1 << 20):
                memory.seek(chunk)
                try:
                    # A little more than the chunk, so that what lies across its end is seen.
                    found += memory.read(min((1 << 20) + len(needle) - 1, end - chunk)).count(needle)
                except OSError:  # a page that is not there
                    continue
    return found


def with_mac1(public, message):
    """The message with a valid mac1: what somebody who has learnt the public key can make (WireGuard, section 5.4.4)."""
    key = hashlib.blake2s(b"mac1----" + base64.b64decode(public)).digest()
    body = message[:-32]
    return body + hashlib.blake2s(body, key=key, digest_size=16).digest() + bytes(16)


def message(kind, size=None):
    return struct.pack("<I", kind) + os.urandom((size or SIZE.get(kind, 148)) - 4)


def hand_made_probes(public):
    """Every message type, whole, cut, too long and with bits where none may be; junk; and other protocols' greetings."""
    for kind in SIZE:
        yield from (message(kind), message(kind, SIZE[kind] - 1), message(kind, SIZE[kind] + 16))
        yield message(kind | 0x100)
    yield from (message(kind) for kind in (0, 6, 255, 0xffffffff))
    yield from (with_mac1(public, message(kind)) for kind in (INITIATION, RESPONSE))
    yield from (os.urandom(size) for size in (1, 3, 4, 31, 100, 1400))
    yield b""
    yield b"\x00" * 148
    yield b"GET / HTTP/1.1\r\n\r\n"
    yield bytes.fromhex("101000044d5154540402003c0004") + b"nmap"
    yield bytes.fromhex("40010001bb") + b".well-known"


def flood(public, count):
    return (with_mac1(public, message(INITIATION)) for _ in range(count))


def send(host, target, datagrams):
    """All of these from a host to (address, port), not faster than a socket's buffer takes them; returns how many."""
    sent = 0
    with host.socket() as sock:
        for sent, datagram in enumerate(datagrams, 1):
            sock.sendto(datagram, target)
            if sent % 100 == 0:
                time.sleep(0.005)
    return sent
