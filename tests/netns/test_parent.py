"""The daemon's parent, with stand-ins for engine and state (tests/node/roles.c)."""
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import world as worlds

ALONE = Path(os.environ.get("NIGHTJARD_ALONE", worlds.ROOT / "build/tests/node/nightjard-alone"))
RUN = Path("/run/nightjar")
ROLES = {"keys": 61101, "engine": 61102, "state": 61103}
NET_ADMIN, KILL, SYS_RESOURCE = 1 << 12, 1 << 5, 1 << 24
NFT_LIST = "nft list tables"

pytestmark = pytest.mark.skipif(not os.access(ALONE, os.X_OK), reason=f"no {ALONE}: build it")


class Daemon:
    """A STATE in a directory that only root may enter, and a nightjard on it."""

    def __init__(self, world, script=""):
        self.world, self.program = world, ALONE
        self.host = world.host("node")
        self.state = world.dir / "state"
        (self.state / "ledger").mkdir(parents=True)
        (self.state / "format").write_text("1\n")
        self.script(script)

    def script(self, word):
        (self.state / "ledger/script").write_text(word)

    def run(self, *options, timeout=25):
        return self.host.run([self.program, "--state", self.state, *options], check=False, timeout=timeout)

    def up(self, *options):
        done = self.run(*options)
        assert done.returncode == 0, done.stderr
        return self

    def processes(self):
        """Name of the role ("parent" for none) to pid."""
        found = {}
        for pid in self.host.pids():
            try:
                words = [*Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"), b"", b""]
            except OSError:
                continue
            if b"--role=" in words[1]:
                found[words[1].decode().removeprefix("--role=")] = pid
            elif b"nightjar-controller" in words[0] or b"nightjar-controller" in words[1]:
                found["controller"] = pid
            elif b"nightjard" in words[0]:
                found["parent"] = pid
        return found

    def end(self, number=signal.SIGTERM):
        os.kill(self.processes()["parent"], number)
        self.wait_for_end()

    def wait_for_end(self):
        worlds.wait_until(lambda: not self.processes(), what="all processes have ended", deadline=10)

    def log(self):
        return self.run_file("log").read_text()

    def run_file(self, suffix):
        """Named after the hash of the real path of STATE."""
        return RUN / f"{hashlib.sha256(str(self.state.resolve()).encode()).hexdigest()[:16]}.{suffix}"

    def tables(self):
        return self.host.run(NFT_LIST).stdout


@pytest.fixture
def daemon():
    with worlds.World() as world:
        made = Daemon(world)
        yield made
        for pid in made.processes().values():
            os.kill(pid, signal.SIGKILL)
        made.run_file("log").unlink(missing_ok=True)


def fields_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}


def may_lift_limits():
    """Without it no more than RLIMIT_MEMLOCK can be locked, which is not enough for the engine."""
    return int(fields_of("self")["CapEff"][0], 16) & SYS_RESOURCE != 0


def test_up_returns_when_addresses_and_routes_are_there(daemon):
    daemon.up()
    addresses = daemon.host.ip("address show dev nj0").stdout
    assert "inet 100.70.0.1/16" in addresses and "inet6 fd01::1/48" in addresses and "mtu 1360" in addresses
    assert "100.70.0.0/16 dev nj0" in daemon.host.ip("route").stdout
    assert "fd01::/48 dev nj0" in daemon.host.ip("-6 route").stdout
    assert set(daemon.processes()) == {"parent", *ROLES}
    assert "not filtered" not in daemon.log()
    daemon.end()
    assert not daemon.host.has_interface("nj0")


