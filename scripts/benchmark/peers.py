"""How each builder is told to do the same thing."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .measure import bytes_in


@dataclass
class Build:
    context: Path
    output: Path | None = None  # an OCI archive; None: only built
    compression: str = "gzip"
    push: str | None = None  # a name in a registry without TLS
    cache_to: str | None = None  # one for a cache of all steps
    cache_from: str | None = None


def remove(path):
    subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=False)


def set_aside(path):
    """Moves a directory away instead of removing it: for minutes ext4 does not use the inodes of removed files again,
    and searching past them makes every later file creation several times slower, for whoever comes next."""
    if path.exists():
        trash = path.parent / "trash"
        trash.mkdir(exist_ok=True)
        path.rename(trash / f"{path.name}-{time.monotonic_ns()}")


class Peer:
    """One builder with a store of its own."""

    name = ""
    daemons = ()
    in_table = True

    def __init__(self, work, registry):
        self.root = work / f"store-{self.name}"
        self.registry = registry
        self.reset()

    def reset(self):
        """Empties the store."""
        set_aside(self.root)
        self.root.mkdir(parents=True)

    def command(self, build):
        raise NotImplementedError

    def can(self, build):
        return True

    def stored_bytes(self):
        return bytes_in(self.root)

    def close(self):
        """Ends what it started. The files are the caller's to remove."""


class Cobuild(Peer):
    name = "cobuild"

    def __init__(self, work, registry, executable):
        self.executable = executable
        super().__init__(work, registry)

    def command(self, build):
        words = [self.executable, "--root", self.root, "build", "--progress", "plain"]
        if build.output:
            words += ["-o", f"type=oci,dest={build.output},compression={build.compression}"]
        if build.push:
            words += ["-o", f"type=image,name={build.push},push=true,registry.insecure=true,compression={build.compression}"]
        if build.cache_to:
            words += ["--cache-to", f"type=registry,ref={build.cache_to},mode=max,registry.insecure=true"]
        if build.cache_from:
            words += ["--cache-from", f"type=registry,ref={build.cache_from}"]
        return [str(word) for word in words + [build.context]]


class Buildah(Peer):
    name = "buildah"

    def __init__(self, work, registry):
        self.policy = work / "policy.json"  # Debian only recommends the package that has one
        self.policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        super().__init__(work, registry)

    def command(self, build):
        base = ["buildah", "--root", self.root / "root", "--runroot", self.root / "run", "--storage-driver", "overlay"]
        name = f"bench-{build.context.name}".lower()
        words = [*base, "bud", "--layers", "--isolation", "oci", "--network", "host",
                 "--runtime", "runc", "--tls-verify=false", "--signature-policy", self.policy,
                 "-t", name, build.context]
        if not build.output and not build.push:
            return [str(word) for word in words]
        push = [*base, "push", "--quiet", "--tls-verify=false", "--signature-policy", self.policy,
                name, f"docker://{build.push}" if build.push else f"oci-archive:{build.output}"]
        script = " && ".join(" ".join(f"'{word}'" for word in command) for command in (words, push))
        return ["sh", "-c", script]

    def can(self, build):
        # buildah 1.28 cannot choose the compression of an archive: always gzip. Its caches are images of layers.
        return (build.output is None or build.compression == "gzip") and not build.cache_to and not build.cache_from

    def reset(self):
        if self.root.exists():
            subprocess.run(["buildah", "--root", str(self.root / "root"), "--runroot", str(self.root / "run"),
                            "rm", "--all"], capture_output=True, check=False)
            subprocess.run(["umount", str(self.root / "root/overlay")], capture_output=True, check=False)
        super().reset()


