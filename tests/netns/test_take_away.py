"""revoke, isolate, restore and uninvite: from the command to silence, by whichever way the word travels."""
import contextlib
import json
import os
import pty
import select
import signal
import socket
import threading
import time

import noise
import plant as plants
import pytest
from built import built_plant
import statements
from running import WorldError, stays, wait_until

pytestmark = pytest.mark.deadline(90)

POLICY = """\
allow:
  - {from: sensors, to: brokers, tcp: [1883], udp: [5683], icmp: any}
  - {from: sensors, to: hub, udp: [5683], icmp: any}
  - {from: operators, to: brokers, icmp: any}
"""
SILENT_WITHIN = 2.0  # s, on a machine that is busy with other things


class Traffic:
    """Datagrams from one node to another and back every few ms, and when the last one of each way came."""

    def __init__(self, sender, receiver, port=5683):
        self.addresses = sender.address(), receiver.address()
        self.out, self.into = sender.host.socket(), receiver.host.socket()
        self.into.bind((self.addresses[1], port))
        self.out.bind((self.addresses[0], 0))
        self.target = self.addresses[1], port
        for sock in (self.out, self.into):
            sock.settimeout(0.05)
        self.last_there = self.last_back = 0.0
        self.there = self.back = 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=work) for work in (self._send, self._echo, self._hear)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.back > 20, 15, "datagrams go there and back")
        return self

    def _send(self):
        while not self.stop.wait(0.005):
            with contextlib.suppress(OSError):  # refused by policy, which ICMP tells
                self.out.sendto(os.urandom(64), self.target)

    def _echo(self):
        while not self.stop.is_set():
            with contextlib.suppress(OSError):
                data, source = self.into.recvfrom(2048)
                self.last_there, self.there = time.monotonic(), self.there + 1
                self.into.sendto(data, source)

    def _hear(self):
        while not self.stop.is_set():
            with contextlib.suppress(OSError):
                self.out.recv(2048)
                self.last_back, self.back = time.monotonic(), self.back + 1

    def last(self):
        return max(self.last_there, self.last_back)

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        self.out.close()
        self.into.close()


class Connection:
    """TCP from one node to another, over which something goes all the time."""

    def __init__(self, sender, receiver, port=1883):
        self.listener = receiver.host.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.out = sender.host.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.target = receiver.address(), port
        self.last, self.count = 0.0, 0
        self.stop = threading.Event()

    def __enter__(self):
        self.listener.bind(self.target)
        self.listener.listen()
        self.out.settimeout(5)
        self.out.connect(self.target)
        self.into, _ = self.listener.accept()
        self.into.settimeout(0.05)
        self.out.settimeout(0.05)
        self.threads = [threading.Thread(target=work) for work in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.count > 10, 10, "TCP flows")
        return self

    def _send(self):
        while not self.stop.wait(0.005):
            with contextlib.suppress(OSError):
                self.out.send(bytes(100))

    def _receive(self):
        while not self.stop.is_set():
            with contextlib.suppress(OSError):
                if self.into.recv(65536):
                    self.last, self.count = time.monotonic(), self.count + 1

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        for sock in (self.out, self.into, self.listener):
            sock.close()


class Sites:
    """The plant of these tests; each takes a sensor of its own away."""

    def __init__(self, plant):
        self.plant, self.count = plant, 0
        plant.found()
        self.broker = plant.add("broker-1", site="b", groups=["brokers"])
        plant.invite("sensor-0", groups=["sensors"])  # so that the group has a name
        plant.publish(POLICY)

    operator = property(lambda self: self.plant.operator)
    hub = property(lambda self: self.plant.hub)

    def sensor(self, site="a"):
        """A new one that reaches the broker; and what comes to its host is counted."""
        self.count += 1
        sensor = self.plant.add(f"sensor-{self.count}", site=site, groups=["sensors"])
        assert sensor.pings("broker-1"), "the control"
        sensor.heard = sensor.host.counter("input", "meta l4proto udp")
        return sensor

    def take(self, line, **options):
        """(when it was asked for, the JSON that it said)"""
        at = time.monotonic()
        done = self.operator.nightjar(f"{line} --json", timeout=30, **options)
        return at, json.loads(done.stdout)


@pytest.fixture(scope="module")
def sites():
    with built_plant() as plant:
        yield Sites(plant)


def is_deaf(sensor, seconds=2.0):
    """Nothing comes to its host any more."""
    heard = sensor.heard.bytes
    stays(lambda: sensor.heard.bytes == heard, seconds, "no byte comes")


def silent(*flows, after, within=SILENT_WITHIN):
    """The last packet of each came that soon, and none comes later."""
    time.sleep(within)
    lasts = [flow.last() if callable(flow.last) else flow.last for flow in flows]
    stays(lambda: lasts == [flow.last() if callable(flow.last) else flow.last for flow in flows], 1.0, "silence")
    assert max(lasts) - after <= within, [last - after for last in lasts]
    return max(lasts) - after


# From the command to silence

