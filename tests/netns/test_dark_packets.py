"""Whatever a packet is made of, a darkened host sends nothing back. The bait, a host beside it that is not dark, shows
which of them draw something otherwise."""
import itertools
import os
import shutil
import struct
import time

import noise
import packets as p
import plant as plants
import pytest
import statements
from darkness import OTHER, dark, nothing_grows, scan, scanned  # noqa: F401
from probes import costly
from running import wait_until

pytestmark = pytest.mark.deadline(120)
CLOSED, ALL_HOSTS, ALL_NODES = 7, "224.0.0.1", "ff02::1"
RECORD_ROUTE, TIMESTAMP, LOOSE_ROUTE, STRICT_ROUTE, SECURITY = 7, 68, 131, 137, 130


def option(kind, length=11, pointer=4):
    return bytes([kind, length, pointer]) + bytes(length - 3) + b"\0"


def via(source, target):
    """Source-routed through the target, and back."""
    return bytes([LOOSE_ROUTE, 7, 4]) + p.packed(source) + b"\0"


def ping4(**options):
    return lambda s, t: [p.ipv4(s, t, p.ICMP, p.echo(s, t), **options)]


def icmp4(*arguments, **options):
    return lambda s, t: [p.ipv4(s, t, p.ICMP, p.icmp(*arguments, **options))]


def protocol(number, payload=bytes(40)):
    return lambda s, t: [p.ip(s, t, number, payload)]


def tcp4(flags, port=OTHER):
    return lambda s, t: [p.ip(s, t, p.TCP, p.tcp(s, t, 40000, port, flags))]


def cut(make, arrange):
    """The transport segment that `make` gives, as fragments that `arrange` puts in order."""
    def packets(s, t):
        number, segment = make(s, t)
        return p.fragments(s, t, number, segment, arrange(len(segment)))
    return packets


def long_echo(s, t):
    return (p.ICMP6 if p.is6(t) else p.ICMP), p.echo(s, t, os.urandom(64))


def long_udp(s, t):
    return p.UDP, p.udp(s, t, 40000, CLOSED, os.urandom(64))


def syn(s, t):
    return p.TCP, p.tcp(s, t, 40001, OTHER)


def tiny(length):
    return p.spans(length, 8)


def last_first(length):
    return p.spans(length, 16)[::-1]


def overlapping(length):
    return [(0, 24), (16, 40), (8, 32), *p.spans(length, 8)[4:]]


def without_end(length):
    return p.spans(length, 16)[:-1]


def without_beginning(length):
    return p.spans(length, 16)[1:]


def too_far(s, t):
    return [p.ipv4(s, t, p.UDP, bytes(64), offset=65528, number=77), p.ipv4(s, t, p.UDP, bytes(64), more=True, number=77)]


