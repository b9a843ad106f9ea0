"""How time and memory grow with the size of the input; cobuild only."""

import shutil
import statistics
import sys
from pathlib import Path

from .fill_store import fill, forget_collection
from .inputs import BUSYBOX
from .measure import MemoryWatch, run
from .peers import Build, set_aside


class Series:
    """Builds of one kind in several sizes. `make` writes a context; cold is into an empty store, again is after it."""

    name = ""
    unit = ""
    sizes = ()

    def make(self, context, size):
        raise NotImplementedError

    def builds(self, context, size):
        return [Build(context)]


class Vertices(Series):
    """A tree: 2 k^2 + k vertices, chains no longer than k."""

    name, unit, sizes = "vertices", "vertices", (10, 32, 71)

    def make(self, context, size):
        (context / "f").write_text("f")
        lines = []
        for middle in range(size):
            for leaf in range(size):
                lines += [f"FROM scratch AS l{middle}-{leaf}", f"COPY f /{middle}-{leaf}"]
            lines += [f"FROM scratch AS m{middle}", *(f"COPY --from=l{middle}-{leaf} / /" for leaf in range(size))]
        lines += ["FROM scratch", *(f"COPY --from=m{middle} / /" for middle in range(size))]
        (context / "Dockerfile").write_text("\n".join(lines))
        return 2 * size * size + size


class Layers(Series):
    """997 is the most that two overlays, one on the other, take."""

    name, unit, sizes = "layers in one chain", "layers", (10, 100, 990)

    def make(self, context, size):
        for index in range(size):
            (context / f"f{index}").write_text(str(index))
        (context / "Dockerfile").write_text("\n".join(["FROM scratch", *(f"COPY f{index} /" for index in range(size))]))
        return size


class Files(Series):
    name, unit, sizes = "files in the context", "files", (5_000, 50_000, 500_000)

    def make(self, context, size):
        for index in range(size):
            directory = context / f"d{index // 10_000}" / f"e{index // 100}"
            if index % 100 == 0:
                directory.mkdir(parents=True)
            (directory / f"f{index % 100}").write_text(str(index))
        (context / "Dockerfile").write_text("FROM scratch\nCOPY . /src\n")
        return size


class LayerBytes(Series):
    """Exported, so that the layer is read, hashed and compressed."""

    name, unit, sizes = "bytes of one layer", "MB", (20, 200, 2000)

    def make(self, context, size):
        shutil.copy(BUSYBOX, context / "busybox")
        (context / "Dockerfile").write_text(
            'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "dd", "if=/dev/urandom", "of=/big", "bs=1M", '
            f'"count={size}"]\n')
        return size

    def builds(self, context, size):
        return [Build(context, context.parent / "out.tar", "zstd")]


class AtOnce(Series):
    name, unit, sizes = "builds at once", "builds", (2, 20, 200)

    def make(self, context, size):
        for index in range(size):
            directory = context / str(index)
            directory.mkdir()
            shutil.copy(BUSYBOX, directory / "busybox")
            (directory / "Dockerfile").write_text(
                f'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "touch", "/{index}"]\n')
        return size

    def builds(self, context, size):
        return [Build(context / str(index)) for index in range(size)]


SERIES = [Vertices, Layers, Files, LayerBytes, AtOnce]
RECORDS = (10, 1_000, 10_000, 100_000)
RECORDS_NAME = "records"
NAMES = [kind.name for kind in SERIES] + [RECORDS_NAME]


def measure_series(kind, peer, work, quick):
    """Rows of (size, seconds cold, seconds again, peak bytes)."""
    rows = []
    series = kind()
    for size in series.sizes[:2] if quick else series.sizes:
        top = work / f"growth-{size}"
        context = top / "context"
        context.mkdir(parents=True)
        real = series.make(context, size)
        peer.reset()
        commands = [peer.command(build) for build in series.builds(context, size)]
        with MemoryWatch() as watch:
            cold = run(commands, log=work / "growth.out").seconds
        again = statistics.median(run(commands, log=work / "growth.out").seconds for _ in range(3))
        rows.append((real, cold, again, watch.peak))
        print(f"{series.name}: {real:,}: {cold:.2f} s, {again:.3f} s", file=sys.stderr, flush=True)
        set_aside(top)
    return rows


def measure_records(peer, work, quick):
    """Rows of (what, records, seconds): what a store of so many records makes of commands."""
    rows = []
    small = work / "growth-small"
    small.mkdir()
    (small / "f").write_text("f")
    (small / "Dockerfile").write_text("FROM scratch\n" + "".join(f"COPY f /{index}\n" for index in range(10)))
    limits = small / "buildkitd.toml"
    limits.write_text("[worker.oci]\nmaxUsedSpace = 1\n")
    build = peer.command(Build(small))
    disk_usage = [str(peer.executable), "--root", str(peer.root), "du"]
    for count in RECORDS[:3] if quick else RECORDS:
        peer.reset()
        run([build])
        fill(peer.root, count)
        run([build])
        rows.append(("a build of which all is cached", count, statistics.median(run([build]).seconds for _ in range(9))))
        rows.append(("du", count, statistics.median(run([disk_usage]).seconds for _ in range(9))))
        forget_collection(peer.root)
        rows.append(("that build, and collecting what it does not use", count,
                     run([[*build, "--config", str(limits)]]).seconds))
        print(f"records: {count:,}: " + ", ".join(f"{row[2]:.3f} s" for row in rows[-3:]), file=sys.stderr, flush=True)
    return rows


def render(series, records):
    lines = ["| what grows | size | cold | again | peak memory |", "| --- | ---: | ---: | ---: | ---: |"]
    for (name, unit), rows in series.items():
        lines += [f"| {name} | {size:,} {unit} | {cold:.2f} s | {again:.3f} s | {peak / 1e6:.0f} MB |"
                  for size, cold, again, peak in rows]
    lines += [f"| records in the store: {what} | {count:,} records | - | {seconds:.4f} s | - |"
              for what, count, seconds in records]
    return "\n".join(lines) + "\n"


def measure(peer, work, quick, names):
    """The table of the parts with these NAMES."""
    series = {(kind.name, kind.unit): measure_series(kind, peer, Path(work), quick) for kind in SERIES if kind.name in names}
    return render(series, measure_records(peer, Path(work), quick) if RECORDS_NAME in names else [])
