"""The daemon under what its systemd unit imposes, as far as that can be had without systemd."""
import re
import shutil
import socket
from pathlib import Path

import plant as plants
import pytest
from running import is_up, tail, wait_until
from world import ROOT, World

pytestmark = pytest.mark.deadline(60)

UNIT = (ROOT / "dist/nightjar.service.in").read_text()
# ProtectSystem=strict, ProtectHome, PrivateTmp; what ReadWritePaths and RuntimeDirectory name is put back.
HARDEN = """\
set -e
mkdir -p /run/nightjar
mount --make-rprivate /
for path in {writable} /run/nightjar; do mount --bind $path $path; done
mount -o remount,bind,ro /
mount -t tmpfs -o mode=0700 tmpfs /root
prlimit --core=0 --pid $$
prlimit --memlock=unlimited --pid $$ || echo "no right to lift the limit on locked memory here"
exec "$@"
"""


def setting(name):
    return re.search(rf"^{name}=(.*)$", UNIT, re.M)[1]


@pytest.fixture
def world():
    missing = plants.missing_programs()
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}")
    with World() as world:
        yield world


def test_what_is_tried_here_is_what_the_unit_says():
    assert setting("ProtectSystem") == "strict" and setting("ProtectHome") == "yes"
    assert setting("LimitCORE") == "0" and setting("LimitMEMLOCK") == "infinity"
    assert setting("ReadWritePaths") == "/var/lib/nightjar" and setting("RuntimeDirectory") == "nightjar"


def test_it_becomes_ready_confined_and_dark_and_ends_in_order(world):
    host = world.host("trial")
    state, notices = world.dir / "state", world.dir / "notify"
    # The unit hides /root, where the build may be.
    for name in ("nightjar", "nightjard", "nightjar-controller"):
        shutil.copy(plants.program(name), world.dir)
    nightjar = ["env", f"NIGHTJAR_STATE={state}", world.dir / "nightjar"]
    host.run([*nightjar, "init", "plant", "--all-on-this-host", "--endpoint", "10.9.9.9:51820", "--no-passphrase"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(notices))
        notify.settimeout(20)
        log = world.dir / "unit.log"
        daemon = host.popen(["unshare", "-m", "sh", "-c", HARDEN.format(writable=state), "sh", world.dir / "nightjard",
                             "--foreground", "--state", state, "--darken"], log=log, env={"NOTIFY_SOCKET": str(notices)})
        assert b"READY=1" in notify.recv(1024), tail(log)
    doctor = host.run([*nightjar, "doctor"], check=False).stdout
    assert re.search(r"^ok +processes ", doctor, re.M), doctor
    for pid in host.pids():
        status, command = (Path(f"/proc/{pid}/{name}").read_text() for name in ("status", "cmdline"))
        if "--role=" in command:
            assert "\nSeccomp:\t2\n" in status and "\nNoNewPrivs:\t1\n" in status, command
    daemon.terminate()
    wait_until(lambda: not is_up(daemon), 10, "it ends")
    assert daemon.returncode == 0, tail(log)

