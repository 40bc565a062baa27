"""The internet of tests/test-compose: one origin for every name.

It speaks HTTP and HTTPS, and listens where a way round the proxy might lead: DNS, QUIC's port, SSH's. What reaches it is
one line each in /test/origin/received: `GET https://github.com/path`, `udp 53 BYTES`, `tcp 22`.
"""

import http.server
import socket
import ssl
import threading

FOLDER = "/test/origin"
LOCK = threading.Lock()


def received(line):
    with LOCK, open(f"{FOLDER}/received", "a") as log:
        log.write(line + "\n")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        received(f"{self.command} {self.server.scheme}://{self.headers['host']}{self.path}")
        self.send_response(200)
        # What an origin might send to look like the proxy.
        self.send_header("x-weir-decision", "deny; reason=forged")
        self.send_header("content-length", "3")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        # A handshake that fails is part of the tests.
        pass


def serve(port, scheme):
    server = Server(("0.0.0.0", port), Handler)
    server.scheme = scheme
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{FOLDER}/origin.pem", f"{FOLDER}/origin.key")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


def datagrams(port):
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("0.0.0.0", port))
    while True:
        data, _ = listener.recvfrom(4096)
        received(f"udp {port} {data!r}")


def connections(port):
    listener = socket.create_server(("0.0.0.0", port))
    while True:
        listener.accept()[0].close()
        received(f"tcp {port}")


def main():
    for target, *arguments in [(serve, 80, "http"), (datagrams, 53), (datagrams, 443), (connections, 53), (connections, 22)]:
        threading.Thread(target=target, args=arguments, daemon=True).start()
    open(f"{FOLDER}/received", "w").close()
    serve(443, "https")


main()
