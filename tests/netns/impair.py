"""A bad stretch of network, as a UDP relay: delays, so reorders; doubles; flips bits.

    impair.py LISTEN_ADDRESS LISTEN_PORT TO_ADDRESS TO_PORT [--delay MS] [--jitter MS] [--double %] [--corrupt %]

What comes to LISTEN goes to TO from a port of its own, and what comes back there goes to whoever last sent.
"""
import argparse
import heapq
import itertools
import random
import select
import socket
import time

SO_RCVBUFFORCE = 33  # the socket module has no name for it


def options():
    parser = argparse.ArgumentParser()
    for name, kind in (("listen", str), ("listen_port", int), ("to", str), ("to_port", int)):
        parser.add_argument(name, type=kind)
    for name in ("--delay", "--jitter", "--double", "--corrupt"):
        parser.add_argument(name, type=float, default=0)
    return parser.parse_args()


def bound(address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    sock.bind((address, port))
    return sock


class Relay:
    def __init__(self, asked):
        self.asked = asked
        self.near, self.far = bound(asked.listen, asked.listen_port), bound("0.0.0.0", 0)
        self.client = None
        self.waiting = []  # (when due, number, socket, address, datagram)
        self.numbers = itertools.count()
        self.dice = random.Random(7)

    def one_in(self, percent):
        return self.dice.random() * 100 < percent

    def take(self, sock):
        datagram, sender = sock.recvfrom(65535)
        if sock is self.near:
            self.client = sender
        there, back = (self.far, (self.asked.to, self.asked.to_port)), (self.near, self.client)
        out, address = there if sock is self.near else back
        if self.one_in(self.asked.corrupt):
            at = self.dice.randrange(len(datagram))
            datagram = datagram[:at] + bytes([datagram[at] ^ 1 << self.dice.randrange(8)]) + datagram[at + 1:]
        for _ in range(2 if self.one_in(self.asked.double) else 1):
            due = time.monotonic() + (self.asked.delay + self.dice.uniform(0, self.asked.jitter)) / 1000
            heapq.heappush(self.waiting, (due, next(self.numbers), out, address, datagram))

    def give(self):
        """Send what is due; returns how long until the next is."""
        while self.waiting:
            wait = self.waiting[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, _, out, address, datagram = heapq.heappop(self.waiting)
            out.sendto(datagram, address)
        return None

    def run(self):
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([self.near, self.far], [], [], self.give())
            for sock in readable:
                self.take(sock)


Relay(options()).run()