def test_each_role_has_an_id_no_capability_and_no_files(daemon):
    daemon.up()
    for role, pid in daemon.processes().items():
        fields = fields_of(pid)
        assert "Max core file size        0                    0" in Path(f"/proc/{pid}/limits").read_text()
        if role == "parent":
            assert int(fields["CapEff"][0], 16) == NET_ADMIN | KILL
            assert fields["NoNewPrivs"] == ["1"] and fields["Seccomp"] == ["2"]
            continue
        assert set(fields["Uid"] + fields["Gid"]) == {str(ROLES[role])} and fields["Groups"] == []
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(fields[kind][0], 16) == 0, (role, kind)
        assert fields["NoNewPrivs"] == ["1"] and fields["Seccomp"] == ["2"]
        assert os.readlink(f"/proc/{pid}/root") == "/run/nightjar/empty"
        if role == "keys" or (role == "engine" and may_lift_limits()):
            assert int(fields["VmLck"][0]) > 0, "off a swap device"
        assert os.stat(f"/proc/{pid}/fd").st_uid == 0, "not dumpable"
    daemon.end()


def test_descriptors_are_those_of_the_role_alone(daemon):
    daemon.up()
    counts = {role: len(os.listdir(f"/proc/{pid}/fd")) for role, pid in daemon.processes().items()}
    # 0, 1, 2; then links and directories (and the logs of timestamps and gates), sockets, TUN, control socket.
    assert counts["keys"] == 3 + 4 + 2
    assert counts["engine"] == 3 + 6
    assert counts["state"] == 3 + 7
    daemon.end()


def test_only_one_daemon_runs_on_a_state(daemon):
    daemon.up()
    again = daemon.run()
    assert again.returncode == 1 and "runs on" in again.stderr and "already" in again.stderr
    daemon.end()
    daemon.up().end()


def test_the_control_socket_is_there_while_it_is_up(daemon):
    daemon.up()
    made = daemon.run_file("sock")
    assert made.stat().st_mode & 0o777 in (0o600, 0o660) and made.stat().st_uid == 0
    daemon.end()
    assert not made.exists()


def test_the_port_is_drawn_once_and_kept(daemon):
    daemon.up().end()
    conf = (daemon.state / "node.conf").read_text()
    assert conf.startswith("port=")
    port = int(conf.strip().removeprefix("port="))
    daemon.up()
    assert f":{port} " in daemon.host.run("ss -lun").stdout
    daemon.end()
    daemon.up("--listen", "51999").end()
    assert (daemon.state / "node.conf").read_text() == "port=51999\n"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_dies_takes_the_daemon_down(daemon, role):
    daemon.up("--darken")
    os.kill(daemon.processes()[role], signal.SIGKILL)
    daemon.wait_for_end()
    assert not daemon.host.has_interface("nj0")
    assert f"The {role} process ended: signal 9." in daemon.log()
    assert "nightjar_" in daemon.tables(), "dark also when dead"
    assert daemon.run("--undarken").returncode == 0
    assert "nightjar_" not in daemon.tables()


@pytest.mark.parametrize("role", ROLES)
def test_the_log_tells_of_a_forbidden_system_call(daemon, role):
    daemon.up()
    os.kill(daemon.processes()[role], signal.SIGSYS)
    daemon.wait_for_end()
    assert f"The {role} process ended: it made a forbidden system call." in daemon.log()


def test_a_parent_that_is_killed_leaves_no_process(daemon):
    daemon.up("--darken")
    os.kill(daemon.processes()["parent"], signal.SIGKILL)
    daemon.wait_for_end()
    assert "nightjar_" in daemon.tables()
    daemon.up()
    assert daemon.tables().count("inet nightjar_") == 1, "up without --darken is light"
    daemon.end()


def test_down_is_orderly(daemon):
    daemon.script("stop")
    daemon.up("--darken")
    assert "nightjar_" in daemon.tables()
    daemon.wait_for_end()
    assert "nightjar_" not in daemon.tables()


@pytest.mark.parametrize("script, sentence", [
    ("lie", "said what it may not"), ("damaged", "Bring it back from a backup"), ("configure-bad", "make no sense"), ("die-state", "state process ended")])
