"""Worlds of network namespaces, for tests, demonstrations and benchmarks.

    with World() as world:
        router = world.router("r")
        a, b = world.attach(world.host("a"), router), world.attach(world.host("b"), router)
        left = world.node(a, "wg-peer", ["10.9.0.1/24"])
        right = world.node(b, "wireguard-go", ["10.9.0.2/24"])
        link(left, right)
        assert a.ping("10.9.0.2")

All that a World makes lives in namespaces of its own (nj<pid>-<serial>-<host>) and is gone when it closes: at the end
of the block, on an exception, on SIGINT and on SIGTERM. Needs root, iproute2, util-linux, nftables, wireguard-tools.
"""
import atexit
import base64
import contextlib
import ctypes
import ipaddress
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from running import WorldError, execute, is_up, stays, tail, version_of, wait_until, words

__all__ = ["World", "WorldError", "Host", "Node", "endpoint_text", "execute", "host_routes", "is_up", "link",
           "private_key", "public_key", "stays", "tail", "to_hex", "version_of", "wait_until", "wg_peer"]
ROOT = Path(__file__).resolve().parent.parent
UAPI_DIR = Path("/var/run/wireguard")
CLONE_NEWNET = 0x40000000
_serial = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


class World:
    """Hosts, wires between them, and what runs in them. Use as a context manager."""

    def __init__(self):
        if os.geteuid() != 0:
            raise WorldError("making network namespaces needs root")
        self.prefix = f"nj{os.getpid()}-{next(_serial)}"
        self.dir = Path(tempfile.mkdtemp(prefix="nj-world-"))
        self.hosts, self.nodes, self.processes = {}, [], []
        self.more_logs, self.clean_ups = [], []  # of those who build on this: called by logs() and close()
        self._wires = itertools.count(1)
        self._old_handler = None
        self.closed = False
        atexit.register(self.close)

    def __enter__(self):
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._old_handler = signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(self, *_):
        self.close()

    def host(self, name):
        """A new namespace with a loopback interface."""
        return Host(self, name)

    def router(self, name="router"):
        """A host that forwards IPv4 and IPv6."""
        host = self.host(name)
        host.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        return host

    def wire(self, a, b, *, mtu=1500, names=None, subnets=None, gso=True):
        """A veth pair with .1 and .2 (::1 and ::2) of its subnets; returns the two ends.

        With gso=False, trains of segments are cut into packets before they travel, as on a real wire: what
        drops, counts or captures packets then sees each one.
        """
        number = next(self._wires)
        subnets = subnets or (f"10.77.{number}.0/24", f"fd77:{number}::/64")
        names = names or (a.free_name(b), b.free_name(a))
        execute(f"ip link add {names[0]} netns {a.ns} type veth peer name {names[1]} netns {b.ns}")
        ends = []
        for host, device, place in ((a, names[0], 1), (b, names[1], 2)):
            end = End(host, device, [f"{net[place]}/{net.prefixlen}" for net in map(ipaddress.ip_network, subnets)])
            host.ip(f"link set {device} mtu {mtu} {'' if gso else 'gso_max_segs 1'} up")
            for address in end.addresses:
                host.add_address(device, address)
            host.ends.append(end)
            ends.append(end)
        return ends

    def attach(self, host, router, **wire_options):
        """Wire a host to a router and send all it has that way; returns the host."""
        near, far = self.wire(host, router, **wire_options)
        host.gateway = far
        host.route_out(near)
        return host

    def stranger(self, router, name="stranger"):
        """Somebody one router away who was never told anything."""
        return self.attach(self.host(name), router)

    def node(self, host, kind, addresses=(), **options):
        """Start a WireGuard implementation in a host; see Node."""
        node = Node(self, host, kind, addresses, **options)
        self.nodes.append(node)
        node.start()
        return node

    def iperf3(self, server, client, address, *options, timeout=30):
        """One iperf3 run to `address` of the server host; returns its report as a dict."""
        log = self.dir / f"iperf3-{next(_serial)}.log"
        process = server.popen(["iperf3", "-s", "-1", "--forceflush", "-B", address], log=log)
        wait_until(lambda: "listening" in log.read_text(), what="iperf3 server listens")
        try:
            done = client.run(["iperf3", "-c", address, "-J", *options], timeout=timeout, check=False)
        finally:
            self.end(process)
        report = json.loads(done.stdout)
        if "error" in report:
            raise WorldError(f"iperf3 to {address}: {report['error']}")
        return report

    def logs(self, lines=40):
        """The end of every node's log, for a report of what failed."""
        return "\n".join([f"--- {node.title}\n{tail(node.log, lines)}" for node in self.nodes]
                         + [more() for more in self.more_logs])

    def end(self, process, grace=3.0):
        """Ask a process to end, then make it."""
        if is_up(process):
            process.terminate()
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.processes:
            self.processes.remove(process)

    def close(self):
        """End all processes, delete all namespaces and files. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        with _signals_held():
            for process in self.processes:
                process.terminate()
            for process in list(self.processes):
                self.end(process)
            for host in self.hosts.values():
                host.delete()
            for node in self.nodes:  # a process that was killed leaves its socket
                (UAPI_DIR / f"{node.ifname}.sock").unlink(missing_ok=True)
            for clean_up in self.clean_ups:
                clean_up()
            shutil.rmtree(self.dir, ignore_errors=True)
        atexit.unregister(self.close)
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)


def _interrupt(_number, _frame):
    # pytest takes SystemExit for a failed test and goes on; KeyboardInterrupt ends the run and its fixtures.
    raise KeyboardInterrupt


@contextlib.contextmanager
def _signals_held():
    """Let no signal cut a clean-up in half; it is delivered afterwards."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGALRM}
    old = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


