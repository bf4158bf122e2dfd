"""What a stranger on the network can do: send anything, listen on the wire, flood."""
import contextlib
import os
import socket
import struct
import threading

import noise

ETH_P_ALL = 3


def address_family(version):
    return socket.AF_INET if version == 4 else socket.AF_INET6


class Tap:
    """Sees the UDP datagrams over IPv4 that pass a device of a host."""

    def __init__(self, host, device):
        self.sock = host.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind((device, ETH_P_ALL))
        self.sock.setblocking(False)

    def datagrams(self, source):
        """Payloads sent from this address since last asked, oldest first."""
        payloads = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self.sock.recv(65535)
                if packet[0] == 0x45 and packet[9] == socket.IPPROTO_UDP and packet[12:16] == socket.inet_aton(source):
                    payloads.append(packet[28:])
        return payloads

    def close(self):
        self.sock.close()


def of_type(kind, datagrams):
    return [datagram for datagram in datagrams if datagram[0] == kind]


def costly(receiver_public, count=4000):
    """Different initiations with a good mac1 and nothing behind it: each costs a Diffie-Hellman to refuse."""
    return [noise.with_macs(struct.pack("<I", noise.INITIATION) + os.urandom(noise.INITIATION_SIZE - 36),
                            receiver_public) for _ in range(count)]


@contextlib.contextmanager
def flood(sock, datagrams, address):
    """Send these as fast as can be, over and over, until the block ends; gives a function that says how many."""
    over, sent = threading.Event(), 0

    def send():
        nonlocal sent
        while not over.is_set():
            for datagram in datagrams:
                with contextlib.suppress(OSError):
                    sock.sendto(datagram, address)
            sent += len(datagrams)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield lambda: sent
    finally:
        over.set()
        thread.join()


def udp_drops(host, port):
    """Datagrams that the kernel dropped because the buffer of the socket on this port was full."""
    lines = host.run("cat /proc/net/udp /proc/net/udp6").stdout.splitlines()
    return sum(int(line.split()[-1]) for line in lines if f":{port:04X} " in line[:60])
