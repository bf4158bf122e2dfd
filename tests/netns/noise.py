"""WireGuard in plain Python, with Nightjar's native transport, to speak to implementations as a friend or as a foe.

Section numbers are those of the paper (Donenfeld, WireGuard: Next Generation Kernel Network Tunnel).
Needs python3-cryptography.
"""
import hashlib
import hmac
import os
import struct
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

INITIATION, RESPONSE, COOKIE_REPLY, DATA, NATIVE = 1, 2, 3, 4, 5
INITIATION_SIZE, RESPONSE_SIZE, COOKIE_REPLY_SIZE = 148, 92, 64
NO_PSK = bytes(32)


def blake2s(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def mac(key, *parts):
    return hashlib.blake2s(b"".join(parts), key=key, digest_size=16).digest()


def kdf(key, data, count):
    """Section 5.4, Kdf_n."""
    secret = hmac.digest(key, data, hashlib.blake2s)
    outputs, last = [], b""
    for number in range(1, count + 1):
        last = hmac.digest(secret, last + bytes([number]), hashlib.blake2s)
        outputs.append(last)
    return outputs


def nonce(counter):
    return bytes(4) + struct.pack("<Q", counter)


def seal(key, counter, text, extra=b""):
    return ChaCha20Poly1305(key).encrypt(nonce(counter), text, extra)


def unseal(key, counter, sealed, extra=b""):
    return ChaCha20Poly1305(key).decrypt(nonce(counter), sealed, extra)


def tai64n(seconds=None):
    seconds = time.time() if seconds is None else seconds
    return struct.pack(">QI", (1 << 62) + 10 + int(seconds), int(seconds % 1 * 1e9))


def public_of(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def dh(private, public):
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


CONSTRUCTION = blake2s(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
IDENTIFIER = blake2s(CONSTRUCTION, b"WireGuard v1 zx2c4 Jason@zx2c4.com")


def with_macs(message, receiver_public, cookie=None):
    """Section 5.4.4: append mac1, and mac2 if there is a cookie."""
    message += mac(blake2s(b"mac1----", receiver_public), message)
    return message + (mac(cookie, message) if cookie else bytes(16))


def with_bad_mac1(message):
    """The same message, its mac1 off by one bit."""
    return message[:-32] + bytes([message[-32] ^ 1]) + message[-31:]


class Transport:
    """What both ends do with a session's keys. `sending` and `receiving` are those of type 4, the native ones those of
    type 5 under ChaCha20-Poly1305 (docs/PROTOCOL.md section 21)."""

    counter = 0

    def derive(self, chain, initiator):
        pairs = [kdf(chain, label, 2) for label in (b"", b"nightjar 1 chacha20-poly1305")]
        (self.sending, self.receiving), (self.native_sending, self.native_receiving) = \
            pairs if initiator else [pair[::-1] for pair in pairs]

    def _header(self, kind):
        header = struct.pack("<I", kind) + self.peer_index + struct.pack("<Q", self.counter)
        self.counter += 1
        return header

    def data(self, packet=b""):
        """Section 5.4.6: a transport message, padded; empty is a keepalive."""
        header = self._header(DATA)
        return header + seal(self.sending, self.counter - 1, packet + bytes(-len(packet) % 16))

    def native(self, packet=b"", inner=bytes(4)):
        """Type 5; `inner` is its header under the seal."""
        header = self._header(NATIVE)
        return header + seal(self.native_sending, self.counter - 1, inner + packet, header)

    def open(self, message):
        """The inner packet; InvalidTag if it is not genuine."""
        counter, sealed = struct.unpack("<Q", message[8:16])[0], message[16:]
        if message[0] == NATIVE:
            return unseal(self.native_receiving, counter, sealed, message[:16])[4:]
        return unseal(self.receiving, counter, sealed)


class Initiator(Transport):
    """One end of one handshake; private and responder_public are 32 raw bytes."""

    def __init__(self, private, responder_public, psk=NO_PSK):
        self.private, self.responder, self.psk = private, responder_public, psk
        self.index = os.urandom(4)

    def initiation(self, timestamp=None, cookie=None):
        """Section 5.4.2."""
        self.ephemeral = os.urandom(32)
        public = public_of(self.ephemeral)
        self.hash = blake2s(blake2s(IDENTIFIER, self.responder), public)
        (chain,) = kdf(CONSTRUCTION, public, 1)
        chain, key = kdf(chain, dh(self.ephemeral, self.responder), 2)
        static = self._mix(seal(key, 0, public_of(self.private), self.hash))
        self.chain, key = kdf(chain, dh(self.private, self.responder), 2)
        when = self._mix(seal(key, 0, timestamp or tai64n(), self.hash))
        message = struct.pack("<I", INITIATION) + self.index + public + static + when
        message = with_macs(message, self.responder, cookie)
        self.mac1 = message[-32:-16]
        return message

    def finish(self, response):
        """Section 5.4.3, seen by the initiator; InvalidTag if the response is not genuine."""
        assert len(response) == RESPONSE_SIZE and response[8:12] == self.index
        self.peer_index, public, empty = response[4:8], response[12:44], response[44:60]
        chain = self.chain
        for step in (public, dh(self.ephemeral, public), dh(self.private, public)):
            (chain,) = kdf(chain, step, 1)
        self.hash = blake2s(self.hash, public)
        chain, mixed, key = kdf(chain, self.psk, 3)
        self.hash = blake2s(self.hash, mixed)
        unseal(key, 0, empty, self.hash)
        self.derive(chain, initiator=True)

    def open_cookie(self, reply):
        """Section 5.4.7; InvalidTag if the reply is not for the last initiation."""
        assert len(reply) == COOKIE_REPLY_SIZE and reply[4:8] == self.index
        key = blake2s(b"cookie--", self.responder)
        return ChaCha20Poly1305(hchacha20(key, reply[8:24])).decrypt(bytes(4) + reply[24:32], reply[32:], self.mac1)

    def _mix(self, sealed):
        self.hash = blake2s(self.hash, sealed)
        return sealed


def cookie_reply(message, sender_public, cookie=None):
    """Section 5.4.7, for the initiation or response `message`, as whoever saw it and knows its receiver's key makes it."""
    long_nonce = os.urandom(24)
    key = hchacha20(blake2s(b"cookie--", sender_public), long_nonce[:16])
    sealed = ChaCha20Poly1305(key).encrypt(bytes(4) + long_nonce[16:], cookie or os.urandom(16), message[-32:-16])
    return struct.pack("<I", COOKIE_REPLY) + message[4:8] + long_nonce + sealed


class Responder(Transport):
    """The other end; InvalidTag or AssertionError if the initiation is not genuine. `peer` is who sent it."""

    def __init__(self, private, message):
        assert len(message) == INITIATION_SIZE
        self.private, self.index, self.peer_index = private, os.urandom(4), message[4:8]
        self.their_ephemeral, static, when = message[8:40], message[40:88], message[88:116]
        self.hash = blake2s(blake2s(IDENTIFIER, public_of(private)), self.their_ephemeral)
        (chain,) = kdf(CONSTRUCTION, self.their_ephemeral, 1)
        chain, key = kdf(chain, dh(private, self.their_ephemeral), 2)
        self.peer = unseal(key, 0, static, self.hash)
        self.hash = blake2s(self.hash, static)
        self.chain, key = kdf(chain, dh(private, self.peer), 2)
        self.timestamp = unseal(key, 0, when, self.hash)
        self.hash = blake2s(self.hash, when)

    def response(self):
        """Section 5.4.3."""
        ephemeral = os.urandom(32)
        public = public_of(ephemeral)
        self.hash, chain = blake2s(self.hash, public), self.chain
        for step in (public, dh(ephemeral, self.their_ephemeral), dh(ephemeral, self.peer)):
            (chain,) = kdf(chain, step, 1)
        chain, mixed, key = kdf(chain, NO_PSK, 3)
        self.hash = blake2s(self.hash, mixed)
        message = struct.pack("<I", RESPONSE) + self.index + self.peer_index + public + seal(key, 0, b"", self.hash)
        self.derive(chain, initiator=False)
        return with_macs(message, self.peer)


def rotate(value, bits):
    return (value << bits | value >> 32 - bits) & 0xFFFFFFFF


def quarter_round(s, a, b, c, d):
    for first, second, third, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[first] = s[first] + s[second] & 0xFFFFFFFF
        s[third] = rotate(s[third] ^ s[first], bits)


def hchacha20(key, prefix):
    """draft-irtf-cfrg-xchacha-03, section 2.2: the key under which the rest of an XChaCha nonce is used."""
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + prefix))
    columns = [(n, n + 4, n + 8, n + 12) for n in range(4)]
    diagonals = [(n, 4 + (n + 1) % 4, 8 + (n + 2) % 4, 12 + (n + 3) % 4) for n in range(4)]
    for _ in range(10):
        for places in columns + diagonals:
            quarter_round(state, *places)
    return struct.pack("<8I", *state[:4], *state[12:])
