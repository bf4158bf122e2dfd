"""Who holds what: members know what concerns them and no more, relays no plaintext, and only keys holds private keys."""
import os
import re
import statistics

import noise
import plant as plants
import pytest
from built import built_plant
import rogue
import statements
from memory import copies_in_memory, in_memory, on_disk
from running import wait_until

pytestmark = pytest.mark.deadline(60)

# Names that nothing else contains.
SECRET_GROUP, VAULT_GROUP, HIDDEN, VAULT = "canary-squad", "canary-vaults", "canary-pump", "canary-vault"
POLICY = f"""\
allow:
  - {{from: sensors, to: brokers, udp: any, icmp: any}}
  - {{from: rogues, to: brokers, tcp: [1883]}}
  - {{from: {SECRET_GROUP}, to: {VAULT_GROUP}, tcp: [47474]}}
"""
DEVICES = {"sensor-7": ("a", ["sensors"]), "broker-1": ("b", ["brokers"]), HIDDEN: ("b", [SECRET_GROUP]),
           VAULT: ("a", [VAULT_GROUP])}


class Knowledge:
    def __init__(self, plant):
        self.plant = plant
        plant.found()
        self.tickets = {}
        for name, (site, groups) in DEVICES.items():
            self.admit(name, site, groups).up()
        self.admit("rogue", "a", ["rogues"])
        plant.publish(POLICY)
        self.openings = {name: statements.decode(ticket.opening)[0] for name, ticket in self.tickets.items()}

    def admit(self, name, site, groups):
        text = self.plant.invite(name, groups=groups)
        machine = self.plant.machine(name, site)
        machine.join(text)
        self.tickets[name] = statements.Ticket(text)
        return machine

    def secrets(self):
        """What no plain member may know of the hidden devices: names, groups, openings and rules (by their salts)."""
        needles = {name: name.encode() for name in (SECRET_GROUP, VAULT_GROUP, HIDDEN, VAULT)}
        for name in (HIDDEN, VAULT):
            needles[f"opening of {name}"] = self.openings[name][0]
            needles[f"rules of {name}"] = self.salt_of_rules(group_id(self.openings[name], DEVICES[name][1][0]))
        return needles

    def salt_of_rules(self, subject):
        """Of the opening [salt, kind, {subject, ...}] that says what a group's rules are; the relay holds all."""
        held = (self.plant.hub.state / "openings/log").read_bytes()
        return re.search(rb"\x83\x50(.{16})\x03.{0,8}\x50" + re.escape(subject), held, re.DOTALL)[1]

    def keys(self):
        """Everything that is private: {what: bytes}."""
        found = {f"{machine.name}'s {kind}": (machine.state / "keys" / kind).read_bytes()
                 for machine in self.plant.machines.values() for kind in ("static", "signing")}
        for kind in ("root", "roles"):
            found[f"owner's {kind}"] = (self.plant.operator.state / "owner" / kind).read_bytes()[40:72]
        found["sequencer"] = (self.plant.hub.state / "controller/sequencer").read_bytes()[-32:]
        return found

    def processes(self):
        """(machine, role, pid) of all that run."""
        for machine in self.plant.machines.values():
            roles = {pid: role for role in ("keys", "engine", "state", "nightjar-controller")
                     for pid in machine.pids(role)}
            for pid in machine.pids():
                yield machine.name, roles.get(pid, "parent"), pid


def group_id(opening, name):
    """The 16 bytes that stand beside a group's name somewhere in an opening."""
    def walk(item):
        items = item.values() if isinstance(item, dict) else item if isinstance(item, list) else []
        if isinstance(item, list) and name.encode() in item:
            return next(part for part in item if isinstance(part, bytes) and len(part) == 16 and part != name.encode())
        return next((found for found in map(walk, items) if found), None)
    return walk(opening)


@pytest.fixture(scope="module")
def network():
    with built_plant() as plant:
        network = Knowledge(plant)
        assert plant["sensor-7"].pings("broker-1", deadline=20)
        yield network


def test_the_relay_and_the_operator_hold_every_name(network):
    """The control: what is looked for is found where it may be."""
    secrets = network.secrets()
    for machine in (network.plant.hub, network.plant.operator):
        assert set().union(*on_disk(machine.state, secrets).values()) == set(secrets)
        (state,) = machine.pids("state")
        assert in_memory(state, secrets) >= {HIDDEN, VAULT}


