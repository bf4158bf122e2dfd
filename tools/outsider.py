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

    def packets(self):
        """Each packet from its IP header on."""
        data, place = self.path.read_bytes(), 24
        while place + 16 <= len(data):
            length = struct.unpack_from("<I", data, place + 8)[0]
            frame = data[place + 16:place + 16 + length]
            place += 16 + length
            if frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
                yield frame[14:]

    def tunnel_messages(self):
        """(UDP payloads that are handshake or transport messages, count of all other IPv4 packets)"""
        payloads, others = [], 0
        for packet in self.packets():
            if packet[0] >> 4 != 4:
                continue
            udp = packet[4 * (packet[0] & 15):]
            payload = udp[8:struct.unpack_from("!H", udp, 4)[0]] if packet[9] == socket.IPPROTO_UDP else b""
            if len(payload) >= 32 and payload[0] in SIZE and payload[1:4] == bytes(3):
                payloads.append(payload)
            else:
                others += 1
        return payloads, others


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
