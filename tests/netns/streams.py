"""Streams whose every byte, and rows of datagrams whose every one, is accounted for."""
import contextlib
import hashlib
import os
import socket
import threading
import time

from running import wait_until

BLOCK = 1 << 16


class Stream:
    """TCP from one node's overlay address to another's, for as long as the block lasts; on leaving it, what was
    received is compared with what was sent."""

    def __init__(self, sender, receiver, port=7000):
        self.sender, self.receiver, self.port = sender, receiver, port
        self.stop = threading.Event()
        self.sent, self.received = hashlib.sha256(), hashlib.sha256()
        self.count = 0
        self.broken = None

    def __enter__(self):
        listener = self.receiver.home.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.out = self.sender.home.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.settimeout(10)
        self.out.settimeout(10)
        listener.bind((self.receiver.v4, self.port))
        listener.listen()
        self.out.connect((self.receiver.v4, self.port))
        self.into, _ = listener.accept()
        listener.close()
        self.into.settimeout(30)
        self.out.settimeout(30)
        self.threads = [threading.Thread(target=self._guard, args=(work,)) for work in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()
        return self

    def _guard(self, work):
        try:
            work()
        except OSError as error:
            self.broken = self.broken or error

    def _send(self):
        noise = os.urandom(BLOCK)
        number = 0
        while not self.stop.is_set():
            number += 1
            block = number.to_bytes(8, "big") + noise[8:]
            self.out.sendall(block)
            self.sent.update(block)
        self.out.shutdown(socket.SHUT_WR)

    def _receive(self):
        while part := self.into.recv(1 << 20):
            self.received.update(part)
            self.count += len(part)

    def flows(self, amount=4 << 20, deadline=10):
        """Wait until so many more bytes have come."""
        goal = self.count + amount
        wait_until(lambda: self.broken or self.count >= goal, deadline, f"{amount} more bytes (came: {self.count})")
        if self.broken:
            raise self.broken

    def __exit__(self, kind, *_):
        self.stop.set()
        if kind:  # what failed has been said already; don't wait for the rest
            for sock in (self.out, self.into):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(30)
        self.out.close()
        self.into.close()
        if not kind:
            assert not self.broken, self.broken
            assert self.sent.digest() == self.received.digest(), "what was received is what was sent"


def row(sender, receiver, count, *, size=200, pace=0.0004, port=7001):
    """Send `count` numbered datagrams; returns the numbers received, in order, repeats included."""
    numbers = []
    with receiver.home.socket() as into, sender.home.socket() as out:
        into.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        into.bind((receiver.v4, port))
        into.settimeout(1)

        def send():
            for number in range(count):
                out.sendto(number.to_bytes(4, "big") + bytes(size - 4), (receiver.v4, port))
                time.sleep(pace)  # the rate of the source, not a wait for something to happen

        thread = threading.Thread(target=send)
        thread.start()
        try:
            while True:
                numbers.append(int.from_bytes(into.recv(2048)[:4], "big"))
        except TimeoutError:
            thread.join()
    return numbers