def test_a_state_that_misbehaves_ends_the_daemon(daemon, script, sentence):
    daemon.script(script)
    done = daemon.run("--foreground")
    assert done.returncode == 1 and sentence in done.stderr, done.stderr


def test_overlay_addresses_are_met_on_our_interface_alone(daemon):
    other = daemon.world.host("neighbour")
    daemon.world.wire(daemon.host, other)
    daemon.up()
    other.route("100.70.0.1/32", via=daemon.host.v4)
    other.route("fd01::1/128", via=daemon.host.v6)
    assert other.ping(daemon.host.v4), "the control: it is a neighbour"
    assert not other.ping("100.70.0.1", deadline=1) and not other.ping("fd01::1", deadline=1)
    other.add_address(other.device, "100.70.0.9/32")
    assert not other.ping(daemon.host.v4, deadline=1, options="-I 100.70.0.9"), "a member's address is not a member"
    assert "_overlay" in daemon.tables()
    daemon.end()
    assert "_overlay" not in daemon.tables()


def test_join_ends_with_the_networks_answer(daemon):
    daemon.script("join-yes")
    assert daemon.run("--join").returncode == 0
    daemon.script("join-no")
    done = daemon.run("--join")
    assert done.returncode == 1 and "Another device has joined with this ticket already." in done.stderr
    assert not (daemon.state / "node.conf").exists()
    assert not daemon.host.has_interface("nj0")


def test_join_needs_no_root(daemon):
    place = Path(tempfile.mkdtemp(prefix="nj-user-"))
    try:
        shutil.copy(ALONE, place / "nightjard")
        shutil.copytree(daemon.state, place / "state")
        (place / "state/ledger/script").write_text("join-yes")
        for path in (place, *place.rglob("*")):
            os.chown(path, 65534, 65534)
        done = daemon.host.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                                place / "nightjard", "--join", "--state", place / "state"], check=False, timeout=25)
        assert done.returncode == 0, done.stderr
        assert (place / "state/keys/static").stat().st_mode & 0o777 == 0o600
    finally:
        shutil.rmtree(place)


def test_the_starter_is_told(daemon):
    for script, word in (("", "ready\n"), ("lie", "said what it may not")):
        daemon.script(script)
        read, write = os.pipe()
        done = subprocess.run(daemon.host.inside([daemon.program, "--state", daemon.state, "--ready-fd", str(write)]),
                              pass_fds=[write], check=False, timeout=25, stderr=subprocess.DEVNULL)
        os.close(write)
        told = os.read(read, 1000).decode()
        os.close(read)
        assert word in told and done.returncode == (0 if word == "ready\n" else 1)
        if not script:
            daemon.end()


def test_systemd_is_told(daemon):
    name = str(daemon.world.dir / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name)
        sock.settimeout(10)
        process = daemon.host.popen([daemon.program, "--state", daemon.state, "--foreground"],
                                    env={"NOTIFY_SOCKET": name}, log=daemon.world.dir / "log")
        assert sock.recv(100) == b"READY=1"
        process.terminate()
        assert process.wait(10) == 0


def test_an_ipv4_prefix_that_overlaps_an_uplink_is_left_out(daemon):
    other = daemon.world.host("other")
    daemon.world.wire(daemon.host, other, subnets=("100.70.200.0/24", "fd77:1::/64"))
    done = daemon.up()
    assert "100.70.0.1" not in daemon.host.ip("address show dev nj0").stdout
    assert "fd01::1" in daemon.host.ip("address show dev nj0").stdout
    assert "left-out=1" in daemon.log() and "overlaps" in daemon.log()
    done.end()


def test_a_host_without_ipv6_has_it_inside(daemon):
    daemon.host.sysctl("net.ipv6.conf.default.disable_ipv6=1", "net.ipv6.conf.all.disable_ipv6=1")
    daemon.up()
    assert "fd01::1" in daemon.host.ip("address show dev nj0").stdout
    daemon.end()


