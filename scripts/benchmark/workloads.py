"""What is built and timed. Each workload says what it prepares (not timed) and which builds it times."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from .inputs import BUSYBOX
from .peers import Build, remove


class Workload:
    """`prepare` is not timed and is called before each run; `builds` are started at once and timed."""

    name = ""
    about = ""
    floors = {}  # name of a floor -> shell command, in which {x} are attributes of the workload

    def __init__(self, inputs, work, registry, targets):
        """`registry` has the inputs; `targets` is one to push to."""
        self.inputs, self.work, self.registry, self.targets = inputs, work, registry, targets
        self.nonce = 0
        self.ready = set()  # peers that have built what the timed builds start from
        self.base = f"{registry}/base:latest"
        self.context = work / f"context-{self.name}"
        remove(self.context)
        self.context.mkdir(parents=True)
        self.set_up()

    def set_up(self):
        """Makes the context. Once."""

    def prepare(self, peer, execute):
        """Brings the peer's store to where the run begins; `execute(builds)` builds, untimed."""

    def build_once(self, peer, execute, context=None):
        """For `prepare`: what later runs begin with is already what the run before has left."""
        if peer.name not in self.ready:
            execute([Build(context or self.context)])
            self.ready.add(peer.name)

    def builds(self, peer):
        return [Build(self.context)]

    def observe(self, log, ended):
        """Further figures, by name, from what a timed build said; it ended at `ended` (CLOCK_BOOTTIME)."""
        return {}

    def dockerfile(self, *lines):
        (self.context / "Dockerfile").write_text("\n".join(lines) + "\n")

    def next(self):
        """A value that no build has seen yet."""
        self.nonce += 1
        return f"{os.getpid()}-{self.nonce}"


class NoOp(Workload):
    name = "noop-12-steps"
    about = "rebuild of 12 steps, 1,000 files in the context, nothing changed"
    floors = {"find": "find {context} -type f -size +1 >/dev/null"}

    def set_up(self):
        shutil.copytree(self.inputs.tree("thousand", 1, 1000), self.context, dirs_exist_ok=True)
        self.dockerfile(f"FROM {self.base}", "WORKDIR /src", "COPY . .",
                        *(f"RUN echo {step} > /step{step}" for step in range(10)))

    def prepare(self, peer, execute):
        self.build_once(peer, execute)


class CopyRun(Workload):
    name = "build-local"
    about = "one COPY and one RUN on a base that is here"
    floors = {"crun": "cd {bundle} && crun run bench-floor"}

    def set_up(self):
        self.bundle = make_bundle(self.work)
        self.dockerfile(f"FROM {self.base}", "COPY file /file", "RUN true")
        (self.context / "file").write_text("first")

    def prepare(self, peer, execute):
        self.build_once(peer, execute)
        (self.context / "file").write_text(self.next())


class Steps(Workload):
    name = "run-true-x20"
    about = "20 steps `RUN true` on a base that is here; a twentieth of it is what each further step costs"
    floors = {"crun": "cd {bundle} && for i in $(seq 20); do crun run bench-floor; done",
              "runc": "cd {bundle} && for i in $(seq 20); do runc run bench-floor; done"}

    def set_up(self):
        self.bundle = make_bundle(self.work)

    def prepare(self, peer, execute):
        self.dockerfile(f"FROM {self.base}", "RUN true")
        self.build_once(peer, execute)
        value = self.next()
        self.dockerfile(f"FROM {self.base}", f"ENV NONCE={value}", *("RUN true" for _ in range(20)))


class Pull(Workload):
    name = "pull-gzip"
    about = "pull and unpack an image of 565 MB in several gzip layers, and one RUN"
    compression = "gzip"
    floors = {"igzip | tar": "d=$(mktemp -d {work}/floor.XXXXXX); for t in {tars}; do igzip -dc $t.gz | tar x -C $d; done"}

    def set_up(self):
        self.dockerfile(f"FROM {self.registry}/big-{self.compression}:latest", "RUN true")
        layout = self.inputs.big_image()
        self.tars = " ".join(str(tar) for tar in sorted(layout.parent.glob("*.tar")))
        for tar in self.tars.split():
            if not Path(tar + ".gz").exists() and shutil.which("igzip"):
                subprocess.run(["sh", "-c", f"igzip -1 -c {tar} > {tar}.gz"], check=True)
            if not Path(tar + ".zst").exists() and shutil.which("zstd"):
                subprocess.run(["zstd", "-q", "-3", "-f", tar, "-o", tar + ".zst"], check=True)

    def prepare(self, peer, execute):
        peer.reset()


