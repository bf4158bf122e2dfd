"""What tests know of tickets and statements that the programs do not tell: the invite's keys, and a signed take-away.

Needs python3-cryptography.
"""
import base64
import hashlib
import json
import os
import socket
from pathlib import Path

import noise
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

REVOKE, ISOLATE = 7, 8


def head_of(major, number):
    """The first bytes of a CBOR item."""
    if number < 24:
        return bytes([major << 5 | number])
    size = next(size for size in (1, 2, 4, 8) if number < 1 << 8 * size)
    return bytes([major << 5 | 23 + size.bit_length()]) + number.to_bytes(size, "big")


def encode(item):
    if isinstance(item, int):
        return head_of(0, item)
    if isinstance(item, bytes):
        return head_of(2, len(item)) + item
    if isinstance(item, str):
        return head_of(3, len(item.encode())) + item.encode()
    if isinstance(item, list):
        return head_of(4, len(item)) + b"".join(map(encode, item))
    return head_of(5, len(item)) + b"".join(encode(key) + encode(item[key]) for key in sorted(item))


def decode(data, at=0):
    """(item, where the next one begins)"""
    major, short = data[at] >> 5, data[at] & 31
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(short, 0)
    number = int.from_bytes(data[at + 1:at + 1 + size], "big") if size else short
    at += 1 + size
    if major in (2, 3):
        return data[at:at + number], at + number
    if major in (4, 5):
        items = []
        for _ in range(number * (major - 3)):
            item, at = decode(data, at)
            items.append(item)
        return (items if major == 4 else dict(zip(items[::2], items[1::2], strict=True))), at
    return number, at


class Ticket:
    """What a ticket's text holds: network, seed, the invite's hash and opening; the device's id."""

    def __init__(self, text):
        packed = "".join(text.split()).partition(":")[2]
        content, end = decode(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
        self.network, self.seed, self.opening = content[0], content[2], content[4]
        self.invite = hashlib.sha256(content[3]).digest()
        self.device = self.invite[:16]

    @property
    def static_private(self):
        """The invite's X25519 key, under which the door is reached."""
        return hashlib.sha256(b"nightjar invite static  1\0" + self.seed).digest()


def signing_public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def role_seed(operator):
    """The bare role key of an operator's machine."""
    return (operator.state / "owner/roles").read_bytes()[40:72]


def static_public(machine):
    return noise.public_of((machine.state / "keys/static").read_bytes())


def take_away(operator, kind, ticket):
    """Signs that the device with that ticket is revoked or isolated, and hands it in where the owner's keys are."""
    seed = role_seed(operator)
    body = encode({0: kind, 1: ticket.network, 2: ticket.invite, 3: os.urandom(16)})
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(b"nightjar statement 1\0" + body)
    statement = encode([body, [[signing_public(seed), signature]]])
    outbox = operator.state / "outbox"
    outbox.mkdir(exist_ok=True)
    name = hashlib.sha256(statement).hexdigest()
    (outbox / f"{name}.new").write_bytes(encode([statement, []]))
    (outbox / f"{name}.new").rename(outbox / name)
    return control(operator, "knock")


def control(machine, command):
    """One question to a daemon's control socket."""
    name = hashlib.sha256(str(Path(machine.state).resolve()).encode()).hexdigest()[:16]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(f"/run/nightjar/{name}.sock")
        sock.sendall(json.dumps({"v": 1, "cmd": command}).encode() + b"\n")
        return json.loads(sock.makefile().readline())
