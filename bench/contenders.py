"""What bench/run compares: each a way from one host to another, with the processes that carry it."""
from collections import namedtuple

from world import execute, link, wait_until

MTU = 1420  # of every tunnel, so that none wins by longer packets
BARE, OURS, GO, NEBULA = "bare wire", "Nightjar wg-peer", "wireguard-go", "Nebula"

# address: where the far host is reached. processes: those of both ends; none for the bare wire.
Contender = namedtuple("Contender", "name address processes")

NEBULA_CONFIG = """\
pki: {{ca: {dir}/ca.crt, cert: {dir}/{name}.crt, key: {dir}/{name}.key}}
static_host_map: {{"10.9.3.2": ["{far}:4242"]}}
lighthouse: {{am_lighthouse: {is_lighthouse}, hosts: [{lighthouse}]}}
listen: {{host: 0.0.0.0, port: 4242}}
tun: {{dev: nebula, mtu: {mtu}}}
firewall:
  outbound: [{{port: any, proto: any, host: any}}]
  inbound: [{{port: any, proto: any, host: any}}]
logging: {{level: warning}}
"""


def bare(_world, _near, far):
    return Contender(BARE, far.v4, [])


def wireguard(world, near, far, name, kind, port, subnet, options=()):
    left, right = (world.node(host, kind, [f"{subnet}.{place}/24"], port=port, mtu=MTU, options=options)
                   for host, place in ((near, 1), (far, 2)))
    link(left, right)
    return Contender(name, right.v4, [left.process, right.process])


def wg_peer(world, near, far):
    return wireguard(world, near, far, OURS, "wg-peer", 51820, "10.9.1", ["--dark", "--state", world.dir])


def wireguard_go(world, near, far):
    return wireguard(world, near, far, GO, "wireguard-go", 51821, "10.9.2")


def nebula(world, near, far):
    folder = world.dir
    execute(f"nebula-cert ca -name bench -out-crt {folder}/ca.crt -out-key {folder}/ca.key")
    processes = []
    for place, host in ((2, far), (1, near)):
        execute(f"nebula-cert sign -name {host.name} -ip 10.9.3.{place}/24 -ca-crt {folder}/ca.crt"
                f" -ca-key {folder}/ca.key -out-crt {folder}/{host.name}.crt -out-key {folder}/{host.name}.key")
        config = folder / f"{host.name}.yml"
        config.write_text(NEBULA_CONFIG.format(dir=folder, name=host.name, far=far.v4, mtu=MTU,
                                               is_lighthouse=str(host is far).lower(),
                                               lighthouse="" if host is far else '"10.9.3.2"'))
        processes.append(host.popen(["nebula", "-config", config], log=folder / f"nebula-{host.name}.log"))
        wait_until(lambda: host.has_interface("nebula"), what=f"nebula's interface at {host.name}")
    return Contender(NEBULA, "10.9.3.2", processes)


ALL = (bare, wg_peer, wireguard_go, nebula)
