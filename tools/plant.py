"""A small plant for tests, demonstrations and benchmarks: an operator's machine, a public host, two sites behind
routers with NAT (symmetric unless said otherwise, so that members meet by the hub), and a stranger on the public side; all in namespaces of a World (world.py).

    with Plant() as plant:
        plant.found()                                   # nightjar init, and join on the hub; all of them up
        plant.add("sensor-7", site="a", groups=["sensors"])
        plant.add("broker-1", site="b", groups=["brokers"])
        plant.publish(POLICY)
        assert plant["sensor-7"].pings("broker-1")

NIGHTJAR_BUILD names the folder with the programs (build/ otherwise).
"""
import ipaddress
import hashlib
import itertools
import json
import os
import subprocess
from pathlib import Path

from running import WorldError, tail, wait_until, words
from world import ROOT, World

PORT = 51820
SITES = ("office", "a", "b")


def program(name):
    return str(Path(os.environ.get("NIGHTJAR_BUILD") or ROOT / "build") / name)


def missing_programs():
    return [name for name in ("nightjar", "nightjard", "nightjar-controller") if not os.access(program(name), os.X_OK)]


NATS = {
    "symmetric": "to :20000-60000 random",  # another port toward each destination
    "home": "",                             # the inner port, toward all of them, as long as it is free
}


class Site:
    """A local network behind a router that masquerades, as NATS say, and lets nothing in by itself."""

    def __init__(self, world, internet, name, nat="symmetric"):
        self.world, self.name = world, name
        self.router = world.attach(world.router(f"{name}-nat"), internet)
        outside = self.router.device
        self.outside = self.router.v4
        self.router.rule("srcnat", f'oifname "{outside}" meta l4proto {{ tcp, udp }} masquerade {NATS[nat]}')
        self.router.rule("input", f'iifname "{outside}" ct state new counter drop')
        self.shut = self.router.rule("forward", f'iifname "{outside}" ct state != {{ established, related }} counter drop')
        self.exposed = {}

    def host(self, name):
        return self.world.attach(self.world.host(name), self.router)

    def expose(self, host):
        """An address on the public side that reaches this host, whoever sends what: the router keeps nothing out any
        more. As a network with static NAT has them."""
        if not self.exposed:
            self.shut.remove()
        if host not in self.exposed:
            address = str(ipaddress.ip_address(self.outside) + 100 + len(self.exposed))
            self.router.add_address(self.router.device, f"{address}/24")
            self.router.rule("dstnat", f'iifname "{self.router.device}" ip daddr {address} dnat ip to {host.v4}')
            self.exposed[host] = address
        return self.exposed[host]


