"""Whatever the network does, what was sent arrives, once and whole, as soon as it can."""
import contextlib
import sys
from pathlib import Path

import pytest

import world as worlds
from probes import flood
from streams import Stream, row

IMPAIR = Path(__file__).with_name("impair.py")
PAIRS = [("wg-peer", "wireguard-go"), ("wireguard-go", "wg-peer"), ("wg-peer", "wg-peer")]


class Pair:
    """left and right, with a router between them."""

    def __init__(self, world, kinds, **wire_options):
        self.world = world
        self.router = world.router()
        self.left, self.right = (
            world.node(world.attach(world.host(name), self.router, **wire_options), kind, [f"10.9.0.{place}/24"],
                       env={"LOG_LEVEL": "verbose"})
            for place, name, kind in zip((1, 2), "ab", kinds))

    def link(self, **options):
        worlds.link(self.left, self.right, **options)
        assert self.left.home.ping(self.right.v4)

    def link_through(self, *impairment):
        """Left knows right as a relay on the router, which does this to every datagram."""
        relay = (self.router.ends[0].v4, 4000)
        log = self.world.dir / "impair.log"
        relaying = self.router.popen([sys.executable, IMPAIR, *relay, self.right.host.v4, self.right.port, *impairment],
                                     log=log)
        worlds.wait_until(lambda: log.read_text(), what="the relay is ready")
        assert log.read_text() == "ready\n" and worlds.is_up(relaying), log.read_text()
        self.right.add_peer(self.left.public, worlds.host_routes(self.left))
        self.left.add_peer(self.right.public, worlds.host_routes(self.right), endpoint=relay)
        assert self.left.home.ping(self.right.v4)


@pytest.fixture(params=PAIRS, ids="--".join)
def pair(request):
    with worlds.World() as world:
        yield Pair(world, request.param)


@pytest.fixture(params=PAIRS, ids="--".join)
def plain_pair(request):
    """On wires that carry single packets, as real ones do."""
    with worlds.World() as world:
        yield Pair(world, request.param, gso=False)


# What the network does to datagrams

@pytest.mark.deadline(60)
@pytest.mark.parametrize("percent, amount", [(1, 4 << 20), (10, 150_000)])
def test_a_stream_survives_loss(plain_pair, percent, amount):
    plain_pair.link()
    with plain_pair.router.lose("forward", percent) as lost, Stream(plain_pair.left, plain_pair.right) as stream:
        stream.flows(amount, deadline=40)
        assert lost.packets > 0


@pytest.mark.parametrize("percent", [0, 1, 10])
def test_nothing_is_lost_but_what_the_network_lost(plain_pair, percent):
    plain_pair.link()
    toward_right = f"udp sport {plain_pair.left.port} iif to-a udp length > 200"
    with plain_pair.router.lose("forward", percent, toward_right) as lost:
        numbers = row(plain_pair.left, plain_pair.right, 2000)
        assert len(numbers) == 2000 - lost.packets
        assert (lost.packets > 0) == (percent > 0)
    assert numbers == sorted(set(numbers)), "in order, each once"


def test_reordered_and_doubled_datagrams_arrive_once_each(pair):
    pair.link_through("--delay", 2, "--jitter", 20, "--double", 20)
    numbers = row(pair.left, pair.right, 2000)
    assert numbers != sorted(numbers), "the network did reorder them"
    assert sorted(numbers) == list(range(2000))


@pytest.mark.deadline(60)
def test_a_stream_survives_reordering_and_doubling(pair):
    pair.link_through("--delay", 1, "--jitter", 1, "--double", 5)
    with Stream(pair.left, pair.right) as stream:
        stream.flows(2 << 20, deadline=30)


@pytest.mark.deadline(60)
def test_flipped_bits_cost_the_datagram_and_nothing_else(pair):
    pair.link_through("--corrupt", 2)
    with Stream(pair.left, pair.right) as stream:
        stream.flows(1 << 20, deadline=30)


# What is done to the machine while a stream is under way

@contextlib.contextmanager
def stream_across(pair):
    """A stream that flows before the block, and again after it."""
    pair.link()
    with Stream(pair.left, pair.right) as stream:
        stream.flows()
        yield stream
        stream.flows(deadline=15)


def test_a_stream_survives_changes_of_mtu(pair):
    with stream_across(pair) as stream:
        for mtu in (1280, 1420, 600, 9000, 1300):
            pair.left.set_mtu(mtu)
            stream.flows(1 << 20)
            pair.right.set_mtu(mtu)
            stream.flows(1 << 20)


