"""No stranger draws a byte from a darkened member, alive, dead, starting or stopping; each silence has its control."""
import contextlib
import os
import socket
import struct
import time

import noise
import plant as plants
import pytest
import statements
from darkness import (KEPT, MEMBERS, OTHER, USUAL_UDP, answer, connects, dark, incessantly, kill, mac_of, member,  # noqa: F401
                      prod, scan, scanned, wireguard_messages)
from probes import address_family
from running import wait_until

pytestmark = pytest.mark.deadline(120)

ARP = 0x0806
VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["v4", "v6"])

# The controls

@VERSIONS
def test_a_kept_port_is_reached_and_counted_and_no_other(dark, version):
    watch = dark.watches["broker-1"]
    before = watch.bytes
    assert connects(watch.stranger, watch.target(version), KEPT) == b"hello"
    assert watch.bytes > before
    with dark.silence(watch):
        assert connects(watch.stranger, watch.target(version), OTHER) is None


@VERSIONS
def test_who_holds_a_members_key_is_answered_and_counted(dark, version):
    watch, initiator = dark.guest, member(dark, f"answered-{version}")
    before = watch.bytes
    with watch.stranger.socket(address_family(version)) as sock:
        assert answer(sock, dark, initiator.initiation(), version)
    assert watch.bytes >= before + noise.RESPONSE_SIZE


# Probed from everywhere

@pytest.mark.parametrize("options, names", [
    ("-sS -p-", ("hub", "operator", "sensor-7")), ("-6 -sS -p-", ("hub",)),
    ("-6 -sS -p 1-9999", ("operator", "sensor-7", "neighbour")), ("-sS -p 1-9999", ("neighbour",)),
    ("-sA -p 1-9999", ("hub", "operator", "sensor-7", "neighbour")), ("-6 -sA -p 1-9999", ("hub", "sensor-7"))])
def test_nmap_finds_no_tcp_port(dark, options, names):
    scanned(dark, [dark.watches.get(name, dark.neighbour) for name in names], f"{options} --min-rate 20000")


@pytest.mark.parametrize("options", ["-sS", "-6 -sS", "-sA"])
def test_nmap_finds_the_kept_port_alone(dark, options):
    watch = dark.watches["broker-1"]
    scanned(dark, [watch], f"{options} -p 1-10000 --exclude-ports {KEPT} --min-rate 20000")


@pytest.mark.parametrize("options", ["-sU", "-6 -sU"])
def test_nmap_finds_no_udp_port(dark, options):
    ports = f"{USUAL_UDP},9999,{','.join(str(port) for port in dark.ports.values() if port != plants.PORT)}"
    scanned(dark, dark.all_watches(), f"{options} -p {ports} --min-rate 200")


def test_no_other_protocol_is_answered(dark):
    watches = dark.all_watches()
    with dark.silence(*watches):
        scans = [scan(watch, f"-sO --min-rate 500 {watch.target()}") for watch in watches]
        for process in scans:
            process.wait(40)


@pytest.mark.parametrize("name", MEMBERS)
def test_no_kind_of_message_draws_a_byte(dark, name):
    watch = dark.watches[name]
    arrived = dark.plant[name].host.counter("input", f"udp dport {dark.ports[name]}")
    messages = wireguard_messages(statements.static_public(dark.plant[name]))
    with dark.silence(watch):
        prod(watch, dark.ports[name], messages)
        wait_until(lambda: arrived.packets >= 2 * len(messages), what="all of them arrive")
    assert dark.works()


def test_a_neighbour_draws_no_byte(dark):
    with dark.silence(dark.neighbour):
        prod(dark.neighbour, dark.ports["hub"], wireguard_messages(statements.static_public(dark.plant.hub)))


def test_a_neighbour_meets_no_overlay_address(dark):
    overlay = dark.plant.hub.address(4)
    dark.neighbour.stranger.route(f"{overlay}/32", via=dark.neighbour.target())
    with dark.silence(dark.neighbour):
        assert not dark.neighbour.stranger.ping(overlay, deadline=1)


