"""No stranger draws a byte from a darkened member, alive, dead, starting or stopping; each silence has its control."""
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import noise
import plant as plants
import statements
from probes import address_family, costly
from running import stays, wait_until

pytestmark = pytest.mark.deadline(60)

POLICY = """\
allow:
  - {from: sensors, to: brokers, tcp: [1883], icmp: any}
"""
KEPT, OTHER = 22, 8080
USUAL_UDP = "53,67,68,69,123,137,161,443,500,514,546,547,1194,1701,1900,4500,5353,5683,51820,51821"
VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["v4", "v6"])
MEMBERS = ("hub", "operator", "sensor-7", "broker-1")
LISTEN = """\
import socket, threading
def serve(port):
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        while True:
            connection, _ = server.accept()
            connection.sendall(b"hello")
            connection.close()
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::", 9999))
for port in (%d, %d):
    threading.Thread(target=serve, args=(port,), daemon=True).start()
def echo(port):
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        connection, _ = server.accept()
        while data := connection.recv(100):
            connection.sendall(data)
threading.Thread(target=echo, args=(%d,), daemon=True).start()
while True:
    data, source = udp.recvfrom(2048)
    udp.sendto(data, source)
"""
NEIGHBOUR_DISCOVERY = "{ nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }"


class Watch:
    """A stranger of a member, and what goes from the member to it: any protocol, neighbour discovery excepted."""

    def __init__(self, machine, stranger, addresses=None):
        self.machine, self.stranger = machine, stranger
        v4, v6 = addresses or (stranger.v4, stranger.v6)
        matches = (f"ip daddr {v4}", f"ip6 daddr {v6} meta l4proto != 58",
                   f"ip6 daddr {v6} icmpv6 type != {NEIGHBOUR_DISCOVERY}")
        self.rules = [machine.host.counter("postrouting", match) for match in matches]

    @property
    def bytes(self):
        return sum(rule.bytes for rule in self.rules)

    def target(self, version=4):
        """Where the stranger reaches the member."""
        end = self.machine.host.ends[-1 if self.stranger.name == "neighbour" else 0]
        return end.address(version)


class Dark:
    """A plant whose members are dark, each with a stranger one router away; the hub has a neighbour on its link too."""

    def __init__(self, plant):
        self.plant = plant
        plant.found("--darken")
        plant.add("sensor-7", site="a", groups=["sensors"], up="--darken")
        plant.add("broker-1", site="b", groups=["brokers"], up=f"--darken --keep tcp/{KEPT}")
        plant.publish(POLICY)
        self.ports = {name: plant[name].status()["port"] for name in MEMBERS}
        self.watches = {"hub": Watch(plant.hub, plant.stranger)}
        for name, site in (("operator", "office"), ("sensor-7", "a"), ("broker-1", "b")):
            router = plant.sites[site].router
            self.watches[name] = Watch(plant[name], plant.world.stranger(router, f"stranger-{site}"))
        neighbour = plant.world.host("neighbour")
        plant.world.wire(neighbour, plant.hub.host)
        self.neighbour = Watch(plant.hub, neighbour)
        # Whoever answers to a member's key is sent to by and by, so it has an address of its own.
        self.guest = Watch(plant.hub, plant.world.stranger(plant.internet, "guest"))
        for name in MEMBERS:
            plant[name].host.popen(["/usr/bin/python3", "-c", LISTEN % (KEPT, OTHER, OTHER + 1)])
        for name in MEMBERS:
            wait_until(lambda: connects(plant[name].host, "127.0.0.1", OTHER) == b"hello", 10, "the listeners listen")

    def all_watches(self):
        return [*self.watches.values(), self.neighbour]

    def works(self):
        return self.plant["sensor-7"].pings("broker-1", deadline=20)

    def up(self, name):
        self.plant[name].up("--darken" + (f" --keep tcp/{KEPT}" if name == "broker-1" else ""))

    @contextlib.contextmanager
    def silence(self, *watches, seconds=0.4):
        """What is sent in this block draws no byte toward the stranger."""
        watches = watches or self.all_watches()
        before = [watch.bytes for watch in watches]
        yield
        stays(lambda: [watch.bytes for watch in watches] == before, seconds, "no byte is drawn")


@pytest.fixture(scope="module")
def dark():
    missing = plants.missing_programs()
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}")
    with plants.Plant() as plant:
        try:
            dark = Dark(plant)
            assert dark.works()
        except BaseException:
            print(plant.logs())
            raise
        yield dark