@pytest.mark.parametrize("act", ["revoke", "isolate"])
def test_flows_through_a_relay_end_at_once(sites, act):
    sensor = sites.sensor()
    with Traffic(sensor, sites.broker) as udp, Connection(sensor, sites.broker) as tcp:
        at, said = sites.take(f"{act} {sensor.name} --reason test --yes")
        took = silent(udp, tcp, after=at)
    print(f"{act}: {took:.3f} s to silence")
    assert said["act"] == act and not said["pending"] and not said["already"]
    is_deaf(sensor)


def test_direct_flows_with_a_relay_end_at_once(sites):
    sensor = sites.sensor()
    with Traffic(sensor, sites.hub) as udp:
        at, _ = sites.take(f"revoke {sensor.name} --reason test --yes")
        silent(udp, after=at)
    is_deaf(sensor)


def test_who_was_revoked_draws_nothing_with_every_key_it_knows(sites):
    sensor = sites.sensor()
    private = (sensor.state / "keys/static").read_bytes()
    public = statements.static_public(sites.hub)
    sites.take(f"revoke {sensor.name} --reason test --yes")
    sensor.down()
    with sensor.host.socket() as sock:
        sock.settimeout(0.5)
        for _ in range(4):
            sock.sendto(noise.Initiator(private, public).initiation(), (sites.hub.host.v4, plants.PORT))
            with pytest.raises(TimeoutError):
                sock.recv(2048)
    is_deaf(sensor, 1)


def test_a_revoke_counts_with_the_controller_dead(sites):
    sensor = sites.sensor()
    for pid in sites.hub.pids("nightjar-controller"):
        os.kill(pid, signal.SIGSTOP)
    try:
        with Traffic(sensor, sites.broker) as udp:
            at = time.monotonic()
            process = sites.operator.start(f"revoke {sensor.name} --reason test --yes --json")
            silent(udp, after=at)
            said = json.loads(process.communicate(timeout=30)[0])
        assert said["pending"] and process.returncode == 0
    finally:
        for pid in sites.hub.pids("nightjar-controller"):
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not sites.operator.status()["pending"], 20, "it stands once the controller is back")
    is_deaf(sensor, 1)


def direct(machine, peer):
    return any(p["device"] == peer and p["path"]["kind"] == "direct" for p in machine.status()["peers"])


def test_a_revoke_goes_from_peer_to_peer_without_any_relay(sites):
    sensor = sites.sensor(site=None)
    outside = sites.plant.add("broker-2", site=None, groups=["brokers"])
    assert sensor.pings("broker-2") and sites.operator.pings("broker-2")
    try:
        wait_until(lambda: direct(sensor, "broker-2") and direct(sites.operator, "broker-2"), 15, "direct paths", 0.3)
    except WorldError:
        pytest.skip("no direct paths here")
    sites.hub.down()
    try:
        with Traffic(sensor, outside) as udp:
            at = time.monotonic()
            process = sites.operator.start(f"revoke {sensor.name} --reason test --yes --json")
            silent(udp, after=at)
            assert json.loads(process.communicate(timeout=30)[0])["pending"]
    finally:
        sites.hub.up()
    wait_until(lambda: not sites.operator.status()["pending"], 40, "it stands once the hub is back")
    is_deaf(sensor, 1)


# There and back

def test_a_device_that_is_restored_comes_back_by_itself(sites):
    sensor = sites.sensor()
    for _ in range(2):
        with Traffic(sensor, sites.broker) as udp:
            at, _ = sites.take(f"isolate {sensor.name} --yes")
            silent(udp, after=at)
            wait_until(lambda: "revoked" in sensor.problems(), 5, "it knows")
            _, said = sites.take(f"restore {sensor.name}")
            assert not said["pending"]
            back = udp.back
            wait_until(lambda: udp.back > back + 20, 10, "both ways again")
        wait_until(lambda: "revoked" not in sensor.problems(), 5, "it knows that, too")
    assert sites.take(f"restore {sensor.name}")[1]["already"]


# Tickets

def test_a_ticket_that_was_taken_back_is_good_for_nothing(sites):
    ticket = sites.plant.invite("pump-1", groups=["sensors"])
    assert not sites.take("uninvite pump-1")[1]["pending"]
    machine = sites.plant.machine("pump-1", "a")
    heard = machine.host.counter("input", "meta l4proto udp")
    process = machine.start("join -", stdin=pty_free_input(ticket))
    stays(lambda: heard.bytes == 0 and process.poll() is None, 6, "no byte is drawn")
    process.kill()
    process.wait()
    assert sites.take("uninvite pump-1")[1]["already"]
    assert state_of(sites, "pump-1")["state"] == "uninvited"
    sites.plant.invite("pump-1")  # the name is free


def pty_free_input(text):
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    return read


def state_of(sites, name):
    return next(d for d in reversed(sites.operator.json("devices")["devices"]) if d["name"] == name)


# The command line

