"""The tests' own initiator is sound: what it is told in the drafts it says, and wireguard-go understands it."""
import base64

import noise
import world as worlds


def test_hchacha20_gives_the_drafts_vector():
    """draft-irtf-cfrg-xchacha-03, section 2.2.1."""
    prefix = bytes.fromhex("000000090000004a0000000031415927")
    assert noise.hchacha20(bytes(range(32)), prefix).hex() == (
        "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc")


def test_wireguard_go_shakes_hands_with_the_initiator():
    with worlds.World() as world:
        router = world.router()
        host, friend = (world.attach(world.host(name), router) for name in "ab")
        node = world.node(host, "wireguard-go", ["10.9.0.1/24"])
        private = base64.b64decode(worlds.private_key())
        node.add_peer(base64.b64encode(noise.public_of(private)).decode(), ["10.9.0.2/32"])
        initiator = noise.Initiator(private, base64.b64decode(node.public))
        with friend.socket() as sock:
            sock.settimeout(3)
            sock.sendto(initiator.initiation(), (host.v4, node.port))
            initiator.finish(sock.recv(2048))
            echo_request = bytes.fromhex("4500001c00000000400166cd0a0900020a0900010800f7ff00000000")
            sock.sendto(initiator.data(echo_request), (host.v4, node.port))
            assert initiator.open(sock.recv(2048))[12:20].hex() == "0a0900010a090002"
