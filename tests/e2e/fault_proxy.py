"""A proxy before a registry that has bad days, by a seed; for fault_runs.py.

It speaks HTTP or TLS on a port of 127.0.0.1, asks for a login if told so, and passes requests on to the
registry. A Plan says which of them go wrong and how. A second listener, on 127.0.0.2, is where redirects lead:
it serves the registry's blobs, too, and notes every Authorization header that it is sent.

Fault model. The proxy may delay, repeat nothing, drop a request, an answer or a part of either, change a byte in
either direction, answer by itself with any status, send a client elsewhere or in circles, be silent, or send a
byte now and then. What it passes on whole reaches the registry unchanged.
"""

import base64
import http.client
import json
import random
import socket
import ssl
import struct
import threading
import time

USER, PASSWORD = "me", "hunter2-of-the-proxy"
CHUNK = 64 * 1024
ENDLESS = 64 * 1024 * 1024
SLOW = ("silence", "slow-header", "slow-body")
KINDS = ("latency", "reset", "reset-upload", "reset-download", "truncated", "short", "wrong-bytes-down", "wrong-bytes-up",
         "lost-answer", "unauthorized", "forbidden", "missing", "busy", "error", "unavailable", "elsewhere", "loop",
         "endless-header", "garbage", *SLOW)


class Plan:
    """What goes wrong: one of a few kinds of faults, for some requests, a few times or always."""

    def __init__(self, seed, thorough):
        self.rng = random.Random(seed)
        self.kinds = self.rng.sample(KINDS, self.rng.choice((1, 1, 2, 3)))
        self.rate = self.rng.choice((0.15, 0.4, 1.0))
        self.left = self.rng.choice((1, 2, 2, 4, 4, 10**6))
        if self.left > 4 and any(kind in SLOW for kind in self.kinds):
            self.left = 4
        self.login = self.rng.random() < 0.6
        self.tls = self.rng.choices(("off", "good", "unknown-ca", "wrong-name", "expired", "not-tls"),
                                    (60, 25, 4, 4, 4, 3))[0]
        self.knows_of_tls = self.rng.random() < 0.5  # The registry behind; else its URLs are plain ones.
        self.thorough = thorough
        self.over = False
        self.lock = threading.Lock()
        self.happened = []

    def stop(self):
        with self.lock:
            self.over = True

    def take(self, method, path):
        with self.lock:
            if self.over or self.left == 0 or self.rng.random() >= self.rate:
                return None
            kind = self.rng.choice(self.kinds)
            upload = method in ("PUT", "PATCH") and "/uploads/" in path
            blob = method == "GET" and "/blobs/sha256:" in path
            fits = {"reset-upload": upload, "wrong-bytes-up": upload, "reset-download": method == "GET",
                    "truncated": method == "GET", "short": method == "GET", "wrong-bytes-down": method == "GET",
                    "elsewhere": blob or (method == "POST" and "/uploads/" in path), "slow-body": method == "GET"}
            # An answer to an upload is waited for ten times as long.
            if not fits.get(kind, True) or (kind in SLOW and method == "PUT" and not self.thorough):
                return None
            self.left -= 1
            self.happened.append(f"{kind}:{method}")
            return kind

    def number(self, low, high):
        with self.lock:
            return self.rng.randint(low, high)


class Gone(Exception):
    """The client has closed its connection, or the proxy is to."""


class Request:
    def __init__(self, method, target, headers):
        self.method, self.target, self.headers = method, target, headers
        self.path = target.split("?")[0]
        self.length = int(headers.get("content-length", "0"))
        self.left = self.length


class Listener:
    """Accepts connections on `address` and serves each in a thread, until closed."""

    def __init__(self, address, serve):
        self.socket = socket.create_server((address, 0), backlog=64)
        self.authority = f"{address}:{self.socket.getsockname()[1]}"
        self.context = None  # An SSLContext; None: plain.
        self.serve = serve
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        try:
            connection.settimeout(60)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            stream = connection.makefile("rb")
            while True:
                request = read_request(stream)
                if not request:
                    break
                self.serve(connection, stream, request)
                if request.left:  # Like most servers, it does not read what it has refused.
                    break
        except (Gone, OSError, ValueError, http.client.HTTPException):
            pass
        finally:
            connection.close()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def read_request(stream):
    line = stream.readline(65536).decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = {}
    while (field := stream.readline(65536).decode("latin-1").strip()):
        name, _, value = field.partition(":")
        headers[name.lower()] = value.strip()
    return Request(line[0], line[1], headers)


def read_body(stream, request, damage_at=None, stop_at=None):
    """The body in pieces; one byte of it changed, or only its beginning."""
    at = 0
    while request.left and (stop_at is None or at < stop_at):
        piece = bytearray(stream.read1(min(CHUNK, request.left)))
        if not piece:
            raise Gone
        if damage_at is not None and at <= damage_at < at + len(piece):
            piece[damage_at - at] ^= 1
        at += len(piece)
        request.left -= len(piece)
        yield bytes(piece)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Gone


def reply(connection, request, status, body=b"", headers=()):
    head = f"HTTP/1.1 {status} {http.client.responses.get(status, 'Status')}\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers)
    if request.left:
        head += "Connection: close\r\n"
    connection.sendall(head.encode() + b"\r\n" + (b"" if request.method == "HEAD" else body))


def complain(connection, request, status, code, headers=()):
    body = json.dumps({"errors": [{"code": code, "message": "by the fault proxy"}]}).encode()
    reply(connection, request, status, body, [("Content-Type", "application/json"), *headers])