class End:
    """One end of a wire: its host, device and addresses with prefix length (IPv4 first)."""

    def __init__(self, host, device, addresses):
        self.host, self.device, self.addresses = host, device, addresses

    def address(self, version):
        return next(a.split("/")[0] for a in self.addresses if version_of(a) == version)

    v4 = property(lambda self: self.address(4))
    v6 = property(lambda self: self.address(6))


class Host:
    """A network namespace. `name` is its name in its World, `ns` the real one."""

    def __init__(self, world, name):
        self.world, self.name, self.ns = world, name, f"{world.prefix}-{name}"
        self.path = f"/run/netns/{self.ns}"
        self.ends = []
        self.gateway = None
        self._table = False
        world.hosts[name] = self  # before it exists, so that an interruption can't lose it
        execute(f"ip netns add {self.ns}")
        self.sysctl("net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0",
                    "net.ipv6.conf.default.keep_addr_on_down=1", "net.ipv6.conf.all.keep_addr_on_down=1",
                    "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
                    "net.ipv4.ping_group_range=0 2147483647")
        self.ip("link set lo up")

    v4 = property(lambda self: self.ends[0].v4, doc="IPv4 address on the first wire")
    v6 = property(lambda self: self.ends[0].v6, doc="IPv6 address on the first wire")
    device = property(lambda self: self.ends[0].device, doc="this host's device on the first wire")

    def address(self, version):
        return self.ends[0].address(version)

    def free_name(self, other):
        taken = {end.device for end in self.ends}
        names = (f"to-{other.name}"[:12] + suffix for suffix in ["", *map(str, range(2, 100))])
        return next(name for name in names if name not in taken)

    def inside(self, command):
        # nsenter, not `ip netns exec`: the latter gives each command a mount namespace of its own.
        return ["nsenter", f"--net={self.path}", *words(command)]

    def run(self, command, **options):
        """execute() in this host."""
        return execute(self.inside(command), **options)

    def popen(self, command, *, log=None, env=None, **options):
        """Start a process here; the World ends it. With `log`, both outputs go to that file."""
        if self.world.closed:
            raise WorldError(f"{self.ns} is gone")
        environment = {**os.environ, **(env or {})}
        if log is None:
            process = subprocess.Popen(self.inside(command), env=environment, **options)
        else:
            with open(log, "ab") as file:
                process = subprocess.Popen(self.inside(command), env=environment, stdin=subprocess.DEVNULL,
                                           stdout=file, stderr=subprocess.STDOUT, **options)
        self.world.processes.append(process)
        return process

    def ip(self, arguments, **options):
        return execute(["ip", "-n", self.ns, *words(arguments)], **options)

    def sysctl(self, *settings):
        self.run(["sysctl", "-q", "-w", *settings])

    def add_address(self, device, address):
        self.ip(f"address add {address} dev {device}" + (" nodad" if version_of(address) == 6 else ""))

    def remove_address(self, device, address):
        self.ip(f"address del {address} dev {device}")

    def route(self, target, *, via=None, device=None, options=""):
        family = "-6" if version_of(via if target == "default" else target) == 6 else "-4"
        self.ip(f"{family} route replace {target}" + (f" via {via}" if via else "")
                + (f" dev {device}" if device else "") + f" {options}")

    def route_out(self, end):
        """Send everything to the router that this host was attached to."""
        for address in self.gateway.addresses:
            self.route("default", via=address.split("/")[0], device=end.device)

    def change_address(self, new):
        """Replace the address of the same family on the first wire, as a new lease would."""
        end = self.ends[0]
        old = next(address for address in end.addresses if version_of(address) == version_of(new))
        self.remove_address(end.device, old)
        self.add_address(end.device, new)
        end.addresses[end.addresses.index(old)] = new
        self.route_out(end)

    def has_interface(self, device):
        return self.ip(f"link show {device}", check=False).returncode == 0

    def pids(self):
        return [int(pid) for pid in execute(f"ip netns pids {self.ns}", check=False).stdout.split()]

    def ping(self, address, *, count=1, size=56, deadline=5, interval=0.2, options=""):
        """Whether `count` echoes came back within `deadline` seconds; asks again until then."""
        return self.run(f"ping -n -q -c {count} -w {deadline} -i {interval} -s {size} {options} {address}",
                        check=False, timeout=deadline + 5).returncode == 0

    def ping_times(self, address, *, count=300, size=56, interval=0.002):
        """Round trips in milliseconds of the echoes that came back."""
        command = f"ping -n -c {count} -i {interval} -s {size} -w {5 + 2 * count * interval:.0f} {address}"
        answer = self.run(command, check=False, timeout=10 + 2 * count * interval).stdout
        return [float(time) for time in re.findall(r"time=([\d.]+) ms", answer)]

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_DGRAM, protocol=0):
        """A socket that lives in this namespace, for use in the calling process."""
        made = []

        def enter_and_make():
            with open(self.path, "rb") as namespace:
                if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {self.path}")
            made.append(socket.socket(family, kind, protocol))

        # setns moves one thread: a short-lived one, so that the caller stays where it is.
        thread = threading.Thread(target=enter_and_make)
        thread.start()
        thread.join()
        if not made:
            raise WorldError(f"no socket in {self.ns}")
        return made[0]

    # nftables: one table, a chain for each hook, rules that can be taken back

    def nft(self, text):
        return self.run("nft -e -a -f -", input=text)

    def _chains(self):
        if self._table:
            return
        hooks = {"prerouting": -150, "input": 0, "forward": 0, "output": 0, "postrouting": 150}
        chains = "".join(f"chain {hook} {{ type filter hook {hook} priority {priority}; }}\n"
                         for hook, priority in hooks.items())
        nat = ("chain dstnat { type nat hook prerouting priority -100; }\n"
               "chain srcnat { type nat hook postrouting priority 100; }\n")
        self.nft(f"table inet nj {{\n{chains}{nat}}}\n")
        self._table = True

    def rule(self, chain, text):
        """Add a rule to prerouting, input, forward, output, postrouting, dstnat or srcnat."""
        self._chains()
        return Rule(self, chain, text)

    def drop(self, chain, match="meta l4proto udp"):
        return self.rule(chain, f"{match} counter drop")

    def lose(self, chain, percent, match="meta l4proto udp"):
        """Drop each matching packet with this probability (0.01 % at the finest)."""
        return self.rule(chain, f"{match} numgen random mod 10000 < {round(percent * 100)} counter drop")

    def counter(self, chain, match):
        """Count matching packets from now on."""
        return self.rule(chain, f"{match} counter")

    def bytes_to(self, stranger, port, chain="postrouting"):
        """Counter of what leaves this host's UDP port, or quotes it in an ICMP error, toward another host."""
        # The quoted destination port stands 2 bytes into the UDP header, behind ICMP's 8 bytes and the quoted IP's.
        return Counters([self.counter(chain, match) for match in (
            f"ip daddr {stranger.v4} udp sport {port}", f"ip6 daddr {stranger.v6} udp sport {port}",
            f"ip daddr {stranger.v4} icmp type destination-unreachable @th,240,16 {port}",
            f"ip6 daddr {stranger.v6} icmpv6 type destination-unreachable @th,400,16 {port}")])

    def masquerade(self, device):
        """NAT everything that leaves through `device`, with ports that tell nothing of the inner ones."""
        return self.rule("srcnat", f'oifname "{device}" meta l4proto {{ tcp, udp }} masquerade to :20000-60000 random')

    def delete(self):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        execute(f"ip netns del {self.ns}", check=False)