def test_a_state_that_is_not_understood_is_left_as_it_is(daemon):
    (daemon.state / "format").write_text("2\n")
    done = daemon.run()
    assert done.returncode == 1 and "format" in done.stderr
    assert sorted(path.name for path in daemon.state.iterdir()) == ["format", "ledger"]
    (daemon.state / "format").write_text("1\n")
    (daemon.state / "node.conf").write_text("port=1\nprot=2\n")
    done = daemon.run()
    assert done.returncode == 1 and "line 2" in done.stderr
    assert daemon.run("--state", "/nonexistent").returncode == 1
    assert daemon.run("--nonsense").returncode == 2


def test_the_controller_is_started_again_alone(daemon):
    place = daemon.world.dir / "bin"
    place.mkdir()
    daemon.program = place / "nightjard"
    shutil.copy(ALONE, daemon.program)
    (place / "nightjar-controller").write_text("#!/bin/sh\necho $2 >> $2/starts\nsleep 1000\n")
    (place / "nightjar-controller").chmod(0o755)
    (daemon.state / "controller").mkdir(mode=0o700)
    daemon.up()
    first = daemon.processes()
    os.kill(first["controller"], signal.SIGKILL)
    worlds.wait_until(lambda: daemon.processes().get("controller", first["controller"]) != first["controller"],
                      what="it is started again", deadline=5)
    second = daemon.processes()
    assert {role: second[role] for role in ("parent", *ROLES)} == {role: first[role] for role in ("parent", *ROLES)}
    assert (daemon.state / "controller/starts").read_text().count("state/controller\n") == 2
    assert (daemon.state / "controller").stat().st_uid == 61104
    daemon.end()


# ---- Darkness ----


@pytest.fixture
def dark():
    with worlds.World() as world:
        daemon = Daemon(world)
        router = world.router()
        world.attach(daemon.host, router)
        daemon.stranger = world.stranger(router)
        daemon.drawn = [daemon.host.counter("postrouting", f"ip daddr {daemon.stranger.v4}"),
                        daemon.host.counter("postrouting", f"ip6 daddr {daemon.stranger.v6}")]
        yield daemon
        for pid in daemon.processes().values():
            os.kill(pid, signal.SIGKILL)
        daemon.run_file("log").unlink(missing_ok=True)


def drawn(daemon):
    return sum(counter.bytes for counter in daemon.drawn)


def probe(daemon, ports):
    """Echoes, SYNs and datagrams, over both families."""
    for version in (4, 6):
        address = daemon.host.address(version)
        daemon.stranger.ping(address, deadline=1)
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        for port in ports:
            with daemon.stranger.socket(family) as sock:
                sock.sendto(b"hello", (address, port))
            with daemon.stranger.socket(family, socket.SOCK_STREAM) as sock:
                sock.settimeout(0.3)
                sock.connect_ex((address, port))
    time.sleep(0.2)


def test_a_stranger_draws_no_byte_from_any_port_alive_or_dead(dark):
    probe(dark, [80])
    assert drawn(dark) > 0, "the control: a host that is not dark answers"
    dark.up("--darken", "--listen", "51820")
    before = drawn(dark)
    probe(dark, [22, 80, 1883, 5683, 51820])
    assert drawn(dark) == before
    os.kill(dark.processes()["engine"], signal.SIGKILL)
    dark.wait_for_end()
    probe(dark, [22, 80, 51820])
    assert drawn(dark) == before
    dark.up("--darken").end()
    probe(dark, [80])
    assert drawn(dark) > before, "an orderly end lets the light in"


def test_what_is_kept_answers_and_what_the_host_begins_works(dark):
    dark.up("--darken", "--keep", "tcp/2222")
    with dark.host.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((dark.host.v4, 2222))
        listener.listen()
        with dark.stranger.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.settimeout(3)
            assert sock.connect_ex((dark.host.v4, 2222)) == 0
    assert dark.host.ping(dark.stranger.v4) and dark.host.ping(dark.stranger.v6)
    dark.end()
