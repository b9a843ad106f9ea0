#!/usr/bin/env python3
"""GitHub's cache service for tests: gha_server.py PORT-FILE LOG-FILE [limit=N] [expire] [slow]

Both protocols: CreateCacheEntry, FinalizeCacheEntryUpload and GetCacheEntryDownloadURL of
/twirp/github.actions.results.api.v1.CacheService/, whose signed URLs are blobs as Azure has them; and
/_apis/artifactcache/. Entries never change; a key that was reserved is taken, filled or not. Keys are found whole,
else the newest that begins so. limit=N: of each N requests to the service one is answered 429 with Retry-After: 1.
expire: each signed URL for downloads is good for nothing the first time. slow: uploads are never answered.
--token prints a token that the service takes. Each request is a line of LOG-FILE; "STORED KEY" and "SERVED KEY BYTES"
are others.
"""

import base64
import hashlib
import http.server
import json
import pathlib
import re
import sys
import threading
import time
import urllib.parse


def make_token():
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    scopes = [{"Scope": "refs/heads/topic", "Permission": 3}, {"Scope": "refs/heads/main", "Permission": 1}]
    claims = {"ac": json.dumps(scopes), "exp": 9000000000, "nbf": 1500000000}
    return ".".join([part({"alg": "HS256", "typ": "JWT"}), part(claims), "c2lnbmF0dXJl"])


if sys.argv[1:] == ["--token"]:
    print(make_token())
    sys.exit(0)

LOG = pathlib.Path(sys.argv[2])
MODES = dict((word.split("=") + [""])[:2] for word in sys.argv[3:])
LIMIT = int(MODES.get("limit", 0))
TWIRP = "/twirp/github.actions.results.api.v1.CacheService/"
V1 = "/_apis/artifactcache/"
lock = threading.Lock()
entries = []  # dictionaries, oldest first
counts = {"requests": 0}
expired = set()


def signature(entry, use):
    return hashlib.sha256(f"{use} {entry['id']}".encode()).hexdigest()


def find(keys, version):
    """The entry of the first key that has one, by its whole name, else by its beginning."""
    done = [e for e in entries if e["done"] and e["version"] == version]
    for key in keys:
        for match in (lambda e: e["key"] == key, lambda e: e["key"].startswith(key)):
            found = [e for e in done if match(e)]
            if found:
                return found[-1]
    return None


def note(line):
    with LOG.open("a") as log:
        log.write(line + "\n")


def finish(entry):
    entry["done"] = True
    note(f"STORED {entry['key']}")


