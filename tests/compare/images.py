"""The base images of the cases, and a registry for them, in memory."""

import gzip
import hashlib
import http.server
import json
import re
import struct
import tarfile
import threading

from .case import entry, tar, zstd

BUSYBOX = "/bin/busybox"
APPLETS = ("cat chgrp chmod chown cp cut date dd diff dirname du echo env expr false find getopt grep groups head hostname "
           "id ln ls md5sum mkdir mkfifo mknod mv printf ps pwd readlink realpath rm rmdir sed seq sha256sum sleep sort "
           "stat tac tail tar test touch tr true truncate umask uname uniq wc which whoami xargs").split()
# cap_net_bind_service+ep, as the kernel stores it.
CAPABILITY = b"\x01\x00\x00\x02\x00\x04" + b"\x00" * 14
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CREATED = "2020-01-02T03:04:05Z"
OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
DIR, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bob:x:77:88:Bob:/home/bob:/bin/sh
alice:x:1000:1000::/home/alice:/bin/sh
nohome:x:1500:1500:::
far:x:60000:60001::/:/bin/sh
"""
GROUP = """root:x:0:
daemon:x:1:
bobs:x:88:
alice:x:1000:
extra:x:99:bob,alice
staff:x:50:alice
crowd:x:60001:
"""


def _programs():
    with open(BUSYBOX, "rb") as file:
        busybox = file.read()
    yield entry("usr/bin", kind=DIR)
    yield entry("usr/bin/busybox", busybox, mode=0o755)
    yield entry("usr/bin/sh", kind=HARD, link="usr/bin/busybox", mode=0o755)
    for name in APPLETS:
        yield entry(f"usr/bin/{name}", kind=LINK, link="busybox")


def _base():
    for name in "dev etc home opt proc run sys usr usr/local usr/local/bin usr/sbin var".split():
        yield entry(name, kind=DIR)
    yield from _programs()
    yield entry("bin", kind=LINK, link="usr/bin")
    yield entry("sbin", kind=LINK, link="usr/sbin")
    yield entry("var/run", kind=LINK, link="/run")
    yield entry("root", kind=DIR, mode=0o700)
    yield entry("tmp", kind=DIR, mode=0o1777)
    yield entry("home/bob", kind=DIR, mode=0o750, uid=77, gid=88)
    yield entry("etc/passwd", PASSWD)
    yield entry("etc/group", GROUP)
    yield entry("etc/hosts", "10.1.2.3 image-host\n")
    yield entry("usr/bin/elevate", "#!/bin/sh\nid\n", mode=0o4755)
    yield entry("usr/bin/binder", "#!/bin/sh\nid\n", mode=0o755, xattrs={"security.capability": CAPABILITY})
    yield entry("data", kind=DIR)
    yield entry("data/a", "a of base\n")
    yield entry("data/b", "b of base\n", mode=0o600, uid=77, gid=88)
    yield entry("data/sub", kind=DIR, mode=0o2775, gid=88)
    yield entry("data/sub/c", "c of base\n")
    yield entry("data/sub/d", "d of base\n")
    yield entry("data/hard1", "two names\n")
    yield entry("data/hard2", kind=HARD, link="data/hard1")
    yield entry("data/link", kind=LINK, link="a")
    yield entry("data/dirlink", kind=LINK, link="sub")
    yield entry("data/dangling", kind=LINK, link="/nowhere/file")
    yield entry("data/loop", kind=LINK, link="loop")
    yield entry("real", kind=DIR, mode=0o711, uid=77, gid=88)
    yield entry("real/keep", "keep\n")
    yield entry("linked", kind=LINK, link="real")
    yield entry("chain", kind=LINK, link="/data/../linked")


class Registry:
    """Serves images on a port of localhost, to read only."""

    def __init__(self):
        self.blobs, self.tags = {}, {}
        self.known_layers = {}  # diff ID: what to call it
        self._add_images()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                registry.answer(self)

            do_HEAD = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        path = request.path.split("?")[0]
        match = re.fullmatch(r"/v2/(?:library/)?(.+)/(?:manifests|blobs)/(.+)", path)
        digest = match and (match[2] if ":" in match[2] else self.tags.get((match[1], match[2])))
        kind, body = self.blobs.get(digest, ("application/json", b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'))
        status = 200 if digest in self.blobs or path in ("/v2/", "/v2") else 404
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        if digest in self.blobs:
            request.send_header("Docker-Content-Digest", digest)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)

    def add_blob(self, body, kind):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        self.blobs[digest] = (kind, body)
        return {"mediaType": kind, "digest": digest, "size": len(body)}

    def add(self, name, layers, config=None, architecture="amd64", history=None, docker=False, tag="latest",
            zipped=("tar+gzip", lambda layer: gzip.compress(layer, 6, mtime=0)), **more):
        """Adds an image of tar archives; returns its descriptor. `history` of False leaves it out."""
        kinds = ((DOCKER + "image.rootfs.diff.tar.gzip", DOCKER + "container.image.v1+json", DOCKER + "distribution.manifest.v2+json")
                 if docker else (OCI + "layer.v1." + zipped[0], OCI + "config.v1+json", OCI + "manifest.v1+json"))
        diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
        for index, diff_id in enumerate(diff_ids):
            self.known_layers.setdefault(diff_id, f"layer {index} of {name}")
        image = {"architecture": architecture, "os": "linux", "created": CREATED, "config": config or {"Env": [PATH]},
                 "rootfs": {"type": "layers", "diff_ids": diff_ids}, **more}
        if history:
            image["history"] = history
        elif history is None:
            image["history"] = [{"created": CREATED, "created_by": f"layer {index}"} for index in range(len(layers))]
            image["history"].append({"created": CREATED, "created_by": "CMD of base", "empty_layer": True})
        manifest = {"schemaVersion": 2, "mediaType": kinds[2], "config": self.add_blob(image, kinds[1]),
                    "layers": [self.add_blob(zipped[1](layer), kinds[0]) for layer in layers]}
        descriptor = self.add_blob(manifest, kinds[2])
        self.tags[name, tag] = descriptor["digest"]
        return dict(descriptor, platform={"os": "linux", "architecture": architecture})

    def _add_images(self):
        base = tar(*_base())
        shell = {"Env": [PATH, "BASE=from base"], "Cmd": ["/bin/sh"]}
        self.add("base", [base], shell)
        self.add("base", [base], shell, tag="v1")
        self.add("docker", [base], shell, docker=True)
        self.add("nohistory", [base], shell, history=False)
        self.add("bare", [tar(entry("bin", kind=DIR), *_bare())], {})
        self.add("layered", [base, tar(
            entry("data", kind=DIR), entry("data/.wh.a"), entry("data/sub", kind=DIR), entry("data/sub/new", "new\n"),
            entry("data/sub/.wh..wh..opq"), entry("data/c", "c\n"))], shell)
        self.add("onbuild", [base], {**shell, "OnBuild": [
            "ARG FROM_TRIGGER=unset", "ENV TRIGGERED=yes", "COPY trigger.txt /triggered/", "RUN echo $TRIGGERED > /ran"]})
        self.add("rich", [base], {
            "User": "bob:extra", "ExposedPorts": {"8080/tcp": {}}, "Env": [PATH, "A=1", "B=two words"],
            "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo hi"], "Volumes": {"/vol": {}}, "WorkingDir": "/home/bob",
            "Labels": {"base": "yes", "keep": "me"}, "StopSignal": "SIGINT", "Shell": ["/bin/sh", "-ec"],
            "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "Retries": 4}}, author="somebody")
        self.add("legacy", [base], {
            "Hostname": "5a1b", "Domainname": "", "User": "", "AttachStdin": False, "Tty": False, "OpenStdin": False,
            "Env": [PATH], "Cmd": ["/bin/sh"], "ArgsEscaped": True, "Image": "sha256:" + "1" * 64, "Volumes": None,
            "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": None, "NetworkDisabled": True, "MacAddress": "x",
            "StopTimeout": 5, "Memory": 7, "Unknown": {"a": 1}},
            container="abc", container_config={"Cmd": ["x"]}, docker_version="1.10", id="old", parent="older", unknown=True)
        self.add("odd", [base], {"Env": [PATH, "A", "B=1", "B=2", "C="], "WorkingDir": "work/./x/../here/"})
        small = tar(entry("small", "small\n"))
        self.add("shorthistory", [base, small], shell, history=[{"created": CREATED, "created_by": "only one"}])
        self.add("longhistory", [base], shell, history=[{"created": CREATED, "created_by": f"entry {n}"} for n in range(3)])
        self.add("plain", [base], shell, zipped=("tar", lambda layer: layer))
        self.add("zstd", [base], shell, zipped=("tar+zstd", zstd))
        self.add("twice", [base, small, small], shell)
        # The same on every machine.
        self.add("tiny", [tar(*_tiny())], {"Env": [PATH], "Cmd": ["/bin/sh"]}, zipped=("tar", lambda layer: layer))
        index = [self.add("multi", [tar(entry("arch", f"{name}\n"))], {"Env": [PATH, f"ARCH={name}"]}, name)
                 for name in ("amd64", "arm64")]
        self.tags["multi", "latest"] = self.add_blob(
            {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": index}, OCI + "index.v1+json")["digest"]
        self.add("arm", [tar(entry("arch", "arm64\n"))], {"Env": [PATH]}, "arm64")

    def close(self):
        self.server.shutdown()


def _tiny():
    """A shell that succeeds at whatever it is told, without doing it."""
    code = b"\xb8\x3c\0\0\0\x31\xff\x0f\x05"  # exit(0)
    start, head = 0x400000, 64 + 56
    program = (b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, start + head, 64, 0, 0, 64, 56, 1, 0, 0, 0)
               + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, head + len(code), head + len(code), 0x1000) + code)
    yield entry("bin", kind=DIR)
    yield entry("bin/sh", program, mode=0o755)
    yield entry("etc", kind=DIR)
    yield entry("etc/passwd", PASSWD)
    yield entry("etc/group", GROUP)
    yield entry("data", kind=DIR)
    yield entry("data/a", "a of tiny\n")


def _bare():
    """A shell, and nothing else: no /etc, no /dev."""
    with open(BUSYBOX, "rb") as file:
        yield entry("bin/busybox", file.read(), mode=0o755)
    yield entry("bin/sh", kind=HARD, link="bin/busybox", mode=0o755)
