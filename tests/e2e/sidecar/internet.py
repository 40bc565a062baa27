"""The internet of the sidecar's tests: what a pod could reach without the rules.

    internet.py FOLDER

At each of its addresses it answers HTTP on 80 and 8080, HTTPS on 443, and takes whatever comes by TCP on 22 and by UDP on
443 and 9. 20.0.0.3 breaks TLS off. Name servers are on 10.1.0.1 (the pod's own) and on 20.0.0.53; FOLDER/names says what
names lead to. Everything that arrives is noted in FOLDER/received, one line of JSON each, before it is answered.
"""

import http.server
import ipaddress
import json
import os
import socket
import ssl
import struct
import sys
import threading

FOLDER = sys.argv[1]
# See attacker.py.
MARKER = b"weir-leak!"
ADDRESSES = ["20.0.0.1", "20.0.0.2", "20.0.0.53", "10.1.0.1", "2600:1::1", "2600:1::2"]
NAMES = json.load(open(os.path.join(FOLDER, "names")))
LOG = open(os.path.join(FOLDER, "received"), "a")
LOCK = threading.Lock()


def note(where, what):
    with LOCK:
        LOG.write(json.dumps({"at": where, "what": what}) + "\n")
        LOG.flush()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        what = f"{self.command} {scheme}://{self.headers['host']}{self.path}"
        note(self.server.name, what)
        body = f"{self.server.name} {what}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_OPTIONS = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, port, context=None):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.name = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self.context = context
        super().__init__((address, port), Handler)

    def server_bind(self):
        # The machine's name does not matter, and resolving it takes long here.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def get_request(self):
        connection, peer = super().get_request()
        note(self.name, "connection")
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, peer

    def handle_error(self, request, address):
        pass


def swallow(address, port):
    """Accepts TCP connections and sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family)
    while True:
        connection, _ = listener.accept()
        note(f"{address}:{port}", "connection")
        connection.close()


def datagrams(address, port):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as taker:
        taker.bind((address, port))
        while True:
            taker.recvfrom(65535)
            note(f"{address}:{port}/udp", "datagram")


def cut(address):
    """Accepts TCP connections on 443, and resets one when the client requests it, or logs the bytes received."""
    listener = socket.create_server((address, 443))
    while True:
        connection, _ = listener.accept()
        got = b""
        while not got.endswith(b"cut") and (more := connection.recv(4096)):
            got += more
            if not got.startswith(b"\x16"):
                note(f"{address}:443", f"bytes that are no hello: {got[:20]!r}")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def watch():
    """Records every packet of any kind that contains the marker."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as taker:
        taker.bind(("eth0", 0))
        while True:
            packet, (_, _, kind, _, _) = taker.recvfrom(65535)
            if kind != socket.PACKET_OUTGOING and MARKER in packet:
                note("eth0", "the marker")


def name_server(address):
    """Answers A and AAAA questions by NAMES (RFC 1035)."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    while True:
        packet, client = server.recvfrom(512)
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
            at += 1 + packet[at]
        name, (kind,) = ".".join(labels).lower(), struct.unpack("!H", packet[at + 1 : at + 3])
        if address != "10.1.0.1":
            note(f"{address}:53/udp", f"asked for {name}")
        version = {1: 4, 28: 6}.get(kind)
        found = [ip for ip in map(ipaddress.ip_address, NAMES.get(name, [])) if ip.version == version]
        code = 0 if name in NAMES else 3
        answer = packet[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(found), 0, 0) + packet[12 : at + 5]
        for ip in found:
            answer += struct.pack("!HHHIH", 0xC00C, kind, 1, 1, len(ip.packed)) + ip.packed
        server.sendto(answer, client)


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(FOLDER, "origin.pem"), os.path.join(FOLDER, "origin.key"))
    loops = []
    for address in ADDRESSES:
        for port in (80, 8080):
            loops.append((Server(address, port).serve_forever, ()))
        loops.append((Server(address, 443, context).serve_forever, ()))
        loops += [(swallow, (address, 22)), (datagrams, (address, 443)), (datagrams, (address, 9))]
    loops += [(name_server, (address,)) for address in ("10.1.0.1", "20.0.0.53")]
    loops += [(cut, ("20.0.0.3",)), (watch, ())]
    for loop, arguments in loops:
        threading.Thread(target=loop, args=arguments, daemon=True).start()
    # The threads bind the sockets: a query to the last of them shows that all are bound.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(0.1)
        while True:
            try:
                asker.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\4self\0\0\1\0\1", ("20.0.0.53", 53))
                asker.recv(512)
                break
            except OSError:
                pass
    open(os.path.join(FOLDER, "internet-is-up"), "w").close()
    threading.Event().wait()


main()
