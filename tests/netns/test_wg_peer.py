"""What wg-peer does when something is missing, taken or gone: says so, leaves nothing behind, and goes on if it can."""
import contextlib
import signal
import socket

import pytest

import world as worlds

WIRE = dict(names=("left", "right"), subnets=("10.55.0.0/24", "fd55::/64"))


@pytest.fixture
def world():
    with worlds.World() as world:
        yield world


@pytest.fixture
def host(world):
    return world.host("a")


def a_name(world):
    """An interface's name that no other test uses."""
    return f"{world.prefix}-x"[-15:]


def wg_peer(*arguments):
    return [worlds.wg_peer(), "-f", *map(str, arguments)]


def leftovers(host, name):
    return host.has_interface(name), (worlds.UAPI_DIR / f"{name}.sock").exists()


def expect_refusal(host, name, command, sentence):
    done = host.run(command, check=False, timeout=5)
    assert done.returncode == 1
    assert sentence in done.stderr and done.stderr.startswith("wg-peer: ") and done.stderr.count("\n") == 1
    assert leftovers(host, name) == (False, False)


def test_without_the_right_to_make_interfaces_it_says_what_is_needed(world, host):
    name = a_name(world)
    expect_refusal(host, name, ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", *wg_peer(name)],
                   "CAP_NET_ADMIN")


def test_without_the_tun_device_it_says_what_to_load(world, host):
    name, empty = a_name(world), world.dir / "empty"
    empty.mkdir()
    expect_refusal(host, name, ["unshare", "-m", "sh", "-c", f'mount --bind {empty} /dev/net && exec "$@"', "sh",
                                *wg_peer(name)], "modprobe tun")


@pytest.mark.parametrize("name", ["sixteen-letters-", "", "a/b", "..", "wg%d"])
def test_a_name_that_no_interface_can_have_is_refused(host, name):
    done = host.run(wg_peer(name), check=False, timeout=5)
    assert done.returncode == 1 and "can't create" in done.stderr


def test_the_name_of_an_interface_of_another_kind_is_refused_and_left_alone(world, host):
    name = a_name(world)
    host.ip(f"link add {name} type veth peer name other-end")
    done = host.run(wg_peer(name), check=False, timeout=5)
    assert done.returncode == 1 and "can't create" in done.stderr
    assert leftovers(host, name) == (True, False)


def test_wrong_arguments_show_the_usage(host):
    for arguments in ([], ["--nonsense", "wg0"], ["wg0", "wg1"]):
        done = host.run(wg_peer(*arguments), check=False)
        assert done.returncode == 2 and "Usage: wg-peer" in done.stderr


def test_a_state_directory_that_cannot_be_made_is_named(world, host):
    name, file = a_name(world), world.dir / "file"
    file.write_text("")
    for state in ("/proc/none", file, file / "below"):
        expect_refusal(host, name, wg_peer("--dark", "--state", state, name), str(state))


def test_a_state_file_of_another_format_is_refused_and_kept(world, host):
    name = a_name(world)
    file = world.dir / f"{name}.timestamps"
    file.write_text("something dear to somebody\n")
    expect_refusal(host, name, wg_peer("--dark", "--state", world.dir, name), str(world.dir))
    assert file.read_text() == "something dear to somebody\n"


def is_served_or_turned_away(socket_path):
    with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(ConnectionError):
        sock.settimeout(5)
        sock.connect(str(socket_path))
        sock.sendall(b"get=1\n\n")
        sock.recv(4096)  # times out, if neither


def test_with_too_few_descriptors_it_fails_cleanly_or_works(world, host):
    name, socket_path = a_name(world), worlds.UAPI_DIR / f"{a_name(world)}.sock"
    for limit in range(4, 64):
        log = world.dir / f"log-{limit}"
        process = host.popen(["prlimit", f"--nofile={limit}:1024", *wg_peer(name)], log=log)
        worlds.wait_until(lambda: not worlds.is_up(process) or socket_path.exists(), what="it starts or ends")
        if worlds.is_up(process):
            break
        assert process.returncode in (1, 127), (limit, log.read_text())
        assert leftovers(host, name) == (False, False), limit
    assert limit > 10 and worlds.is_up(process), "some limit is too low and some is not"
    for state in ("up", "down", "up"):
        host.ip(f"link set {name} {state}")
        is_served_or_turned_away(socket_path)
    worlds.execute(["prlimit", f"--pid={process.pid}", "--nofile=1024:1024"])
    host.ip(f"link set {name} down")
    host.ip(f"link set {name} up")
    worlds.wait_until(lambda: worlds.execute(f"wg show {name} listen-port").stdout != "0\n", what="it has a port")


