"""Genuine messages, each a little wrong, sent again, or sent from elsewhere draw nothing. The control of each is the
genuine one, which is answered."""
import contextlib
import os
import struct
import subprocess

import noise
import packets as p
import plant as plants
import pytest
import statements
from darkness import Watch, dark, kill, member, nothing_grows  # noqa: F401
from probes import Tap, of_type
from rogue import GET, LEDGER, PART, Rogue
from running import stays, wait_until

pytestmark = pytest.mark.deadline(120)
EPHEMERAL, STATIC, TIMESTAMP, MAC1 = 8, 40, 88, 116
# Points whose every multiple is of small order (Bernstein, "Curve25519"; RFC 7748 section 6.1), in all their encodings.
LOW_ORDER = [bytes.fromhex(text) for text in (
    "00" * 32, "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ec" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f", "ee" + "ff" * 30 + "7f",
    "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
    "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
    "d9" + "ff" * 31, "da" + "ff" * 31, "db" + "ff" * 31)]


class Recorder:
    """A socket that keeps what went through it."""

    def __init__(self, sock):
        self.sock, self.sent, self.got = sock, [], []

    def send(self, message):
        self.sent.append(message)
        return self.sock.send(message)

    def recv(self, size):
        self.got.append(self.sock.recv(size))
        return self.got[-1]

    def __getattr__(self, name):
        return getattr(self.sock, name)


class Session(Rogue):
    """A member's, from the guest's place, where all that the hub sends it is counted; it has said hello."""

    def __init__(self, dark, name):
        self.dark, self.watch = dark, dark.guest
        self.endpoint = (dark.guest.target(), dark.ports["hub"])
        self.private = member(dark, name).private
        self.public = statements.static_public(dark.plant.hub)
        self.sock = Recorder(dark.guest.stranger.socket())
        self.sock.connect(self.endpoint)
        self.renew()
        self.port = self.sock.getsockname()[1]

    def renew(self):
        """Another session."""
        response = wait_until(self._response, 15, "a response")
        self.session.finish(response)
        self.sock.send(self.session.data())
        self.gate = self.hello()[7]

    def _response(self):
        """To one initiation more; other things still come meanwhile."""
        self.session = noise.Initiator(self.private, self.public)
        self.sock.send(self.session.initiation())
        self.sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError, ConnectionRefusedError):
            while True:
                message = self.sock.recv(4096)
                if message[0] == noise.RESPONSE and message[8:12] == self.session.index:
                    return message
        return None

    def fresh(self, gated=False):
        return noise.Initiator(self.private, self.public).initiation(cookie=self.gate if gated else None)

    def question(self, native):
        """A message that is answered."""
        frame = bytes([GET]) + statements.encode({1: LEDGER, 2: 0, 3: 0, 5: 0})
        return (self.session.native if native else self.session.data)(frame)

    def is_answered(self, message):
        self.sock.send(message)
        return any(kind == PART for kind, _, _ in self.frames(3))

    def quiet(self):
        """Waits until the hub has nothing more to say to it."""
        def still():
            before = self.watch.bytes
            with contextlib.suppress(Exception):
                stays(lambda: self.watch.bytes == before, 0.6)
                return True
        wait_until(still, 20, "the hub is done")


@pytest.fixture(scope="module")
def session(dark):
    session = Session(dark, "elsewhere")
    yield session
    session.close()


def send_all(sock, messages, target):
    """In lots that any socket's buffer holds."""
    for at, message in enumerate(messages):
        sock.sendto(message, target)
        if at % 50 == 49:
            os.sched_yield()


def draws_nothing(dark, session, messages, *, spoofed=True):
    """Neither the stranger, from whom they come, nor the member that it then claims to be."""
    watch = dark.watches["hub"]
    arrived = dark.plant.hub.host.counter("input", f"udp dport {dark.ports['hub']}")
    messages = list(messages)
    with watch.stranger.socket() as sock, dark.silence(watch, dark.neighbour, seconds=0.4):
        send_all(sock, messages, session.endpoint)
        wait_until(lambda: arrived.packets >= len(messages), what="all of them arrive")
    if spoofed:
        session.quiet()
        with dark.silence(watch, session.watch, seconds=0.4), p.Raw(watch.stranger) as raw:
            source = session.watch.stranger.v4
            for message in messages:
                raw.send(p.ipv4(source, session.endpoint[0], p.UDP,
                                p.udp(source, session.endpoint[0], session.port, session.endpoint[1], message)))
            wait_until(lambda: arrived.packets >= 2 * len(messages), what="all of them arrive again")
    arrived.remove()


