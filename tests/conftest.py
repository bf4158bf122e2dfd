"""What all tests in network namespaces share: who may run them, deadlines, and logs of what failed.

    /usr/bin/python3 -m pytest tests/interop
    /usr/bin/python3 -m pytest tests/netns

The two may run at the same time: every name they give contains their pid. NIGHTJAR_WG_PEER names the wg-peer to test.
"""
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tools"), str(HERE / "netns")]

import world as worlds  # noqa: E402

TOOLS = ("ip", "nft", "wg", "wireguard-go", "iperf3", "ping", "nmap", "nsenter", "ss")


def pytest_configure(config):
    config.addinivalue_line("markers", "deadline(seconds): the test fails after that long; 45 s unless told")
    config.addinivalue_line("markers", "last: needs time that passes while other tests run, so runs after them")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def why_not():
    if os.geteuid() != 0:
        return "needs root: it makes network namespaces"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if not os.access(worlds.wg_peer(), os.X_OK):
        return f"no {worlds.wg_peer()}: build it, or name another in NIGHTJAR_WG_PEER"
    return None


@pytest.fixture(scope="session", autouse=True)
def able():
    reason = why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def deadline(request):
    marker = request.node.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else 45

    def too_late(_number, _frame):
        pytest.fail(f"not done within {seconds} s")

    old = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        for world in {id(w): w for w in map(world_of, item.funcargs.values()) if w}.values():
            report.sections.append(("logs of the nodes", world.logs()))


def world_of(value):
    return value if isinstance(value, worlds.World) else getattr(value, "world", None)
