"""Underlay addresses: families, roaming, and which of its own a node answers from."""
import ipaddress

import pytest

import world as worlds
from pairs import follow_route, reaches


@pytest.mark.parametrize("outside", [4, 6], ids=["outside-v4", "outside-v6"])
@pytest.mark.parametrize("inside", [4, 6], ids=["inside-v4", "inside-v6"])
def test_either_family_travels_inside_either(pair, inside, outside):
    pair.link(over=outside)
    pair.expect_traffic(inside)


def renewed(host, version):
    address = host.ends[0].addresses[0 if version == 4 else 1]
    net = ipaddress.ip_interface(address).network
    return f"{net[77]}/{net.prefixlen}"


@pytest.mark.parametrize("version", [4, 6], ids=["v4", "v6"])
def test_an_end_that_changes_its_address_is_followed(pair, version):
    pair.link(over=version)
    pair.expect_traffic()
    node, other = pair.left, pair.right
    node.host.change_address(renewed(node.host, version))
    follow_route(node, other, version)
    assert reaches(node, other)
    assert other.peer(node.public)["endpoint"] == worlds.endpoint_text(node.host.address(version), node.port)
    assert reaches(other, node)


def test_an_end_that_changes_its_port_is_followed(linked):
    node, other = linked.left, linked.right
    node.set("listen-port 50999")
    assert node.dump()[0]["port"] == "50999"
    assert reaches(node, other)
    assert other.peer(node.public)["endpoint"] == worlds.endpoint_text(node.host.v4, 50999)
    assert reaches(other, node)
    assert ":51820 " not in node.host.run("ss -lun").stdout, "the old port is given back"


def test_an_end_behind_nat_is_reached_where_it_appears(pair):
    rule = pair.router.masquerade("to-b")
    pair.link(know=(True, False))
    assert reaches(pair.left, pair.right)
    assert reaches(pair.right, pair.left)
    seen = pair.right.peer(pair.left.public)["endpoint"]
    assert seen.startswith(pair.router.ends[1].v4 + ":") and not seen.endswith(f":{pair.left.port}")
    rule.remove()


@pytest.mark.parametrize("version", [4, 6], ids=["v4", "v6"])
def test_replies_leave_from_the_address_that_was_asked(pair, version):
    asker, asked = pair.left, pair.right
    first, second = asked.host.address(version), renewed(asked.host, version)
    asked.host.add_address(asked.host.device, second)
    family = "ip" if version == 4 else "ip6"
    right_way = asked.host.counter("output", f"{family} saddr {second.split('/')[0]} udp sport {asked.port}")
    wrong_way = asked.host.counter("output", f"{family} saddr {first} udp sport {asked.port}")
    asked.add_peer(asker.public, worlds.host_routes(asker))
    asker.add_peer(asked.public, worlds.host_routes(asked), endpoint=(second.split("/")[0], asked.port))
    assert reaches(asker, asked, count=3)
    assert reaches(asked, asker, count=3)
    assert right_way.packets >= 7, "a handshake response and six packets of data"
    assert wrong_way.packets == 0


@pytest.mark.parametrize("version", [4, 6], ids=["v4", "v6"])
def test_another_address_serves_when_the_one_in_use_is_removed(pair, version):
    asker, asked = pair.left, pair.right
    first, second = asked.host.address(version), renewed(asked.host, version)
    asked.host.add_address(asked.host.device, second)
    asked.add_peer(asker.public, worlds.host_routes(asker))
    asker.add_peer(asked.public, worlds.host_routes(asked), endpoint=(second.split("/")[0], asked.port))
    assert reaches(asker, asked)
    asked.host.remove_address(asked.host.device, second)
    follow_route(asked, asker, version)
    assert reaches(asked, asker)
    assert asker.peer(asked.public)["endpoint"] == worlds.endpoint_text(first, asked.port)
    assert reaches(asker, asked)


def test_an_endpoint_may_change_family(linked):
    node, other = linked.left, linked.right
    node.set(f"peer {other.public} endpoint {worlds.endpoint_text(other.host.v6, other.port)}")
    assert reaches(node, other)
    assert other.peer(node.public)["endpoint"] == worlds.endpoint_text(node.host.v6, node.port)
