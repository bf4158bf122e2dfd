"""A relay that is hostile (relay.py), and the members that it carries for: what it may spoil, and what goes on."""
import contextlib
import os
import random
import socket
import subprocess
import threading
import time

import hostile
import noise
import plant as plants
import pytest
from memory import in_memory, on_disk
from relay import CANDIDATES, ELSEWHERE, HELLO, INTRODUCE, REPLY, Device, frame, place
from running import stays, wait_until
from streams import Stream, row

pytestmark = pytest.mark.deadline(90)
BUDGET = 12           # datagrams that a node sends to an address that nothing was answered from
DATAGRAM_MOST = 1500  # bytes of one


class End:
    """A machine as streams.py wants its nodes."""

    def __init__(self, machine):
        self.home, self.v4 = machine.host, machine.address()


class Members:
    """sensor and broker are reached through relays alone, public directly; nobody may speak with outsider, and revoked was
    one of the sensors, as doomed is. ghosts are brokers that are not up."""

    def __init__(self, net):
        self.net, self.plant = net, net.plant
        self.sensor = net.add("sensor", "a", ["sensors"])
        self.broker = net.add("broker", "b", ["brokers"])
        self.public = net.add("public", None, ["brokers"], up=f"--listen {plants.PORT}")
        self.doomed = net.add("doomed", "a", ["sensors"])
        self.outsider = net.add("outsider", "b", [], up=None)
        self.revoked = net.add("revoked", "b", ["sensors"], up=None)
        self.ghosts = [net.add("ghost", "b", ["brokers"], up=None) for _ in range(3)]
        self.plant.publish(hostile.POLICY)
        net.operator.nightjar(f"revoke {self.revoked.name} --reason test --yes")
        self.relay = None

    def take_over(self):
        self.relay = self.net.takes_over(self.sensor, self.broker, self.public, self.doomed)
        for machine in (self.outsider, self.revoked, *self.ghosts):
            self.relay.know(hostile.device_that_is_down(machine, self.net.tickets[machine.name]))
        self.a, self.b = (self.relay[machine.name] for machine in (self.sensor, self.broker))
        self.up = [machine.name for machine in (self.sensor, self.broker, self.public)]
        hostile.restart(self.sensor, self.broker, self.public)  # who would find out within 10 s
        self.relay.wait_for(*self.up)

    def goes_by_it(self):
        before = len(self.relay.carried)
        return self.ping(10) and len(self.relay.carried) > before

    def by_it(self):
        """A path through the hostile relay, which is honest so far."""
        self.relay.be_honest()
        if not self.goes_by_it():
            self.anew(self.sensor, self.broker)
            assert self.goes_by_it(), "the control: it goes by it"

    def anew(self, *machines):
        """These have no session left, and new ones with the relays."""
        for machine in machines:
            self.relay.latest.pop(self.relay[machine.name].public, None)
        hostile.restart(*machines)
        self.relay.wait_for(*(machine.name for machine in machines))

    def ping(self, deadline=20):
        return self.sensor.host.ping(self.broker.address(), deadline=deadline)

    def path(self):
        return hostile.path(self.sensor, self.broker.name)

    def pings_go_on(self, count=200):
        """Most of them, through whatever happens meanwhile."""
        came = hostile.echoes(self.sensor.host, self.broker.address(), count)
        assert came >= count * 95 // 100, f"{came} of {count}"


@pytest.fixture(scope="module")
def members():
    missing = plants.missing_programs()
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}")
    with hostile.network() as net:
        members = Members(net)
        yield members
        if members.relay:
            members.relay.close()


@pytest.fixture
def relay(members):
    """Hostile from now on; sensor and broker have a path through it."""
    if not members.relay:
        members.take_over()
    members.by_it()
    yield members.relay
    assert members.relay.is_well()
    members.relay.be_honest()


# What it is given to carry

