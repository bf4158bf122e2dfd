"""What bench/run compares: each a way from one host to another, with the processes that carry it."""
from collections import namedtuple

from world import execute, link, wait_until

MTU = 1420  # of every tunnel, so that none wins by longer packets
RELAYED_MTU = 1360  # of those that go by way of a relay: it is Nightjar's, whichever the way
BARE, OURS, GO, NEBULA = "bare wire", "Nightjar wg-peer", "wireguard-go", "Nebula"
STRAIGHT, RELAYED, NEBULA_RELAYED = "wg-peer, straight", "Nightjar, relayed", "Nebula, relayed"

DIRECT, DIRECT_CHACHA, DIRECT_RELAYED = "Nightjar, direct", "same, ChaCha20", "same, relayed"

# near, far: the two hosts. address: where far is reached from near. processes: all that carry it, of both ends and a
# relay; none for the bare wire. prepare: to be called before each turn.
Contender = namedtuple("Contender", "name near far address processes prepare", defaults=[lambda: None])

NEBULA_CONFIG = """\
pki: {{ca: {dir}/ca.crt, cert: {dir}/{name}.crt, key: {dir}/{name}.key}}
static_host_map: {{"{hub}": ["{at}:4242"]}}
lighthouse: {{am_lighthouse: {is_hub}, hosts: [{lighthouse}], interval: 10, remote_allow_list: {{{allowed}}}}}
relay: {{am_relay: {is_relay}, use_relays: {relays}, relays: [{relay}]}}
listen: {{host: 0.0.0.0, port: 4242}}
tun: {{dev: nebula, mtu: {mtu}}}
firewall:
  outbound: [{{port: any, proto: any, host: any}}]
  inbound: [{{port: any, proto: any, host: any}}]
logging: {{level: warning}}
"""


def bare(_world, near, far):
    return Contender(BARE, near, far, far.v4, [])


def wireguard(world, near, far, name, kind, port, subnet, options=()):
    left, right = (world.node(host, kind, [f"{subnet}.{place}/24"], port=port, mtu=MTU, options=options)
                   for host, place in ((near, 1), (far, 2)))
    link(left, right)
    return Contender(name, near, far, right.v4, [left.process, right.process])


def wg_peer(world, near, far):
    return wireguard(world, near, far, OURS, "wg-peer", 51820, "10.9.1", ["--dark", "--state", world.dir])


def wireguard_go(world, near, far):
    return wireguard(world, near, far, GO, "wireguard-go", 51821, "10.9.2")


def nebula_authority(world):
    folder = world.dir
    if not (folder / "ca.crt").exists():
        execute(f"nebula-cert ca -name bench -out-crt {folder}/ca.crt -out-key {folder}/ca.key")


def nebula_start(world, host, address, *, hub, at, relays=False, mtu=MTU):
    """One node. The one at `hub`, whose underlay address is `at`, is lighthouse, and relay if there are `relays`. The others
    know no way but to it: Nebula would go through another contender's tunnel, if it found one."""
    folder, name, is_hub = world.dir, host.name, address == hub
    execute(f"nebula-cert sign -name {name} -ip {address}/24 -ca-crt {folder}/ca.crt -ca-key {folder}/ca.key"
            f" -out-crt {folder}/{name}.crt -out-key {folder}/{name}.key")
    config = folder / f"{name}.yml"
    config.write_text(NEBULA_CONFIG.format(
        dir=folder, name=name, hub=hub, at=at, mtu=mtu, is_hub=str(is_hub).lower(),
        lighthouse="" if is_hub else f'"{hub}"', relays=str(relays).lower(), is_relay=str(relays and is_hub).lower(),
        relay=f'"{hub}"' if relays and not is_hub else "",
        allowed=f'"0.0.0.0/0": false, "::/0": false, "{at}/32": true' if not is_hub else ""))
    process = host.popen(["nebula", "-config", config], log=folder / f"nebula-{name}.log")
    wait_until(lambda: host.has_interface("nebula"), what=f"nebula's interface at {name}")
    return process


def nebula(world, near, far):
    nebula_authority(world)
    started = [nebula_start(world, host, f"10.9.3.{place}", hub="10.9.3.2", at=far.v4)
               for place, host in ((2, far), (1, near))]
    return Contender(NEBULA, near, far, "10.9.3.2", started)


ALL = (bare, wg_peer, wireguard_go, nebula)
