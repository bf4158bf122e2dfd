"""A trial: operator, controller and relay in one (init --all-on-this-host), and one more machine behind a router."""
import pytest

import plant as plants
from running import wait_until

POLICY = """\
allow:
  - {from: operators, to: all, icmp: any}
"""


@pytest.mark.deadline(120)
def test_one_host_is_enough_to_begin_with():
    missing = plants.missing_programs()
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}")
    with plants.Plant() as plant:
        hub = plant.hub
        hub.nightjar(f"init trial --endpoint {plant.endpoint} --no-passphrase --all-on-this-host")
        hub.up()
        assert hub.status()["device"] == "operator"
        ticket = hub.nightjar("invite pump-1", timeout=30).stdout
        pump = plant.machine("pump-1", "a")
        pump.join(ticket)
        pump.up()
        path = plant.world.dir / "policy.yaml"
        path.write_text(POLICY)
        hub.nightjar(f"policy publish {path}", timeout=30)
        wait_until(lambda: pump.has_policy(2), 20, "the policy is in force")
        assert hub.pings("pump-1", deadline=20)
        assert hub.host.ping(pump.address(), deadline=10)
        assert not pump.host.ping(hub.address(), deadline=2)
        hub.down()
        hub.up()
        wait_until(lambda: hub.pings("pump-1", deadline=3), 60, "and after a restart")