class BuildKit(Peer):
    """buildctl with a daemon that is already there."""

    name = "buildkit"

    def __init__(self, work, registry, daemon, client):
        self.daemon, self.client = daemon, client
        self.socket = f"unix://{work}/{self.name}.sock"
        self.config = work / f"{self.name}.toml"
        self.config.write_text(f'[registry."{registry}"]\n  http = true\n')
        self.log = work / f"{self.name}.log"
        self.process = None
        super().__init__(work, registry)

    def daemon_command(self):
        return [str(word) for word in (self.daemon, "--root", self.root, "--addr", self.socket, "--config", self.config,
                                       "--oci-worker-snapshotter", "overlayfs", "--oci-worker-net", "host")]

    def reset(self):
        self.stop()
        super().reset()
        self.process = subprocess.Popen(self.daemon_command(), stdout=open(self.log, "ab"), stderr=subprocess.STDOUT)
        self.daemons = (self.process.pid,)
        for _ in range(600):
            if subprocess.run([self.client, "--addr", self.socket, "debug", "workers"], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"buildkitd did not come up: see {self.log}")

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def command(self, build):
        words = [self.client, "--addr", self.socket, "build", "--progress", "plain", "--frontend", "dockerfile.v0",
                 "--local", f"context={build.context}", "--local", f"dockerfile={build.context}"]
        if build.output:
            words += ["--output", f"type=oci,dest={build.output},compression={build.compression}"]
        if build.push:
            words += ["--output", f"type=image,name={build.push},push=true,registry.insecure=true,compression={build.compression}"]
        if build.cache_to:
            words += ["--export-cache", f"type=registry,ref={build.cache_to},mode=max,registry.insecure=true"]
        if build.cache_from:
            words += ["--import-cache", f"type=registry,ref={build.cache_from},registry.insecure=true"]
        return [str(word) for word in words]

    def close(self):
        self.stop()


class BuildKitDaemonless(BuildKit):
    """The same, starting the daemon for each build as buildctl-daemonless.sh does."""

    name = "buildkit-daemonless"

    def reset(self):
        Peer.reset(self)

    def command(self, build):
        quote = lambda words: " ".join(f"'{word}'" for word in words)
        script = (f"{quote(self.daemon_command())} >/dev/null 2>&1 & daemon=$!; "
                  f"until '{self.client}' --addr '{self.socket}' debug workers >/dev/null 2>&1; do sleep 0.01; done; "
                  f"{quote(super().command(build))}; status=$?; kill $daemon; wait $daemon; exit $status")
        return ["bash", "-c", script]


class Kaniko(Peer):
    """kaniko takes over the root file system that it runs in: it gets one of its own each time."""

    name = "kaniko"

    def __init__(self, work, registry, executable):
        self.executable = executable
        super().__init__(work, registry)

    def reset(self):
        super().reset()
        for directory in ("kaniko/.docker", "proc", "sys", "dev", "etc", "tmp", "out", "workspace"):
            (self.root / directory).mkdir(parents=True)
        shutil.copy(self.executable, self.root / "kaniko/executor")
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")

    def can(self, build):
        return not build.cache_to and not build.cache_from

    def command(self, build):
        root = self.root
        words = ["/kaniko/executor", "--force", "--context", "dir:///workspace", "--dockerfile", "/workspace/Dockerfile",
                 *(["--insecure", "--destination", build.push] if build.push else ["--no-push"]), "--insecure-pull", "--insecure-registry", self.registry]
        mounts = [f"mount --rbind /proc '{root}/proc'", f"mount --rbind /dev '{root}/dev'",
                  f"mount --bind '{build.context}' '{root}/workspace'"]
        if build.output:
            words += ["--destination", "bench:latest", "--tar-path", "/out/image.tar"]
            if build.compression == "zstd":
                words += ["--compression", "zstd"]
        script = " && ".join([f"rm -rf '{root}/out/image.tar'", *mounts, f"exec chroot '{root}' {' '.join(words)}"])
        return ["unshare", "-m", "sh", "-c", script]


PEER_NAMES = [kind.name for kind in (Cobuild, BuildKit, BuildKitDaemonless, Buildah, Kaniko)]
QUICK_PEERS = ["buildkit", "buildah"]


def find_peers(names, work, registry, cobuild):
    """The builders that are here, and why the others are not."""
    found, missing = [Cobuild(work, registry, cobuild)], {}
    daemon, client = os.environ.get("BUILDKITD"), os.environ.get("BUILDCTL")
    for kind in (BuildKit, BuildKitDaemonless):
        if names and kind.name not in names:
            continue
        if daemon and client:
            found.append(kind(work, registry, daemon, client))
        else:
            missing[kind.name] = "set BUILDKITD and BUILDCTL to its executables"
    if not names or "buildah" in names:
        if shutil.which("buildah"):
            found.append(Buildah(work, registry))
        else:
            missing["buildah"] = "apt-get install buildah"
    if not names or "kaniko" in names:
        if os.environ.get("KANIKO"):
            found.append(Kaniko(work, registry, os.environ["KANIKO"]))
        else:
            missing["kaniko"] = "set KANIKO to its executor"
    return found, missing
