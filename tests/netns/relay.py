"""A relay without manners: WireGuard, control frames and carrying in plain Python, under the keys, the address and the port
of a relay that was one. It takes a machine over with its STATE, as whoever breaks into its host does.

Left alone it is honest, but for the ledger, of which it serves nothing. What it does instead is told by replacing
`carry`, `answer`, `tell`, `here_is` and `hello`, each a function of the relay's for one kind of what it may lie about.
"""
import contextlib
import heapq
import itertools
import os
import signal
import socket
import threading
import time

import noise
import plant as plants
from cryptography.exceptions import InvalidTag
from running import WorldError, wait_until
from statements import decode, encode, static_public

HELLO, INTRODUCE, CANDIDATES, PROBE, ANSWER, STATEMENT, RELAYED = 1, 2, 3, 4, 5, 10, 13
ASK, TELL, ACKNOWLEDGE, REPLY = range(4)
HERE, ELSEWHERE = 1, 2
CHACHA20 = 1


class Device:
    """What a relay knows of one. `name` is a machine's; `code` what relayed datagrams call it."""

    def __init__(self, name, ticket, public, addresses=()):
        self.name, self.id, self.opening, self.public = name, ticket.device, ticket.opening, public
        self.addresses = [socket.inet_pton(socket.AF_INET6 if ":" in a else socket.AF_INET, a) for a in addresses]

    code = property(lambda self: self.id[:8])


def device_of(machine, ticket):
    """Of one that is up."""
    return Device(machine.name, ticket, static_public(machine), [a.split("/")[0] for a in machine.addresses()])


