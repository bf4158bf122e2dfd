"""A network end to end with the real programs: founded, joined, ruled, and used by stock MQTT and CoAP programs."""
import contextlib
import os
import shutil
import time

import pytest
from built import built_plant

import plant as plants
from running import WorldError, is_up, stays, wait_until

pytestmark = pytest.mark.deadline(120)

POLICY = """\
allow:
  - {from: sensors, to: brokers, tcp: [1883], icmp: any}
  - {from: sensors, to: loggers, udp: [5683]}
"""
NO_MQTT = """\
allow:
  - {from: sensors, to: brokers, icmp: any}
"""


def need(*names):
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def plant():
    with built_plant() as plant:
        plant.found()
        plant.add("sensor-7", site="a", groups=["sensors"])
        plant.add("other-1", site="a")
        plant.add("broker-1", site="b", groups=["brokers", "loggers"])
        plant.publish(POLICY)
        yield plant


@contextlib.contextmanager
def broker(plant):
    """Mosquitto as Debian has it, on the broker's overlay address."""
    need("mosquitto", "mosquitto_pub", "mosquitto_sub")
    machine = plant["broker-1"]
    configuration = plant.world.dir / "mosquitto.conf"
    configuration.write_text(f"listener 1883 {machine.address()}\nallow_anonymous true\npersistence false\n"
                             f"user {os.environ.get('USER', 'root')}\n")
    log = plant.world.dir / "mosquitto.log"
    process = machine.host.popen(f"mosquitto -c {configuration}", log=log)
    wait_until(lambda: "running" in log.read_text(), 10, "mosquitto runs")
    try:
        yield machine.address()
    finally:
        plant.world.end(process)


def publish(machine, address, topic="site/a/t", message="21.5", timeout=10):
    return machine.host.run(f"timeout {timeout} mosquitto_pub -h {address} -t {topic} -m {message} -q 1", check=False,
                            timeout=timeout + 5).returncode == 0


def test_all_machines_see_one_head(plant):
    heads = {name: machine.status()["head"] for name, machine in plant.machines.items()}
    wait_until(lambda: len({machine.status()["head"]["hash"] for machine in plant.machines.values()}) == 1, 20,
               f"one head: {heads}")


def test_each_machine_is_who_it_was_invited_to_be(plant):
    for name, machine in plant.machines.items():
        status = machine.status()
        assert (status["device"], status["network"], status["up"]) == (name, "plant", True)


def test_nothing_is_wrong(plant):
    def wrong():
        return {name: machine.problems() for name, machine in plant.machines.items() if machine.problems()}
    wait_until(lambda: not wrong(), 15, f"nothing is wrong any more: {wrong()}")


def test_devices_that_a_rule_joins_reach_each_other_across_two_nats(plant):
    assert plant["sensor-7"].pings("broker-1", deadline=20)
    assert plant["broker-1"].pings("sensor-7", deadline=20)


def test_the_path_is_by_the_relay(plant):
    assert plant["sensor-7"].pings("broker-1", deadline=20)
    peer = next(peer for peer in plant["sensor-7"].status()["peers"] if peer["device"] == "broker-1")
    assert (peer["path"]["kind"], peer["path"]["relay"]) == ("relayed", "hub")


@pytest.mark.parametrize("version", [4, 6])
def test_packets_pass_as_the_rules_say(plant, version):
    assert plant["sensor-7"].host.ping(plant["broker-1"].address(version), deadline=15)
    assert not plant["broker-1"].host.ping(plant["sensor-7"].address(version), deadline=2)


@pytest.mark.parametrize("whom", ["forbidden", "nobody"])
def test_who_sends_where_no_rule_leads_is_told_within_seconds(plant, whom):
    address = plant["broker-1"].address()
    if whom == "nobody":
        address = address.rpartition(".")[0] + ".250"
    code = f"import socket; socket.create_connection(('{address}', 1883), 20)"
    started = time.monotonic()
    done = plant["other-1"].host.run(["/usr/bin/python3", "-c", code], check=False, timeout=30)
    assert "No route to host" in done.stderr, done.stderr
    assert time.monotonic() - started < 10


def test_unknown_and_forbidden_look_alike(plant):
    forbidden = plant["other-1"].nightjar("ping broker-1 -c 1", check=False, timeout=30)
    unknown = plant["other-1"].nightjar("ping broker-9 -c 1", check=False, timeout=30)
    assert forbidden.returncode == unknown.returncode == 1
    assert forbidden.stderr.replace("broker-1", "X") == unknown.stderr.replace("broker-9", "X")