@pytest.mark.parametrize("name", ["sensor-7", "broker-1"])
def test_a_member_holds_nothing_of_devices_that_no_rule_joins_it_to(network, name):
    machine, secrets = network.plant[name], network.secrets()
    assert on_disk(machine.state, secrets) == {}
    for role in ("state", "engine", "keys"):
        (pid,) = machine.pids(role)
        assert in_memory(pid, secrets) == set(), role
    other = {"broker-1": b"broker-1", "sensor-7": b"sensor-7"}
    (state,) = machine.pids("state")
    assert in_memory(state, other) == set(other), "the control: those that a rule joins it to"


def test_a_members_disk_holds_what_is_listed_and_no_more(network):
    state = network.plant["sensor-7"].state
    files = {path.relative_to(state).as_posix() for path in state.rglob("*") if path.is_file()}
    assert files <= {"format", "node.conf", "ledger/network", "ledger/log", "ledger/fold", "openings/log",
                     "keys/signing", "keys/static", "keys/seen", "keys/gates", "keys/floor"}, files
    for path in (state / "keys").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_ticket_s_seed_is_gone_once_it_has_joined(network):
    for name, ticket in network.tickets.items():
        needles = {"seed": ticket.seed, "static": ticket.static_private}
        assert on_disk(network.plant[name].state, needles) == {}
        for pid in network.plant[name].pids():
            assert in_memory(pid, needles) == set()


def test_private_keys_are_in_the_memory_of_keys_alone(network):
    keys = network.keys()
    for machine, role, pid in network.processes():
        held = in_memory(pid, keys)
        if role == "keys":
            assert held == {f"{machine}'s static", f"{machine}'s signing"}
        elif role == "nightjar-controller":
            assert held == {"sequencer"}
        else:
            assert held == set(), (machine, role)


def test_what_used_a_private_key_kept_no_copy_of_it(network):
    """After handshakes and a join, at whoever holds it: what OpenSSL and the stack had is wiped."""
    keys = network.keys()
    for machine, role, pid in network.processes():
        if role == "keys":
            for kind in ("static", "signing"):
                assert copies_in_memory(pid, keys[f"{machine}'s {kind}"]) == 1, f"{machine}'s {kind}"


def test_private_keys_are_on_the_disk_of_their_owner_alone(network):
    keys = network.keys()
    for machine in network.plant.machines.values():
        held = set().union(*on_disk(machine.state, keys).values())
        own = {f"{machine.name}'s static", f"{machine.name}'s signing"}
        more = {"operator": {"owner's root", "owner's roles"}, "hub": {"sequencer"}}
        assert held == own | more.get(machine.name, set())


def test_a_relay_sees_no_plaintext(network):
    plant, canary = network.plant, os.urandom(16).hex().encode() * 4
    sensor, broker, hub = plant["sensor-7"], plant["broker-1"], plant.hub
    capture = plant.world.dir / "hub.pcap"
    tcpdump = hub.host.popen(["tcpdump", "-i", "any", "-U", "-w", capture], log=plant.world.dir / "tcpdump.log")
    wait_until(lambda: "listening" in (plant.world.dir / "tcpdump.log").read_text(), 10, "tcpdump listens")
    with broker.host.socket() as receiver, sensor.host.socket() as sender:
        receiver.bind((broker.address(), 5683))
        receiver.settimeout(3)
        sender.connect((broker.address(), 5683))
        for _ in range(200):
            sender.send(canary)
        assert receiver.recv(2048) == canary, "the control: it goes through"
        held = {role: in_memory(pid, {"canary": canary[:32]}) for name, role, pid in network.processes()
                if name == "hub"}
    wait_until(lambda: capture.stat().st_size > 100 * len(canary), 5, "the control: it went past the relay")
    plant.world.end(tcpdump)
    assert canary[:32] not in capture.read_bytes()
    assert all(found == set() for found in held.values()), held


# A member with a client of its own

@pytest.fixture
def member(network):
    """The rogue's session with the hub."""
    made = session(network, (network.plant["rogue"].state / "keys/static").read_bytes())
    yield made
    made.close()