def canaries():
    return {kind: os.urandom(16).hex().encode() * 4 for kind in ("udp", "tcp", "mqtt")}


def send_udp(sender, receiver, canary):
    with receiver.host.socket() as into, sender.host.socket() as out:
        into.bind((receiver.address(), 5683))
        into.settimeout(0.5)

        def arrives():
            out.sendto(canary, (receiver.address(), 5683))
            with contextlib.suppress(TimeoutError):
                return into.recv(2048) == canary
        wait_until(arrives, 15, "the control: a datagram goes through")


def send_tcp(sender, receiver, canary):
    with receiver.host.socket(kind=socket.SOCK_STREAM) as listener, sender.host.socket(kind=socket.SOCK_STREAM) as out:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((receiver.address(), 7000))
        listener.listen()
        for sock in (listener, out):
            sock.settimeout(10)
        out.connect((receiver.address(), 7000))
        into, _ = listener.accept()
        with into:
            out.sendall(canary * 20)
            into.settimeout(10)
            assert into.recv(len(canary)) == canary, "the control: a stream goes through"


def send_mqtt(plant, sender, receiver, canary):
    configuration, log = plant.world.dir / "mosquitto.conf", plant.world.dir / "mosquitto.log"
    configuration.write_text(f"listener 1883 {receiver.address()}\nallow_anonymous true\npersistence false\nuser root\n")
    process = receiver.host.popen(f"mosquitto -c {configuration}", log=log)
    wait_until(lambda: "running" in log.read_text(), 10, "mosquitto runs")
    sender.host.run(f"timeout 10 mosquitto_pub -h {receiver.address()} -t site/a -m {canary.decode()} -q 1", timeout=15)
    plant.world.end(process)


def capture(plant, host, name):
    """(process, file) of tcpdump on all devices."""
    pcap, log = plant.world.dir / f"{name}.pcap", plant.world.dir / f"{name}.log"
    process = host.popen(["tcpdump", "-Z", "root", "--immediate-mode", "-i", "any", "-U", "-w", pcap], log=log)
    wait_until(lambda: log.exists() and "listening" in log.read_text(), 10, "tcpdump listens")
    return process, pcap


def test_what_members_say_is_nowhere_at_a_relay_nor_on_the_wire(members):
    """UDP, TCP and MQTT, relayed and directly: in captures, in the relays' memory, and on their disks."""
    plant, relays, said = members.plant, (members.net.hub, members.net.relay_2), canaries()
    assert members.ping() and members.sensor.pings(members.public.name)
    wait_until(lambda: hostile.path(members.sensor, members.public.name)[0] == "direct", 20, "they meet")
    taps = [capture(plant, host, f"tap-{host.name}") for host in (*(r.host for r in relays), plant.internet)]
    for receiver in (members.broker, members.public):
        send_udp(members.sensor, receiver, said["udp"])
        send_tcp(members.sensor, receiver, said["tcp"])
        send_mqtt(plant, members.sensor, receiver, said["mqtt"])
    needles = {kind: canary[:32] for kind, canary in said.items()}
    for machine in relays:
        assert on_disk(machine.state, needles) == {}
        for pid in machine.pids():
            assert in_memory(pid, needles) == set(), machine.name
    assert hostile.path(members.sensor, members.public.name)[0] == "direct", "the control: one way was direct"
    for process, pcap in taps:
        plant.world.end(process)
        assert not [kind for kind, needle in needles.items() if needle in pcap.read_bytes()], pcap.name
    assert taps[-1][1].stat().st_size > 10000, "the control: it went past the tap"


def delay(relay, origin, target, message):
    relay.after(0.2, lambda: relay.pass_on(origin, target, message))


def reorder(relay, origin, target, message):
    relay.after(random.uniform(0, 0.05), lambda: relay.pass_on(origin, target, message))


def duplicate(relay, origin, target, message):
    for _ in range(3):
        relay.pass_on(origin, target, message)


