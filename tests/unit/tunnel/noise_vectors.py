#!/usr/bin/python3
"""Prints noise_vectors.h: a handshake and its keys by a second, slow implementation of Noise_IKpsk2 as WireGuard has it.

Usage: tests/unit/tunnel/noise_vectors.py > tests/unit/tunnel/noise_vectors.h; needs python3-cryptography.
"""
import hashlib
import hmac
import struct
import textwrap

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def blake2s(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def mac(key, data):
    return hashlib.blake2s(data, key=key, digest_size=16).digest()


def kdf(count, key, data):
    def prf(k, d):
        return hmac.new(k, d, hashlib.blake2s).digest()
    secret, out = prf(key, data), [b""]
    for number in range(1, count + 1):
        out.append(prf(secret, out[-1] + bytes([number])))
    return out[1:]


def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(private, remote):
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(remote))


def seal(key, text, ad):
    return ChaCha20Poly1305(key).encrypt(bytes(12), text, ad)


def fixed(name):
    return hashlib.sha256(b"nightjar test " + name.encode()).digest()


def handshake(psk, timestamp, initiator, responder, e_initiator, e_responder, sender, receiver):
    """Paper section 5.4.2 to 5.4.5, line by line."""
    out = {}
    c = blake2s(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
    h = blake2s(c, b"WireGuard v1 zx2c4 Jason@zx2c4.com")
    h = blake2s(h, public(responder))

    ephemeral = public(e_initiator)
    message = struct.pack("<II", 1, sender) + ephemeral
    (c,) = kdf(1, c, ephemeral)
    h = blake2s(h, ephemeral)
    c, k = kdf(2, c, dh(e_initiator, public(responder)))
    sealed = seal(k, public(initiator), h)
    h = blake2s(h, sealed)
    message += sealed
    c, k = kdf(2, c, dh(initiator, public(responder)))
    sealed = seal(k, timestamp, h)
    h = blake2s(h, sealed)
    message += sealed
    message += mac(blake2s(b"mac1----", public(responder)), message) + bytes(16)
    out["initiation"] = message

    ephemeral = public(e_responder)
    message = struct.pack("<III", 2, receiver, sender) + ephemeral
    (c,) = kdf(1, c, ephemeral)
    h = blake2s(h, ephemeral)
    (c,) = kdf(1, c, dh(e_responder, public(e_initiator)))
    (c,) = kdf(1, c, dh(e_responder, public(initiator)))
    c, tau, k = kdf(3, c, psk)
    h = blake2s(h, tau)
    message += seal(k, b"", h)
    message += mac(blake2s(b"mac1----", public(initiator)), message) + bytes(16)
    out["response"] = message
    out["initiator_sends"], out["responder_sends"] = kdf(2, c, b"")
    for name, label in (("aes", b"nightjar 1 aes-256-gcm"), ("chacha", b"nightjar 1 chacha20-poly1305")):
        out["initiator_sends_" + name], out["responder_sends_" + name] = kdf(2, c, label)
    return out


def native(aead, key, receiver, counter, packet):
    """PROTOCOL.md section 21."""
    header = struct.pack("<IIQ", 5, receiver, counter)
    return header + aead(key).encrypt(struct.pack("<4xQ", counter), bytes(4) + packet, header)


def show(name, data):
    rows = textwrap.wrap(", ".join(f"0x{byte:02x}" for byte in data), 114)
    print(f"static const uint8_t vector_{name}[{len(data)}] = {{\n    " + "\n    ".join(rows) + "};")


def main():
    inputs = {name: fixed(name) for name in
              ("psk", "initiator", "responder", "ephemeral_of_initiator", "ephemeral_of_responder")}
    inputs["timestamp"] = struct.pack(">QI", 0x400000000000000a + 1700000000, 5 << 24)
    made = handshake(inputs["psk"], inputs["timestamp"], inputs["initiator"], inputs["responder"],
                     inputs["ephemeral_of_initiator"], inputs["ephemeral_of_responder"], 0x11223344, 0xaabbccdd)
    made["packet"] = bytes.fromhex("450000150000400040fd25d80a0900010a09000221")
    made["native_aes"] = native(AESGCM, made["initiator_sends_aes"], 0xaabbccdd, 3, made["packet"])
    made["native_chacha"] = native(ChaCha20Poly1305, made["initiator_sends_chacha"], 0xaabbccdd, 3, made["packet"])
    print("/* Made by noise_vectors.py. */\n#ifndef TESTS_UNIT_TUNNEL_NOISE_VECTORS_H\n"
          "#define TESTS_UNIT_TUNNEL_NOISE_VECTORS_H\n\n#include <stdint.h>\n")
    for name, data in {**inputs, **made}.items():
        show(name, data)
    print("\n#endif")


if __name__ == "__main__":
    main()
