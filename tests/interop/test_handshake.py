"""Handshakes: who starts them, with which keys, and after what."""
import pytest

import world as worlds
from pairs import reaches

NO_PSK = "A" * 43 + "="  # 32 zero bytes


def test_only_one_end_needs_to_know_the_others_endpoint(pair):
    left, right = pair.left, pair.right
    pair.link(know=(True, False))
    assert reaches(left, right)
    assert reaches(right, left)
    assert right.peer(left.public)["endpoint"] == worlds.endpoint_text(left.host.v4, left.port)


def test_both_ends_starting_at_once_agree(pair):
    pair.link()
    pings = [node.home.popen(f"ping -q -n -c 10 -i 0.1 -w 6 {other.v4}", stdout=-1) for node, other in pair.ends()]
    for ping in pings:
        output, _ = ping.communicate(timeout=10)
        assert ping.returncode == 0, output
    pair.expect_traffic()


def test_equal_preshared_keys_match(pair):
    pair.link(psk=worlds.private_key())
    pair.expect_traffic()


@pytest.mark.parametrize("other_psk", ["another", "none"])
def test_unequal_preshared_keys_never_make_a_session(pair, other_psk):
    pair.link(psk=worlds.private_key())
    wrong = worlds.private_key() if other_psk == "another" else NO_PSK
    pair.right.set(f"peer {pair.left.public} preshared-key /dev/stdin", input=wrong)
    pings = [node.home.popen(f"ping -q -n -i 0.2 -w 1 {other.v4}", stdout=-1, text=True) for node, other in pair.ends()]
    assert all(", 0 received" in ping.communicate(timeout=5)[0] for ping in pings)
    for node, other in pair.ends():
        assert node.peer(other.public)["handshake"] == "0"


def test_a_peer_known_by_a_wrong_key_is_not_reached(pair):
    pair.link()
    pair.left.remove_peer(pair.right.public)
    stranger = worlds.public_key(worlds.private_key())
    pair.left.add_peer(stranger, worlds.host_routes(pair.right), endpoint=(pair.right.host.v4, pair.right.port))
    assert not reaches(pair.left, pair.right, deadline=1)
    assert pair.left.peer(stranger)["handshake"] == "0"
    assert pair.left.peer(stranger)["rx"] == "0"


def test_an_unknown_initiator_gets_no_session(pair):
    pair.left.add_peer(pair.right.public, worlds.host_routes(pair.right),
                       endpoint=(pair.right.host.v4, pair.right.port))
    assert not reaches(pair.left, pair.right, deadline=1)
    assert pair.left.peer(pair.right.public)["rx"] == "0"


def test_traffic_flows_again_after_an_end_restarts(linked):
    node, other = linked.left, linked.right
    node.restart()
    assert reaches(node, other), "the restarted end starts a handshake of its own"
    assert reaches(other, node)


def test_a_new_private_key_needs_the_other_end_to_know_it(linked):
    left, right = linked.left, linked.right
    old, left.private = left.public, worlds.private_key()
    left.public = worlds.public_key(left.private)
    left.set("private-key /dev/stdin", input=left.private)
    assert left.dump()[0]["public"] == left.public
    assert not reaches(left, right, deadline=1)
    right.remove_peer(old)
    right.add_peer(left.public, worlds.host_routes(left), endpoint=(left.host.v4, left.port))
    assert reaches(right, left)
    assert reaches(left, right, deadline=8)