def test_a_neighbour_asks_for_no_overlay_address(dark):
    """Linux answers ARP on any link for any address of the host, if it is let."""
    end, hub = dark.neighbour.peer, dark.plant.hub
    mac = bytes.fromhex(mac_of(end).replace(":", ""))
    with end.host.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP)) as sock:
        sock.bind((end.device, ARP))
        sock.settimeout(0.5)

        def is_answered(target, source=end.v4):
            question = mac + socket.inet_aton(source) + bytes(6) + socket.inet_aton(target)
            sock.send(b"\xff" * 6 + mac + struct.pack("!HHHBBH", ARP, 1, 0x0800, 6, 4, 1) + question)
            with contextlib.suppress(TimeoutError):
                while True:
                    frame = sock.recv(100)
                    if frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(target):
                        return True
            return False

        assert is_answered(dark.neighbour.target()), "the control"
        assert not is_answered(hub.address(4))
        assert not is_answered(dark.neighbour.target(), source=dark.plant["sensor-7"].address(4))


def test_our_port_is_not_tracked(dark):
    host, port = dark.plant.hub.host, dark.ports["hub"]
    tracked, untracked = (host.counter("input", f"udp dport {port} ct state {state}")
                          for state in ("{ new, established, related, invalid }", "untracked"))
    with dark.plant.stranger.socket() as sock:
        for _ in range(50):
            sock.sendto(bytes(148), (host.v4, port))
    wait_until(lambda: untracked.packets >= 50, what="they are counted as untracked")
    assert tracked.packets == 0


# Tickets and members that are none any more

def test_an_open_ticket_is_answered_and_a_used_one_is_not_but_raises_one_alarm(dark):
    text = dark.plant.invite("once")
    ticket = statements.Ticket(text)
    public = statements.static_public(dark.plant.hub)
    with dark.guest.stranger.socket() as sock:
        assert answer(sock, dark, noise.Initiator(ticket.static_private, public).initiation()), "the control"
    machine = dark.plant.machine("once", "b")
    machine.join(text)
    dark.up("once")
    wait_until(lambda: any(peer["device"] == "once" for peer in dark.plant.hub.status()["peers"]), 20, "it is seen")
    watch = dark.watches["hub"]
    with watch.stranger.socket() as sock, dark.silence(watch):
        for _ in range(4):
            message = noise.Initiator(ticket.static_private, public).initiation()
            assert answer(sock, dark, message, timeout=0.3) is None
    alarms = [problem for problem in dark.plant.hub.status()["problems"] if problem["code"] == "ticket-reused"]
    assert [alarm["device"] for alarm in alarms] == ["once"], alarms
    machine.down()


def test_an_expired_ticket_draws_nothing(dark):
    ticket = statements.Ticket(dark.plant.invite("late", options="--expires 2s"))
    time.sleep(3)
    dark.plant.invite("later")  # its signed head carries a time past the other's
    watch, public = dark.watches["hub"], statements.static_public(dark.plant.hub)
    with watch.stranger.socket() as sock, dark.silence(watch):
        for _ in range(3):
            message = noise.Initiator(ticket.static_private, public).initiation()
            assert answer(sock, dark, message, timeout=0.3) is None


@pytest.mark.parametrize("kind", [statements.REVOKE, statements.ISOLATE], ids=["revoked", "isolated"])
def test_who_was_a_member_draws_nothing(dark, kind):
    name = f"outcast-{kind}"
    initiator = member(dark, name)
    captured = initiator.initiation()
    with dark.guest.stranger.socket() as sock:
        assert answer(sock, dark, captured), "the control"
    head = dark.plant.hub.head()
    statements.take_away(dark.plant.operator, kind, statements.Ticket(dark.plant[name].ticket))
    wait_until(lambda: dark.plant.hub.head() > head, 10, "the hub knows")
    watch = dark.watches["hub"]
    with watch.stranger.socket() as sock, dark.silence(watch):
        for message in (initiator.initiation(), captured, initiator.initiation()):
            assert answer(sock, dark, message, timeout=0.3) is None


# Dead, starting, stopping

@pytest.mark.parametrize("role", ["keys", "engine", "state", "parent"])
def test_a_dead_member_is_as_silent_and_so_is_one_that_starts(dark, role):
    hub, watches = dark.plant.hub, (dark.watches["hub"], dark.neighbour)
    messages = wireguard_messages(statements.static_public(hub))
    with dark.silence(*watches):
        with incessantly(dark, watches[0], "hub"):
            kill(hub, role)
        for watch in watches:
            prod(watch, dark.ports["hub"], messages[:40])
        with incessantly(dark, watches[0], "hub"):
            dark.up("hub")
            time.sleep(0.5)
        prod(watches[0], dark.ports["hub"], messages)