class PullZstd(Pull):
    name = "pull-zstd"
    about = "the same with zstd layers"
    compression = "zstd"
    floors = {"zstd | tar": "d=$(mktemp -d {work}/floor.XXXXXX); for t in {tars}; do zstd -dqc $t.zst | tar x -C $d; done"}


class Parallel(Workload):
    name = "high-parallelization-8x"
    about = "8 independent stages of one second each"
    floors = {"sleep": "sleep 1"}

    def prepare(self, peer, execute):
        self.dockerfile(f"FROM {self.base}", "RUN true")
        self.build_once(peer, execute)
        value = self.next()
        stages = [line for stage in range(8) for line in
                  (f"FROM {self.base} AS s{stage}", f"RUN sleep 1 && echo {value} > /out{stage}")]
        self.dockerfile(*stages, "FROM scratch", *(f"COPY --from=s{stage} /out{stage} /" for stage in range(8)))


class AtOnce(Workload):
    name = "concurrent-8-builds"
    about = "8 different small builds started at once on one store"
    floors = {"crun": "cd {bundle} && for i in $(seq 8); do crun run bench-floor-$i & done; wait"}

    def set_up(self):
        self.bundle = make_bundle(self.work)
        self.contexts = [self.context / str(index) for index in range(8)]
        for context in self.contexts:
            context.mkdir()
            (context / "Dockerfile").write_text(f"FROM {self.base}\nCOPY file /file\nRUN true\n")
            (context / "file").write_text("first" + context.name)

    def prepare(self, peer, execute):
        self.build_once(peer, execute, self.contexts[0])
        for context in self.contexts:
            (context / "file").write_text(self.next())

    def builds(self, peer):
        return [Build(context) for context in self.contexts]


class Transfer(Workload):
    name = "file-transfer-cold"
    about = "COPY of 50,000 files, 400 MB, into an empty store"
    floors = {"cp -a": "d=$(mktemp -d {work}/floor.XXXXXX); cp -a {context} $d"}

    def set_up(self):
        remove(self.context)
        tree = self.inputs.tree("fifty-thousand", 2, self.inputs.scaled(50_000))
        subprocess.run(["cp", "-al", str(tree), str(self.context)], check=True)
        self.dockerfile("FROM scratch", "COPY . /src")
        self.changed = self.context / "src/d0/e1/f1.c"

    def prepare(self, peer, execute):
        peer.reset()


class TransferSame(Transfer):
    name = "file-transfer-same"
    about = "the same, nothing changed"
    floors = {"find": "find {context} -type f -size +1 >/dev/null"}

    def prepare(self, peer, execute):
        self.build_once(peer, execute)


class TransferOne(Transfer):
    name = "file-transfer-one-changed"
    about = "the same, one file changed"
    floors = {"cp -al": "d=$(mktemp -d {work}/floor.XXXXXX); cp -al {context} $d"}

    def prepare(self, peer, execute):
        self.build_once(peer, execute)
        self.changed.unlink()  # the tree shares it with the inputs
        self.changed.write_text(self.next())


class Export(Workload):
    name = "export-gzip"
    about = "OCI archive of a layer of 500 MB that is built, gzip"
    compression = "gzip"
    floors = {"tar | igzip -1": "tar c -C {context} . | igzip -1 -c > {work}/floor.gz",
              "tar | pigz -6": "tar c -C {context} . | pigz -6 -c > {work}/floor.gz"}

    def set_up(self):
        remove(self.context)
        subprocess.run(["cp", "-al", str(self.inputs.big_context()), str(self.context)], check=True)
        self.dockerfile("FROM scratch", "COPY . /data")
        self.output = self.work / f"{self.name}.tar"

    def prepare(self, peer, execute):
        peer.reset()
        remove(self.output)
        execute([Build(self.context)])

    def builds(self, peer):
        return [Build(self.context, self.output, self.compression)]


class ExportZstd(Export):
    name = "export-zstd"
    about = "the same, zstd"
    compression = "zstd"
    floors = {"tar | zstd -3": "tar c -C {context} . | zstd -q -3 -T2 -c > {work}/floor.zst"}


class Push(Export):
    name = "push-gzip-500MB"
    about = "push of the same to an empty registry on this machine, gzip"

    def prepare(self, peer, execute):
        peer.reset()
        (self.context / "nonce").write_text(self.next())  # buildah remembers which registry has which blob
        execute([Build(self.context)])
        self.targets.empty()

    def builds(self, peer):
        return [Build(self.context, push=f"{self.targets.name}/bench:1")]


