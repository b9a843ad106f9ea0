"""What is to be known of an image: its config, its history, and all that is in its layers."""

import gzip
import hashlib
import io
import json
import re
import tarfile
from datetime import datetime

TEXT_BYTES_MAX = 300  # of the content of a file
CREATED = "org.opencontainers.image.created"
LONG_TEXT = 2000  # of a member of JSON
TYPES = {tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "hard", tarfile.CHRTYPE: "char",
         tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "fifo"}


class Times:
    """Times since the comparison began are those of the builder's clock: they are all alike."""

    def __init__(self, start):
        self.start = start

    def seconds(self, time):
        return "now" if time >= self.start else str(int(time))

    def text(self, time):
        if time is None:
            return None
        parsed = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", time))
        return "now" if parsed.timestamp() >= self.start else time


def _content(data):
    if len(data) <= TEXT_BYTES_MAX:
        return json.dumps(data.decode("utf-8", "backslashreplace"), ensure_ascii=False)
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()[:16]}"


def _member(archive, info, times):
    words = [json.dumps(info.name, ensure_ascii=False)[1:-1], TYPES.get(info.type, "file"), f"{info.mode:04o}",
             f"{info.uid}:{info.gid}", times.seconds(info.mtime)]
    if info.isreg():
        words.append(_content(archive.extractfile(info).read()))
    elif info.issym() or info.islnk():
        words.append("-> " + info.linkname)
    elif info.ischr() or info.isblk():
        words.append(f"{info.devmajor},{info.devminor}")
    for key in sorted(info.pax_headers):
        if key.startswith("SCHILY.xattr."):
            words.append(f"{key[13:]}={info.pax_headers[key].encode('utf-8', 'surrogateescape').hex()}")
    return " ".join(words).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _unzip(blob):
    return gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob


def _shortened(value):
    """The same JSON with long texts as their digests."""
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, str) and len(value) > LONG_TEXT:
        return f"{len(value)} characters {hashlib.sha256(value.encode()).hexdigest()[:16]}"
    return value


class Archive:
    """The blobs of an OCI archive."""

    def __init__(self, path):
        with tarfile.open(path) as archive:
            self.files = {info.name: archive.extractfile(info).read() for info in archive if info.isreg()}

    def blob(self, descriptor):
        return self.files["blobs/" + descriptor["digest"].replace(":", "/")]

    def json(self, descriptor):
        return json.loads(self.blob(descriptor))


def _layer(archive, descriptor, diff_id, times, known):
    if diff_id in known:
        return known[diff_id]
    plain = _unzip(archive.blob(descriptor))
    if "sha256:" + hashlib.sha256(plain).hexdigest() != diff_id:
        return "the diff ID is not that of the layer"
    with tarfile.open(fileobj=io.BytesIO(plain)) as layer:
        return [_member(layer, info, times) for info in layer]


def _image(archive, manifest, times, known):
    config = archive.json(manifest["config"])
    diff_ids = config.get("rootfs", {}).pop("diff_ids", None) or []
    layers = manifest["layers"] or []
    config["created"] = times.text(config.get("created"))
    history = config.pop("history", None)
    for entry in history or []:
        if "created" in entry:
            entry["created"] = times.text(entry["created"])
    kinds = [manifest.get("mediaType"), manifest["config"]["mediaType"]] + sorted({layer["mediaType"] for layer in layers})
    return {"config": _shortened(config),
            "history": history and [json.dumps(_shortened(entry), sort_keys=True, ensure_ascii=False) for entry in history],
            "media types": kinds, "annotations": manifest.get("annotations"),
            "layers": [_layer(archive, layer, diff_id, times, known) for layer, diff_id in zip(layers, diff_ids)],
            "layer count": len(layers)}


def facts_of(path, times, known):
    """Of a tar: its entries. Of an image's archive: the facts of each platform. `known` names layers by their diff IDs."""
    archive = Archive(path)
    if "index.json" not in archive.files:
        with tarfile.open(path) as files:
            return {"files": [_member(files, info, times) for info in files]}
    index = json.loads(archive.files["index.json"])
    facts = {}
    pending = list(index["manifests"])
    while pending:
        descriptor = pending.pop(0)
        manifest = archive.json(descriptor)
        if "manifests" in manifest:
            pending += manifest["manifests"]
            continue
        platform = descriptor.get("platform") or {}
        text = "/".join(platform[key] for key in ("os", "architecture", "variant") if key in platform)
        name = text if descriptor not in index["manifests"] else "image"
        facts[name] = {**_image(archive, manifest, times, known), "descriptor's platform": text}
    names = [_without_times(descriptor.get("annotations"), times) for descriptor in index["manifests"]]
    found = {"images": facts}
    if any(annotations != {CREATED: "now"} for annotations in names):
        found["index"] = names
    return {**found, "docker": True} if "manifest.json" in archive.files else found


def _without_times(annotations, times):
    return {**annotations, CREATED: times.text(annotations[CREATED])} if annotations and CREATED in annotations else annotations


def flattened(image):
    """The root file system that the layers make, by path. Layers known by name are one entry each."""
    tree = {}
    for layer in image["layers"]:
        if isinstance(layer, str):
            tree[layer] = ""
            continue
        fresh = {}
        for line in layer:
            path, facts = line.split(" ", 1)
            directory, _, name = path.rstrip("/").rpartition("/")
            if name.startswith(".wh."):
                gone = f"{directory}/{name[4:]}".lstrip("/")
                tree = {key: value for key, value in tree.items() if key != gone and not key.startswith(gone + "/")}
                tree["removed " + gone] = ""
                continue
            fresh[path.rstrip("/")] = facts
        tree.update(fresh)
    return tree
