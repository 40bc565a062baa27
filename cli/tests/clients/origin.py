"""The internet of the client tests: one https server for every name, on 127.0.0.2.

    origin.py CERTIFICATE KEY FOLDER

It answers as the public package hosts do, so far as their clients ask: a Python index, an npm registry, a sparse Cargo
index, and git by git-http-backend. Every other name gets a line of text. What it received is in FOLDER/received, one line
of JSON a request. FOLDER/ready appears when it listens.
"""

import base64
import hashlib
import http.server
import io
import json
import os
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile

CERTIFICATE, KEY, FOLDER = sys.argv[1:4]
REPOSITORIES = os.path.join(FOLDER, "repositories")


def wheel():
    """weir_hello-1.0.0, a package of one module (PEP 427)."""
    info = "weir_hello-1.0.0.dist-info"
    files = {
        "weir_hello.py": "GREETING = 'hello from the wheel'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: weir-hello\nVersion: 1.0.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: origin\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in files) + f"{info}/RECORD,,\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def tarball(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


WHEEL = wheel()
NPM = tarball({
    "package/package.json": '{"name": "weir-hello", "version": "1.0.0", "main": "index.js"}',
    "package/index.js": "module.exports = 'hello from the tarball'\n",
})
CRATE = tarball({
    "weir-hello-1.0.0/Cargo.toml": '[package]\nname = "weir-hello"\nversion = "1.0.0"\nedition = "2021"\n',
    "weir-hello-1.0.0/src/lib.rs": 'pub const GREETING: &str = "hello from the crate";\n',
})


def python_index(path):
    if path == "/simple/weir-hello/":
        digest = hashlib.sha256(WHEEL).hexdigest()
        name = "weir_hello-1.0.0-py3-none-any.whl"
        link = f'<a href="https://files.pythonhosted.org/{name}#sha256={digest}">{name}</a>'
        return "text/html", f"<!DOCTYPE html><html><body>{link}</body></html>".encode()
    return None


def npm_registry(path):
    if path == "/weir-hello":
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(NPM).digest()).decode()
        dist = {"tarball": "https://registry.npmjs.org/weir-hello/-/weir-hello-1.0.0.tgz", "integrity": integrity}
        version = {"name": "weir-hello", "version": "1.0.0", "dist": dist}
        packument = {"name": "weir-hello", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        return "application/json", json.dumps(packument).encode()
    if path == "/weir-hello/-/weir-hello-1.0.0.tgz":
        return "application/octet-stream", NPM
    return None


def cargo_index(path):
    if path == "/config.json":
        return "application/json", b'{"dl": "https://static.crates.io/crates", "api": "https://crates.io"}'
    if path == "/we/ir/weir-hello":
        entry = {
            "name": "weir-hello", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False,
            "cksum": hashlib.sha256(CRATE).hexdigest(),
        }
        return "text/plain", json.dumps(entry).encode()
    return None


HOSTS = {
    "pypi.org": python_index,
    "files.pythonhosted.org": lambda path: ("application/octet-stream", WHEEL),
    "registry.npmjs.org": npm_registry,
    "index.crates.io": cargo_index,
    "static.crates.io": lambda path: ("application/octet-stream", CRATE),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lock = threading.Lock()

    def handle_any(self):
        length = self.headers.get("content-length")
        if self.headers.get("transfer-encoding") == "chunked":
            body = self.chunks()
        else:
            body = self.rfile.read(int(length or 0))
        received = {"method": self.command, "host": self.headers["host"], "path": self.path, "body": len(body)}
        with Handler.lock, open(os.path.join(FOLDER, "received"), "a") as log:
            log.write(json.dumps(received) + "\n")
        host = self.headers["host"].split(":")[0]
        path, _, query = self.path.partition("?")
        if host == "github.com":
            return self.git(path, query, body)
        found = HOSTS[host](path) if host in HOSTS else ("text/plain", f"{self.command} {host}{self.path}\n".encode())
        if found is None:
            return self.reply(404, [("content-type", "text/plain")], b"no such thing\n")
        return self.reply(200, [("content-type", found[0])], found[1])

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = handle_any

    def chunks(self):
        body = b""
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            body += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return body

    def git(self, path, query, body):
        """git-http-backend by CGI (RFC 3875)."""
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": REPOSITORIES, "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": "agent", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
        }
        backend = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE)
        head, _, rest = backend.stdout.partition(b"\r\n\r\n")
        headers = [line.decode().split(": ", 1) for line in head.split(b"\r\n") if line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self.reply(status, [header for header in headers if header[0] != "Status"], rest)

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def repository():
    """github.com/weir/hello.git with one commit."""
    work = os.path.join(FOLDER, "work")
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    identity = ["-c", "user.name=Weir", "-c", "user.email=weir@example.com"]
    subprocess.run(["git", "init", "-b", "main", work], **quiet)
    with open(os.path.join(work, "hello.txt"), "w") as file:
        file.write("hello from the repository\n")
    subprocess.run(["git", "-C", work, "add", "."], **quiet)
    subprocess.run(["git", *identity, "-C", work, "commit", "-m", "Say hello"], **quiet)
    subprocess.run(["git", "clone", "--bare", work, os.path.join(REPOSITORIES, "weir", "hello.git")], **quiet)
    subprocess.run(["git", "-C", os.path.join(REPOSITORIES, "weir", "hello.git"), "config", "http.receivepack", "true"], **quiet)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        # Disconnecting clients and failing handshakes are part of the tests.
        pass


def main():
    repository()
    server = Server(("127.0.0.2", 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    # The handshake runs on the connection's own thread: a stalled one must not block the others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    open(os.path.join(FOLDER, "received"), "w").close()
    open(os.path.join(FOLDER, "ready"), "w").close()
    server.serve_forever()


main()