def test_a_stream_survives_a_smaller_mtu_of_the_wire(pair):
    with stream_across(pair):
        for host in (pair.left.host, pair.right.host):
            host.ip(f"link set {host.device} mtu 1280")
        for end in pair.router.ends:
            pair.router.ip(f"link set {end.device} mtu 1280")


@pytest.mark.deadline(40)
@pytest.mark.parametrize("end", ["left", "right"])
def test_a_stream_survives_the_interface_down_and_up(pair, end):
    node = getattr(pair, end)
    with stream_across(pair):
        node.host.ip(f"link set {node.ifname} down")
        node.host.ip(f"link set {node.ifname} up")
        for peer in node.peers.values():
            for subnet in peer["allowed_ips"]:
                node.host.route(subnet, device=node.ifname)


@pytest.mark.deadline(40)
@pytest.mark.parametrize("end", ["left", "right"])
def test_a_stream_survives_the_wire_down_and_up(pair, end):
    host = getattr(pair, end).host
    with stream_across(pair):
        host.ip(f"link set {host.device} down")
        host.ip(f"link set {host.device} up")
        host.route_out(host.ends[0])


@pytest.mark.deadline(40)
@pytest.mark.parametrize("end", ["left", "right"])
def test_a_stream_survives_the_loss_and_return_of_the_address(pair, end):
    host = getattr(pair, end).host
    address = host.ends[0].addresses[0]
    with stream_across(pair) as stream:
        host.remove_address(host.device, address)
        before = stream.count
        worlds.stays(lambda: stream.count <= before + (4 << 20), 0.5, "the stream is cut, but for what was queued")
        host.add_address(host.device, address)
        host.route_out(host.ends[0])


@pytest.mark.deadline(40)
def test_a_stream_survives_udp_blocked_for_a_while(pair):
    with stream_across(pair) as stream:
        with pair.router.drop("forward") as blocked:
            worlds.wait_until(lambda: blocked.packets > 0, what="something is dropped")
            before = stream.count
            worlds.stays(lambda: stream.count <= before + (1 << 20), 1, "the stream is cut")


@pytest.mark.deadline(40)
def test_a_stream_survives_udp_refused_for_a_while(pair):
    """An ICMP error on every datagram must not end anything."""
    with stream_across(pair) as stream:
        with pair.router.rule("forward", "meta l4proto udp counter reject") as refused:
            worlds.wait_until(lambda: refused.packets > 2, what="something is refused")
            before = stream.count
            worlds.stays(lambda: stream.count <= before + (1 << 20), 1, "the stream is cut")


def test_the_tun_gone_ends_the_process_and_a_new_one_takes_over(pair):
    pair.link()
    with pytest.raises((OSError, worlds.WorldError)), Stream(pair.left, pair.right) as stream:
        stream.flows()
        pair.left.host.ip(f"link delete {pair.left.ifname}")
        worlds.wait_until(lambda: not pair.left.is_up(), what="the process ends")
        stream.flows(deadline=0.5)
    pair.left.stop()
    pair.left.start()
    with Stream(pair.left, pair.right, port=7002) as stream:
        stream.flows()


@pytest.mark.deadline(40)
def test_a_stream_survives_a_flood_of_the_socket(pair):
    with stream_across(pair) as stream:
        flooder = pair.world.stranger(pair.router)
        junk = [b"\4\0\0\0" + bytes([n]) * 1396 for n in range(256)]
        with flooder.socket() as sock, flood(sock, junk, (pair.right.host.v4, pair.right.port)) as sent:
            worlds.wait_until(lambda: sent() > 20_000, 10, "the flood is under way")
            stream.flows(1 << 20, deadline=20)


def test_a_burst_larger_than_any_buffer_leaves_the_node_working(pair):
    pair.link()
    with pair.left.home.socket() as sock:
        with flood(sock, [bytes(1392)] * 64, (pair.right.v4, 9)) as sent:
            worlds.wait_until(lambda: sent() > 50_000, 10, "the burst is sent")
    assert pair.left.home.ping(pair.right.v4)
    with Stream(pair.left, pair.right) as stream:
        stream.flows()


def test_a_packet_that_no_datagram_can_hold_is_dropped_alone():
    with worlds.World() as world:
        pair = Pair(world, ("wg-peer", "wg-peer"))
        pair.link()
        for node in (pair.left, pair.right):
            node.set_mtu(65535)
        assert pair.left.home.ping(pair.right.v4, size=65000)
        assert not pair.left.home.ping(pair.right.v4, size=65507, deadline=1)
        assert pair.left.home.ping(pair.right.v4) and pair.left.is_up()
