"""What an agent tries to get out of its container, on stdin of a Python there: `python3 - WHAT ARGUMENTS`.

Each answers with one line: `reached ...`, or why it did not get there. A try may take two seconds.
"""

import ctypes
import errno
import os
import socket
import struct
import sys
import urllib.error
import urllib.request

TIMEOUT = 2


def tcp(host, port):
    with socket.create_connection((host, int(port)), TIMEOUT) as connection:
        return f"reached {connection.getpeername()[0]}"


def udp(host, port, text="weir-probe"):
    """No answer is needed: the origin and the host record what they receive."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.settimeout(TIMEOUT)
        probe.connect((host, int(port)))
        probe.send(text.encode())
        probe.recv(10)
        return "reached"


def broadcast(port):
    """Sends to every listener on this link, the host included: its bridge has no address but accepts these anyway."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for group in "255.255.255.255", "224.0.0.1":
            probe.sendto(b"broadcast", (group, int(port)))
    return "sent"


def question(name):
    """A DNS query for an A record (RFC 1035 section 4)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def dns(server, name, transport="udp"):
    query = question(name)
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.settimeout(TIMEOUT)
        probe.connect((server, 53))
        probe.send(query if transport == "udp" else struct.pack(">H", len(query)) + query)
        answer = probe.recv(512)
    if transport == "tcp":
        answer = answer[2:]
    code, answers = answer[3] & 15, struct.unpack(">H", answer[6:8])[0]
    return f"reached, {answers} answers" if answers else f"no answer in it (code {code})"


def resolve(name):
    return f"reached {socket.getaddrinfo(name, 443)[0][4][0]}"


def icmp(host):
    """An echo request, which needs no capability if ping_group_range allows it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as probe:
        probe.settimeout(TIMEOUT)
        probe.sendto(struct.pack(">BBHHH", 8, 0, 0xF7FE, 0, 1), (host, 0))
        return f"reached {probe.recvfrom(64)[1][0]}"


def raw(kind):
    family, protocol = {"packet": (socket.AF_PACKET, 0x0300), "ip": (socket.AF_INET, socket.IPPROTO_RAW)}[kind]
    socket.socket(family, socket.SOCK_RAW, protocol).close()
    return "reached a raw socket"


def route(gateway):
    """SIOCADDRT: a default route."""
    import fcntl
    address = lambda text: struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))
    entry = struct.pack("L", 0) + address("0.0.0.0") + address(gateway) + address("0.0.0.0") + struct.pack("HhLLhxxxxxxPLLH", 3, 0, 0, 0, 1, 0, 0, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x890B, entry.ljust(128, b"\0"))
    return "reached a new route"


def call(name, *arguments):
    """A system call through the C library: unshare, setuid, mount."""
    libc = ctypes.CDLL(None, use_errno=True)
    values = [int(value, 0) if value.lstrip("-")[:1].isdigit() else value.encode() for value in arguments]
    if getattr(libc, name)(*values) != 0:
        raise OSError(ctypes.get_errno(), name)
    return f"reached {name}"


def write(path):
    with open(path, "a"):
        return f"reached {path}"


def read(path):
    with open(path, "rb") as file:
        return f"reached {path}, {len(file.read())} bytes"


def scan(host):
    """Every TCP port that answers."""
    found = []
    for port in range(1, 65536):
        with socket.socket() as probe:
            probe.settimeout(TIMEOUT)
            if probe.connect_ex((host, port)) == 0:
                found.append(str(port))
    return "open: " + " ".join(found)


def addresses(_=None):
    """The IPv6 addresses without loopback."""
    lines = open("/proc/net/if_inet6").read().split("\n") if os.path.exists("/proc/net/if_inet6") else []
    found = [line.split()[0] for line in lines if line and line.split()[-1] != "lo"]
    return "reached " + " ".join(found) if found else "none"


def get(method, url):
    """A request by urllib, which uses the environment's proxy. Prints `STATUS DECISION`, or the exception."""
    request = urllib.request.Request(url, method=method, data=b"x" if method == "POST" else None)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return f"{answer.status} {answer.headers.get('x-weir-decision', '')}"
    except urllib.error.HTTPError as answer:
        return f"{answer.code} {answer.headers.get('x-weir-decision', '')}"


def main():
    try:
        print(globals()[sys.argv[1]](*sys.argv[2:]))
    except urllib.error.URLError as error:
        print(error.reason)
    except OSError as error:
        print(errno.errorcode.get(error.errno, ""), error)


main()
