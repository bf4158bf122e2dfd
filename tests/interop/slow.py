"""Scenarios that mostly wait. Each has a pair of its own, and all run at once beside the other tests."""
import concurrent.futures
import threading
import time

from running import stays, wait_until
from world import World, private_key

KEEPALIVE_BYTES = 32  # a data message without data
REKEY_AFTER_TIME, KEEPALIVE_TIMEOUT, REKEY_TIMEOUT = 120, 10, 5  # section 6.1 of the paper


def received(node, other):
    return int(node.peer(other.public)["rx"])


def rekeying_loses_no_packet(pair):
    pair.link()
    pair.expect_traffic()
    left, right = pair.left, pair.right
    first = int(left.peer(right.public)["handshake"])
    count = (REKEY_AFTER_TIME + 10) * 10
    pings = [node.home.popen(f"ping -q -n -c {count} -i 0.1 {other.v4}", stdout=-1, text=True)
             for node, other in pair.ends()]
    outputs = [ping.communicate(timeout=REKEY_AFTER_TIME + 40)[0] for ping in pings]
    for output in outputs:
        assert f"{count} received" in output, output
    for node, other in pair.ends():
        assert int(node.peer(other.public)["handshake"]) >= first + REKEY_AFTER_TIME - 2, "a second handshake"


def data_without_answer_is_acknowledged_by_one_keepalive(pair):
    """The last echo reply is not answered, so its receiver owes a keepalive, which nobody answers."""
    pair.link()
    left, right = pair.left, pair.right
    assert left.home.ping(right.v4)
    start, left_had, right_had = time.monotonic(), received(left, right), received(right, left)
    wait_until(lambda: received(right, left) != right_had, KEEPALIVE_TIMEOUT + 5, "keepalive arrives", every=0.1)
    assert time.monotonic() - start > KEEPALIVE_TIMEOUT - 1
    assert received(right, left) == right_had + KEEPALIVE_BYTES
    stays(lambda: (received(left, right), received(right, left)) == (left_had, right_had + KEEPALIVE_BYTES),
          KEEPALIVE_TIMEOUT + 2, "nothing follows", every=0.5)


def persistent_keepalives_come_without_traffic_until_turned_off(pair):
    pair.link(know=(True, False))
    left, right = pair.left, pair.right
    left.set(f"peer {right.public} persistent-keepalive 1")
    wait_until(lambda: received(right, left) > 0, 8, "it starts a handshake by itself", every=0.1)
    had = received(right, left)
    wait_until(lambda: received(right, left) >= had + 3 * KEEPALIVE_BYTES, 10, "three keepalives", every=0.1)
    assert (received(right, left) - had) % KEEPALIVE_BYTES == 0
    left.set(f"peer {right.public} persistent-keepalive off")
    assert left.peer(right.public)["keepalive"] == "off"
    had = wait_until(lambda: received(right, left), what="the last one in flight")
    stays(lambda: received(right, left) <= had + KEEPALIVE_BYTES, 4, "no more keepalives", every=0.5)


def an_end_that_forgot_the_session_is_found_again(pair):
    """Data unanswered for KEEPALIVE_TIMEOUT + REKEY_TIMEOUT makes its sender start anew."""
    pair.link(know=(True, False))
    left, right = pair.left, pair.right
    assert left.home.ping(right.v4)
    right.restart()
    assert left.home.ping(right.v4, deadline=KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + 10)


def a_handshake_is_tried_again_until_it_gets_through(pair):
    pair.link(know=(True, False))
    left, right = pair.left, pair.right
    initiations = left.host.counter("postrouting", "udp length 156")
    with pair.router.drop("forward"):
        assert not left.home.ping(right.v4, deadline=1)
        wait_until(lambda: initiations.packets >= 3, 3 * REKEY_TIMEOUT + 3, "three initiations", every=0.2)
    assert left.home.ping(right.v4, deadline=REKEY_TIMEOUT + 3)


def a_preshared_key_corrected_on_one_end_lets_traffic_through(pair):
    psk = private_key()
    pair.link(psk=psk)
    left, right = pair.left, pair.right
    right.set(f"peer {left.public} preshared-key /dev/stdin", input=private_key())
    assert not left.home.ping(right.v4, deadline=1)
    right.set(f"peer {left.public} preshared-key /dev/stdin", input=psk)
    assert left.home.ping(right.v4, deadline=REKEY_TIMEOUT + 3)


LANES = [[rekeying_loses_no_packet],
         [data_without_answer_is_acknowledged_by_one_keepalive,
          persistent_keepalives_come_without_traffic_until_turned_off,
          an_end_that_forgot_the_session_is_found_again, a_handshake_is_tried_again_until_it_gets_through,
          a_preshared_key_corrected_on_one_end_lets_traffic_through]]
SCENARIOS = [scenario for lane in LANES for scenario in lane]


class Fleet:
    """Runs each lane of scenarios with each configuration, all at once.

    In lanes, because every node takes an inotify instance, and a user has 128 (fs.inotify.max_user_instances).
    """

    def __init__(self, configurations, make_pair):
        self.make_pair = make_pair
        self.over = False
        self.worlds = set()
        self.runs = {(scenario, configuration): concurrent.futures.Future()
                     for scenario in SCENARIOS for configuration in configurations}
        self.threads = [threading.Thread(target=self._drive, args=(lane, configuration))
                        for lane in LANES for configuration in configurations]

    def outcome(self, scenario, configuration, timeout):
        self.runs[scenario, configuration].result(timeout)

    def _drive(self, lane, configuration):
        for scenario in lane:
            if self.over:
                return
            try:
                self._run(scenario, configuration)
                self.runs[scenario, configuration].set_result(None)
            except Exception as error:  # whatever it is, it is the outcome of this run
                self.runs[scenario, configuration].set_exception(error)

    def _run(self, scenario, configuration):
        with World() as world:
            self.worlds.add(world)
            try:
                scenario(self.make_pair(world, configuration))
            except Exception as error:
                raise AssertionError(f"{error}\n{world.logs()}") from error
            finally:
                self.worlds.discard(world)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        """Cut short what still runs."""
        self.over = True
        for world in list(self.worlds):
            world.close()
        for thread in self.threads:
            thread.join()
