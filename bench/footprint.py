"""What one node costs, and how soon a new one is of use. Each returns {quantity: value}."""
import re
import struct
import time
from pathlib import Path

from world import WorldError

PAGE = 4096
PRESENT, PFN = 1 << 63, (1 << 55) - 1
PATIENCE = 20  # seconds, for the first answer
ROLES = {"parent": None, "keys": "keys", "engine": "engine", "state": "state"}


def pages(pid):
    """The physical pages that a process has mapped, by number."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for line in maps:
            start, end = (int(part, 16) // PAGE for part in line.split()[0].split("-"))
            if "[v" in line:  # vvar, vdso, vsyscall: the kernel's
                continue
            pagemap.seek(start * 8)
            entries = pagemap.read((end - start) * 8)
            found |= {entry & PFN for (entry,) in struct.iter_unpack("Q", entries) if entry & PRESENT and entry & PFN}
    return found


def by_role(machine):
    """{role: process number}."""
    children = {role: machine.pids(name) for role, name in ROLES.items() if name}
    everyone = set(machine.pids("nightjard"))
    children["parent"] = sorted(everyone - {pid for pids in children.values() for pid in pids})
    if any(len(pids) != 1 for pids in children.values()):
        raise WorldError(f"{machine.name}: not one process of each role: {children}")
    return {role: children[role][0] for role in ROLES}


def memory(machine, when):
    """All pages that a node's processes have mapped, each counted once: what PSS would add up to if nobody else on the
    machine used the same program or libraries. And of each process, what it has for itself."""
    held = {role: pages(pid) for role, pid in by_role(machine).items()}
    values = {f"node {when}": len(set().union(*held.values())) * PAGE / 1e6}
    for role, own in held.items():
        others = set().union(*(theirs for other, theirs in held.items() if other != role))
        values[f"node {role} {when}"] = len(own - others) * PAGE / 1e6
    return values


def switches(pid):
    """How often the threads of a process were given a processor since they had waited."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)[1])
    return total


def wakeups(machine, seconds):
    """Of all of a node's processes in a minute, while nothing is asked of it."""
    pids = by_role(machine).values()
    before = sum(map(switches, pids))
    time.sleep(seconds)
    return {"wakeups": (sum(map(switches, pids)) - before) * 60 / seconds}


def join(plant, name, target, groups):
    """Seconds from `nightjar join` to the first answer of `target`, an address, to an ordinary ping."""
    ticket = plant.invite(name, groups=groups)
    machine = plant.machine(name, "a")
    start = time.monotonic()
    machine.join(ticket)
    joined = time.monotonic()
    machine.up()
    up = time.monotonic()
    if machine.host.run(f"ping -n -q -c 1 -i 0.01 -w {PATIENCE} {target}", check=False).returncode != 0:
        raise WorldError(f"{name}: no answer within {PATIENCE} s\n{machine.log()}")
    end = time.monotonic()
    machine.down()
    return {"join": end - start, "join only": joined - start, "join up": up - joined, "join answer": end - up}