def flipped(message, places, bits=0x40):
    for at in places:
        yield message[:at] + bytes([message[at] ^ bits]) + message[at + 1:]


def other_lengths(message):
    yield from (message[:length] for length in range(len(message)))
    yield from (message + bytes(more) for more in (1, 4, 16, 100, 1472 - len(message)))
    yield message + message


def of_other_types(message):
    yield from (bytes([kind, 0, 0, 0]) + message[4:] for kind in range(256) if kind != message[0])
    yield from (message[:1] + reserved + message[4:] for reserved in (b"\1\0\0", b"\0\1\0", b"\0\0\1", b"\xff\xff\xff"))


# Initiations

@pytest.mark.parametrize("gated", [False, True], ids=["plain", "gated"])
def test_an_initiation_that_is_a_little_wrong_draws_nothing(dark, session, gated):
    genuine = session.fresh(gated)
    # Behind mac1 is mac2, which alters what is served first and nothing else.
    wrong = [*flipped(genuine, range(MAC1 + 16)), *flipped(genuine, range(MAC1 + 16), 1), *other_lengths(genuine),
             *of_other_types(genuine)]
    # As who knows the hub's key can mend them. The index, in bytes 4 to 7, is all that a wrong one is answered with.
    mended = [noise.with_macs(message[:MAC1], session.public, session.gate if gated else None)
              for message in (*flipped(genuine, range(EPHEMERAL, MAC1)), *flipped(genuine, range(EPHEMERAL, MAC1), 0x80))]
    draws_nothing(dark, session, wrong + mended)
    answered(session, genuine)


def answered(session, message):
    before = session.watch.bytes
    session.sock.send(message)
    wait_until(lambda: session.watch.bytes >= before + noise.RESPONSE_SIZE, 3, "the control: the genuine one is answered")


class Forged(noise.Initiator):
    """Whose fields are chosen, and sealed as if each Diffie-Hellman with a low-order point had given zero."""

    def initiation(self, ephemeral=None, static=None, timestamp=None, index=None, gate=None):
        private = os.urandom(32)
        public = ephemeral or noise.public_of(private)
        self.hash = noise.blake2s(noise.blake2s(noise.IDENTIFIER, self.responder), public)
        (chain,) = noise.kdf(noise.CONSTRUCTION, public, 1)
        chain, key = noise.kdf(chain, bytes(32) if ephemeral else noise.dh(private, self.responder), 2)
        sealed = self._mix(noise.seal(key, 0, static or noise.public_of(self.private), self.hash))
        chain, key = noise.kdf(chain, bytes(32) if static else noise.dh(self.private, self.responder), 2)
        when = self._mix(noise.seal(key, 0, timestamp or noise.tai64n(), self.hash))
        message = struct.pack("<I", noise.INITIATION) + (index or self.index) + public + sealed + when
        return noise.with_macs(message, self.responder, gate)


def test_points_of_small_order_draw_nothing(dark, session):
    """As the ephemeral key they make the first secret known to all, and as the static one the second."""
    forged = Forged(session.private, session.public)
    members = [statements.static_public(dark.plant[name]) for name in ("operator", "sensor-7")]
    draws_nothing(dark, session, [
        *(forged.initiation(ephemeral=point, gate=gate) for point in LOW_ORDER for gate in (None, session.gate)),
        *(forged.initiation(static=point) for point in LOW_ORDER),
        *(forged.initiation(ephemeral=point, static=static) for point in LOW_ORDER for static in (point, *members))])
    answered(session, forged.initiation())


