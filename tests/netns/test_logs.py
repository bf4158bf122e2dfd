"""Nobody who is hostile makes a daemon's log or disk grow: not a stranger, and not a member."""
import contextlib
import os
import time

import pytest
from built import built_plant

import noise
import plant as plants
import rogue
import statements
from probes import costly, flood

pytestmark = pytest.mark.deadline(120)
JOIN, STATEMENT, NOTICE = 8, 10, 11
SECONDS = 4
LOG_GROWTH = 8 << 10    # bytes
DISK_GROWTH = 128 << 10 # bytes; signed heads go on meanwhile


@pytest.fixture(scope="module")
def plant():
    with built_plant() as plant:
        plant.found()
        plant.add("sensor-7", site="a", groups=["sensors"])
        plant.rogue = plant.machine("rogue", "a")
        plant.rogue.join(plant.invite("rogue", groups=["rogues"]))
        plant.publish("allow:\n  - {from: sensors, to: operators, tcp: [1883]}\n"
                      "  - {from: rogues, to: sensors, tcp: [22]}\n")
        yield plant


def disk_of(machine):
    return sum(path.stat().st_size for path in machine.state.rglob("*") if path.is_file())


@contextlib.contextmanager
def bounded(*machines):
    """What happens in this block leaves logs and disks as they are, but for a little."""
    def sizes():
        return [(machine.name, machine.runtime("log").stat().st_size, disk_of(machine)) for machine in machines]
    before = sizes()
    yield
    for (name, log, disk), (_, log_now, disk_now) in zip(before, sizes()):
        assert log_now - log < LOG_GROWTH, f"{name}'s log grew by {log_now - log} bytes"
        assert disk_now - disk < DISK_GROWTH, f"{name}'s disk grew by {disk_now - disk} bytes"


def member(plant):
    private = (plant.rogue.state / "keys/static").read_bytes()
    return rogue.Rogue(plant.rogue.host, private, statements.static_public(plant.hub), (plant.hub.host.v4, plants.PORT))


def void_statement():
    """Of the form of a revocation, signed by a key that may not."""
    seed = os.urandom(32)
    body = statements.encode({0: statements.REVOKE, 1: os.urandom(32), 2: os.urandom(32), 3: os.urandom(16)})
    return statements.encode([body, [[statements.signing_public(seed), os.urandom(64)]]])


def what_members_send(i):
    """Frames that are wrong in every way."""
    statement = void_statement()
    return [(STATEMENT, {1: os.urandom(32), 2: len(statement), 3: statement}), (JOIN, {1: statement}),
            (JOIN, {1: os.urandom(300)}), (NOTICE, {1: i, 2: os.urandom(32)}), (rogue.GET, {1: 9, 2: i, 3: i, 5: 0}),
            (rogue.INTRODUCE, {1: i, 2: 1}), (63, {1: "x"})]


def heard(machine):
    """Counters of what frames were refused."""
    return {name: count for name, count in machine.status()["counters"].items()
            if any(word in name for word in ("frame", "limited", "malformed", "refused"))}


def test_a_members_flood_leaves_no_trace(plant):
    before = heard(plant.hub)
    with bounded(plant.hub, plant["sensor-7"], plant.operator):
        session, sent, end = member(plant), 0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            for kind, fields in what_members_send(sent):
                session.send(kind, fields)
                sent += 1
            session.sock.send(session.session.data(bytes([rogue.HELLO]) + os.urandom(40)))
            time.sleep(0.001)
        session.close()
        assert sent > 1000
    assert any(count > before.get(name, 0) for name, count in heard(plant.hub).items()), heard(plant.hub)


def test_a_strangers_flood_leaves_no_trace(plant):
    public = statements.static_public(plant.hub)
    junk = [os.urandom(size) for size in (1, 32, 92, 148, 1200)]
    with bounded(plant.hub), plant.stranger.socket() as sock:
        with flood(sock, costly(public, 500) + junk, (plant.hub.host.v4, plants.PORT)) as sent:
            time.sleep(SECONDS)
        assert sent() > 1000
    assert plant["sensor-7"].pings("hub", deadline=20) or plant["sensor-7"].status()["up"]


def test_handshakes_over_and_over_leave_no_trace(plant):
    private = (plant.rogue.state / "keys/static").read_bytes()
    with bounded(plant.hub), plant.rogue.host.socket() as sock:
        end, sent = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            initiator = noise.Initiator(private, statements.static_public(plant.hub))
            sock.sendto(initiator.initiation(), (plant.hub.host.v4, plants.PORT))
            sent += 1
        assert sent > 100
