"""Packets as no kernel would send them: headers of one's own, options, fragments in any order, spoofed sources."""
import contextlib
import ipaddress
import os
import socket
import struct

ICMP, IGMP, TCP, UDP, ICMP6, SCTP = 1, 2, 6, 17, 58, 132
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
SYN, FIN, RST, ACK = 2, 1, 4, 16


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packed(address):
    return ipaddress.ip_address(address).packed


def is6(address):
    return ":" in address


def ipv4(source, target, protocol, payload, *, ttl=64, offset=0, more=False, number=None, options=b""):
    """`offset` in bytes; options are filled up to whole words."""
    options += bytes(-len(options) % 4)
    length = 20 + len(options)
    header = struct.pack("!BBHHHBBH4s4s", 0x40 | length // 4, 0, length + len(payload),
                         int.from_bytes(os.urandom(2), "big") | 1 if number is None else number,
                         more << 13 | offset // 8, ttl, protocol, 0, packed(source), packed(target)) + options
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def ipv6(source, target, protocol, payload, *, ttl=64):
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, ttl, packed(source), packed(target)) + payload


def ip(source, target, protocol, payload, **options):
    return (ipv6 if is6(target) else ipv4)(source, target, protocol, payload, **options)


def pseudo(source, target, protocol, length):
    if is6(target):
        return packed(source) + packed(target) + struct.pack("!II", length, protocol)
    return packed(source) + packed(target) + struct.pack("!HH", protocol, length)


def summed(source, target, protocol, segment, at):
    """With its checksum at that place."""
    value = checksum(pseudo(source, target, protocol, len(segment)) + segment)
    return segment[:at] + struct.pack("!H", value or 0xffff) + segment[at + 2:]


def udp(source, target, source_port, port, data=b""):
    segment = struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data
    return summed(source, target, UDP, segment, 6)


def tcp(source, target, source_port, port, flags=SYN, number=1):
    segment = struct.pack("!HHIIBBHHH", source_port, port, number, 0, 5 << 4, flags, 1024, 0, 0)
    return summed(source, target, TCP, segment, 16)


def icmp(kind, code=0, rest=bytes(4), data=b""):
    message = bytes([kind, code, 0, 0]) + rest + data
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def icmp6(source, target, kind, code=0, rest=bytes(4), data=b""):
    return summed(source, target, ICMP6, bytes([kind, code, 0, 0]) + rest + data, 2)


def echo(source, target, data=b"nightjar"):
    return icmp6(source, target, 128, data=data) if is6(target) else icmp(8, data=data)


def fragments(source, target, protocol, payload, spans, **options):
    """One for each (from, to) of the payload; the one that reaches its end says that it is the last."""
    number = int.from_bytes(os.urandom(2), "big") | 1
    for start, end in spans:
        more = end < len(payload)
        if is6(target):
            header = struct.pack("!BBHI", protocol, 0, start | more, number)
            yield ipv6(source, target, FRAGMENT, header + payload[start:end], **options)
        else:
            yield ipv4(source, target, protocol, payload[start:end], offset=start, more=more, number=number, **options)


def spans(length, size):
    return [(at, min(at + size, length)) for at in range(0, length, size)]


class Raw:
    """Sends whole packets from a host, IPv4 and IPv6, by a link (an End) if one is named."""

    def __init__(self, host, end=None):
        self.socks = {}
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            sock = host.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if end:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, end.device.encode())
            self.socks[version] = sock

    def send(self, packet):
        """Whether the kernel here took it."""
        with contextlib.suppress(OSError):
            if packet[0] >> 4 == 6:
                return self.socks[6].sendto(packet, (str(ipaddress.ip_address(packet[24:40])), 0)) > 0
            return self.socks[4].sendto(packet, (str(ipaddress.ip_address(packet[16:20])), 0)) > 0
        return False

    def close(self):
        for sock in self.socks.values():
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