class ThreeLayers(Workload):
    name = "three-layers-push"
    about = "three steps that write 200 MB each, half of it random, at what one CPU makes, and a push to an empty registry"

    def set_up(self):
        pool = self.inputs.half_random()
        shutil.copy(pool, self.context / "pool")
        rounds = " ".join(str(index) for index in range(self.inputs.scaled(20)))
        write = f"for i in {rounds}; do busybox gzip -c /pool | busybox gunzip -c; done"
        self.lines = [f"RUN {write} > /data{step} && echo STEP ENDED AT $(cat /proc/uptime)" for step in range(3)]
        self.floors = {"gzip": f"for step in 0 1 2; do for i in {rounds}; do busybox gzip -c {pool} | "
                               "busybox gunzip -c; done > {work}/floor.data; done"}

    def prepare(self, peer, execute):
        self.dockerfile(f"FROM {self.base}", "COPY pool /pool")
        self.build_once(peer, execute)
        self.dockerfile(f"FROM {self.base}", "COPY pool /pool", f"ENV NONCE={self.next()}", *self.lines)
        self.targets.empty()

    def builds(self, peer):
        return [Build(self.context, push=f"{self.targets.name}/bench:1")]

    def observe(self, log, ended):
        steps = re.findall(r"STEP ENDED AT (\d+\.\d+)", log)
        return {"seconds after the last step": ended - float(steps[-1])} if steps else {}


class CacheImport(Workload):
    name = "cache-import"
    about = "30 steps, all found in a cache in a registry on this machine, an empty store"
    floors = {"curl": "for path in {documents}; do curl -sf -H 'Accept: {media_types}' -o /dev/null http://{registry}/v2/$path; done"}

    def set_up(self):
        self.dockerfile(f"FROM {self.base}", *(f"COPY file{step} /" for step in range(30)))
        for step in range(30):
            (self.context / f"file{step}").write_text(f"{step}")
        self.documents = "base/manifests/latest bench-cache-cobuild/manifests/1"
        self.media_types = ", ".join(f"application/vnd.{kind}+json" for kind in (
            "oci.image.manifest.v1", "oci.image.index.v1", "docker.distribution.manifest.v2"))

    def cache_name(self, peer):
        return f"{self.registry}/bench-cache-{peer.name}:1"

    def prepare(self, peer, execute):
        if peer.name not in self.ready:
            execute([Build(self.context, cache_to=self.cache_name(peer))])
            self.ready.add(peer.name)
        peer.reset()

    def builds(self, peer):
        return [Build(self.context, cache_from=self.cache_name(peer))]


class CacheExport(Workload):
    name = "cache-export-30-layers"
    about = "30 layers of 10 MB each, half of it random, that are built, to a cache in an empty registry on this machine"
    floors = {"tar | igzip -1": "for f in {context}/part*; do tar c $f 2>/dev/null | igzip -1 -c > {work}/floor.gz; done",
              "tar | pigz -6": "for f in {context}/part*; do tar c $f 2>/dev/null | pigz -6 -c > {work}/floor.gz; done"}

    def set_up(self):
        pool = self.inputs.half_random().read_bytes()
        for step in range(30):
            # Shifted, so that no two layers are the same.
            (self.context / f"part{step}").write_bytes(pool[step * 4096:] + pool[:step * 4096])
        self.dockerfile("FROM scratch", *(f"COPY part{step} /" for step in range(30)))

    def prepare(self, peer, execute):
        peer.reset()
        execute([Build(self.context)])
        self.targets.empty()

    def builds(self, peer):
        return [Build(self.context, cache_to=f"{self.targets.name}/bench-cache:1")]


WORKLOADS = [NoOp, CopyRun, Steps, Pull, PullZstd, Parallel, AtOnce, Transfer, TransferSame, TransferOne, Export,
             ExportZstd, Push, ThreeLayers, CacheImport, CacheExport]
QUICK = [NoOp, CopyRun, Steps, Pull, AtOnce, Transfer, TransferSame, TransferOne, Export]


def make_bundle(work):
    """The smallest container: busybox true, no namespaces beyond what a step has."""
    bundle = work / "bundle"
    if bundle.exists():
        return bundle
    (bundle / "rootfs/bin").mkdir(parents=True)
    for directory in ("proc", "dev", "sys"):
        (bundle / "rootfs" / directory).mkdir()
    shutil.copy(BUSYBOX, bundle / "rootfs/bin/true")
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    config = bundle / "config.json"
    config.write_text(config.read_text().replace('"terminal": true', '"terminal": false').replace('"sh"', '"/bin/true"'))
    return bundle
