"""A member (or a ticket's holder) that speaks to a relay as it pleases: WireGuard and control frames in plain Python."""
import contextlib
import os
import time

import noise
from running import wait_until
from statements import decode, encode

HELLO, INTRODUCE, GET, PART, RELAYED = 1, 2, 6, 7, 13
LEDGER, FOLD, OPENINGS, OFFER = 1, 2, 3, 4
LATEST = 2**64 - 1


class Rogue:
    """A session with a relay, or whoever else answers, under a static key. `ahead`: seconds of its clock, for one whose
    daemon ran just before, and may have been ahead itself."""

    def __init__(self, host, private, relay_public, endpoint, ahead=0):
        self.ahead = ahead
        self.sock, self.endpoint = host.socket(), endpoint
        self.sock.connect(endpoint)
        self.session = noise.Initiator(private, relay_public)
        self.session.finish(wait_until(self._initiate, 10, "a response"))
        self.sock.send(self.session.data())
        self.number = 0

    def _initiate(self):
        """A response, or None: one that comes too soon after another is not answered."""
        self.sock.settimeout(0.5)
        self.sock.send(self.session.initiation(noise.tai64n(time.time() + self.ahead)))
        with contextlib.suppress(TimeoutError):
            while (message := self.sock.recv(2048))[0] != noise.RESPONSE:
                pass  # of a session that it had before
            return message

    def close(self):
        self.sock.close()

    def send(self, kind, fields):
        self.sock.send(self.session.data(bytes([kind]) + encode(fields)))

    def frames(self, seconds):
        """(kind, fields, bytes) of what comes for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                message = self.sock.recv(65535)
            except TimeoutError:
                return
            if message[0] not in (noise.DATA, noise.NATIVE) or message[4:8] != self.session.index:
                continue
            inner = self.session.open(message)
            if inner and inner[0] == RELAYED:
                yield RELAYED, {}, inner[16:16 + int.from_bytes(inner[4:8], "big")]
            elif inner and inner[0] >> 4 == 0:
                fields, end_of_item = decode(inner, 1)
                yield inner[0], fields, inner[:end_of_item]

    def hello(self, aeads=1):
        """Says hello, and gives what the relay's says: {key: value}."""
        self.send(HELLO, {1: 1, 2: 1, 3: aeads, 4: 0, 6: int.from_bytes(os.urandom(7), "big") + 1})
        return next(fields for kind, fields, _ in self.frames(5) if kind == HELLO)

    def part(self, what, since, to, offset, patience=1.5, tries=3):
        """Of a blob; None: no answer."""
        for _ in range(tries):
            self.send(GET, {1: what, 2: since, 3: to, 5: offset})
            for kind, fields, _ in self.frames(patience):
                if kind == PART and (fields[1], fields[5]) == (what, offset):
                    return fields
        return None

    def pull(self, what, since=0, to=LATEST, **options):
        """A blob; None: it was not served."""
        blob = b""
        while True:
            part = self.part(what, since, to, len(blob), **options)
            if part is None:
                return None
            to, blob = part[3], blob + part.get(7, b"")
            if len(blob) >= part[6]:
                return blob

    def ask(self, patience=1.5, **by):
        """An introduction: by device=, address= or name=. (seconds that it took, the answer's bytes but its number)"""
        self.number += 1
        key, value = next((number, by[name]) for number, name in ((3, "device"), (4, "address"), (5, "name")) if name in by)
        started = time.monotonic()
        self.send(INTRODUCE, {1: self.number, 2: 0, key: value})
        for kind, fields, _ in self.frames(patience):
            if kind == INTRODUCE and fields[1] == self.number and fields[2] == 3:
                return time.monotonic() - started, encode({**fields, 1: 0})
        return None, None


class Relayed:
    """A session with a member through the relay that `at_relay`, a Rogue, speaks with and was introduced by."""

    def __init__(self, at_relay, private, public, device):
        self.at_relay, self.device = at_relay, device
        self.session = noise.Initiator(private, public)
        self._pass(self.session.initiation(noise.tai64n(time.time() + at_relay.ahead)))
        response = next(message for kind, _, message in at_relay.frames(5) if kind == RELAYED and message[0] == noise.RESPONSE)
        self.session.finish(response)
        self._pass(self.session.data())

    def _pass(self, message):
        header = bytes([RELAYED, 0, 0, 0]) + len(message).to_bytes(4, "big") + self.device[:8]
        self.at_relay.sock.send(self.at_relay.session.data(header + message))

    def send(self, kind, fields):
        self._pass(self.session.data(bytes([kind]) + encode(fields)))