class Machine:
    """A host with a nightjar STATE. Commands run in its namespace, as they would on a machine of its own."""

    def __init__(self, plant, host, name=None):
        self.plant, self.host, self.name = plant, host, name or host.name
        self.state = plant.world.dir / f"state-{host.name}"

    def command(self, line):
        return ["env", f"NIGHTJAR_STATE={self.state}", program("nightjar"), *words(line)]

    def nightjar(self, line, *, check=True, timeout=75, input=None):
        """One command to its end; WorldError with what it said if it fails and `check`."""
        return self.host.run(self.command(line), check=check, timeout=timeout, input=input)

    def start(self, line, **options):
        """The same without waiting."""
        return self.host.popen(self.command(line), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def json(self, line, **options):
        return json.loads(self.nightjar(f"{line} --json", **options).stdout)

    def join(self, ticket, **options):
        return self.nightjar("join -", input=ticket, **options)

    def up(self, options=""):
        self.nightjar(f"up {options}", timeout=30)
        return self

    def down(self):
        return self.nightjar("down", check=False, timeout=30)

    def status(self):
        return self.json("status", timeout=15)

    def head(self):
        return self.status()["head"]["index"]

    def problems(self):
        return {problem["code"] for problem in self.status()["problems"]}

    def has_policy(self, version):
        """Whether that version is in force here, with all of its rules that concern it."""
        status = self.status()
        return status["policy_version"] >= version and "policy-incomplete" not in {p["code"] for p in status["problems"]}

    def addresses(self):
        return self.status()["addresses"]

    def address(self, version=4):
        return next(a.split("/")[0] for a in self.addresses() if (":" in a) == (version == 6))

    def pings(self, device, deadline=10):
        """Whether an answer came through the tunnel in that time."""
        def once():
            return self.nightjar(f"ping {device} -c 1", check=False, timeout=15).returncode == 0
        try:
            return wait_until(once, deadline=deadline, every=0.3, what=f"{self.name} pings {device}")
        except WorldError:
            return False

    def pids(self, role=None):
        """Of its daemon's processes; `role` as in --role=, or a program's name."""
        found = []
        for pid in self.host.pids():
            try:
                argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            except OSError:
                continue
            what = Path(argv[0]).name
            if what not in ("nightjard", "nightjar-controller"):
                continue
            if role in (None, what) or f"--role={role}" in argv:
                found.append(pid)
        return found

    def runtime(self, suffix):
        """A file of its daemon in /run/nightjar, which are named by the STATE's real path."""
        name = hashlib.sha256(os.path.realpath(self.state).encode()).hexdigest()[:16]
        return Path("/run/nightjar") / f"{name}.{suffix}"

    def log(self):
        """The end of its daemon's log."""
        return f"--- {self.name}\n{tail(self.runtime('log'))}"

    def clean_up(self):
        """What a daemon leaves behind that was killed."""
        for suffix in ("log", "sock"):
            self.runtime(suffix).unlink(missing_ok=True)


class Plant:
    def __init__(self, world=None, nat="symmetric"):
        self.own_world = world is None
        self.world = world or World()
        self.machines = {}
        self._serial = itertools.count(1)
        try:
            self.internet = self.world.router("internet")
            self.sites = {name: Site(self.world, self.internet, name, nat) for name in SITES}
            self.operator = self._machine(self.sites["office"].host("operator"))
            self.hub = self._machine(self.world.attach(self.world.host("hub"), self.internet))
            self.stranger = self.world.stranger(self.internet)
        except BaseException:
            self.close()
            raise

    def _machine(self, host, name=None):
        machine = Machine(self, host, name)
        self.world.more_logs.append(machine.log)
        self.world.clean_ups.append(machine.clean_up)
        self.machines[machine.name] = machine
        return machine

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getitem__(self, name):
        return self.machines[name]

    def close(self):
        if self.own_world:
            self.world.close()

    endpoint = property(lambda self: f"{self.hub.host.v4}:{PORT}")

    def adopt(self, host):
        """A machine that is no member yet, on a host that was wired by the caller."""
        return self._machine(host)

    # a network

    def init(self):
        """The founding ticket."""
        ticket = self.operator.nightjar(f"init plant --endpoint {self.endpoint} --no-passphrase").stdout
        return ticket

    def found(self, up=""):
        ticket = self.init()
        self.hub.join(ticket)
        self.hub.up(up)
        self.operator.up(up)
        wait_until(lambda: self.operator.head() == self.hub.head(), 20, "the operator's machine sees the hub's join")
        return self

    def invite(self, name, *, groups=(), options=""):
        """A ticket."""
        line = " ".join(["invite", name, *(f"--group {group}" for group in groups), options])
        return self.operator.nightjar(line, timeout=30).stdout

    def site(self, name, nat):
        """One more."""
        self.sites[name] = Site(self.world, self.internet, name, nat)

    def machine(self, name, site=None):
        """A machine that is no member yet: at a site, or (None) on the public side."""
        host = self.sites[site].host(name) if site else self.world.attach(self.world.host(name), self.internet)
        return self._machine(host, name)

    def add(self, name, *, site, groups=(), up="", options=""):
        """Invites, joins and brings up a machine."""
        machine = self.machine(name, site)
        machine.join(self.invite(name, groups=groups, options=options))
        return machine.up(up)

    def publish(self, policy):
        """Publishes a policy, and waits until every machine that is up has it."""
        path = self.world.dir / f"policy-{next(self._serial)}.yaml"
        path.write_text(policy)
        self.operator.nightjar(f"policy publish {path}", timeout=30)
        version = self.operator.status()["policy_version"]
        for machine in self.machines.values():
            if machine.pids():
                wait_until(lambda: machine.has_policy(version), 20, f"{machine.name} has the policy")

    def logs(self):
        return "\n".join(machine.log() for machine in self.machines.values())


__all__ = ["Machine", "PORT", "Plant", "Site", "missing_programs", "program", "wait_until"]