def connects(host, address, port, timeout=1.5):
    """What a connection says first; None: there is none."""
    with host.socket(address_family(6 if ":" in address else 4), socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect((address, port))
            return sock.recv(16)
        except OSError:
            return None


def wireguard_messages(public):
    """All kinds: of no use, with a wrong mac1, with a right one before garbage, and by a key that is no member's."""
    stranger = [noise.Initiator(os.urandom(32), public).initiation() for _ in range(5)]
    kinds = [bytes([kind, 0, 0, 0]) for kind in (0, 1, 2, 3, 4, 5, 255)]
    garbage = [kind + os.urandom(size - 4) for kind in kinds for size in (4, 16, 32, 64, 92, 148, 149, 1400)]
    right = [noise.with_macs(kind + os.urandom(size - 36), public) for kind in kinds for size in (64, 92, 148)]
    with_mac2 = [message[:-16] + os.urandom(16) for message in right]
    return [*garbage, *map(noise.with_bad_mac1, stranger), *costly(public, 20), *right, *with_mac2, *stranger]


def prod(watch, port, messages):
    """The messages to the tunnel's port, and knocks at others, over IPv4 and IPv6."""
    pings = [watch.stranger.popen(f"ping -n -q -c 3 -i 0.2 -w 1 {watch.target(version)}", stdout=subprocess.DEVNULL)
             for version in (4, 6)]
    for version in (4, 6):
        target = watch.target(version)
        with watch.stranger.socket(address_family(version)) as sock:
            for message in messages:
                sock.sendto(message, (target, port))
            for other in (9, 53, 9999):
                sock.sendto(b"hello", (target, other))
        # Every listener is on these: a connection that came about would be seen.
        assert connects(watch.stranger, target, OTHER, timeout=0.2) is None
    assert all(ping.wait(5) == 1 for ping in pings), "no echo came back"


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


def member(dark, name):
    """A member's side of a handshake with the hub; it never comes up itself."""
    if name not in dark.plant.machines:
        machine = dark.plant.machine(name, "a")
        machine.ticket = dark.plant.invite(name)
        machine.join(machine.ticket)
    private = (dark.plant[name].state / "keys/static").read_bytes()
    return noise.Initiator(private, statements.static_public(dark.plant.hub))


def answer(sock, dark, message, version=4, timeout=3):
    """What a message to the hub's port draws; None: nothing."""
    sock.settimeout(timeout)
    sock.sendto(message, (dark.guest.target(version), dark.ports["hub"]))
    try:
        return sock.recv(2048)
    except TimeoutError:
        return None


# Probed from everywhere

def scan(watch, options):
    return watch.stranger.popen(["nmap", "-Pn", "-n", "--max-retries", "0", "-T5", "--max-rtt-timeout", "100ms", *options.split()],
                                log=watch.machine.plant.world.dir / f"nmap-{watch.stranger.name}.log")


def scanned(dark, watches, options, limit=40):
    """All of these at once, with no byte drawn; returns nothing, since nmap has nothing to tell."""
    with dark.silence(*watches):
        scans = [scan(watch, f"{options} {watch.target(6 if '-6' in options else 4)}") for watch in watches]
        for process in scans:
            assert process.wait(limit) == 0
    for watch in watches:
        report = (dark.plant.world.dir / f"nmap-{watch.stranger.name}.log").read_text()
        assert " open " not in report and " closed " not in report and " unfiltered " not in report, report


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

def kill(machine, role):
    """kill -9 of one role ("parent" for none); waits until all of the daemon is gone."""
    roles = {pid for name in ("keys", "engine", "state") for pid in machine.pids(name)}
    pids = machine.pids(role) if role != "parent" else set(machine.pids("nightjard")) - roles
    assert len(pids) == 1, pids
    os.kill(next(iter(pids)), signal.SIGKILL)
    wait_until(lambda: not machine.pids(), 10, "all of it has ended")


@contextlib.contextmanager
def incessantly(dark, watch, name):
    """All of it, again and again, while something is done."""
    over = threading.Event()
    messages = wireguard_messages(statements.static_public(dark.plant[name]))
    target = (watch.target(), dark.ports[name])

    def send():
        with watch.stranger.socket() as sock:
            while not over.is_set():
                for message in messages:
                    with contextlib.suppress(OSError):
                        sock.sendto(message, target)
                time.sleep(0.01)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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
    assert len(tables(machine)) == 2
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
