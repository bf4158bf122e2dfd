"""Everything about a node changes while traffic flows, under the sanitizers: no report, no leak, and it works after."""
import contextlib
import os
import random
import subprocess
import threading

import pytest

import world as worlds

STEPS = 1200
SEED = 1
BUILDS = {"build-tsan": "TSAN_OPTIONS", "build-asan": "ASAN_OPTIONS"}


def wg_peer_of(build):
    """The program of a build that tools/test has configured, up to date."""
    folder = worlds.ROOT / build
    if not (folder / "build.ninja").exists():
        pytest.skip(f"{folder} is not configured: tools/test threads unit")
    worlds.execute(f"ninja -C {folder} tests/interop/wg-peer", timeout=120)
    return folder / "tests/interop/wg-peer"


def a_key():
    return os.urandom(32).hex()


@contextlib.contextmanager
def traffic(node, other):
    """Echoes and datagrams of any size from a node to another, as fast as they go."""
    ping = node.host.popen(f"ping -q -n -f -s 900 {other.v4}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sock, stop, sizes = node.host.socket(), threading.Event(), random.Random(SEED)

    def send():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                sock.sendto(bytes(sizes.randrange(1400)), (other.v4, 9))
            stop.wait(0.0005)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        stop.set()
        sender.join()
        sock.close()
        node.world.end(ping)


class Churn:
    """Changes of one node, each a method without arguments; none may fail."""

    def __init__(self, node, other, seed):
        self.node, self.other = node, other
        self.random = random.Random(seed)
        self.own, self.peer = worlds.to_hex(node.private), worlds.to_hex(other.public)
        self.strangers = []

    def set(self, *lines):
        try:
            assert self.node.uapi("\n".join(["set=1", *lines])) == [("errno", "0")], lines
        except OSError as error:
            raise AssertionError(f"{lines}: {error}; exit {self.node.process.poll()}") from error

    def prefix(self):
        return f"10.{self.random.randrange(100, 110)}.{self.random.randrange(4)}.0/24"

    def add_strangers(self):
        new = [a_key() for _ in range(10)]
        self.strangers += new
        self.set(*(line for key in new for line in (
            f"public_key={key}", f"endpoint={self.other.host.v4}:{self.random.randrange(1, 65536)}",
            f"allowed_ip={self.prefix()}", f"persistent_keepalive_interval={self.random.randrange(3)}")))

    def remove_strangers(self):
        gone, self.strangers = self.strangers[::2], self.strangers[1::2]
        self.set(*(line for key in gone for line in (f"public_key={key}", "remove=true")))

    def replace_all_peers(self):
        self.strangers = []
        self.set("replace_peers=true", *self.peer_lines())

    def peer_lines(self):
        return (f"public_key={self.peer}", f"endpoint={self.other.host.v4}:{self.other.port}",
                f"allowed_ip={self.other.v4}/32")

    def take_the_allowed_ip_away_and_give_it_back(self):
        thief = a_key()
        self.set(f"public_key={thief}", f"allowed_ip={self.other.v4}/32")
        self.set(f"public_key={self.peer}", "replace_allowed_ips=true", f"allowed_ip={self.other.v4}/32",
                 f"public_key={thief}", "remove=true")

    def change_the_port(self):
        self.set("listen_port=0")
        self.set(f"listen_port={self.node.port}")

    def change_the_mark(self):
        self.set(f"fwmark={self.random.randrange(3)}")

    def set_the_private_key_again(self):
        self.set(f"private_key={self.own}")

    def lose_the_private_key_for_a_moment(self):
        self.set("private_key=" + "0" * 64)
        self.set(f"private_key={self.own}")

    def change_the_preshared_key(self):
        self.set(f"public_key={self.peer}", f"preshared_key={a_key()}")
        self.set(f"public_key={self.peer}", "preshared_key=" + "0" * 64)

    def move_the_endpoint(self):
        self.set(f"public_key={self.peer}", f"endpoint=[::1]:{self.random.randrange(1, 65536)}")
        self.set(*self.peer_lines())

    def change_the_keepalive(self):
        self.set(f"public_key={self.peer}", f"persistent_keepalive_interval={self.random.randrange(3)}")

    def down_and_up(self):
        self.node.host.ip(f"link set {self.node.ifname} down")
        self.node.host.ip(f"link set {self.node.ifname} up")

    def change_the_mtu(self):
        self.node.host.ip(f"link set {self.node.ifname} mtu {self.random.randrange(600, 9000)}")

    def change_a_route(self):
        self.node.host.ip(f"route add 198.51.100.{self.random.randrange(256)}/32 dev lo", check=False)

    def read(self):
        assert self.node.answers()

    CHANGES = (add_strangers, remove_strangers, replace_all_peers, take_the_allowed_ip_away_and_give_it_back,
               change_the_port, change_the_mark, set_the_private_key_again, lose_the_private_key_for_a_moment,
               change_the_preshared_key, move_the_endpoint, change_the_keepalive, down_and_up, change_the_mtu,
               change_a_route, read)

    def step(self):
        self.random.choice(self.CHANGES)(self)

    def settle(self):
        self.set(f"listen_port={self.node.port}", "replace_peers=true", *self.peer_lines())


@pytest.fixture
def world():
    with worlds.World() as world:
        yield world


@contextlib.contextmanager
def reports_to(folder):
    """The sanitizers' options; none of them may have reported anything by the end, however it came."""
    try:
        yield f"log_path={folder}/report:halt_on_error=0:exitcode=66"
    finally:
        reports = "".join(report.read_text() for report in folder.glob("report*"))
        assert not reports, reports


def churn_under_traffic(left, right):
    churns = [Churn(left, right, SEED), Churn(right, left, SEED + 1)]
    with traffic(left, right), traffic(right, left):
        for number in range(STEPS):
            churns[number % 2].step()
    for churn in churns:
        churn.settle()


@pytest.mark.deadline(90)
@pytest.mark.parametrize("build", BUILDS)
def test_all_may_change_under_traffic(world, build, monkeypatch, tmp_path):
    program = wg_peer_of(build)
    with reports_to(tmp_path) as options:
        # The sanitizers' shadow memory does not fit every random layout of addresses.
        kind = lambda: ["setarch", "-R", program, "-f"], {BUILDS[build]: options}
        monkeypatch.setitem(worlds.KINDS, build, kind)
        router = world.router()
        left, right = (world.node(world.attach(world.host(name), router), build, [address])
                       for name, address in (("a", "10.9.0.1/24"), ("b", "10.9.0.2/24")))
        worlds.link(left, right)
        churn_under_traffic(left, right)
        assert left.host.ping(right.v4, deadline=15) and right.host.ping(left.v4, deadline=15)
        for node in (left, right):
            node.process.terminate()
            assert node.process.wait(20) == 0, worlds.tail(node.log)