def test_timestamps_of_another_time_draw_nothing(dark, session):
    forged, now = Forged(session.private, session.public), noise.time.time()
    answered(session, forged.initiation())
    far = [now + 25 * 3600, now + 365 * 86400, 2**40, 2**63 - 1 - 2**62 - 10]
    wrong = [noise.tai64n(seconds) for seconds in (0, 1, now - 1, now - 3600, now - 86400, *far)]
    wrong += [bytes(12), b"\xff" * 12, noise.tai64n(now)[::-1], bytes(8) + b"\xff" * 4]
    draws_nothing(dark, session, [forged.initiation(timestamp=when, gate=gate) for when in wrong
                                  for gate in (None, session.gate)])
    answered(session, forged.initiation())


# Transport

@pytest.mark.parametrize("native", [False, True], ids=["type 4", "type 5"])
def test_transport_that_is_a_little_wrong_draws_nothing(dark, session, native):
    session.renew()
    assert session.is_answered(session.question(native)), "the control"
    genuine = session.question(native)
    counters = (0, 1, 2**32, 2**60, 2**64 - 2**13 - 1, 2**64 - 1)
    wrong = [*flipped(genuine, range(len(genuine))), *flipped(genuine, range(len(genuine)), 1), *other_lengths(genuine),
             *of_other_types(genuine), *(genuine[:8] + struct.pack("<Q", counter) + genuine[16:] for counter in counters),
             *(genuine[:4] + index + genuine[8:] for index in (bytes(4), b"\xff" * 4, session.session.index))]
    draws_nothing(dark, session, wrong)
    assert session.is_answered(genuine), "none of them used up its counter"


def test_inner_headers_that_mean_nothing_draw_nothing(dark, session):
    """Under the right key, by a member, and still nobody else hears of it."""
    session.renew()
    session.quiet()
    frame = bytes([GET]) + statements.encode({1: LEDGER, 2: 0, 3: 0, 5: 0})
    watch = dark.watches["hub"]
    with dark.silence(watch, session.watch, dark.neighbour, seconds=0.4):
        for flags in (b"\x02\0\0\0", b"\x80\0\0\0", b"\0\1\0\0", b"\0\0\0\1", b"\1\0\0\0", b"\xff\xff\xff\xff"):
            session.sock.send(session.session.native(frame, inner=flags))
    assert session.is_answered(session.question(True)), "the control"


# Responses and cookie replies

@pytest.mark.parametrize("cookies", [False, True], ids=["responses", "cookie replies"])
def test_answers_that_nobody_gave_draw_nothing(dark, session, cookies):
    """To a member whose hub is gone, so that its initiations wait for one, from somebody who sees them."""
    sensor, hub, watch = dark.plant["sensor-7"], dark.plant.hub, dark.watches["sensor-7"]
    public = statements.static_public(sensor)
    tap = Tap(sensor.host, sensor.host.device)
    kill(hub, "parent")
    try:
        initiation = wait_until(lambda: of_type(noise.INITIATION, tap.datagrams(sensor.host.v4)), 20, "it calls")[-1]
        if cookies:
            genuine = noise.cookie_reply(initiation, session.public)
        else:
            genuine = noise.with_macs(b"\2\0\0\0" + os.urandom(4) + initiation[4:8] + os.urandom(48), public)
        wrong = [genuine, *flipped(genuine, range(len(genuine))), *other_lengths(genuine), *of_other_types(genuine)]
        if not cookies:
            wrong += [noise.with_macs(message[:-32], public) for message in flipped(genuine, range(60))]
            wrong += [noise.with_macs(genuine[:12] + point + genuine[44:60], public) for point in LOW_ORDER]
        with watch.stranger.socket() as sock, dark.silence(watch, seconds=0.4):
            send_all(sock, wrong, (watch.target(), dark.ports["sensor-7"]))
    finally:
        tap.close()
        dark.up("hub")
    assert sensor.pings("hub", deadline=20) or dark.works(), "the genuine answer is taken"


# Sent again

@pytest.fixture
def recorded(session):
    """All that a member and the hub said to each other: what went there, and what came back."""
    session.sock.sent.clear()
    session.sock.got.clear()
    session.renew()
    for native in (False, True):
        assert session.is_answered(session.question(native))
    for gated in (True, False):
        noise.time.sleep(0.05)
        answered(session, session.fresh(gated))
    session.quiet()
    there, back = session.sock.sent[:], session.sock.got[:]
    assert all(of_type(kind, there) for kind in (noise.INITIATION, noise.DATA, noise.NATIVE))
    assert all(of_type(kind, back) for kind in (noise.RESPONSE, noise.NATIVE))
    return there, [*back, noise.cookie_reply(there[0], session.public)]


