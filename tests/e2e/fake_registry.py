#!/usr/bin/env python3
"""A registry over an OCI layout that misbehaves on request: fake_registry.py LAYOUT PORT_FILE FAULT...

Faults, each of which happens to blobs and manifests as said:
  down           accepts connections and closes them
  login          401 with a Basic challenge; user "me", password "secret" are let in
  forbidden      403 to everything
  wrong-digest   layer blobs have one byte changed
  wrong-once     the same, the first time for each
  cut            layer blobs end in the middle, the first two times each
  cut-always     layer blobs end in the middle, always, and ranges are refused
  busy           429 with Retry-After: 1, the first time for each path
  broken         503 the first time for each path
  broken-always  503 to everything
  referrers      no fault: the referrers API, two a page, of the layout's manifests that have a subject
The requests are logged on stdout, one a line.
"""
import base64
import collections
import http.server
import json
import pathlib
import re
import sys
import urllib.parse

layout, port_file, faults = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), set(sys.argv[3:])
index = json.loads((layout / "index.json").read_text())
manifest_digest = index["manifests"][0]["digest"]
blob_path = lambda digest: layout / "blobs" / digest.replace(":", "/")
manifest = json.loads(blob_path(manifest_digest).read_text())
layers = {layer["digest"] for layer in manifest["layers"]}
seen = collections.Counter()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, form, *values):
        print(self.command, self.path, form % values, flush=True)

    def reply(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, message, headers=()):
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.reply(status, body, [("Content-Type", "application/json"), *headers])

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        seen[self.path] += 1
        if "down" in faults:
            self.close_connection = True
            return
        if "forbidden" in faults:
            return self.error(403, "DENIED", "requested access to the resource is denied")
        if "broken-always" in faults or ("broken" in faults and seen[self.path] == 1):
            return self.error(503, "UNAVAILABLE", "out of order")
        if "busy" in faults and seen[self.path] == 1:
            return self.error(429, "TOOMANYREQUESTS", "slow down", [("Retry-After", "1")])
        if "login" in faults:
            wanted = "Basic " + base64.b64encode(b"me:secret").decode()
            if self.headers.get("Authorization") != wanted:
                return self.error(401, "UNAUTHORIZED", "authentication required",
                                  [("WWW-Authenticate", 'Basic realm="fake"')])
        if self.path in ("/v2", "/v2/"):
            return self.reply(200, b"{}")
        if "referrers" in faults and "/referrers/" in self.path:
            return self.referrers()
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/(.+)", self.path.split("?")[0])
        if not match:
            return self.error(404, "NOT_FOUND", "no such path")
        _, kind, reference = match.groups()
        digest = manifest_digest if kind == "manifests" and ":" not in reference else reference
        if kind == "manifests" and reference == "missing" or not blob_path(digest).exists():
            return self.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        body = blob_path(digest).read_bytes()
        if kind == "manifests":
            return self.reply(200, body, [("Content-Type", manifest.get(
                "mediaType", "application/vnd.oci.image.manifest.v1+json")), ("Docker-Content-Digest", digest)])
        self.blob(digest, body)

    def referrers(self):
        path, _, query = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query))
        entries = []
        for file in sorted((layout / "blobs/sha256").iterdir()):
            body = file.read_bytes()
            document = json.loads(body) if body.startswith(b"{") else {}
            if document.get("subject", {}).get("digest") == path.rsplit("/", 1)[1]:
                entries.append({"mediaType": document["mediaType"], "digest": "sha256:" + file.name, "size": len(body),
                                "artifactType": document["artifactType"], "annotations": document.get("annotations", {})})
        start = int(query.get("from", 0))
        headers = [("Content-Type", "application/vnd.oci.image.index.v1+json")]
        if start + 2 < len(entries):
            headers.append(("Link", f'<{path}?from={start + 2}>; rel="next"'))
        index = {"schemaVersion": 2, "mediaType": headers[0][1], "manifests": entries[start:start + 2]}
        self.reply(200, json.dumps(index).encode(), headers)

    def blob(self, digest, body):
        is_layer = digest in layers
        if is_layer and ("wrong-digest" in faults or ("wrong-once" in faults and seen[self.path] == 1)):
            body = body[:-20] + bytes([body[-20] ^ 1]) + body[-19:]
        start, status, headers = 0, 200, [("Content-Type", "application/octet-stream")]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and "cut-always" not in faults:
            start, status = int(wanted.group(1)), 206
            headers.append(("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"))
        part = body[start:]
        cut = is_layer and ("cut-always" in faults or ("cut" in faults and seen[self.path] <= 2))
        if cut and self.command == "GET":
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part[: len(part) // 3])
            self.wfile.flush()
            self.close_connection = True
            return
        self.reply(status, part, headers)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
port_file.write_text(str(server.server_address[1]))
server.serve_forever()