class FaultProxy:
    """Between a client and `registry` ("host:port"). `leaks` has what went to the wrong host."""

    def __init__(self, registry, plan):
        self.registry, self.plan = registry, plan
        self.token = "first-token"
        self.leaks = []
        self.here = Listener("127.0.0.1", self.serve)
        self.there = Listener("127.0.0.2", self.serve_elsewhere)

    def close(self):
        self.here.close()
        self.there.close()

    def use_tls(self, context):
        self.here.context = self.there.context = context

    def url(self, listener, target):
        return ("https://" if self.here.context else "http://") + listener.authority + target

    def serve_elsewhere(self, connection, stream, request):
        if "authorization" in request.headers or PASSWORD in request.target:
            self.leaks.append(f"{request.method} {request.path}")
        self.pass_on(connection, stream, request, None)

    def serve(self, connection, stream, request):
        fault = self.plan.take(request.method, request.path)
        if fault == "latency":
            time.sleep(self.plan.number(50, 400) / 1000)
        elif fault and self.misbehave(connection, stream, request, fault):
            return
        if request.path == "/token":
            self.serve_token(connection, stream, request)
        elif self.plan.login and request.headers.get("authorization") != "Bearer " + self.token:
            realm = self.url(self.here, "/token")
            complain(connection, request, 401, "UNAUTHORIZED",
                     [("WWW-Authenticate", f'Bearer realm="{realm}",service="proxy",scope="repository:x:pull"')])
        else:
            self.pass_on(connection, stream, request, fault)

    def serve_token(self, connection, stream, request):
        body = b"".join(read_body(stream, request)).decode()
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if f"password={PASSWORD}" not in body and request.headers.get("authorization") != basic:
            return complain(connection, request, 401, "UNAUTHORIZED")
        reply(connection, request, 200, json.dumps({"access_token": self.token, "expires_in": 300}).encode())

    def misbehave(self, connection, stream, request, fault):
        """Does what needs no registry. False: it does."""
        if fault == "reset":
            reset(connection)
        if fault == "unauthorized":
            self.token = f"token-{self.plan.number(1, 10**9)}"
            return False
        statuses = {"forbidden": (403, "DENIED"), "missing": (404, "NAME_UNKNOWN"), "error": (500, "UNKNOWN")}
        if fault in statuses:
            complain(connection, request, *statuses[fault])
        elif fault == "busy":
            complain(connection, request, 429, "TOOMANYREQUESTS", [("Retry-After", "1")])
        elif fault == "unavailable":
            reply(connection, request, 503, b"<html>out of order</html>", [("Content-Type", "text/html")])
        elif fault == "loop":
            reply(connection, request, 307, b"", [("Location", self.url(self.here, request.target))])
        elif fault == "elsewhere" and request.method == "GET":
            reply(connection, request, 307, b"", [("Location", self.url(self.there, request.target))])
        elif fault == "endless-header":
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            for _ in range(ENDLESS // 1000):
                connection.sendall(b"X-Endless: " + b"x" * 987 + b"\r\n")
            raise Gone
        elif fault == "garbage":
            connection.sendall(bytes(self.plan.number(0, 255) for _ in range(2000)))
            raise Gone
        elif fault == "silence":
            self.trickle(connection, b"")
        elif fault == "slow-header":
            self.trickle(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Slow: " + b"x" * 10000)
        elif fault == "slow-body":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            self.trickle(connection, b"x" * 10000)
        else:
            return False
        return True

    def trickle(self, connection, content):
        """A byte now and then, until the client has had enough."""
        connection.settimeout(0.1)
        for at in range(600):
            if content:
                connection.sendall(content[at:at + 1])
            try:
                if isinstance(connection, ssl.SSLSocket):
                    time.sleep(0.1)
                elif connection.recv(1, socket.MSG_PEEK) == b"":
                    break
            except TimeoutError:
                continue
            time.sleep(0.1)
        raise Gone

    def pass_on(self, connection, stream, request, fault):
        damage_at = self.plan.number(0, request.length - 1) if fault == "wrong-bytes-up" and request.length else None
        stop_at = self.plan.number(1, request.length) if fault == "reset-upload" and request.length else None
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        if self.here.context and self.plan.knows_of_tls:
            headers["x-forwarded-proto"] = "https"
        upstream = http.client.HTTPConnection(self.registry, timeout=60)
        try:
            body = read_body(stream, request, damage_at, stop_at) if request.length else None
            upstream.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                upstream.putheader(name, value)
            upstream.endheaders()
            for piece in body or ():
                upstream.send(piece)
            if stop_at is not None:
                reset(connection)
            self.pass_back(connection, request, upstream.getresponse(), fault)
        finally:
            upstream.close()

    def pass_back(self, connection, request, response, fault):
        body = response.read()
        if fault == "lost-answer":
            reset(connection)
        fields = [(name, value) for name, value in response.getheaders()
                  if name.lower() not in ("content-length", "connection", "transfer-encoding", "location")]
        location = response.getheader("Location")
        if location and fault == "elsewhere":
            location = self.url(self.there, "/" + location.split("/", 3)[3])
        if location:
            fields.append(("Location", location))
        length = int(response.getheader("Content-Length") or len(body)) if request.method == "HEAD" else len(body)
        if fault == "wrong-bytes-down" and body:
            at = self.plan.number(0, len(body) - 1)
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1:]
        if fault == "short":
            body = body[:len(body) // 2]
            length = len(body)
        head = f"HTTP/1.1 {response.status} {response.reason}\r\n"
        if response.status != 204:
            head += f"Content-Length: {length}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
        connection.sendall(head.encode("latin-1"))
        if fault in ("truncated", "reset-download"):
            connection.sendall(body[:self.plan.number(0, max(0, length - 1))])
            if fault == "reset-download":
                reset(connection)
            raise Gone
        connection.sendall(body)