def drop_some(relay, origin, target, message):
    if random.random() > 0.05:
        relay.pass_on(origin, target, message)


@pytest.mark.parametrize("how", [delay, reorder, duplicate, drop_some])
def test_what_is_carried_badly_arrives_as_it_was_sent_and_once(members, relay, how):
    relay.carry = lambda *what: how(relay, *what)
    numbers = row(End(members.sensor), End(members.broker), 400, pace=0.002)
    assert len(numbers) == len(set(numbers)), "each at most once"
    assert len(numbers) == 400 if how is not drop_some else len(numbers) > 300
    with Stream(End(members.sensor), End(members.broker)) as stream:
        stream.flows(128 << 10, deadline=30)
    assert members.ping()


def test_one_that_drops_all_is_left_for_another(members, relay):
    relay.carry = lambda *_: None
    started = time.monotonic()
    assert members.ping(deadline=30)
    print(f"by the hub {time.monotonic() - started:.1f} s after the other began to drop")
    assert members.path() == ("relayed", "hub")
    stays(lambda: members.ping(deadline=2), 3)


def test_one_that_drops_handshakes_is_left_for_another(members, relay):
    """And answers for itself, and introduces."""
    relay.carry = lambda origin, target, message: message[0] > 2 and relay.pass_on(origin, target, message)
    members.anew(members.sensor)
    assert members.ping(deadline=30)
    assert members.path() == ("relayed", "hub")


# Introductions

def no(relay, asker, _target, number):
    relay.send(asker, frame(INTRODUCE, {1: number, 2: REPLY}))


def elsewhere(relay, asker, target, number):
    relay.send(asker, frame(INTRODUCE, {1: number, 2: REPLY, 3: target.id, 6: ELSEWHERE}))


def nonsense(relay, asker, target, number):
    """Everything that is wrong, and then nothing."""
    other = next(device for device in relay.by_public.values() if device not in (asker, target))
    bad = [place("127.0.0.1", 7), place("224.0.0.1", 7), place("0.0.0.0", 7), place("255.255.255.255", 7),
           place("::1", 7), place("fe80::1", 7), place("ff02::1", 7), place("192.0.2.1", 7) * 2,
           b"".join(place(f"192.0.2.{n}", 7) for n in range(1, 10)), b"\x04\x01", os.urandom(40)]
    for candidates in bad:
        relay.send(asker, relay.here(target, number, candidates=candidates))
    for answer in (relay.here(other, number), relay.here(target, number ^ 1), relay.here(other, number + 1),
                   relay.here(relay.by_name["nobody"], number), bytes([INTRODUCE]) + os.urandom(60),
                   bytes([INTRODUCE]) + b"\xa2\x01\x01\x02\x18\x03", relay.here(target, number)[:-3],
                   frame(INTRODUCE, {1: number, 2: 7, 3: target.id}), relay.here(target, number, gate=bytes(7))):
        relay.send(asker, answer)


def other_openings(relay, asker, target, number):
    """Which is right in all else, so that it is believed that the path is there."""
    other = next(device for device in relay.by_public.values() if device not in (asker, target))
    for opening in (other.opening, os.urandom(80)):
        relay.send(asker, relay.here(target, number, opening=opening))


@pytest.mark.parametrize("how", [no, elsewhere, nonsense, other_openings])
def test_wrong_answers_lead_to_the_other_relay(members, relay, how):
    relay.know(Device("nobody", hostile.MadeUp(), os.urandom(32)))
    relay.answer = lambda *question: how(relay, *question)
    before = relay.asks()
    members.anew(members.sensor)
    assert members.ping(deadline=30)
    assert relay.asks() > before, "the control: it was asked"