class Rule:
    """An nftables rule in force; its counter, if it has one, reads as packets and bytes."""

    def __init__(self, host, chain, text):
        self.host, self.chain, self.text = host, chain, text
        echoed = host.nft(f"add rule inet nj {chain} {text}\n").stdout
        self.handle = int(re.search(r"# handle (\d+)", echoed)[1])

    def remove(self):
        self.host.nft(f"delete rule inet nj {self.chain} handle {self.handle}\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def read(self):
        """(packets, bytes) so far."""
        listing = json.loads(self.host.run(f"nft -j list chain inet nj {self.chain}").stdout)["nftables"]
        rule = next(item["rule"] for item in listing if item.get("rule", {}).get("handle") == self.handle)
        counter = next(part["counter"] for part in rule["expr"] if "counter" in part)
        return counter["packets"], counter["bytes"]

    packets = property(lambda self: self.read()[0])
    bytes = property(lambda self: self.read()[1])


class Counters:
    """Several counting rules read as one."""

    def __init__(self, rules):
        self.rules = rules

    packets = property(lambda self: sum(rule.packets for rule in self.rules))
    bytes = property(lambda self: sum(rule.bytes for rule in self.rules))

    def remove(self):
        for rule in self.rules:
            rule.remove()


# WireGuard nodes

def wg_peer():
    return os.environ.get("NIGHTJAR_WG_PEER") or str(ROOT / "build/tests/interop/wg-peer")


KINDS = {
    "wg-peer": (lambda: [wg_peer(), "-f"], {}),
    # Told that it is the child already, it neither forks nor prints its banner.
    "wireguard-go": (lambda: ["wireguard-go", "-f"], {"WG_PROCESS_FOREGROUND": "1"}),
}


def private_key():
    raw = bytearray(os.urandom(32))
    raw[0] &= 248
    raw[31] = raw[31] & 127 | 64
    return base64.b64encode(raw).decode()


def public_key(private):
    return execute("wg pubkey", input=private).stdout.strip()


def to_hex(key):
    return base64.b64decode(key).hex()


def endpoint_text(address, port):
    return f"[{address}]:{port}" if version_of(address) == 6 else f"{address}:{port}"


class Node:
    """A WireGuard implementation and its interface in a host.

    kind: a key of KINDS. options: more arguments, before the interface's name. addresses: of the interface, with
    prefix length. env: for its process. The process logs to `log`; `private`, `public` and `port` are its own.
    """

    def __init__(self, world, host, kind, addresses=(), *, port=51820, mtu=1420, options=(), env=None, private=None):
        self.world, self.host, self.kind = world, host, kind
        self.addresses, self.port, self.mtu = list(addresses), port, mtu
        self.options, self.env = [str(option) for option in options], env or {}
        self.private = private or private_key()
        self.public = public_key(self.private)
        # The directory of UAPI sockets is shared by all namespaces, so the name says whose it is.
        self.ifname = f"{world.prefix.split('-')[0]}-{next(_serial)}"
        self.log = world.dir / f"{self.ifname}.log"
        self.title = f"{kind} {' '.join(self.options)} {self.ifname} on {host.name}"
        self.peers = {}
        self.process = None
        self.home = host  # where the interface is; the process and its UDP sockets stay in `host`

    def address(self, version):
        """Its overlay address, without prefix length."""
        return next(a.split("/")[0] for a in self.addresses if version_of(a) == version)

    v4 = property(lambda self: self.address(4))
    v6 = property(lambda self: self.address(6))

    def start(self):
        """Start the process, wait for its UAPI socket, bring the interface up and configure what it knew."""
        command, env = KINDS[self.kind]
        self.process = self.host.popen([*command(), *self.options, self.ifname], log=self.log, env={**env, **self.env})
        wait_until(lambda: not is_up(self.process) or self.answers(), what=f"{self.title} answers")
        if not is_up(self.process):
            raise WorldError(f"{self.title}: exit {self.process.returncode}\n{tail(self.log)}")
        self.wg("setconf", "/dev/stdin", input=self.configuration())
        self.host.ip(f"link set {self.ifname} mtu {self.mtu} up")
        self.home = self.host
        self.dress()

    def dress(self):
        """Give the interface its addresses and the routes to its peers."""
        for address in self.addresses:
            self.home.add_address(self.ifname, address)
        for peer in self.peers.values():
            self._route(peer["allowed_ips"])

    def stop(self):
        self.world.end(self.process)
        wait_until(lambda: not self.host.has_interface(self.ifname), what=f"{self.ifname} is gone")

    def crash(self):
        """End it as a power cut would; start() brings it back."""
        self.process.kill()
        self.stop()

    def restart(self):
        self.stop()
        self.start()

    def move_interface(self, host):
        """`ip link set netns`: addresses and routes are lost on the way and given again."""
        self.home.ip(f"link set {self.ifname} netns {host.ns}")
        self.home = host
        host.ip(f"link set {self.ifname} up")
        self.dress()

    def is_up(self):
        return is_up(self.process)

    # configuration

    def configuration(self):
        """All of it, in the format of wg setconf."""
        lines = ["[Interface]", f"PrivateKey = {self.private}", f"ListenPort = {self.port}"]
        for public, peer in self.peers.items():
            lines += ["[Peer]", f"PublicKey = {public}", f"AllowedIPs = {', '.join(peer['allowed_ips'])}"]
            lines += [f"Endpoint = {peer['endpoint']}"] if peer["endpoint"] else []
            lines += [f"PersistentKeepalive = {peer['keepalive']}"] if peer["keepalive"] else []
            lines += [f"PresharedKey = {peer['psk']}"] if peer["psk"] else []
        return "\n".join(lines) + "\n"

    def wg(self, verb, *arguments, **options):
        """wg VERB IFNAME ARGUMENTS..."""
        return execute(["wg", verb, self.ifname, *map(str, arguments)], **options)

    def set(self, text, **options):
        return self.wg("set", *words(text), **options)

    def add_peer(self, public, allowed_ips, *, endpoint=None, keepalive=None, psk=None):
        """endpoint: (address, port). The peer is remembered, and set again by start()."""
        endpoint = endpoint_text(*endpoint) if endpoint else None
        self.peers[public] = dict(allowed_ips=list(allowed_ips), endpoint=endpoint, keepalive=keepalive, psk=psk)
        self.wg("addconf", "/dev/stdin", input="[Peer]" + self.configuration().split("[Peer]")[-1])
        self._route(allowed_ips)

    def remove_peer(self, public):
        del self.peers[public]
        self.set(f"peer {public} remove")

    def _route(self, allowed_ips):
        for subnet in allowed_ips:
            self.home.route(subnet, device=self.ifname)

    def set_mtu(self, mtu):
        self.mtu = mtu
        self.home.ip(f"link set {self.ifname} mtu {mtu}")

    def uapi(self, request):
        """One UAPI request, such as "get=1"; returns the answer as a list of (key, value)."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(UAPI_DIR / f"{self.ifname}.sock"))
            sock.sendall(request.encode().rstrip(b"\n") + b"\n\n")
            answer = b""
            while not answer.endswith(b"\n\n"):
                part = sock.recv(1 << 20)
                if not part:
                    break
                answer += part
        return [tuple(line.split("=", 1)) for line in answer.decode().splitlines() if line]

    def answers(self):
        try:
            return ("errno", "0") in self.uapi("get=1")
        except OSError:
            return False

    def dump(self):
        """wg show dump: ({field: text} of the interface, {public key: {field: text}} of its peers, IPs sorted)."""
        first, *rest = (line.split("\t") for line in self.wg_show("dump").splitlines())
        interface = dict(zip(("private", "public", "port", "fwmark"), first, strict=True))
        fields = ("psk", "endpoint", "allowed_ips", "handshake", "rx", "tx", "keepalive")
        peers = {public: dict(zip(fields, values, strict=True)) for public, *values in rest}
        for peer in peers.values():
            peer["allowed_ips"] = ",".join(sorted(peer["allowed_ips"].split(",")))
        return interface, peers

    def wg_show(self, what):
        return execute(["wg", "show", self.ifname, what]).stdout

    def peer(self, public):
        """The dump's fields of one peer."""
        return self.dump()[1][public]

    # cost

    def cpu_seconds(self):
        """User and system time of its process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def host_routes(node):
    """Its overlay addresses as allowed IPs: /32 and /128."""
    return [f"{address.split('/')[0]}/{32 if version_of(address) == 4 else 128}" for address in node.addresses]


def link(left, right, *, over=4, psk=None, keepalive=None, know=(True, True)):
    """Make two nodes peers of each other, over IPv4 or IPv6 underlay addresses.

    know: whether left knows right's endpoint, and right left's.
    """
    for node, other, knows in ((left, right, know[0]), (right, left, know[1])):
        endpoint = (other.host.address(over), other.port) if knows else None
        node.add_peer(other.public, host_routes(other), endpoint=endpoint, psk=psk, keepalive=keepalive)