def place(address, port):
    """A candidate, as frames have it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return bytes([6 if ":" in address else 4]) + socket.inet_pton(family, address) + port.to_bytes(2, "big")


def frame(kind, fields):
    return bytes([kind]) + encode({key: value for key, value in fields.items() if value not in (b"", None)})


def kill(machine):
    """All of its daemon, as a power cut would."""
    pids = machine.pids()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not machine.pids(), 10, f"{machine.name}'s daemon has ended")


class Relay:
    def __init__(self, machine, devices=()):
        kill(machine)
        self.machine = machine
        self.private = (machine.state / "keys/static").read_bytes()
        self.gate, self.run = os.urandom(16), int.from_bytes(os.urandom(7), "big")
        self.by_public, self.by_code, self.by_name = {}, {}, {}
        for device in devices:
            self.know(device)
        self.sessions, self.latest, self.places = {}, {}, {}  # by index; by a device's public key
        self.heard, self.carried, self.raw = [], [], []       # (device, kind, fields); (from, to, message); datagrams
        self.statements = 0
        self.asked = {}
        self.later, self.order = [], itertools.count()
        self.lock = threading.RLock()
        self.broken, self.over = None, False
        self.be_honest()
        self.sock = machine.host.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind((machine.host.v4, plants.PORT))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def know(self, device):
        self.by_public[device.public] = self.by_code[device.code] = self.by_name[device.name] = device

    def be_honest(self):
        self.carry, self.answer, self.tell, self.here_is, self.hello = \
            self.pass_on, self.introduce, self.announce, self.here, self.say_hello

    def close(self):
        self.over = True
        self.thread.join(10)
        self.sock.close()
        if self.broken:
            raise self.broken

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # what it does

    def _serve(self):
        try:
            while not self.over:
                self._do_what_is_due()
                self.sock.settimeout(0.005 if self.later else 0.05)
                with contextlib.suppress(TimeoutError):
                    datagram, source = self.sock.recvfrom(65535)
                    with self.lock, contextlib.suppress(InvalidTag):
                        self._receive(datagram, source)
        except Exception as error:  # told when it is closed
            self.broken = error
            raise

    def _do_what_is_due(self):
        while self.later and self.later[0][0] <= time.monotonic():
            with self.lock:
                _, _, action = heapq.heappop(self.later)
                action()

    def after(self, seconds, action):
        with self.lock:
            heapq.heappush(self.later, (time.monotonic() + seconds, next(self.order), action))

    def _receive(self, datagram, source):
        if len(self.raw) < 20000:
            self.raw.append(datagram)
        if datagram[0] == noise.INITIATION:
            self._respond(datagram, source)
        elif datagram[0] in (noise.DATA, noise.NATIVE):
            session = self.sessions.get(datagram[4:8])
            if session:
                self._open(session, datagram, source)

    def _respond(self, initiation, source):
        session = noise.Responder(self.private, initiation)
        session.confirmed = False
        self.sessions[session.index] = session
        self.sock.sendto(session.response(), source)

    def _open(self, session, datagram, source):
        inner = session.open(datagram)
        self.places[session.peer] = source
        self.latest[session.peer] = session
        if not session.confirmed:
            session.confirmed = True
            self.hello(session.peer)
        if inner and inner[0] == RELAYED:
            self._relayed(session.peer, inner)
        elif inner and inner[0] < 16:
            self._frame(session.peer, inner)

    def _relayed(self, public, inner):
        origin, target = self.by_public.get(public), self.by_code.get(inner[8:16])
        message = inner[16:16 + int.from_bytes(inner[4:8], "big")]
        if origin and target:
            if len(self.carried) < 20000:
                self.carried.append((origin, target, message))
            self.carry(origin, target, message)

    def _frame(self, public, inner):
        kind, (fields, _) = inner[0], decode(inner, 1)
        device = self.by_public.get(public)
        if len(self.heard) < 20000:
            self.heard.append((device, kind, fields))
        if kind == PROBE:
            self.send(public, bytes([ANSWER]) + inner[1:])
        elif kind == STATEMENT:
            self.statements += 1
        elif kind == INTRODUCE and device and fields[2] == ASK:
            target = self.find(fields)
            if target:
                self.answer(device, target, fields[1])
        elif kind == INTRODUCE and device and fields[2] == ACKNOWLEDGE:
            asker, number = self.asked.pop((device.id, fields[1]), (None, 0))
            if asker:
                self.send(asker, self.here_is(device, number))

    def find(self, ask):
        for device in list(self.by_public.values()):
            if ask.get(3) == device.id or ask.get(4) in device.addresses or ask.get(5) == device.name.encode():
                return device
        return None

    # what an honest one does

    def pass_on(self, origin, target, message):
        self.send(target, self.relayed(origin, message))

    def introduce(self, asker, target, number):
        """Tell the target; its acknowledgement lets the asker know."""
        self.asked[target.id, number] = asker, number
        self.tell(target, asker, number)

    def announce(self, target, asker, number):
        self.send(target, self.told(asker, number))

    def say_hello(self, public, observed=None):
        place_seen = place(*(observed or self.places[public]))
        self.send(public, frame(HELLO, {1: 1, 2: 1, 3: CHACHA20, 4: 0, 6: self.run, 7: self.gate, 8: place_seen}))

    def relayed(self, origin, message):
        return bytes([RELAYED, 1, 0, 0]) + len(message).to_bytes(4, "big") + origin.code + message

    def told(self, about, number, candidates=b"", gate=b"", opening=None):
        return frame(INTRODUCE, {1: number, 2: TELL, 3: about.id, 7: about.opening if opening is None else opening,
                                 9: candidates, 10: gate})

    def here(self, about, number, candidates=b"", gate=b"", opening=None):
        return frame(INTRODUCE, {1: number, 2: REPLY, 3: about.id, 6: HERE,
                                 7: about.opening if opening is None else opening, 9: candidates, 10: gate})

    def send(self, to, inner):
        """Into the session with a device (or who has that public key); False: there is none."""
        public = to if isinstance(to, bytes) else to.public
        with self.lock:
            session = self.latest.get(public)
            if session:
                self.sock.sendto(session.data(inner), self.places[public])
            return bool(session)

    # for tests

    def __getitem__(self, name):
        return self.by_name[name]

    def wait_for(self, *names, deadline=20):
        """Until these have sessions."""
        wait_until(lambda: all(self[name].public in self.latest for name in names), deadline, f"sessions with {names}")

    def asks(self):
        """How often it was asked for an introduction."""
        return sum(kind == INTRODUCE and fields[2] == ASK for _, kind, fields in list(self.heard))

    def acknowledged(self, device, number):
        return any(who is device and kind == INTRODUCE and fields[2] == ACKNOWLEDGE and fields[1] == number
                   for who, kind, fields in list(self.heard))

    def is_well(self):
        if self.broken:
            raise WorldError(f"the relay: {self.broken!r}")
        return True