def session(network, private):
    plant = network.plant
    return rogue.Rogue(plant["rogue"].host, private, statements.static_public(plant.hub), (plant.hub.host.v4, plants.PORT))


def holds(blob, needles):
    return {name for name, needle in needles.items() if needle in blob}


@pytest.mark.parametrize("since", [0, 1, 5])
def test_asking_for_openings_yields_ones_own(network, member, since):
    blob = member.pull(rogue.OPENINGS, since=since)
    assert blob is not None
    assert holds(blob, network.secrets()) == set()
    mine = holds(blob, {"rogue": b"rogue", "hub": b"hub", "broker-1": b"broker-1", "sensor-7": b"sensor-7"})
    assert "rogue" in mine and "sensor-7" not in mine, mine
    if since == 0:
        assert mine == {"rogue", "hub", "broker-1"}


def test_asking_for_openings_of_another_place_yields_nothing(network, member):
    for to in (1, 3, network.plant.hub.head() + 1):
        assert member.pull(rogue.OPENINGS, to=to, patience=0.2, tries=1) is None


def test_the_ledger_and_the_fold_tell_no_name(network, member):
    for what in (rogue.LEDGER, rogue.FOLD):
        blob = member.pull(what, since=0 if what == rogue.FOLD else 1)
        assert blob
        names = {name: name.encode() for name in (*DEVICES, SECRET_GROUP, VAULT_GROUP, "sensors", "brokers")}
        assert holds(blob, {**network.secrets(), **names}) == set()


def test_a_tickets_holder_is_told_of_relays_alone(network):
    ticket = statements.Ticket(network.plant.invite("never-joins", groups=["sensors"]))
    made = session(network, ticket.static_private)
    blob = made.pull(rogue.OPENINGS)
    names = {name: name.encode() for name in (*DEVICES, "rogue", "operator")}
    assert blob is not None and holds(blob, {**network.secrets(), **names}) == set()
    assert holds(blob, {"hub": b"hub"})
    assert made.ask(name="broker-1", patience=0.4) == (None, None), "and introduced to nobody"
    made.close()


def test_unknown_and_forbidden_look_alike(network, member):
    """The same answer, of the same size, after the same time: by name, by address, by id; up or not."""
    plant = network.plant
    hidden = plant[HIDDEN]
    questions = [
        ("forbidden", {"name": HIDDEN}), ("unknown", {"name": "canary-none"}),
        ("forbidden", {"device": network.tickets[HIDDEN].device}), ("unknown", {"device": os.urandom(16)}),
        ("forbidden", {"address": bytes(map(int, hidden.address().split(".")))}),
        ("unknown", {"address": bytes([*map(int, hidden.address().split(".")[:2]), 200, 200])}),
    ]
    times, answers = {"forbidden": [], "unknown": []}, set()
    for _ in range(6):
        for kind, question in questions:
            seconds, said = member.ask(**question)
            times[kind].append(seconds)
            answers.add(said)
    assert len(answers) == 1 and None not in answers, answers
    forbidden, unknown = (statistics.median(times[kind]) for kind in ("forbidden", "unknown"))
    assert max(forbidden, unknown) < 2 * min(forbidden, unknown) + 0.002, times
    assert member.ask(name="broker-1")[1] not in answers, "the control: one that it may meet"


def test_ping_tells_them_no_more_apart(network):
    told = set()
    for name in (HIDDEN, "canary-none"):
        done = network.plant["sensor-7"].nightjar(f"ping {name} -c 1", check=False, timeout=20)
        told.add((done.returncode, done.stdout.replace(name, "X"), done.stderr.replace(name, "X")))
    assert len(told) == 1, told


def test_a_member_cannot_have_another_static_key(network):
    """What is answered is a key in the ledger: a made-up one draws nothing, wherever it comes from."""
    with network.plant["rogue"].host.socket() as sock:
        sock.settimeout(0.4)
        sock.connect((network.plant.hub.host.v4, plants.PORT))
        sock.send(noise.Initiator(os.urandom(32), statements.static_public(network.plant.hub)).initiation())
        with pytest.raises(TimeoutError):
            sock.recv(2048)