def reserve(key, version):
    if any(e["key"] == key and e["version"] == version for e in entries):
        return None
    entry = {"id": len(entries) + 1, "key": key, "version": version, "data": b"", "blocks": {}, "pieces": {}, "done": False}
    entries.append(entry)
    return entry


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def log_request(self, code="-", size="-"):
        note(f"{self.command} {urllib.parse.unquote(self.path.split('?sig=')[0])} {int(code)}")

    def reply(self, status, value=None, headers=(), raw=None):
        body = raw if raw is not None else b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers:
            self.send_header(name, text)
        self.send_header("x-ms-request-id", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.handle_any()

    def do_POST(self):
        self.handle_any()

    def do_PUT(self):
        self.handle_any()

    def do_PATCH(self):
        self.handle_any()

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def handle_any(self):
        body = self.read_body()
        url = urllib.parse.urlsplit(self.path)
        query = {k: v[0] for k, v in urllib.parse.parse_qs(url.query).items()}
        if MODES.get("slow") is not None and self.command in ("PUT", "PATCH"):
            time.sleep(50)
        with lock:
            if url.path.startswith("/blobs/"):
                return self.blob(url.path, query, body)
            counts["requests"] += 1
            if LIMIT and counts["requests"] % LIMIT == 0:
                return self.reply(429, {"message": "slow down"}, [("Retry-After", "1")])
            if self.headers.get("Authorization") != "Bearer " + make_token():
                return self.reply(401, {"code": "unauthenticated", "msg": "who are you?"})
            if url.path.startswith(TWIRP):
                return self.twirp(url.path[len(TWIRP):], json.loads(body))
            if url.path.startswith(V1):
                return self.first_protocol(url.path[len(V1):], query, body)
            self.reply(404, {"code": "bad_route", "msg": "no such thing"})

    def signed(self, entry, use):
        return f"http://{self.headers['Host']}/blobs/{entry['id']}?sig={signature(entry, use)}&sv=2024"

    def twirp(self, name, request):
        key, version = request["key"], request["version"]
        if name == "GetCacheEntryDownloadURL":
            entry = find([key] + request.get("restore_keys", []), version)
            if entry is None:
                return self.reply(200, {"ok": False})
            return self.reply(200, {"ok": True, "matched_key": entry["key"], "signed_download_url": self.signed(entry, "get")})
        if name == "CreateCacheEntry":
            entry = reserve(key, version)
            if entry is None:
                return self.reply(409, {"code": "already_exists", "msg": "cache entry with the same key, version, and scope already exists"})
            return self.reply(200, {"ok": True, "signed_upload_url": self.signed(entry, "put")})
        if name == "FinalizeCacheEntryUpload":
            entry = next(e for e in entries if e["key"] == key and e["version"] == version)
            if int(request["size_bytes"]) != len(entry["data"]):
                return self.reply(400, {"code": "invalid_argument", "msg": "the size is wrong"})
            finish(entry)
            return self.reply(200, {"ok": True, "entry_id": str(entry["id"])})
        self.reply(404, {"code": "bad_route", "msg": name})

    def first_protocol(self, name, query, body):
        if name == "cache":
            entry = find(query["keys"].split(","), query["version"])
            if entry is None:
                return self.reply(204)
            return self.reply(200, {"cacheKey": entry["key"], "scope": "refs/heads/topic", "archiveLocation": self.signed(entry, "get")})
        if name == "caches":
            request = json.loads(body)
            entry = reserve(request["key"], request["version"])
            if entry is None:
                return self.reply(409, {"typeKey": "ArtifactCacheItemAlreadyExistsException", "message": "Cache already exists."})
            return self.reply(201, {"cacheId": entry["id"]})
        entry = next(e for e in entries if e["id"] == int(name.split("/")[1]))
        if self.command == "PATCH":
            first, last = re.fullmatch(r"bytes (\d+)-(\d+)/\*", self.headers["Content-Range"]).groups()
            if int(last) - int(first) + 1 != len(body):
                return self.reply(400, {"message": "the range is wrong"})
            entry["pieces"][int(first)] = body
            return self.reply(204)
        entry["data"] = b"".join(entry["pieces"][offset] for offset in sorted(entry["pieces"]))
        if json.loads(body)["size"] != len(entry["data"]):
            return self.reply(400, {"message": "the size is wrong"})
        finish(entry)
        self.reply(204)

    def blob(self, path, query, body):
        entry = entries[int(path.split("/")[2]) - 1]
        use = "put" if self.command == "PUT" else "get"
        fresh = (entry["id"], use)
        if query.get("sig") != signature(entry, use) or ("expire" in MODES and use == "get" and fresh not in expired):
            expired.add(fresh)
            return self.reply(403, raw=b"<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code></Error>")
        if use == "get":
            wanted = self.headers.get("x-ms-range") or self.headers.get("Range")
            if not wanted:
                note(f"SERVED {entry['key']} {len(entry['data'])}")
                return self.reply(200, raw=entry["data"], headers=[("ETag", '"1"')])
            first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted).groups()
            size = len(entry["data"])
            if int(first) >= size:
                return self.reply(416)
            end = min(int(last), size - 1) if last else size - 1
            note(f"SERVED {entry['key']} {end + 1 - int(first)}")
            return self.reply(206, raw=entry["data"][int(first):end + 1],
                              headers=[("Content-Range", f"bytes {first}-{end}/{size}"), ("ETag", '"1"')])
        if query.get("comp") == "block":
            entry["blocks"][query["blockid"]] = body
        elif query.get("comp") == "blocklist":
            names = re.findall(r"<Latest>([^<]*)</Latest>", body.decode())
            entry["data"] = b"".join(entry["blocks"][name] for name in names)
        elif self.headers.get("x-ms-blob-type") == "BlockBlob":
            entry["data"] = body
        else:
            return self.reply(400, raw=b"<Error><Code>MissingRequiredHeader</Code></Error>")
        self.reply(201, headers=[("ETag", '"1"'), ("Last-Modified", self.date_time_string())])


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
partial = pathlib.Path(sys.argv[1] + ".part")
partial.write_text(str(server.server_address[1]))
partial.rename(sys.argv[1])
server.serve_forever()
