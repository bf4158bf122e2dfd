"""Packets of all sizes, and streams of them."""
import pytest

from pairs import reaches

OVERHEAD = {4: 28, 6: 48}  # IP and ICMP headers of an echo
PADDING = 16


def around_borders(version):
    """Echo sizes whose packets end just before, on and just after a padding border."""
    borders = [n * PADDING for n in (4, 5, 32, 88)]
    return [border + off - OVERHEAD[version] for border in borders for off in (-1, 0, 1)]


@pytest.mark.parametrize("version", [4, 6], ids=["v4", "v6"])
def test_tiny_packets_pass(linked, version):
    for size in (0, 1, 2, 8):
        assert reaches(linked.left, linked.right, version, size=size), f"{size} bytes"


@pytest.mark.parametrize("version", [4, 6], ids=["v4", "v6"])
def test_packets_around_padding_borders_pass(linked, version):
    for size in around_borders(version):
        assert reaches(linked.left, linked.right, version, size=size), f"{size} bytes"


@pytest.mark.parametrize("outside", [4, 6], ids=["outside-v4", "outside-v6"])
@pytest.mark.parametrize("version", [4, 6], ids=["inside-v4", "inside-v6"])
def test_the_largest_packets_pass_whole(pair, version, outside):
    """1420 is what leaves room for all headers on a wire of 1500, IPv6 included."""
    pair.link(over=outside)
    whole = pair.router.counter("forward", "ip frag-off & 0x3fff != 0")
    for size in range(1420 - 17, 1421):
        assert reaches(pair.left, pair.right, version, size=size - OVERHEAD[version], options="-M do"), f"{size} bytes"
    assert whole.packets == 0, "no fragment on the wire"


def test_packets_larger_than_the_interface_are_fragmented_inside(linked):
    for size in (1421, 4000, 20000):
        assert reaches(linked.left, linked.right, size=size - OVERHEAD[4]), f"{size} bytes"


def test_packets_on_the_wire_are_padded_to_16(linked):
    """Section 5.4.6 of the paper: data is padded with zeros to a multiple of 16 bytes."""
    sizes = "{ " + ", ".join(str(8 + 32 + n * PADDING) for n in range(0, 90)) + " }"
    even, odd = (linked.router.counter("forward", f"udp length {which} {sizes}") for which in ("==", "!="))
    for size in range(30, 62):
        assert reaches(linked.left, linked.right, size=size), f"{size} bytes"
    assert (even.packets, odd.packets) == (2 * 32, 0)


def test_echoes_in_a_row_all_come_back(linked):
    for node, other in linked.ends():
        output = node.home.run(f"ping -q -n -c 200 -i 0.002 -w 5 {other.v4}").stdout
        assert " 0% packet loss" in output, output


@pytest.mark.deadline(60)
@pytest.mark.parametrize("direction", ["", "-R", "--bidir"], ids=["there", "back", "both-at-once"])
def test_tcp_streams_pass(linked, direction):
    report = linked.world.iperf3(linked.right.home, linked.left.home, linked.right.v4,
                                 "-n", "30M", *direction.split(), timeout=50)
    # Both ways at once, iperf3 ends when one way has sent it all.
    assert all(report["end"][sum]["bytes"] > 2e6 for sum in report["end"] if sum.startswith("sum_received"))


@pytest.mark.deadline(60)
def test_tcp_streams_pass_over_ipv6(pair):
    pair.link(over=6)
    report = pair.world.iperf3(pair.right.home, pair.left.home, pair.right.v6, "-n", "30M", "-P", "4", timeout=50)
    assert report["end"]["sum_received"]["bytes"] > 15e6, "all but what was under way at the end"


@pytest.mark.parametrize("length", [64, 1300])
def test_udp_at_a_modest_rate_loses_nothing(linked, length):
    """Once in three: iperf3's own socket holds 40 ms of it, and on a busy machine iperf3 may sleep for longer."""
    for _ in range(3):
        report = linked.world.iperf3(linked.right.home, linked.left.home, linked.right.v4,
                                     "-u", "-b", f"{length * 8 * 2000}", "-l", str(length), "-t", "1")
        total = report["end"]["sum"]
        assert total["packets"] > 1000
        if total["lost_packets"] == 0:
            return
    assert total["lost_packets"] == 0
