"""What takes too long for every day: all ports, by every means. `make dark-full` runs it."""
import shutil

import packets as p
import pytest
from darkness import KEPT, MEMBERS, dark, mac_of, scanned  # noqa: F401
from running import wait_until

pytestmark = pytest.mark.deadline(240)
TCP = ("-sS", "-sA", "-sF", "-sX", "-sN", "-sW", "-sM")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", [*TCP, "-sU", "-sY", "-sO"])
def test_nmap_finds_nothing_on_any_port(dark, kind, version):
    watches = [dark.watches[name] for name in MEMBERS] + [dark.neighbour]
    ports = "" if kind == "-sO" else "-p-" if kind in TCP else "-p 1-65535"
    rate = 500 if kind == "-sO" else 10000
    if kind != "-sO":
        ports += f" --exclude-ports {KEPT}"
    scanned(dark, watches, f"{'-6 ' if version == 6 else ''}{kind} {ports} --min-rate {rate}", limit=200)


def masscan(dark, watch, ports):
    """It makes frames of its own, so it is told all that a kernel would know."""
    stranger, arrived = watch.stranger, watch.arrived()
    router = mac_of(stranger.gateway)
    stranger.run(f"masscan {watch.target()} -p{ports} --rate 20000 --wait 2 --adapter {stranger.device} "
                 f"--adapter-ip {stranger.v4} --router-mac {router} --seed 1", timeout=60)
    assert watch.arrived() > arrived + 60000, "they arrived"


@pytest.mark.skipif(not shutil.which("masscan"), reason="masscan is not installed")
@pytest.mark.parametrize("ports", ["1-65535", "U:1-65535"], ids=["tcp", "udp"])
def test_masscan_finds_nothing_on_any_port(dark, ports):
    with dark.silence(dark.watches["hub"], seconds=1):
        masscan(dark, dark.watches["hub"], ports)
    before = dark.baited.bytes
    masscan(dark, dark.baited, ports)
    assert dark.baited.bytes > before, "the bait answers"


def test_no_port_answers_any_kind_of_segment(dark):
    """Each port of the hub, a segment of each kind, from a socket of our own."""
    watch = dark.watches["hub"]
    s, t = watch.source.v4, watch.target()
    arrived, flags = watch.arrived(), (p.SYN, p.ACK, p.FIN, 0, p.SYN | p.ACK, p.FIN | 40)
    with dark.silence(watch, seconds=1), p.Raw(watch.stranger) as raw:
        sent = sum(raw.send(p.ipv4(s, t, p.TCP, p.tcp(s, t, 40000 + flag, port, flag)))
                   for flag in flags for port in range(1, 65536, 3))
        sent += sum(raw.send(p.ipv4(s, t, p.UDP, p.udp(s, t, 40000, port, b"\0"))) for port in range(1, 65536))
        wait_until(lambda: watch.arrived() >= arrived + sent * 9 // 10, 10, "they arrive")


def test_in_the_end_all_of_it_works(dark):
    wait_until(dark.works, 40, "sessions are made anew")
