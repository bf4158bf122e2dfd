"""Pairs as fixtures, and the slow scenarios that run beside all tests."""
import pytest

import slow
import world as worlds
from pairs import CONFIGURATIONS, make_pair, title


@pytest.fixture(params=CONFIGURATIONS, ids=title)
def pair(request):
    """Not linked yet."""
    with worlds.World() as world:
        yield make_pair(world, request.param)


@pytest.fixture
def linked(pair):
    """Linked over IPv4, each knowing the other's endpoint, and warm."""
    pair.link()
    pair.expect_traffic()
    return pair


@pytest.fixture(params=["wireguard-go", "wg-peer"])
def subject(request):
    """Linked as above, for what concerns the left end alone, a wg-peer, whatever the right end is."""
    with worlds.World() as world:
        pair = make_pair(world, ("wg-peer", request.param, True))
        pair.link()
        pair.expect_traffic()
        yield pair


@pytest.fixture(scope="session", autouse=True)
def fleet(request, able):
    """The slow scenarios, under way since the session started, if any was selected."""
    if not any(item.get_closest_marker("last") for item in request.session.items):
        yield None
        return
    with slow.Fleet(CONFIGURATIONS, make_pair) as fleet:
        yield fleet
