"""The UAPI socket, spoken to directly (wireguard.com/xplatform)."""
import ipaddress
import socket

import pytest

import world as worlds

MANY = 130_000
PEER = "public_key=" + "ab" * 32
INVALID = {
    "private key is no hex": "set=1\nprivate_key=" + "zz" * 32,
    "private key is too short": "set=1\nprivate_key=abcd",
    "private key is too long": "set=1\nprivate_key=" + "ab" * 33,
    "port is too large": "set=1\nlisten_port=65536",
    "port is negative": "set=1\nlisten_port=-1",
    "port is no number": "set=1\nlisten_port=ssh",
    "mark is too large": "set=1\nfwmark=4294967296",
    "replace_peers is not true": "set=1\nreplace_peers=maybe",
    "key is unknown": "set=1\nnonsense=1",
    "line has no value": "set=1\nlisten_port",
    "peer's key before a peer": "set=1\nallowed_ip=10.0.0.0/8",
    "peer's public key is too short": "set=1\npublic_key=ab",
    "preshared key is no hex": f"set=1\n{PEER}\npreshared_key=zz",
    "endpoint has no port": f"set=1\n{PEER}\nendpoint=192.0.2.1",
    "endpoint is a name": f"set=1\n{PEER}\nendpoint=host.invalid:1",
    "endpoint's port is too large": f"set=1\n{PEER}\nendpoint=192.0.2.1:65536",
    "keepalive is too large": f"set=1\n{PEER}\npersistent_keepalive_interval=65536",
    "prefix is too long": f"set=1\n{PEER}\nallowed_ip=10.0.0.0/33",
    "IPv6 prefix is too long": f"set=1\n{PEER}\nallowed_ip=fd00::/129",
    "allowed IP is no address": f"set=1\n{PEER}\nallowed_ip=10.0.0.300/8",
    "allowed IP has no prefix length": f"set=1\n{PEER}\nallowed_ip=10.0.0.0",
    "protocol version is unknown": f"set=1\n{PEER}\nprotocol_version=2",
    "remove is not true": f"set=1\n{PEER}\nremove=no",
}


def errno(answer):
    return dict(answer).get("errno")


def allowed_ips(answer):
    return sorted(value for key, value in answer if key == "allowed_ip")


def known(node, public):
    """What an invalid request must not touch: the interface, and the peer that it did not name."""
    interface, peers = node.dump()
    return interface, peers[public]


def test_invalid_requests_are_refused_and_change_nothing(subject):
    node, other = subject.left, subject.right
    before = known(node, other.public)
    for what, request in INVALID.items():
        assert errno(node.uapi(request)) not in (None, "0"), what
        assert known(node, other.public) == before, what
    subject.expect_traffic()


def test_garbage_on_the_socket_ends_only_that_connection(subject):
    node, _ = subject.left, subject.right
    for garbage in (b"", b"\n\n", b"gets=1\n\n", b"get=2\n\n", b"\0" * 5000 + b"\n\n", b"x" * 100_000):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(worlds.UAPI_DIR / f"{node.ifname}.sock"))
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(5)
            try:
                assert b"private_key" not in sock.recv(4096)
            except ConnectionResetError:
                pass
    subject.expect_traffic()
    assert node.answers()


def test_get_gives_the_private_key_and_all_of_the_peer(subject):
    node, other = subject.left, subject.right
    answer = node.uapi("get=1")
    assert ("private_key", worlds.to_hex(node.private)) in answer
    assert ("listen_port", "51820") in answer
    assert ("public_key", worlds.to_hex(other.public)) in answer
    assert ("protocol_version", "1") in answer
    assert allowed_ips(answer) == sorted(worlds.host_routes(other))
    assert answer[-1] == ("errno", "0")


def test_a_connection_serves_several_requests(subject):
    node, _ = subject.left, subject.right
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(worlds.UAPI_DIR / f"{node.ifname}.sock"))
        with sock.makefile("rw") as stream:
            for _ in range(3):
                stream.write("get=1\n\n")
                stream.flush()
                lines = list(iter(stream.readline, "\n"))
                assert lines[-1] == "errno=0\n"


def test_update_only_makes_no_peer(subject):
    node, other = subject.left, subject.right
    assert errno(node.uapi(f"set=1\n{PEER}\nupdate_only=true\nallowed_ip=10.66.0.0/16")) == "0"
    assert list(node.dump()[1]) == [other.public]


@pytest.mark.deadline(60)
def test_130000_allowed_ips_go_in_and_come_out(subject):
    node, other = subject.left, subject.right
    first = int(ipaddress.ip_address("100.64.0.0"))
    v4 = {f"{ipaddress.ip_address(first + 2 * n)}/32" for n in range(MANY // 2)}
    v6 = {f"{ipaddress.ip_address((0xfd42 << 112) + (n << 64))}/64" for n in range(MANY // 2)}
    lines = "\n".join(f"allowed_ip={ip}" for ip in v4 | v6)
    assert errno(node.uapi(f"set=1\n{PEER}\nreplace_allowed_ips=true\n{lines}")) == "0"
    assert allowed_ips(node.uapi("get=1")) == sorted(v4 | v6 | set(worlds.host_routes(other)))
    subject.expect_traffic()
    assert errno(node.uapi(f"set=1\n{PEER}\nremove=true")) == "0"
    assert allowed_ips(node.uapi("get=1")) == sorted(worlds.host_routes(other))


def test_the_socket_answers_when_the_command_returns():
    with worlds.World() as world:
        host, name = world.host("a"), f"{world.prefix}-d"
        host.run([worlds.wg_peer(), name])
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(worlds.UAPI_DIR / f"{name}.sock"))
            sock.sendall(b"get=1\n\n")
            assert b"errno=0" in sock.recv(4096)
        assert host.has_interface(name)
        assert len(host.pids()) == 1
        host.ip(f"link delete {name}")
        worlds.wait_until(lambda: not host.pids(), what="the daemon ends with its interface")


def test_a_name_in_use_is_refused():
    with worlds.World() as world:
        node = world.node(world.host("a"), "wg-peer", ["10.9.0.1/24"])
        again = node.host.run([worlds.wg_peer(), "-f", node.ifname], check=False)
        assert again.returncode != 0
        assert again.stderr or again.stdout
        assert node.answers()