def test_answers_to_what_was_never_asked_change_nothing(members, relay):
    before, strange = members.path(), hostile.counters(members.sensor)["mesh_strange"]
    for _ in range(200):
        for device in (*relay.by_public.values(),):
            if device is not members.a:
                relay.send(members.a, relay.here(device, random.getrandbits(60) | 1, candidates=place("192.0.2.9", 9)))
    members.pings_go_on()
    assert members.path() == before
    assert hostile.counters(members.sensor)["mesh_strange"] > strange


def introduced(members, relay, who, where):
    """Whether the sensor lets itself be told of it: by a tell, an answer, or its handshake."""
    to_it = members.plant.internet.counter("forward", f"ip daddr {where} udp dport 4444")
    carried = len(relay.carried)
    for number in range(1, 6):
        relay.send(members.a, relay.told(who, 5000 + number, candidates=place(where, 4444), gate=os.urandom(16)))
    relay.answer = lambda asker, target, number: relay.send(
        asker, relay.here(target, number, candidates=place(where, 4444)))
    done = members.sensor.nightjar(f"ping {who.name} -c 1", check=False, timeout=20)
    initiation = noise.Initiator(who.private, members.a.public).initiation()
    relay.send(members.a, relay.relayed(who, initiation))
    time.sleep(0.5)
    answers = [message for _, target, message in relay.carried[carried:] if target is who]
    packets = to_it.packets
    to_it.remove()
    return done.returncode == 0 or answers or packets or any(relay.acknowledged(members.a, 5000 + n) for n in range(1, 6))


def test_it_introduces_nobody_who_may_not_be(members, relay):
    """Not one that no ledger knows, nor one that policy forbids, nor one that was revoked, nor under another key."""
    nobody = Device("nobody", hostile.MadeUp(), os.urandom(32))
    nobody.private = os.urandom(32)
    nobody.public = noise.public_of(nobody.private)
    relay.know(nobody)
    strangers = [nobody, relay[members.outsider.name], relay[members.revoked.name]]
    for who in strangers:
        assert not introduced(members, relay, who, members.plant.stranger.v4), who.name
    impostor = noise.Initiator(os.urandom(32), members.a.public).initiation()
    carried = len(relay.carried)
    relay.send(members.a, relay.relayed(members.b, impostor))
    time.sleep(0.3)
    assert not [m for o, t, m in relay.carried[carried:] if o is members.a and m[0] == noise.RESPONSE]
    members.pings_go_on(50)


# Where members are said to be

def test_bogus_candidates_harm_nothing(members, relay):
    bogus = ["192.0.2.1", "198.51.100.7", "10.255.255.254", members.net.relay_2.host.v4, members.net.hub.host.v4,
             members.sensor.host.v4, "203.0.113.9", "172.16.0.1"]
    list_of = b"".join(place(address, 4444) for address in bogus)
    nowhere = [members.plant.internet.counter("forward", f"ip daddr {address}") for address in bogus[:2]]
    relay.tell = lambda target, asker, number: relay.send(target, relay.told(asker, number, candidates=list_of))
    relay.here_is = lambda target, number: relay.here(target, number, candidates=list_of)
    members.anew(members.sensor)
    assert members.goes_by_it()
    for number in range(9000, 9040):
        relay.send(members.a, relay.told(members.b, number, candidates=list_of))
        relay.send(members.b, relay.told(members.a, number, candidates=list_of))
    members.pings_go_on()
    assert all(counter.packets <= 2 * BUDGET for counter in nowhere)