def test_mqtt_passes_where_it_is_allowed(plant):
    with broker(plant) as address:
        log = plant.world.dir / "sub.log"
        subscriber = plant["sensor-7"].host.popen(f"mosquitto_sub -h {address} -t site/# -C 1 -W 30", log=log)
        try:
            wait_until(lambda: publish(plant["sensor-7"], address) and not is_up(subscriber), 30, "a message comes back")
            assert "21.5" in log.read_text()
        finally:
            plant.world.end(subscriber)


def test_mqtt_does_not_pass_where_it_is_not(plant):
    with broker(plant) as address:
        assert publish(plant["sensor-7"], address)
        assert not publish(plant["other-1"], address, timeout=4)


def test_the_broker_may_begin_nothing_toward_a_sensor(plant):
    address = plant["sensor-7"].address()
    listener = plant["sensor-7"].host.popen(f"ncat -l {address} 1883" if shutil.which("ncat") else
                                            f"nc -l {address} 1883", log=plant.world.dir / "nc.log")
    try:
        done = plant["broker-1"].host.run(["/usr/bin/python3", "-c", f"import socket\n"
                                           f"socket.create_connection(({address!r}, 1883), 3)"], check=False, timeout=10)
        assert done.returncode != 0
    finally:
        plant.world.end(listener)


def test_coap_passes_where_it_is_allowed(plant):
    need("coap-server-notls", "coap-client-notls")
    broker_1 = plant["broker-1"]
    log = plant.world.dir / "coap.log"
    server = broker_1.host.popen(f"coap-server-notls -A {broker_1.address()} -p 5683 -v 6", log=log)
    try:
        def get(machine, patience):
            return machine.host.run(f"coap-client-notls -B {patience} -m get coap://{broker_1.address()}/", check=False,
                                    timeout=patience + 5).stdout
        wait_until(lambda: "libcoap" in get(plant["sensor-7"], 3), 20, "CoAP is answered")
        assert "libcoap" not in get(plant["other-1"], 2)
    finally:
        plant.world.end(server)


def test_a_stranger_draws_nothing_from_a_member(plant):
    """No byte goes to the stranger from the tunnel's port, whatever it sends."""
    counters = [machine.host.bytes_to(plant.stranger, plants.PORT) for machine in (plant.hub,)]
    with plant.stranger.socket() as sock:
        for size in (1, 32, 64, 92, 148, 149, 1400):
            for kind in range(6):
                sock.sendto(bytes([kind]) + bytes(size - 1), (plant.hub.host.v4, plants.PORT))
    stays(lambda: all(counter.bytes == 0 for counter in counters), 1, "no byte is drawn")
    assert plant["sensor-7"].pings("broker-1")


def test_a_changed_policy_ends_what_it_no_longer_allows(plant):
    with broker(plant) as address:
        assert publish(plant["sensor-7"], address)
        log = plant.world.dir / "live.log"
        live = plant["sensor-7"].host.popen(f"stdbuf -oL mosquitto_sub -h {address} -t live -k 5 -d", log=log)
        wait_until(lambda: "SUBACK" in log.read_text(), 15, "subscribed")
        plant.publish(NO_MQTT)
        try:
            wait_until(lambda: not publish(plant["sensor-7"], address, timeout=2), 20, "no new connection")
            before = log.read_text().count("PINGRESP")
            stays(lambda: log.read_text().count("PINGRESP") <= before + 1, 8, "the live one is cut")
        finally:
            plant.world.end(live)
            plant.publish(POLICY)
        wait_until(lambda: publish(plant["sensor-7"], address), 20, "and back with the policy")


def test_it_is_all_there_after_a_restart(plant):
    sensor = plant["sensor-7"]
    head = sensor.head()
    sensor.down()
    wait_until(lambda: not sensor.pids(), 10, "down")
    assert not plant["broker-1"].pings("sensor-7", deadline=1)
    sensor.up()
    assert sensor.head() >= head
    assert sensor.pings("broker-1", deadline=20)


def test_it_is_all_there_after_the_hub_was_away(plant):
    plant.hub.down()
    wait_until(lambda: not plant.hub.pids(), 10, "down")
    with pytest.raises(WorldError):
        plant.operator.nightjar("ping hub -c 1", timeout=20)
    plant.hub.up()
    wait_until(lambda: plant["sensor-7"].pings("broker-1", deadline=3), 60, "sessions with the relay are made anew")


def test_a_controller_that_dies_is_started_anew(plant):
    (controller,) = plant.hub.pids("nightjar-controller")
    head = plant.hub.head()
    os.kill(controller, 9)
    wait_until(lambda: plant.hub.pids("nightjar-controller") not in ([], [controller]), 15, "a new controller")
    plant.publish(POLICY.replace("1883", "1883, 8883"))
    assert plant.hub.head() > head
