"""Section 5.3 of the paper: under load, who can't prove its address gets a cookie reply instead of an answer."""
import base64
import contextlib
import time

import pytest

import noise
import world as worlds
from probes import costly, flood


def answer(sock, initiator, kind, seconds=0.3):
    """The message of this type that answers the initiator, if one comes."""
    place = slice(4, 8) if kind == noise.COOKIE_REPLY else slice(8, 12)
    end = time.monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        while time.monotonic() < end:
            datagram = sock.recv(2048)
            if datagram[0] == kind and datagram[place] == initiator.index:
                return datagram
    return None


@pytest.mark.deadline(40)
@pytest.mark.parametrize("kind", ["wg-peer", "wireguard-go"])
def test_a_cookie_gets_its_holder_through_a_flood(kind):
    with worlds.World() as world:
        router = world.router()
        host, friend = (world.attach(world.host(name), router) for name in "ab")
        node = world.node(host, kind, ["10.9.0.1/24"])
        private, address = base64.b64decode(worlds.private_key()), (host.v4, node.port)
        node.add_peer(base64.b64encode(noise.public_of(private)).decode(), ["10.9.0.2/32"])
        receiver = base64.b64decode(node.public)
        initiator = noise.Initiator(private, receiver)
        with friend.socket() as sock, flood(sock, costly(receiver), address):
            sock.settimeout(0.1)

            def try_for(kind, cookie=None):
                sock.sendto(initiator.initiation(cookie=cookie), address)
                return answer(sock, initiator, kind)

            reply = worlds.wait_until(lambda: try_for(noise.COOKIE_REPLY), 15, "a cookie reply")
            cookie = initiator.open_cookie(reply)
            initiator.finish(worlds.wait_until(lambda: try_for(noise.RESPONSE, cookie), 15, "a response"))
        assert worlds.wait_until(lambda: int(next(iter(node.dump()[1].values()))["tx"]) > 0)
