"""What a case is, and how its context comes to be on disk."""

import io
import os
import socket
import stat
import tarfile
from dataclasses import dataclass, field

# Everything in contexts, archives and base images is this old, so that a time that a builder chose stands out.
EPOCH = 1_577_934_245


@dataclass
class File:
    content: bytes | str = ""
    mode: int = 0o644
    xattrs: dict = field(default_factory=dict)
    mtime: int = EPOCH


@dataclass
class Dir:
    mode: int = 0o755
    mtime: int = EPOCH


@dataclass
class Link:
    target: str


@dataclass
class Hard:
    to: str  # a path of the same context


@dataclass
class Fifo:
    mode: int = 0o644


@dataclass
class Device:
    major: int
    minor: int
    mode: int = 0o600


@dataclass
class Socket:
    pass


@dataclass
class Case:
    name: str
    why: str
    dockerfile: str | bytes | None
    files: dict = field(default_factory=dict)
    options: list = field(default_factory=list)  # buildctl's words, which cobuild knows too
    says: str | None = None  # where our message is not BuildKit's first line: a part of ours
    output: str = "type=oci"
    pending: str | None = None  # what is not built yet: the case may fail
    root: bool = False  # an ordinary user cannot do what it does
    flaw: str | None = None  # of BuildKit, for which we differ: then that is what is expected
    # A second build with these words as well, and with these files changed: what of it is CACHED counts, too.
    again: list | None = None
    changes: dict = field(default_factory=dict)
    group: str = ""


CASES: list[Case] = []


def case(name, why, dockerfile, files=None, *options, **more):
    """Adds a case. `options` are further words of the command line."""
    CASES.append(Case(name, why, dockerfile, files or {}, list(options), **more))


def _make(path, entry):
    if isinstance(entry, (str, bytes)):
        entry = File(entry)
    match entry:
        case Dir():
            path.mkdir(parents=True, exist_ok=True)
        case File():
            path.write_bytes(entry.content.encode() if isinstance(entry.content, str) else entry.content)
            for name, value in entry.xattrs.items():
                os.setxattr(path, name, value)
        case Link():
            path.symlink_to(entry.target)
        case Fifo():
            os.mkfifo(path)
        case Device():
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(entry.major, entry.minor))
        case Socket():
            with socket.socket(socket.AF_UNIX) as unix:
                unix.bind(str(path))
    return entry


def write_context(case, root, fill_in):
    """Makes the case's files below `root`, with the modes and times that they are to have."""
    root.mkdir(parents=True)
    files = dict(case.files)
    if isinstance(case.dockerfile, str):
        files["Dockerfile"] = fill_in(case.dockerfile)
    elif case.dockerfile is not None:
        files["Dockerfile"] = case.dockerfile
    write_files(files, root, fill_in)


def write_files(files, root, fill_in):
    files = {name: fill_in(content) if isinstance(content, str) else content for name, content in files.items()}
    modes, times = {}, {}
    for name, entry in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.is_file():
            path.unlink()
        if isinstance(entry, Hard):
            os.link(root / entry.to, path)
            continue
        entry = _make(path, entry)
        if hasattr(entry, "mode"):
            modes[path] = entry.mode
        times[path] = getattr(entry, "mtime", EPOCH)
    for directory, names, others in os.walk(root, topdown=False):
        for name in [*names, *others, ""]:
            path = root.__class__(directory) / name
            if path in modes and not path.is_symlink():
                os.chmod(path, modes[path])
            time = times.get(path, EPOCH)
            os.utime(path, (time, time), follow_symlinks=False)


def entry(name, content=b"", kind=tarfile.REGTYPE, mode=None, uid=0, gid=0, link="", xattrs=None, device=(0, 0), mtime=EPOCH):
    """One member for tar()."""
    info = tarfile.TarInfo(name)
    content = content.encode() if isinstance(content, str) else content
    info.size, info.type, info.uid, info.gid, info.linkname, info.mtime = len(content), kind, uid, gid, link, mtime
    info.mode = mode if mode is not None else 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.devmajor, info.devminor = device
    if kind == tarfile.SYMTYPE:
        info.mode = 0o777
    for key, value in (xattrs or {}).items():
        info.pax_headers[f"SCHILY.xattr.{key}"] = value.decode("latin-1")
    return info, content


def tar(*members, form=tarfile.PAX_FORMAT):
    """The bytes of a tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zstd(data):
    """A frame of raw blocks: enough to be recognised."""
    blocks, size = b"", 1 << 16
    for start in range(0, len(data), size):
        block = data[start:start + size]
        last = start + size >= len(data)
        blocks += (len(block) << 3 | last).to_bytes(3, "little") + block
    return b"\x28\xb5\x2f\xfd\xa0" + len(data).to_bytes(4, "little") + blocks
