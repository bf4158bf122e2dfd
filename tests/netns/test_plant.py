"""The plant is what it says: its routers let nothing in by themselves, and the public side is public."""
import contextlib
import socket

import pytest

import plant as plants


@pytest.fixture(scope="module")
def plant():
    with plants.Plant() as plant:
        plant.machine("sensor-7", "a")
        plant.machine("broker-1", "b")
        yield plant


@contextlib.contextmanager
def udp(host, port=0):
    with host.socket(socket.AF_INET) as sock:
        sock.bind((host.v4, port))
        sock.settimeout(2)
        yield sock


def hears(sock, within=0.5):
    sock.settimeout(within)
    try:
        return sock.recvfrom(2000)
    except TimeoutError:
        return None


def ask(inner, hub, text=b"ask"):
    """Sends from a site to the hub; returns where it seems to come from."""
    inner.sendto(text, hub.getsockname())
    data, seen = hub.recvfrom(2000)
    assert data == text
    return seen


@pytest.mark.parametrize("name", ["operator", "sensor-7", "broker-1"])
def test_a_machine_at_a_site_reaches_the_public_host_and_is_answered(plant, name):
    with udp(plant[name].host) as inner, udp(plant.hub.host, 4000) as hub:
        seen = ask(inner, hub)
        assert seen[0] != plant[name].host.v4, "the router hides the site's own addresses"
        hub.sendto(b"answer", seen)
        assert hears(inner)[0] == b"answer"


def test_the_stranger_reaches_the_public_host(plant):
    with udp(plant.stranger) as stranger, udp(plant.hub.host, 4000) as hub:
        assert ask(stranger, hub)[0] == plant.stranger.v4


def test_nobody_else_gets_in_by_a_mapping_that_is_open(plant):
    with udp(plant["sensor-7"].host) as inner, udp(plant.hub.host, 4000) as hub, udp(plant.hub.host, 4001) as other, \
            udp(plant.stranger, 4000) as stranger:
        seen = ask(inner, hub)
        stranger.sendto(b"stranger", seen)
        other.sendto(b"another port of the hub", seen)
        assert hears(inner) is None
        hub.sendto(b"hub", seen)
        assert hears(inner)[0] == b"hub"


def test_a_mapping_toward_one_says_nothing_of_that_toward_another(plant):
    with udp(plant["sensor-7"].host) as inner, udp(plant.hub.host, 4000) as hub, udp(plant.stranger, 4000) as stranger:
        assert ask(inner, hub)[1] != ask(inner, stranger)[1]


def test_two_sites_do_not_meet_by_their_mappings_toward_the_hub(plant):
    with udp(plant["sensor-7"].host) as a, udp(plant["broker-1"].host) as b, udp(plant.hub.host, 4000) as hub:
        seen_a, seen_b = ask(a, hub), ask(b, hub)
        for _ in range(3):
            a.sendto(b"to b", seen_b)
            b.sendto(b"to a", seen_a)
        assert hears(a) is None
        assert hears(b) is None


def test_no_site_is_reached_from_outside_by_its_inner_address(plant):
    with udp(plant["sensor-7"].host, 5000) as inner, udp(plant.stranger) as stranger:
        plant.stranger.route(plant["sensor-7"].host.v4 + "/32", via=plant.internet.ends[-1].v4)
        plant.internet.route(plant["sensor-7"].host.v4 + "/32", via=plant.sites["a"].outside)
        stranger.sendto(b"in", (plant["sensor-7"].host.v4, 5000))
        assert hears(inner) is None