def test_a_victim_gets_a_few_datagrams_and_no_more(members, relay):
    """Whatever it says to whom, how often, about how many."""
    plant, victim = members.plant, members.plant.stranger
    bystander = plant.internet.counter("forward", f"ip daddr {plant.sites['office'].outside} udp dport 1-19999")
    at_victim = victim.counter("input", "meta l4proto udp")
    ports = iter(range(20000, 60000))
    known = [relay[machine.name] for machine in (members.broker, members.public, *members.ghosts)]

    def aimed():
        return b"".join(place(victim.v4, next(ports)) for _ in range(8))

    def aim(seconds):
        end, number = time.monotonic() + seconds, 20000
        while time.monotonic() < end:
            for about in known:
                number += 1
                relay.send(members.a, relay.told(about, number, candidates=aimed()))
            for machine in (members.broker, members.public):
                relay.send(relay[machine.name], relay.told(members.a, number, candidates=aimed()))
            time.sleep(0.05)

    relay.here_is = lambda target, number: relay.here(target, number, candidates=aimed())
    relay.tell = lambda target, asker, number: relay.send(target, relay.told(asker, number, candidates=aimed()))
    ghosts = [relay[ghost.name] for ghost in members.ghosts]
    relay.answer = lambda asker, target, number: (relay.send(asker, relay.here_is(target, number)) if target in ghosts
                                                  else relay.introduce(asker, target, number))
    members.anew(members.sensor)
    assert members.ping()
    asking = [members.sensor.start(f"ping {ghost.name} -c 1") for ghost in members.ghosts]
    aim(3)
    first = at_victim.packets
    aim(5)
    for process in asking:
        process.communicate(timeout=30)
    print(f"{first} datagrams, then {at_victim.packets - first} more; {at_victim.bytes} bytes")
    assert 0 < at_victim.packets <= 3 * BUDGET + BUDGET, "three nodes, one of them anew"
    assert at_victim.bytes <= 4 * BUDGET * DATAGRAM_MOST
    assert at_victim.packets - first <= BUDGET
    assert bystander.packets == 0, "who was never named"
    members.pings_go_on(50)


def test_lies_about_where_a_member_is_seen_cost_little(members, relay):
    victim = members.plant.stranger.v4
    at_victim = members.plant.stranger.counter("input", "meta l4proto udp")
    with hostile.bounded(members.sensor, members.broker):
        for n in range(100):
            for device in (members.a, members.b):
                relay.say_hello(device.public, observed=(victim, 30000 + n))
            time.sleep(0.01)
        members.pings_go_on()
    assert at_victim.packets <= 2 * BUDGET


# What was said before

def replay(relay, target, messages):
    for origin, _, message in messages:
        relay.send(target, relay.relayed(origin, message))
        time.sleep(0.001)


def to(relay, device, kinds):
    return [what for what in list(relay.carried) if what[1] is device and what[2][0] in kinds][-300:]


def answers(relay, since, device):
    return [message for origin, _, message in relay.carried[since:] if origin is device and message[0] == noise.RESPONSE]


@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_replayed_draws_nothing(members, relay, restarted):
    """Data, handshakes and introductions, in the same sessions, and after both ends started anew."""
    receiver = members.broker.host.socket()
    receiver.bind((members.broker.address(), 5683))
    send_row = members.sensor.host.socket()
    for _ in range(50):
        send_row.sendto(b"once", (members.broker.address(), 5683))
        time.sleep(0.002)
    receiver.settimeout(1)
    with contextlib.suppress(TimeoutError):
        while receiver.recv(100):
            pass
    data, handshakes = to(relay, members.b, (4, 5)), to(relay, members.b, (1, 2))
    assert data and handshakes, "the control"
    if restarted:
        members.anew(members.sensor, members.broker)
        receiver.close()
        assert members.goes_by_it()
        receiver = members.broker.host.socket()
        receiver.bind((members.broker.address(), 5683))
    before, since = hostile.counters(members.broker), len(relay.carried)
    replay(relay, members.b, data)
    replay(relay, members.b, handshakes)
    replay(relay, members.b, [(members.b, *what[1:]) for what in handshakes])
    for device, kind, fields in list(relay.heard)[-500:]:
        if kind == INTRODUCE:
            relay.send(members.b, frame(INTRODUCE, fields))
    receiver.settimeout(1)
    with pytest.raises(TimeoutError):
        receiver.recv(100)
    assert answers(relay, since, members.b) == []
    after = hostile.counters(members.broker)
    assert sum(after[name] - before[name] for name in ("replayed", "unknown_index")) >= len(data) // 2
    assert after["handshakes"] == before["handshakes"]
    receiver.close()
    send_row.close()
    members.pings_go_on(50)