def test_what_was_recorded_draws_nothing_at_once(dark, session, recorded):
    there, back = recorded
    draws_nothing(dark, session, (there + back) * 3)
    for name in ("operator", "sensor-7"):
        watch = dark.watches[name]
        with watch.stranger.socket() as sock, dark.silence(watch):
            send_all(sock, there + back, (watch.target(), dark.ports[name]))


def test_what_was_recorded_draws_nothing_after_its_owner_went_on(dark, session, recorded):
    there, back = recorded
    session.renew()
    draws_nothing(dark, session, there + back)
    assert session.is_answered(session.question(True)), "the control"


@pytest.mark.parametrize("role", ["parent", "keys"])
def test_what_was_recorded_draws_nothing_after_the_hub_was_killed(dark, session, recorded, role):
    there, back = recorded
    kill(dark.plant.hub, role)
    watch = dark.watches["hub"]
    with watch.stranger.socket() as sock, dark.silence(watch, session.watch):
        send_all(sock, there + back, session.endpoint)
    dark.up("hub")
    draws_nothing(dark, session, (there + back) * 2)
    session.renew()
    assert session.is_answered(session.question(False)), "the control"


def test_what_was_recorded_draws_nothing_while_the_hub_is_flooded(dark, session, recorded):
    """So that gated ones go first, and the rest share a small budget."""
    there, back = recorded
    if not os.access(plants.program("bench/flood"), os.X_OK):
        pytest.skip("not built: bench/flood")
    flood = dark.plant.stranger.popen(
        [plants.program("bench/flood"), "initiations", "--to", session.endpoint[0], "--port", str(session.endpoint[1]),
         "--rate", "30000", "--seconds", "5", "--spoof", "172.31.0.0", "--key", session.public.hex()], stdout=subprocess.PIPE)
    dropped = dark.plant.hub.status()["counters"]["handshake_dropped"]
    session.quiet()
    with (dark.silence(dark.watches["hub"], session.watch, seconds=0.5), nothing_grows(dark.plant.hub),
          session.watch.stranger.socket() as other):
        while flood.poll() is None:
            for message in there + back:
                session.sock.send(message)
                other.sendto(message, session.endpoint)
            noise.time.sleep(0.2)
    assert flood.returncode == 0
    assert dark.plant.hub.status()["counters"]["handshake_dropped"] > dropped, "it was loaded"
    session.renew()
    assert session.is_answered(session.question(False)), "the control"


# In somebody else's name

def test_a_victims_address_gets_nothing(dark, session, recorded):
    there, back = recorded
    victim = Watch(dark.plant.hub, dark.plant.world.stranger(dark.plant.internet, "victim"))
    with victim.stranger.socket() as sock:
        sock.sendto(bytes(40), (victim.machine.host.v4, 9))  # there is a way, both ways
        control = dark.plant.world.hosts["angler"]
        with control.socket() as other:
            before = victim.bytes
            other.sendto(b"hello", (victim.stranger.v4, 9))
            wait_until(lambda: victim.bytes > before, what="the control: what comes is counted")
    messages = [*there, *back, *flipped(session.fresh(), range(MAC1 + 16)),
                *(noise.Initiator(os.urandom(32), session.public).initiation() for _ in range(20)), *(os.urandom(n) for n in range(200))]
    with dark.silence(victim, seconds=1), nothing_grows(dark.plant.hub), p.Raw(dark.plant.stranger) as raw:
        s, t = victim.stranger.v4, session.endpoint[0]
        for _ in range(10):
            for message in messages:
                raw.send(p.ipv4(s, t, p.UDP, p.udp(s, t, 40000, session.endpoint[1], message)))
        for port in range(1, 2000):
            raw.send(p.ipv4(s, t, p.TCP, p.tcp(s, t, 40000, port)))


def test_in_the_end_all_of_it_works(dark):
    wait_until(dark.works, 40, "sessions are made anew")
