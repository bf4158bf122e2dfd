"""What an operator sees: can, policy test and diff, doctor and devices, on a plant where things are broken one at a
time."""
import json
import subprocess

import pytest
from built import built_plant

import plant as plants
from plant import wait_until

pytestmark = pytest.mark.deadline(150)
POLICY = """\
allow:
  - {from: operators, to: all, icmp: any}
  - {from: sensors, to: brokers, tcp: [1883, "9000-9010"]}
tests:
  - {can: sensors, tcp: 1883, to: brokers}
  - {cannot: brokers, tcp: 1883, to: sensors}
"""


@pytest.fixture(scope="module")
def plant():
    with built_plant() as plant:
        plant.found(up="--darken")
        plant.add("sensor-7", site="a", groups=["sensors"], up="--darken")
        plant.add("broker-1", site="b", groups=["brokers"], up="--darken")
        plant.invite("sensor-8", groups=["sensors"])
        plant.publish(POLICY)
        yield plant


def asks(machine, line, code=0):
    done = machine.nightjar(line, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


# can

def test_a_yes_names_the_rule_and_its_line(plant):
    out = asks(plant.operator, "can sensor-7 tcp 1883 broker-1")
    assert out.startswith("yes\n") and "sensors -> brokers: tcp 1883, 9000-9010 (line 3)" in out
    answer = json.loads(asks(plant.operator, "can sensor-7 tcp 9005 broker-1 --json"))
    assert answer["can"] and answer["rule"]["line"] == 3 and answer["rule"]["version"] == answer["policy_version"]
    asks(plant.operator, "can operator icmp sensor-7")


@pytest.mark.parametrize("line, code", [
    ("can sensor-7 tcp 22 broker-1", "other-ports"), ("can broker-1 tcp 1883 sensor-7", "other-way"),
    ("can sensor-7 udp 5683 hub", "no-rule"), ("can sensor-8 tcp 1883 broker-1", "not-joined"),
    ("can nobody tcp 1883 broker-1", "unknown")])
def test_a_no_says_what_comes_nearest(plant, line, code):
    answer = json.loads(asks(plant.operator, f"{line} --json", code=1))
    assert answer["ok"] and not answer["can"] and code in [reason["code"] for reason in answer["reasons"]]
    assert asks(plant.operator, line, code=1).startswith("no\n")


def test_of_a_message_the_truth_is_told(plant):
    out = asks(plant.operator, "can sensor-7 publish site/a/t broker-1")
    assert out.startswith("yes\n") and "Rules about messages do not exist yet" in out
    asks(plant.operator, "can sensor-7 coap /log broker-1", code=1)


def test_a_group_means_all_of_its_members(plant):
    asks(plant.operator, "can sensors tcp 1883 brokers")
    asks(plant.operator, "can all icmp all", code=1)


def test_a_member_answers_for_itself_and_not_for_what_it_does_not_hold(plant):
    assert asks(plant["sensor-7"], "can sensor-7 tcp 1883 broker-1").startswith("yes\n")
    out = asks(plant["sensor-7"], "can broker-1 tcp 22 operator", code=1)
    assert out.startswith("no\n") and "does not hold all rules" in out


def test_an_isolated_device_can_nothing_and_is_told_so(plant):
    plant.operator.nightjar("isolate sensor-7 --yes", timeout=40)
    try:
        wait_until(lambda: plant.operator.nightjar("can sensor-7 tcp 1883 broker-1", check=False).returncode == 1, 10,
                   "it can no more")
        assert "sensor-7 is isolated." in asks(plant.operator, "can sensor-7 tcp 1883 broker-1", code=1)
        assert any(line.startswith("sensor-7 ") and " isolated " in line
                   for line in asks(plant.operator, "devices").splitlines())
        wait_until(lambda: plant["sensor-7"].nightjar("doctor", check=False).returncode == 1, 60,
                   "its own doctor finds that something is wrong", every=2)
    finally:
        plant.operator.nightjar("restore sensor-7", timeout=40)
    wait_until(lambda: plant.operator.nightjar("can sensor-7 tcp 1883 broker-1", check=False).returncode == 0, 20,
               "it can again")


def test_what_can_says_is_what_happens(plant):
    sensor, broker = plant["sensor-7"], plant["broker-1"]
    address = broker.address()
    listener = broker.host.popen(["timeout", "30", "python3", "-c", "import socket,time\n"
                                  "for p in (1883, 22):\n s=socket.create_server(('', p)); globals()[f's{p}']=s\n"
                                  "time.sleep(30)"])
    try:
        def connects(port):
            return sensor.host.run(["timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"],
                                   check=False).returncode == 0
        wait_until(lambda: connects(1883), 10, "the rule lets it through")
        assert not connects(22)
    finally:
        listener.kill()
        listener.wait()


# policy test and diff

def test_a_policy_that_fails_its_own_tests_is_not_published(plant):
    path = plant.world.dir / "failing.yaml"
    path.write_text(POLICY.replace("cannot: brokers, tcp: 1883", "cannot: sensors, tcp: 9000").replace(
        "to: sensors}", "to: brokers}"))
    version = plant.operator.status()["policy_version"]
    done = plant.operator.nightjar(f"policy publish {path}", check=False)
    assert done.returncode == 1 and f"{path}:6:5: sensors should not be able to begin tcp 9000 with brokers" in done.stderr
    assert plant.operator.status()["policy_version"] == version
    assert plant.operator.nightjar(f"policy check {path}", check=False).returncode == 1
    assert plant.operator.nightjar(f"policy test {path}", check=False).returncode == 1


def test_diff_tells_rules_and_effect(plant):
    path = plant.world.dir / "same.yaml"
    path.write_text(POLICY)
    assert json.loads(asks(plant.operator, f"policy diff {path} --json"))["same"]
    path.write_text(POLICY.replace("9000-9010", "9000-9011").replace("to: all, icmp", "to: brokers, icmp"))
    out = asks(plant.operator, f"policy diff {path}", code=1)
    assert "+ sensor-7 -> broker-1: tcp 9011" in out and "- operator -> sensor-7: icmp any" in out
    assert "operator -> broker-1" not in out, "what stays is not told"


# devices

def test_devices_are_sorted_and_aligned(plant):
    lines = asks(plant.operator, "devices").splitlines()[1:]
    names = [line.split()[0] for line in lines]
    assert names == sorted(names) and {"operator", "hub", "sensor-7", "sensor-8", "broker-1"} <= set(names)
    assert len({line.index(line.split()[1]) for line in lines}) == 1


# doctor

def checks(machine, code=None):
    done = machine.nightjar("doctor --json", check=False)
    assert code is None or done.returncode == code, done.stdout
    return {check["check"]: check for check in json.loads(done.stdout)["checks"]}


def fails(machine, check):
    found = checks(machine, code=1)
    assert found[check]["result"] == "FAIL" and found[check]["cause"] and found[check]["todo"], found[check]


def test_on_a_sound_node_nothing_fails(plant):
    for machine in (plant.operator, plant["sensor-7"], plant.hub):
        wait_until(lambda: machine.nightjar("doctor", check=False).returncode == 0, 15, "the doctor is content")
        found = checks(machine, code=0)
        for check in ("state", "permissions", "ledger", "daemon", "member", "relays", "policy", "port", "strangers",
                      "interface", "uplinks"):
            assert found[check]["result"] == "ok", found[check]
        assert found["processes"]["result"] in ("ok", "warn"), found["processes"]


def test_an_open_key_is_seen(plant):
    key = plant["sensor-7"].state / "keys/signing"
    key.chmod(0o644)
    try:
        fails(plant["sensor-7"], "permissions")
    finally:
        key.chmod(0o600)
    assert checks(plant["sensor-7"])["permissions"]["result"] == "ok"


def test_rules_that_somebody_removed_are_seen(plant):
    broker = plant["broker-1"]
    table = f"nightjar_{broker.runtime('sock').stem[:8]}"
    rules = broker.host.run(["nft", "list", "table", "inet", table]).stdout
    broker.host.run(["nft", "delete", "table", "inet", table])
    try:
        fails(broker, "strangers")
    finally:
        broker.host.run(["nft", "-f", "-"], input=rules)
    assert checks(broker)["strangers"]["result"] == "ok"


def test_a_full_disk_is_seen(plant):
    small = plant.world.dir / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        subprocess.run(["cp", "-a", f"{plant['sensor-7'].state}/.", small], check=True)
        done = plant["sensor-7"].host.run([plants.program("nightjar"), "doctor", "--json", "--state", small], check=False)
        found = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
        assert found["disk"]["result"] == "FAIL" and found["daemon"]["result"] == "FAIL"
    finally:
        subprocess.run(["umount", small], check=True)


def test_an_uplink_that_is_down_is_seen(plant):
    sensor = plant["sensor-7"]
    sensor.host.run(["ip", "link", "set", sensor.host.device, "down"])
    try:
        fails(sensor, "uplinks")
    finally:
        sensor.host.run(["ip", "link", "set", sensor.host.device, "up"])
        sensor.host.route_out(sensor.host.ends[0])


def test_a_killed_daemon_is_seen_and_so_is_one_that_is_down(plant):
    broker = plant["broker-1"]
    broker.host.run(["kill", "-9", *broker.pids()])
    fails(broker, "daemon")
    broker.down()
    fails(broker, "daemon")
    assert checks(broker)["processes"]["result"] == "skipped"
    broker.up("--darken")
    wait_until(lambda: broker.nightjar("doctor", check=False).returncode == 0, 20, "the doctor is content again")


def test_a_hub_that_is_gone_is_seen(plant):
    plant.hub.down()
    try:
        wait_until(lambda: checks(plant["sensor-7"])["relays"]["result"] == "FAIL", 60, "the relay is missed", every=2)
        assert checks(plant["sensor-7"])["no-relay"]["todo"]
    finally:
        plant.hub.up("--darken")
    wait_until(lambda: plant["sensor-7"].nightjar("doctor", check=False).returncode == 0, 60, "all is well again", every=2)
