"""Who has part of what a member has, or was a member once and has all of it, draws nothing from anybody."""
import os
import shutil
import time

import noise
import packets as p
import pytest
import statements
from darkness import MEMBERS, Watch, answer, dark, member  # noqa: F401
from rogue import Rogue
from running import stays, wait_until

pytestmark = pytest.mark.deadline(120)


def publics(dark):
    return {name: statements.static_public(dark.plant[name]) for name in MEMBERS}


def initiations(dark, private, cookies=(None,)):
    """To each member, {name: messages}."""
    return {name: [noise.Initiator(private, public).initiation(cookie=cookie) for cookie in cookies for _ in range(3)]
            for name, public in publics(dark).items()}


def nobody_answers(dark, messages, *more):
    """The messages go to the members named, from a stranger beside each, and from a neighbour of the hub."""
    with dark.silence(*dark.all_watches(), *more, seconds=0.6):
        for name, row in messages.items():
            for watch in [dark.watches[name], *([dark.neighbour] if name == "hub" else [])]:
                for version in (4, 6):
                    with p.Raw(watch.stranger, None if watch.stranger.gateway else watch.source) as raw:
                        s, t = watch.source.address(version), watch.target(version)
                        for message in row:
                            raw.send(p.ip(s, t, p.UDP, p.udp(s, t, 40000, dark.ports[name], message)))
                            time.sleep(0.02)


def test_a_copied_state_without_its_keys_is_of_no_use(dark):
    owner, thief = dark.plant["sensor-7"], dark.plant.machine("thief")
    shutil.copytree(owner.state, thief.state, ignore=shutil.ignore_patterns("keys"))
    watches = [Watch(dark.plant[name], thief.host) for name in MEMBERS]
    heard = thief.host.counter("input", "meta l4proto { tcp, udp, icmp }")
    with dark.silence(*watches, seconds=3):
        said = thief.nightjar("up", check=False, timeout=30)
        assert thief.host.socket().sendto(b"", (dark.plant.hub.host.v4, 9)) == 0, "there is a way"
    assert said.returncode == 1 and "keys" in said.stderr, said
    assert heard.bytes == 0
    thief.down()
    nobody_answers(dark, initiations(dark, os.urandom(32)))
    assert dark.works()


def test_keys_made_anew_in_a_copied_state_are_of_no_use(dark):
    """As who puts keys of its own where the stolen ones would be."""
    owner, thief = dark.plant["sensor-7"], dark.plant.machine("forger")
    shutil.copytree(owner.state, thief.state)
    for name in ("signing", "static"):
        (thief.state / "keys" / name).write_bytes(os.urandom(32))
    watches = [Watch(dark.plant[name], thief.host) for name in MEMBERS]
    tried = thief.host.counter("output", f"udp dport {dark.ports['hub']}")
    with dark.silence(*watches, seconds=3):
        thief.nightjar("up", check=False, timeout=30)
    print(f"{tried.packets} datagrams to the hub")
    thief.down()
    assert dark.works()


def test_the_keys_of_a_used_ticket_draw_nothing_from_anybody(dark):
    member(dark, "witness")
    ticket = statements.Ticket(dark.plant["witness"].ticket)
    with dark.guest.stranger.socket() as sock:
        assert answer(sock, dark, member(dark, "witness").initiation()), "the control: the device that used it"
    dark.plant["witness"].up()
    wait_until(lambda: any(peer["device"] == "witness" for peer in dark.plant.hub.status()["peers"]), 20, "it is seen")
    nobody_answers(dark, initiations(dark, ticket.static_private))
    dark.plant["witness"].down()


def as_member(dark, name):
    """A session of a member, that has told it the hub's gate key."""
    private = member(dark, name).private
    session = Rogue(dark.guest.stranger, private, publics(dark)["hub"], (dark.guest.target(), dark.ports["hub"]))
    return session, private, session.hello()[7]


def quiet(watch):
    def still():
        before = watch.bytes
        time.sleep(0.7)
        return watch.bytes == before
    wait_until(still, 20, "no more is said to it")


@pytest.mark.parametrize("act", ["revoke", "isolate"])
def test_who_was_a_member_draws_nothing_with_all_that_it_knows(dark, act):
    name = f"gone-{act}"
    session, private, gate = as_member(dark, name)
    with dark.guest.stranger.socket() as sock:
        assert wait_until(lambda: answer(sock, dark, noise.Initiator(private, publics(dark)["hub"]).initiation(cookie=gate), timeout=1),
                          8), "the control"
    kept = [session.session.data(), session.session.native(), session.session.native(bytes([1]))]
    dark.plant.operator.nightjar(f"{act} {name} --reason test --yes", timeout=30)
    quiet(dark.guest)
    for gated in (gate, None):
        messages = initiations(dark, private, (gated,))
        messages["hub"] += kept
        nobody_answers(dark, messages, dark.guest)
    with dark.silence(dark.guest, seconds=1):
        for message in [*kept, *initiations(dark, private, (gate, None))["hub"]]:
            session.sock.send(message)
    if act == "isolate":
        dark.plant.operator.nightjar(f"restore {name}", timeout=30)
        fresh = lambda: noise.Initiator(private, publics(dark)["hub"]).initiation()  # noqa: E731
        with dark.guest.stranger.socket() as sock:
            assert wait_until(lambda: answer(sock, dark, fresh(), timeout=1), 10), "the control: restored, it is answered"
    session.close()


def test_in_the_end_all_of_it_works(dark):
    wait_until(dark.works, 40, "sessions are made anew")
    stays(lambda: dark.plant.hub.status()["up"], 0.5)