def test_a_daemon_ends_when_told_to_and_leaves_nothing_behind(world, host):
    name = a_name(world)
    host.run([worlds.wg_peer(), name])
    assert leftovers(host, name) == (True, True)
    for pid in host.pids():
        host.run(f"kill -TERM {pid}")
    worlds.wait_until(lambda: not host.pids(), what="the daemon ends")
    assert leftovers(host, name) == (False, False)


@pytest.fixture
def pair(world):
    """Two linked nodes on one wire."""
    a, b = world.host("a"), world.host("b")
    world.wire(a, b, **WIRE)
    nodes = world.node(a, "wg-peer", ["10.9.0.1/24"]), world.node(b, "wg-peer", ["10.9.0.2/24"])
    worlds.link(*nodes)
    assert a.ping("10.9.0.2")
    return nodes


def take_port(host, port):
    sock = host.socket()
    sock.bind(("0.0.0.0", port))
    return sock


def test_a_port_in_use_is_refused_and_the_old_one_goes_on_working(pair):
    node, other = pair
    with take_port(node.host, 7777):
        assert node.uapi("set=1\nlisten_port=7777") == [("errno", "-98")]
        assert ("listen_port", str(node.port)) in node.uapi("get=1")
        assert other.host.ping(node.v4) and node.host.ping(other.v4)
    assert node.uapi("set=1\nlisten_port=7777") == [("errno", "0")]
    assert node.host.ping(other.v4)


def test_with_its_port_taken_an_interface_comes_up_without_one_and_works_once_it_is_free(pair):
    node, other = pair
    node.host.ip(f"link set {node.ifname} down")
    with take_port(node.host, node.port):
        node.host.ip(f"link set {node.ifname} up")
        assert not node.host.ping(other.v4, deadline=1)
        assert node.answers()
    node.host.ip(f"link set {node.ifname} down")
    node.host.ip(f"link set {node.ifname} up")
    assert node.host.ping(other.v4, deadline=10)


def test_it_works_again_when_the_wire_is_replaced(world, pair):
    node, other = pair
    node.host.ip("link del left")
    assert not node.host.ping(other.v4, deadline=1)
    world.wire(node.host, other.host, **WIRE)
    assert node.host.ping(other.v4, deadline=15)
    assert other.host.ping(node.v4, deadline=5)


def test_it_outlives_a_moment_without_any_route(pair):
    node, other = pair
    node.host.ip("link set left down")
    assert not node.host.ping(other.v4, deadline=1)
    node.host.ip("link set left up")
    assert node.host.ping(other.v4, deadline=15)


def test_peers_that_come_and_go_while_the_interface_is_down_take_no_more_memory(world, host):
    node = world.node(host, "wg-peer", ["10.9.0.1/24"])
    host.ip(f"link set {node.ifname} down")
    peers = "\n".join(f"public_key={number:064x}" for number in range(1, 5001))

    def memory_after(rounds):
        for _ in range(rounds):
            assert node.uapi(f"set=1\nreplace_peers=true\n{peers}") == [("errno", "0")]
        return node.rss_bytes()

    before = memory_after(4)
    assert memory_after(36) < before + (4 << 20)


def test_it_tells_on_request_what_it_refused(world):
    a, b = world.host("a"), world.host("b")
    world.wire(a, b, **WIRE)
    node = world.node(a, "wg-peer", ["10.9.0.1/24"])
    with b.socket() as stranger:
        for datagram in (b"", b"junk", bytes([1, 0, 0, 0]) + bytes(144), bytes([4, 0, 0, 0]) + bytes(60)):
            stranger.sendto(datagram, (a.v4, node.port))

    def counters():
        node.process.send_signal(signal.SIGUSR1)
        return dict(line.split("=") for line in node.log.read_text().splitlines() if "=" in line)

    refused = {"strange": "1", "bad_mac1": "1", "unknown_index": "1", "handshakes": "0"}
    worlds.wait_until(lambda: refused.items() <= counters().items(), what=refused)
