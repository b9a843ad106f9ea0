"""What the workloads build: made from seeds, the same bytes every time."""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
# Whatever is in the archives has this time, so that their digests do not change.
EPOCH = 1_700_000_000


class Text:
    """Bytes that compress about as source code does (gzip to roughly a third)."""

    def __init__(self, seed, size=16_000_000):
        self.random = random.Random(seed)
        alphabet = b"abcdefghijklmnopqrstuvwxyz_(){};,.0123456789"
        words = [bytes(self.random.choices(alphabet, k=self.random.randint(2, 10))) for _ in range(20_000)]
        weights = [1 / (rank + 1) for rank in range(len(words))]
        self.pool = b" ".join(self.random.choices(words, weights, k=size // 6))

    def piece(self, size):
        """Small pieces from all over, so that nothing repeats over long distances."""
        parts = []
        while size > 0:
            take = min(size, 3000)
            start = self.random.randrange(len(self.pool) - take)
            parts.append(self.pool[start:start + take])
            size -= take
        return b"".join(parts)

    def file_size(self):
        """Most files are small, most bytes are in big ones, as in a source tree."""
        return int(min(400_000, self.random.lognormvariate(8.2, 1.25)))


def write_tree(root, seed, files, files_in_directory=100):
    """A tree of `files` files under `root`."""
    text = Text(seed)
    for index in range(files):
        directory = root / f"d{index // (files_in_directory * 20)}" / f"e{index // files_in_directory}"
        if index % files_in_directory == 0:
            directory.mkdir(parents=True)
        (directory / f"f{index % files_in_directory}.c").write_bytes(text.piece(text.file_size()))


def _layer_of_programs(target, seed, mebibytes):
    """A tar that looks like a part of a distribution: many small texts, some large half-random files."""
    text = Text(seed)
    left = mebibytes << 20
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        index = 0
        while left > 0:
            if index % 40 == 0:
                body = b"".join(text.random.randbytes(700) + text.piece(1300) for _ in range(1500))
            else:
                body = text.piece(text.file_size() * 2)
            info = tarfile.TarInfo(f"usr/share/p{seed}-{index // 60}/f{index}")
            info.size, info.mtime, info.mode = len(body), EPOCH, 0o644
            tar.addfile(info, io.BytesIO(body))
            left -= len(body)
            index += 1


def _busybox_layer(target):
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in ("bin", "etc", "tmp", "usr", "usr/share"):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, EPOCH
            tar.addfile(info)
        body = BUSYBOX.read_bytes()
        info = tarfile.TarInfo("bin/busybox")
        info.size, info.mode, info.mtime = len(body), 0o755, EPOCH
        tar.addfile(info, io.BytesIO(body))
        for applet in ("sh", "true", "sleep", "cat", "echo", "ls"):
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname, info.mtime = tarfile.SYMTYPE, "busybox", EPOCH
            tar.addfile(info)


def _add_blob(layout, data):
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def write_image(layout, tars):
    """An OCI layout with one image of uncompressed layers, tagged latest."""
    shutil.rmtree(layout, ignore_errors=True)
    (layout / "blobs/sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    kind = "application/vnd.oci.image."
    layers = [dict(_add_blob(layout, tar.read_bytes()), mediaType=kind + "layer.v1.tar") for tar in tars]
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
              "history": [{"created_by": f"layer {index}"} for index in range(len(layers))],
              "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}}
    manifest = {"schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "layers": layers,
                "config": dict(_add_blob(layout, json.dumps(config).encode()), mediaType=kind + "config.v1+json")}
    entry = dict(_add_blob(layout, json.dumps(manifest).encode()), mediaType=kind + "manifest.v1+json",
                 annotations={"org.opencontainers.image.ref.name": "latest"})
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def push(layout, name, compression):
    subprocess.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--dest-compress-format", compression,
                    f"oci:{layout}:latest", f"docker://{name}"], check=True)


class Inputs:
    """Everything under one directory; what is there already is used again."""

    def __init__(self, root, scale):
        self.root = root
        self.scale = scale  # 1: as in the table; less for --quick
        root.mkdir(parents=True, exist_ok=True)

    def scaled(self, count):
        return max(1, int(count * self.scale))

    def made_once(self, name, make):
        path = self.root / f"{name}-{self.scale}"
        if not path.exists():
            part = path.with_name(path.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            make(part)
            part.rename(path)
        return path

    def tree(self, name, seed, files):
        return self.made_once(name, lambda path: write_tree(path / "context" / "src", seed, files)) / "context"

    def base_layout(self):
        def make(path):
            _busybox_layer(path / "busybox.tar")
            write_image(path / "layout", [path / "busybox.tar"])
        return self.made_once("base", make) / "layout"

    def big_image(self):
        """Five layers, 565 MB of files."""
        def make(path):
            tars = [path / "0.tar"]
            _busybox_layer(tars[0])
            for seed, mebibytes in enumerate((120, 210, 90, 85, 34), start=1):
                tars.append(path / f"{seed}.tar")
                _layer_of_programs(tars[-1], seed, self.scaled(mebibytes))
            write_image(path / "layout", tars)
        return self.made_once("big-image", make) / "layout"

    def half_random(self):
        """A file of 10 MB that compresses to little more than half."""
        def make(path):
            text = Text(9)
            with open(path / "pool", "wb") as pool:
                for _ in range(1000):
                    pool.write(text.random.randbytes(5000) + text.piece(5000))
        return self.made_once("half-random", make) / "pool"

    def big_context(self):
        """Half a gigabyte in files of all sizes, as one layer."""
        def make(path):
            (path / "context").mkdir()
            _layer_of_programs(path / "layer.tar", 7, self.scaled(500))
            with tarfile.open(path / "layer.tar") as tar:
                tar.extractall(path / "context")
            os.unlink(path / "layer.tar")
        return self.made_once("big-context", make) / "context"