def extension(kind, content):
    """An IPv6 extension header before an echo request."""
    def packets(s, t):
        body = bytes([p.ICMP6, (len(content) - 6) // 8]) + content
        return [p.ipv6(s, t, kind, body + p.echo(s, t))]
    return packets


def icmpv6(kind, *arguments, **options):
    return lambda s, t: [p.ipv6(s, t, p.ICMP6, p.icmp6(s, t, kind, *arguments, **options))]


def quoting(make, kind4=3, code4=3):
    """An ICMP error about a packet that the target is said to have sent."""
    def packets(s, t):
        quoted = p.ip(t, s, *make(t, s))
        if p.is6(t):
            return [p.ipv6(s, t, p.ICMP6, p.icmp6(s, t, 1, 4, data=quoted))]
        return [p.ipv4(s, t, p.ICMP, p.icmp(kind4, code4, data=quoted))]
    return packets


INIT = struct.pack("!HHIIBBHIIHHI", 40000, 5000, 0, 0, 1, 0, 20, 1, 65535, 1, 1, 1)
# name: (packets of source and target, whether a host that is not dark answers)
ANYWHERE4 = {
    "echo": (ping4(), True),
    "timestamp": (icmp4(13, rest=bytes(4), data=bytes(12)), True),
    "address mask": (icmp4(17, data=bytes(4)), False),
    "information": (icmp4(15), False),
    "router solicitation": (icmp4(10), False),
    "extended echo": (icmp4(42, data=bytes(8)), False),
    "redirect": (icmp4(5, 1, rest=b"\x0a\x4d\1\1", data=p.ipv4("10.0.0.1", "10.0.0.2", 17, bytes(8))), False),
    "igmp query": (protocol(p.IGMP, p.icmp(0x11)), False),
    "sctp": (protocol(p.SCTP, INIT), True),
    "udp-lite": (protocol(136, struct.pack("!HHHH", 40000, CLOSED, 8, 0)), False),
    "dccp": (protocol(33), True),
    "ip in ip": (lambda s, t: [p.ipv4(s, t, 4, p.ipv4(s, t, p.ICMP, p.echo(s, t)))], False),
    "gre": (protocol(47), False),
    "protocol 253": (protocol(253), True),
    "syn": (tcp4(p.SYN), True), "syn to a closed port": (tcp4(p.SYN, CLOSED), True), "ack": (tcp4(p.ACK), True),
    "fin": (tcp4(p.FIN, CLOSED), True), "no flags": (tcp4(0, CLOSED), True), "all flags": (tcp4(63, CLOSED), False),
    "syn, fin": (tcp4(p.SYN | p.FIN), False), "rst": (tcp4(p.RST), False),
    "record route": (ping4(options=option(RECORD_ROUTE, 39)), True),
    "timestamp option": (ping4(options=option(TIMESTAMP, 12, 5)), True),
    "malformed option": (ping4(options=bytes([RECORD_ROUTE, 60, 4])), None),
    "options without end": (ping4(options=b"\x44\x04\x05\x01"), None),
    "echo in tiny fragments": (cut(long_echo, tiny), True),
    "echo, the last fragment first": (cut(long_echo, last_first), True),
    "echo in overlapping fragments": (cut(long_echo, overlapping), None),
    "udp in tiny fragments": (cut(long_udp, tiny), True),
    "syn in tiny fragments": (cut(syn, tiny), True),
    "fragments without the last": (cut(long_echo, without_end), True),
    "fragments without the first": (cut(long_echo, without_beginning), False),
    "more than 64 KiB in fragments": (too_far, None),
    "unreachable, of a UDP packet": (quoting(lambda s, t: (p.UDP, p.udp(s, t, plants.PORT, 40000, bytes(32)))), False),
    "unreachable, of a TCP packet": (quoting(lambda s, t: (p.TCP, p.tcp(s, t, OTHER, 40000, p.ACK))), False),
    "too large, of a TCP packet": (quoting(lambda s, t: (p.TCP, p.tcp(s, t, OTHER, 40000, p.ACK)), 3, 4), False),
    "udp from a DHCP server's port": (lambda s, t: [p.ipv4(s, t, p.UDP, p.udp(s, t, 67, 68, bytes(300)))], True),
    "ttl of 1": (ping4(ttl=2), True),
}
ANYWHERE6 = {
    "echo": (lambda s, t: [p.ipv6(s, t, p.ICMP6, p.echo(s, t))], True),
    "node information": (icmpv6(139, data=bytes(8)), False),
    "listener query": (icmpv6(130, data=bytes(16)), False),
    "neighbour solicitation from afar": (lambda s, t: icmpv6(135, data=p.packed(t))(s, t), False),
    "router solicitation from afar": (icmpv6(133), False),
    "unknown kind": (icmpv6(200), False),
    "unknown option": (extension(p.DESTINATION, bytes([0x9e, 4]) + bytes(4)), True),
    "unknown hop-by-hop option": (extension(p.HOP_BY_HOP, bytes([0x9e, 4]) + bytes(4)), None),
    "routing header 0": (extension(p.ROUTING, bytes([0, 1]) + bytes(20)), None),
    "unknown routing header": (extension(p.ROUTING, bytes([99, 1]) + bytes(4)), True),
    "unknown next header": (lambda s, t: [p.ipv6(s, t, 253, bytes(40))], True),
    "sctp": (lambda s, t: [p.ipv6(s, t, p.SCTP, INIT)], True),
    "syn": (tcp4(p.SYN), True), "syn to a closed port": (tcp4(p.SYN, CLOSED), True), "ack": (tcp4(p.ACK), True),
    "echo in tiny fragments": (cut(long_echo, tiny), True),
    "echo, the last fragment first": (cut(long_echo, last_first), True),
    "echo in overlapping fragments": (cut(long_echo, overlapping), None),
    "atomic fragment": (cut(long_echo, lambda length: [(0, length)]), True),
    "a fragment of odd length": (lambda s, t: [p.ipv6(s, t, p.FRAGMENT, struct.pack("!BBHI", p.UDP, 0, 1, 9) + bytes(13))], True),
    "fragments without the last": (cut(long_echo, without_end), True),
    "unreachable, of a UDP packet": (quoting(lambda s, t: (p.UDP, p.udp(s, t, plants.PORT, 40000, bytes(32)))), False),
    "too large": (lambda s, t: [p.ipv6(s, t, p.ICMP6, p.icmp6(s, t, 2, rest=struct.pack("!I", 1280), data=p.ipv6(
        t, s, p.UDP, p.udp(t, s, plants.PORT, 40000, bytes(32)))))], False),
}
# From a neighbour alone: no router passes these on.
ON_LINK4 = {
    "source route": (lambda s, t: ping4(options=via(s, t))(s, t), None),
    "strict source route": (lambda s, t: ping4(options=bytes([STRICT_ROUTE]) + via(s, t)[1:])(s, t), None),
    "to all hosts": (lambda s, t: [p.ipv4(s, ALL_HOSTS, p.ICMP, p.echo(s, ALL_HOSTS), ttl=1)], True),
    "to the link's broadcast": (lambda s, t: ping4()(s, t.rsplit(".", 1)[0] + ".255"), True),
    "to all of it": (lambda s, t: ping4()(s, "255.255.255.255"), True),
    "igmp query": (lambda s, t: [p.ipv4(s, ALL_HOSTS, p.IGMP, p.icmp(0x11), ttl=1, options=b"\x94\x04\0\0")], None),
    "mdns": (lambda s, t: [p.ipv4(s, "224.0.0.251", p.UDP, p.udp(s, "224.0.0.251", 5353, 5353, bytes(12)), ttl=1)], False),
}
ON_LINK6 = {
    "to all nodes": (lambda s, t: [p.ipv6(s, ALL_NODES, p.ICMP6, p.echo(s, ALL_NODES), ttl=1)], True),
    "unknown option to all nodes": (lambda s, t: [p.ipv6(s, ALL_NODES, p.DESTINATION, bytes(
        [p.ICMP6, 0, 0x9e, 4]) + bytes(4) + p.echo(s, ALL_NODES), ttl=1)], None),
    "listener query": (lambda s, t: [p.ipv6(s, ALL_NODES, p.ICMP6, p.icmp6(s, ALL_NODES, 130, data=bytes(16)), ttl=1)], None),
}
KINDS = [(version, where, name, kinds[name]) for version, where, kinds in (
    (4, "anywhere", ANYWHERE4), (6, "anywhere", ANYWHERE6), (4, "link", ON_LINK4), (6, "link", ON_LINK6)) for name in kinds]


@pytest.fixture(scope="module")
def hosts(dark):
    """Hub and bait answer as much as their kernels can be made to."""
    for host in (dark.plant.hub.host, dark.bait.host):
        host.sysctl("net.ipv4.icmp_echo_ignore_broadcasts=0", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0",
                    "net.ipv4.icmp_msgs_per_sec=100000", "net.ipv4.icmp_msgs_burst=100000",
                    "net.ipv4.ipfrag_time=1", "net.ipv6.ip6frag_time=1",
                    "net.ipv4.conf.all.accept_source_route=1", "net.ipv4.icmp_ignore_bogus_error_responses=0")
    return dark


def fire(watch, version, make):
    """How many the stranger's kernel let out, and reached the link."""
    source, target = watch.source.address(version), watch.target(version)
    before = watch.arrived()
    with p.Raw(watch.stranger, None if watch.stranger.gateway else watch.source) as raw:
        sent = sum(raw.send(packet) for packet in make(source, target))
    assert sent, "one at least goes out"
    wait_until(lambda: watch.arrived() >= before + sent, what="they arrive")


@pytest.mark.parametrize("version, where, name, kind", KINDS, ids=[f"v{k[0]}-{k[1]}-{k[2]}" for k in KINDS])
def test_a_packet_draws_nothing(hosts, version, where, name, kind):
    make, answered = kind
    dark_one, bait = (hosts.watches["hub"], hosts.baited) if where == "anywhere" else (hosts.neighbour, hosts.baited_neighbour)
    patience = 1.6 if "without the last" in name else 0.2
    with hosts.silence(dark_one, seconds=patience):
        fire(dark_one, version, make)
    if answered is not None:
        before = bait.bytes
        fire(bait, version, make)
        if answered:
            wait_until(lambda: bait.bytes > before, 3, "the bait answers")


@pytest.mark.parametrize("name", ["operator", "sensor-7"])
@pytest.mark.parametrize("version", [4, 6])
def test_nor_does_any_of_them_draw_a_byte_from_a_member_behind_a_router(hosts, name, version):
    watch = hosts.watches[name]
    kinds = ANYWHERE4 if version == 4 else ANYWHERE6
    with hosts.silence(watch, seconds=1):
        source, target = watch.source.address(version), watch.target(version)
        with p.Raw(watch.stranger) as raw:
            for make, _ in kinds.values():
                for packet in make(source, target):
                    raw.send(packet)


@pytest.mark.parametrize("arrange", [tiny, last_first, overlapping, without_end, without_beginning])
@pytest.mark.parametrize("version", [4, 6])
def test_an_initiation_in_fragments_draws_nothing(hosts, arrange, version):
    """Of a stranger that knows the hub's key."""
    def make(s, t):
        messages = [*costly(public, 3), noise.Initiator(os.urandom(32), public).initiation()]
        return itertools.chain.from_iterable(
            p.fragments(s, t, p.UDP, segment, arrange(len(segment)))
            for segment in (p.udp(s, t, 40000, hosts.ports["hub"], message) for message in messages))

    public = statements.static_public(hosts.plant.hub)
    for watch in (hosts.watches["hub"], hosts.neighbour):
        with hosts.silence(watch, seconds=0.3):
            fire(watch, version, make)


# Scanners

@pytest.mark.parametrize("options", ["-sF", "-sX", "-sN", "-sW", "-sM", "-6 -sF", "-6 -sX", "-6 -sN", "-6 -sW"])
def test_nmap_finds_nothing_by_odd_flags(dark, options):
    port = dark.ports["operator"]
    scanned(dark, [dark.watches["hub"], dark.watches["operator"], dark.neighbour],
            f"{options} -p 1-3000,{OTHER},{plants.PORT},{port} --min-rate 10000")


@pytest.mark.parametrize("options", ["-sY", "-sZ", "-sS -f", "-sS --mtu 16", "-sS --badsum", "-sS -g 53", "-sU -g 53"])
def test_nmap_finds_nothing_by_other_means(dark, options):
    scanned(dark, [dark.watches["hub"], dark.neighbour], f"{options} -p 1-200,9999,{OTHER},{plants.PORT} --min-rate 5000")


def test_nmap_finds_no_protocol_over_ipv6(dark):
    watches = [dark.watches["hub"], dark.neighbour]
    with dark.silence(*watches):
        scans = [scan(watch, f"-6 -sO --min-rate 500 {watch.target(6)}") for watch in watches]
        for process in scans:
            process.wait(40)


HPING = ["-S -p 8080 -f", "-S -p 8080 -x -y", "-2 -p 51820 -d 148 -f", "-2 -p 7 -d 200 --mtu 16", "-1 -d 64 -f", "-1 -C 13",
         "-1 -C 17", "-0 -H 132 -d 40", "-S -p 8080 -o 10", "-1 -G", "-SARFUPXY -p 8080", "-S -s 0 -p 0"]


@pytest.mark.skipif(not shutil.which("hping3"), reason="hping3 is not installed")
def test_hping_draws_nothing(hosts):
    watch = hosts.watches["hub"]
    for options in HPING:
        def count(of):
            command = f"hping3 -n -q -c 10 -i u2000 {options} {of.target()}"
            before = of.arrived()
            of.stranger.run(command, check=False, timeout=20)
            assert of.arrived() > before, f"{command}: it arrives"
        with hosts.silence(watch, seconds=0.1):
            count(watch)
    before = hosts.baited.bytes
    count(hosts.baited)
    assert hosts.baited.bytes > before, "the bait answers"


def test_nothing_has_grown(dark):
    """A burst of each of them once more, with the sizes of log, disk and memory before and after."""
    watch = dark.watches["hub"]
    with nothing_grows(dark.plant.hub), p.Raw(watch.stranger) as raw:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            for version, kinds in ((4, ANYWHERE4), (6, ANYWHERE6)):
                for make, _ in kinds.values():
                    for packet in make(watch.source.address(version), watch.target(version)):
                        raw.send(packet)
    assert dark.works()