def test_nothing_is_drawn_while_it_starts_over_and_over(dark):
    """Killed and started again, each time another of its processes, while it is scanned and sent to."""
    hub, watches = dark.plant.hub, (dark.watches["hub"], dark.neighbour)
    with dark.silence(*watches), incessantly(dark, watches[0], "hub"):
        scans = [scan(watch, f"{options} --min-rate 500 -p 1-2000,{OTHER},{plants.PORT} {watch.target(6 if '-6' in options else 4)}")
                 for watch in watches for options in ("-sS", "-sU", "-6 -sS")]
        for role in ("engine", "parent", "keys", "state"):
            kill(hub, role)
            dark.up("hub")
        for process in scans:
            assert process.wait(20) == 0


def test_what_was_answered_once_is_not_answered_again_by_a_daemon_that_was_killed(dark):
    initiator = member(dark, "replayed")
    captured = []

    def answered():
        captured.append(initiator.initiation())
        return answer(sock, dark, captured[-1], timeout=1)

    with dark.guest.stranger.socket() as sock:
        assert wait_until(answered, 8), "the control"
        assert answer(sock, dark, captured[-1], timeout=0.4) is None, "from the same source"
        kill(dark.plant.hub, "engine")
        dark.up("hub")
        for message in captured:
            assert answer(sock, dark, message, timeout=0.4) is None, "after a restart"
        with dark.plant.stranger.socket() as other, dark.silence(dark.watches["hub"]):
            for message in captured:
                assert answer(other, dark, message, timeout=0.3) is None, "from another source"
        assert wait_until(answered, 8), "a fresh one is answered"


def tables(machine):
    return [line for line in machine.host.run("nft list tables").stdout.splitlines() if "nightjar_" in line]


def test_after_down_the_tables_are_gone_and_strangers_see_a_host(dark):
    machine, watch = dark.plant["sensor-7"], dark.watches["sensor-7"]
    assert len(tables(machine)) == 3
    machine.down()
    wait_until(lambda: not machine.pids(), 10, "down")
    assert tables(machine) == []
    before = watch.bytes
    assert connects(watch.stranger, watch.target(), OTHER) == b"hello"
    assert watch.bytes > before
    dark.up("sensor-7")


def test_the_tables_of_a_daemon_that_died_go_with_down(dark):
    machine = dark.plant["sensor-7"]
    kill(machine, "parent")
    assert tables(machine)
    machine.down()
    assert tables(machine) == []


def test_without_darkening_status_says_what_a_stranger_sees(dark):
    machine, watch = dark.plant["sensor-7"], dark.watches["sensor-7"]
    machine.down()
    machine.up()
    strangers = machine.status()["strangers"]
    assert strangers["darkened"] is False
    assert "services answer" in strangers["what"]
    assert connects(watch.stranger, watch.target(), OTHER) == b"hello"
    machine.down()
    dark.up("sensor-7")
    assert machine.status()["strangers"]["darkened"] is True
    kept = dark.plant["broker-1"].status()["strangers"]
    assert f"tcp/{KEPT}" in kept["open"], kept


def test_a_changed_keep_leaves_no_moment_of_light(dark):
    """Dead and dark, then up with another set of kept ports: the rules are replaced at once."""
    machine, watch = dark.plant["sensor-7"], dark.watches["sensor-7"]
    kill(machine, "engine")
    with dark.silence(watch), incessantly(dark, watch, "sensor-7"):
        machine.up(f"--darken --keep tcp/{KEPT}")
    assert connects(watch.stranger, watch.target(), KEPT) == b"hello"


def test_flows_that_stood_before_end_but_for_tcp(dark):
    """Who spoke to a UDP service before it was dark speaks to it no more; a TCP connection goes on until it ends."""
    machine, watch = dark.plant["sensor-7"], dark.watches["sensor-7"]
    machine.down()
    tracking = machine.host.counter("input", "ct state established")
    with watch.stranger.socket() as sock, watch.stranger.socket(kind=socket.SOCK_STREAM) as stream:
        sock.settimeout(1)
        sock.connect((watch.target(), 9999))
        for _ in range(3):
            sock.send(b"hello")
            assert sock.recv(16) == b"hello", "the control"
        stream.connect((watch.target(), OTHER + 1))
        assert tracking.packets > 0
        dark.up("sensor-7")
        stream.settimeout(3)
        stream.send(b"still here")
        assert stream.recv(16) == b"still here"
        with dark.silence(watch):
            sock.send(b"hello")
            with pytest.raises(TimeoutError):
                sock.recv(16)


def test_in_the_end_all_of_it_works(dark):
    wait_until(dark.works, 40, "sessions are made anew")