def test_with_the_daemon_down_it_goes_out_when_it_is_up(sites):
    sensor = sites.sensor()
    sites.operator.down()
    try:
        _, said = sites.take(f"isolate {sensor.name} --yes")
        assert said["pending"] and said["stops"]["flows"] is None
        assert sites.take(f"isolate {sensor.name} --yes")[1]["already"], "what waits counts here"
        assert sites.operator.nightjar(f"isolate {sensor.name} --yes --wait", check=False).returncode == 0
        _, said = sites.take(f"restore {sensor.name}")
        assert said["pending"] and not said["already"]
        assert sites.take(f"restore {sensor.name}")[1]["already"]
    finally:
        sites.operator.up()
    wait_until(lambda: not sites.operator.status()["pending"], 20, "both stand, one behind the other")
    assert state_of(sites, sensor.name)["state"] == "joined"
    assert sensor.pings("broker-1")


def test_it_says_what_stops(sites):
    sensor = sites.sensor()
    sites.operator.pings("broker-1")
    sites.operator.host.run(f"ping -c 1 {sites.broker.address()}")
    said = sites.operator.start("isolate broker-1 --json", start_new_session=True)
    assert said.wait(10) == 2, "nobody to ask"
    assert "--yes" in json.loads(said.communicate()[0])["error"]
    at, said = sites.take("isolate broker-1 --yes")
    sites.take("restore broker-1")
    assert {"protocol": "icmp", "peer": None, "direction": "out", "port": 0, "count": 1} in [
        {key: flow[key] for key in flow if key != "idle_s"} for flow in said["stops"]["flows"]]
    rules = {(r["direction"], r["with"]): r for r in said["stops"]["rules"]}
    assert sensor.name in rules["in", "sensors"]["devices"]
    assert set(rules["in", "sensors"]["services"]) == {"tcp/1883", "udp/5683", "icmp"}
    assert rules["in", "operators"]["devices"] == ["operator"]
    assert said["stops"]["flows_scope"] and said["warnings"] == []
    assert sensor.pings("broker-1", deadline=20)


def test_a_relay_tells_of_the_flows_that_it_carries(sites):
    sensor = sites.sensor()
    name = sites.hub.runtime("sock")
    with Traffic(sensor, sites.broker), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(name))
        sock.sendall(json.dumps({"v": 1, "cmd": "flows", "device": sensor.name}).encode() + b"\n")
        flows = json.loads(sock.makefile().readline())["flows"]
    if direct(sensor, "broker-1"):
        pytest.skip("it goes by no relay here")
    assert [(flow["protocol"], flow["peer"]) for flow in flows] == [("relayed", "broker-1")]


@pytest.mark.parametrize("line, code, words", [
    ("revoke nobody --reason x --yes", 1, "no device nobody"),
    ("revoke broker-1 --yes", 2, "--reason"),
    ("revoke hub --reason x", 2, "--yes"),
    ("uninvite broker-1", 1, "has joined"),
    ("restore broker-1", 0, "not isolated"),
    ("isolate BAD --yes", 2, "no device's name"),
])
def test_what_does_not_fit_is_said(sites, line, code, words):
    done = sites.operator.host.popen(sites.operator.command(line), stderr=-1, text=True, start_new_session=True)
    said = done.communicate(timeout=30)[1]
    assert done.returncode == code and words in said, said


def test_it_asks_on_a_terminal_and_warns_of_what_else_breaks(sites):
    def ask(line, answer):
        """(exit code, all that stood on the terminal)"""
        pid, terminal = pty.fork()
        if pid == 0:
            argv = sites.operator.host.inside(sites.operator.command(line))
            os.execvp(argv[0], argv)
        seen, answered = b"", False
        while select.select([terminal], [], [], 15)[0]:
            try:
                seen += os.read(terminal, 4096)
            except OSError:
                break
            if b"[y/N]" in seen and not answered:
                os.write(terminal, answer)
                answered = True
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode()

    sensor = sites.sensor()
    code, seen = ask(f"revoke {sensor.name} --reason test", b"n\n")
    assert code == 1 and f"Revoke {sensor.name} for good? [y/N]" in seen and "Nothing was done" in seen
    assert "may reach brokers: icmp, tcp/1883, udp/5683" in seen
    code, seen = ask("revoke hub --reason test", b"y\n")
    assert code == 2 and "only relay" in seen and "only controller" in seen and "say --yes" in seen
    code, seen = ask("revoke operator --reason test", b"y\n")
    assert code == 2 and "working on" in seen and "only operator" in seen
    code, seen = ask(f"revoke {sensor.name} --reason 'lost at the fair'", b"y\n")
    assert code == 0 and "is revoked" in seen
    device = state_of(sites, sensor.name)
    assert (device["state"], device["taken_by"], device["reason"]) == ("revoked", "revoke", "lost at the fair")
    assert sites.take(f"revoke {sensor.name} --reason again --yes")[1]["already"]
    assert "lost at the fair" in sites.operator.nightjar("devices").stdout


def test_where_no_owners_keys_are_nothing_is_asked(sites):
    done = sites.broker.nightjar("isolate sensor-1 --yes", check=False)
    assert done.returncode == 1 and "no owner's keys" in done.stderr