# The rest

def test_a_take_away_that_it_withholds_comes_by_the_other(members, relay):
    doomed = members.doomed
    wait_until(lambda: doomed.host.ping(members.broker.address(), deadline=2), 20, "they talk")
    members.net.operator.nightjar(f"revoke {doomed.name} --reason test --yes")
    started = time.monotonic()
    wait_until(lambda: not doomed.host.ping(members.broker.address(), deadline=1), 10, "it is over")
    print(f"silence {time.monotonic() - started:.1f} s after the command's end")
    stays(lambda: not doomed.host.ping(members.broker.address(), deadline=1), 3)
    members.pings_go_on(50)


def test_who_joins_does_so_by_the_other(members, relay):
    """Its door lets in whoever holds a ticket, and says nothing more."""
    started = time.monotonic()
    name, ticket = members.net.invite("late", ["sensors"])
    late = members.plant.machine(name, "a")
    late.join(ticket)
    print(f"joined {time.monotonic() - started:.1f} s after it was invited")


def test_a_wrong_gate_key_ends_no_handshake(members, relay):
    relay.tell = lambda target, asker, number: relay.send(target, relay.told(asker, number, gate=os.urandom(16)))
    relay.here_is = lambda target, number: relay.here(target, number, gate=os.urandom(16))
    members.anew(members.sensor)
    assert members.goes_by_it()


def test_under_load_a_wrong_gate_key_leads_to_the_other_relay(members, relay):
    """Whose introduction tells the right one."""
    relay.answer = lambda asker, target, number: relay.send(asker, relay.here(target, number, gate=os.urandom(16)))
    flood = members.plant.stranger.popen(
        [plants.program("bench/flood"), "initiations", "--to", members.public.host.v4, "--port", str(plants.PORT), "--rate",
         "20000", "--seconds", "40", "--spoof", "172.31.0.0", "--key", relay[members.public.name].public.hex()],
        stdout=subprocess.DEVNULL)
    members.anew(members.sensor)
    assert members.sensor.pings(members.public.name, deadline=30)
    assert flood.poll() is None, "the control: under load"
    members.plant.world.end(flood)


def test_a_flood_of_it_costs_a_member_no_memory_and_its_peers_nothing(members, relay):
    origins = list(relay.by_public.values())
    over = threading.Event()

    def flood():
        while not over.is_set():
            made_up = Device("made up", hostile.MadeUp(), b"")
            number = random.getrandbits(50) + 1
            for inner in (relay.told(made_up, number, candidates=place("192.0.2.1", number % 60000 + 1)),
                          relay.told(random.choice(origins), number), os.urandom(1)[:1] + os.urandom(200),
                          bytes([random.randrange(1, 13)]) + os.urandom(100), bytes([random.randrange(16)]),
                          relay.relayed(random.choice(origins), os.urandom(148)),
                          relay.relayed(made_up, bytes([4, 0, 0, 0]) + os.urandom(500)),
                          relay.relayed(members.b, bytes([1, 0, 0, 0]) + os.urandom(144)),
                          relay.told(made_up, 0), relay.told(members.b, 0), frame(CANDIDATES, {1: place("192.0.2.7", 7)}),
                          frame(HELLO, {1: 1, 2: 1, 3: 1, 4: 0, 6: number})):
                relay.send(members.a, inner)
            time.sleep(0.001)

    with hostile.bounded(members.sensor, memory=8192):
        thread = threading.Thread(target=flood)
        thread.start()
        try:
            time.sleep(1)
            came = hostile.echoes(members.sensor.host, members.public.address(), 300)
        finally:
            over.set()
            thread.join()
    assert came >= 290, "a peer's pings go on"
    assert members.ping()
