"""What is changed while traffic flows."""
import world as worlds
from pairs import reaches


def test_the_firewall_mark_is_on_every_packet_sent(linked):
    node, other = linked.left, linked.right
    mine = f"udp sport {node.port} meta mark"
    node.set("fwmark 0x4d")
    assert node.dump()[0]["fwmark"] == "0x4d"
    marked, unmarked = (node.host.counter("output", f"{mine} {what}") for what in ("0x4d", "!= 0x4d"))
    assert reaches(node, other, count=3)
    assert (marked.packets, unmarked.packets) == (3, 0)
    node.set("fwmark off")
    assert node.dump()[0]["fwmark"] == "off"
    assert reaches(node, other, count=2)
    assert (marked.packets, unmarked.packets) == (3, 2)


def test_the_mtu_may_change_up_to_34000(linked):
    for mtu in (1280, 576, 9000, 34000, 1420):
        for node, _ in linked.ends():
            node.set_mtu(mtu)
        for node, other in linked.ends():
            assert reaches(node, other, size=mtu - 28), f"mtu {mtu}"
            assert reaches(node, other, size=mtu - 28, options="-M do"), f"mtu {mtu}, not to be fragmented"


def test_an_end_with_a_small_mtu_takes_large_packets(linked):
    linked.right.set_mtu(1280)
    linked.left.set_mtu(9000)
    assert reaches(linked.left, linked.right, size=8000)


def test_the_interface_works_from_another_namespace(linked):
    node = linked.left
    node.move_interface(linked.world.host("inner"))
    linked.expect_traffic()
    node.set_mtu(1300)
    linked.expect_traffic()
    assert node.dump()[0]["public"] == node.public
    assert not node.home.ends, "it has no wire of its own"


def test_the_interface_may_go_down_and_up(linked):
    node, other = linked.left, linked.right
    node.host.ip(f"link set {node.ifname} down")
    assert not reaches(other, node, deadline=1)
    node.host.ip(f"link set {node.ifname} up")
    for subnet in worlds.host_routes(other):
        node.host.route(subnet, device=node.ifname)
    assert reaches(node, other)
    assert reaches(other, node, deadline=8)


def test_deleting_the_interface_ends_the_process(linked):
    node, _ = linked.left, linked.right
    node.host.ip(f"link delete {node.ifname}")
    worlds.wait_until(lambda: not node.is_up(), what="the process ends")
    assert not (worlds.UAPI_DIR / f"{node.ifname}.sock").exists()


def test_a_terminated_process_leaves_nothing_behind(linked):
    node, _ = linked.left, linked.right
    node.process.terminate()
    worlds.wait_until(lambda: not node.is_up(), what="the process ends")
    assert not node.host.has_interface(node.ifname)
    assert not (worlds.UAPI_DIR / f"{node.ifname}.sock").exists()
    assert ":51820 " not in node.host.run("ss -lun").stdout


def test_deleting_the_socket_ends_the_process(linked):
    """How wg-quick takes a userspace interface down."""
    node, _ = linked.left, linked.right
    (worlds.UAPI_DIR / f"{node.ifname}.sock").unlink()
    worlds.wait_until(lambda: not node.is_up(), what="the process ends")
    assert not node.host.has_interface(node.ifname)
