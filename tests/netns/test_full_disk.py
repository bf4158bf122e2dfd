"""A controller whose disk is full refuses what it cannot keep, and takes it in once there is room."""
import contextlib
import shutil

import pytest

import plant as plants
from running import execute, stays, wait_until


@contextlib.contextmanager
def small_disk(machine, kibibytes):
    """The machine's controller on a file system of that size, while it is down; as it was, with what is new, after."""
    folder = machine.state / "controller"
    aside = machine.state / "controller.aside"
    shutil.move(folder, aside)
    folder.mkdir()
    execute(f"mount -t tmpfs -o size={kibibytes}k,mode=0700 controller {folder}")
    try:
        execute(f"cp -a {aside}/. {folder}/")
        execute(f"chown --reference={aside} {folder}")
        yield folder
    finally:
        machine.down()
        execute(f"umount {folder}")


@pytest.mark.deadline(120)
def test_what_a_full_disk_refused_stands_once_there_is_room():
    missing = plants.missing_programs()
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}")
    with plants.Plant() as plant:
        plant.found()
        plant.hub.down()
        with small_disk(plant.hub, 600) as folder:
            plant.hub.up()
            wait_until(lambda: plant.hub.pids("nightjar-controller"), 10, "the controller is there")
            wait_until(lambda: plant.operator.pings("hub", deadline=2), 40, "the operator's session is back")
            filler = folder / "filler"
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(512))
            before = plant.hub.head()
            said = plant.operator.nightjar("invite squeezed --json", check=False, timeout=40)
            stays(lambda: plant.hub.head() == before, 2, "nothing stands that is not kept")
            assert plant.hub.pids("nightjar-controller"), "and it lives"
            filler.unlink()
            wait_until(lambda: plant.hub.head() > before, 40, f"now it stands; before: {said.stdout}{said.stderr}")
            wait_until(lambda: plant.operator.head() == plant.hub.head(), 20, "and the operator's machine knows")
