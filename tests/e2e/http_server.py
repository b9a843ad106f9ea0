#!/usr/bin/env python3
"""A web server for tests: http_server.py DIRECTORY PORT-FILE LOG-FILE

Files of DIRECTORY, with an ETag and Last-Modified; what is below /git/ as repositories, by git http-backend. Below
/private/ and /git/private/ only with the header "Authorization: basic" of x-access-token:secret. Paths that end in
/gone answer 404, /busy answers 503 twice and then the file "busy". Files below /undated/ have no Last-Modified. Each
request is a line of LOG-FILE.
"""

import base64
import email.utils
import hashlib
import http.server
import os
import pathlib
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(sys.argv[1])
LOG = pathlib.Path(sys.argv[3])
TOKEN = "basic " + base64.b64encode(b"x-access-token:secret").decode()
busy = [2]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def log_message(self, *_):
        pass

    def log_request(self, code="-", size="-"):
        with LOG.open("a") as log:
            log.write(f"{self.command} {self.path} {int(code)}\n")

    def reply(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)

    def answer(self):
        path = urllib.parse.urlsplit(self.path).path
        if path.startswith(("/private/", "/git/private/")) and self.headers.get("Authorization", "").lower() != TOKEN.lower():
            return self.reply(401, [("WWW-Authenticate", 'Basic realm="x"')])
        if path.startswith("/git/"):
            return self.run_git(path[4:])
        if path.endswith("/busy") and busy[0] > 0:
            busy[0] -= 1
            return self.reply(503, [("Retry-After", "0")])
        file = ROOT / urllib.parse.unquote(path).lstrip("/")
        if not file.is_file():
            return self.reply(404)
        body = file.read_bytes()
        tag = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
        headers = [("ETag", tag)]
        if not path.startswith("/undated/"):
            headers.append(("Last-Modified", email.utils.formatdate(int(file.stat().st_mtime), usegmt=True)))
        if self.headers.get("If-None-Match") == tag:
            return self.reply(304, headers)
        return self.reply(200, headers, body)

    def run_git(self, path):
        url = urllib.parse.urlsplit(self.path)
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(ROOT / "git"), "GIT_HTTP_EXPORT_ALL": "1", "HOME": "/dev/null",
            "PATH_INFO": path, "QUERY_STRING": url.query, "REQUEST_METHOD": self.command, "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }
        output = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False).stdout
        head, _, content = output.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self.reply(status, [field for field in headers if field[0] not in ("Status", "Content-Length")], content)


LOG.touch()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
pathlib.Path(sys.argv[2] + ".tmp").write_text(str(server.server_port))
os.rename(sys.argv[2] + ".tmp", sys.argv[2])
server.serve_forever()
