"""Carries build caches between cobuild and BuildKit, both ways, and counts the steps that they save.

  scripts/interchange [PATTERN...]         the Dockerfiles of tests/compare/exchanges.py
  scripts/interchange --all [PATTERN...]   those of scripts/compare too, with one kind of cache
  scripts/interchange --recorded           without BuildKit: caches that it exported, from tests/compare/caches
  scripts/interchange --record             exports those again, without the layers
  scripts/interchange --markdown FILE      writes the table there too

BUILDKITD and BUILDCTL name BuildKit's executables. Each builder exports its cache of each Dockerfile to a registry, to
two directories (mode=max and mode=min) and inside its image. Then all files of the context get new times, as in another
checkout, and each builder imports each of the caches into an empty store. Counted are the steps that need not run; from
BuildKit to BuildKit is what there is to be had. An image made of an imported cache has the layers of the one exported.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .builders import BuildKit, Cobuild
from .case import CASES, write_context
from .compare import HERE, Golden, Servers, load_cases, without_hybrid_cgroups
from .exchanges import EXCHANGES, RECORDED
from .writable import WritableRegistry

CACHES = HERE / "caches"
KINDS = ("registry", "local-max", "local-min", "inline")
# Steps that make files. Where an image or download is from is asked each time.
STEP = re.compile(r"^(#[0-9]+) (\[[^]]*?[0-9]+/[0-9]+\] (?:RUN|COPY|ADD|WORKDIR) .*)$", re.M)


def run_steps(log):
    """The steps shown, and those among them that were not cached, by name."""
    cached = set(re.findall(r"^(#[0-9]+) CACHED$", log, re.M))
    # A download has the name of its ADD, and comes before it.
    numbers = {name: number for number, name in STEP.findall(log)}
    return numbers, sorted(name for name, number in numbers.items() if number not in cached)


@dataclass
class Outcome:
    steps: int = 0
    missed: list = field(default_factory=list)
    error: str = ""
    layers: list | None = None  # diff IDs by platform, where an image was pushed

    def text(self):
        return "failed" if self.error else f"{self.steps - len(self.missed)}/{self.steps}"


class Side:
    """A builder whose store can be emptied."""

    def __init__(self, builder, registry, empty):
        self.builder, self.registry, self.empty = builder, registry, empty
        self.name = builder.name

    def build(self, options, image=None):
        """With an empty store."""
        self.empty()
        return self.build_more(options, image)

    def build_more(self, options, image=None):
        if image:
            options = [*options, "--output", f"type=image,name={image},push=true,registry.insecure=true"]
        process = subprocess.run(self.builder.command(options), env=self.builder.environment, stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=300)
        log = process.stderr.decode("utf-8", "replace")
        if process.returncode:
            return Outcome(error=log.strip().rpartition("\n")[2]), log
        names, missed = run_steps(log)
        layers = self.registry.diff_ids(image) if image else None
        return Outcome(len(names), missed, layers=layers), log


class Interchange:
    def __init__(self, work, arguments):
        self.work, self.servers = work, Servers(work)
        cobuild = Cobuild(work, self.servers, None, arguments.cobuild)
        self.cobuild = Side(cobuild, None, lambda: shutil.rmtree(cobuild.work / "store", ignore_errors=True))
        self.logs = work / "logs"
        self.logs.mkdir()
        self.key = work / "key"
        self.closing = [self.servers.close]
        if arguments.recorded:
            return
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        buildkit = BuildKit(work, self.servers, None, os.environ["BUILDKITD"], os.environ["BUILDCTL"])
        prune = [buildkit.client, "--addr", buildkit.socket, "prune", "--all"]
        self.registry = self.cobuild.registry = WritableRegistry(work / "registry")
        self.buildkit = Side(buildkit, self.registry, lambda: subprocess.run(prune, check=True, capture_output=True))
        self.sides = [self.buildkit, self.cobuild]
        self.closing += [self.registry.close, buildkit.close]

    def place(self, name, kind, exporter):
        """(words that export to, words that import from) a cache of `kind`."""
        registry, directory = f"{self.registry.host}/{name}-{exporter}", self.work / "caches" / name / f"{exporter}-{kind}"
        match kind:
            case "registry":
                where = f"type=registry,ref={registry}:cache"
                return f"{where},mode=max,registry.insecure=true", f"{where},registry.insecure=true"
            case "inline":
                return "type=inline", f"type=registry,ref={registry}:image,registry.insecure=true"
        return f"type=local,dest={directory},mode={kind[6:]}", f"type=local,src={directory}"

    def options(self, case, context):
        words = ["--frontend", "dockerfile.v0", "--local", f"dockerfile={context}"]
        if not any(option.startswith("context=") for option in case.options):
            words += ["--local", f"context={context}"]
        fill = lambda option: self.servers.fill_in(option).replace("@CONTEXT@", str(context)).replace("@KEY@", str(self.key))
        return words + [fill(option) for option in case.options]

    def export(self, exporter, name, options, kinds):
        # BuildKit writes to one directory at a time: of two, one gets the other's blobs; and pushes of an image and of a
        # cache get into each other's way. So some caches are of a build that ran its steps, and some of one that found them.
        outcome = None
        for some in (["registry", "local-max"], ["inline", "local-min"]):
            words = list(options)
            for kind in kinds:
                if kind in some:
                    words += ["--export-cache", self.place(name, kind, exporter.name)[0]]
            build = exporter.build_more if outcome else exporter.build
            made, log = build(words, f"{self.registry.host}/{name}-{exporter.name}:image" if outcome else None)
            with open(self.logs / f"{name}.{exporter.name}.log", "a") as file:
                file.write(log)
            if outcome:
                outcome.layers = made.layers
            outcome = made if made.error or not outcome else outcome
        return outcome

    def carry(self, case, kinds):
        """{(exporter, importer, kind): Outcome} of one case."""
        name = f"{case.group}.{case.name}".lower().replace("_", "-")
        context = self.work / "contexts" / name
        write_context(case, context, self.servers.fill_in)
        options = self.options(case, context)
        found = {}
        for exporter in self.sides:
            made = self.export(exporter, name, options, kinds)
            if made.error:
                for importer in self.sides:
                    found |= {(exporter.name, importer.name, kind): made for kind in kinds}
                continue
            make_newer(context)
            for importer in self.sides:
                for kind in kinds:
                    image = f"{self.registry.host}/{name}-{exporter.name}-{importer.name}:image" if kind == "registry" else None
                    words = [*options, "--import-cache", self.place(name, kind, exporter.name)[1]]
                    got, log = importer.build(words, image)
                    (self.logs / f"{name}.{exporter.name}.{importer.name}.{kind}.log").write_text(log)
                    got.steps = max(got.steps, made.steps)
                    if not got.error and image and not got.missed and got.layers != made.layers:
                        got.error = f"other layers: {got.layers} instead of {made.layers}"
                    found[exporter.name, importer.name, kind] = got
            shutil.rmtree(self.work / "caches" / name, ignore_errors=True)
        shutil.rmtree(context)
        return found

    def record(self, case):
        """Has BuildKit export the cache of a case to CACHES, and drops its layers: they are not looked at."""
        context, place = self.work / "contexts" / case.name, CACHES / case.name
        write_context(case, context, self.servers.fill_in)
        shutil.rmtree(place, ignore_errors=True)
        made, log = self.buildkit.build([*self.options(case, context), "--export-cache", f"type=local,dest={place},mode=max"])
        if made.error:
            raise SystemExit(f"{case.name}: {made.error}")
        index = json.loads((place / "index.json").read_text())
        manifest = json.loads((place / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
        for layer in manifest["layers"]:
            (place / "blobs" / layer["digest"].replace(":", "/")).unlink(missing_ok=True)
        shutil.rmtree(place / "ingest", ignore_errors=True)

    def check_recorded(self, case):
        """What is wrong when cobuild imports what BuildKit exported once: nothing may run."""
        context = self.work / "contexts" / case.name
        write_context(case, context, self.servers.fill_in)
        make_newer(context)
        got, log = self.cobuild.build([*self.options(case, context), "--import-cache", f"type=local,src={CACHES / case.name}"])
        (self.logs / f"recorded.{case.name}.log").write_text(log)
        if got.error:
            return [got.error]
        return got.missed if got.steps else ["no steps were shown"]

    def close(self):
        for close in reversed(self.closing):
            close()


def make_newer(context):
    """New times for all files, as another checkout gives them."""
    now = int(time.time()) - 100
    for directory, names, others in os.walk(context):
        for name in [*names, *others, ""]:
            os.utime(Path(directory) / name, (now, now), follow_symlinks=False)


def rows_of(found, kinds):
    """By pair of builders: the counts, kind by kind."""
    pairs = [(exporter, importer) for exporter in ("buildkit", "cobuild") for importer in ("buildkit", "cobuild")]
    return {pair: [found[*pair, kind] for kind in kinds] for pair in pairs}


def brief(outcomes):
    texts = [outcome.text() for outcome in outcomes]
    return texts[0] if len(set(texts)) == 1 else " ".join(texts)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/interchange", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--recorded", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--kinds", default="", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    parser.add_argument("--markdown")
    executable = os.environ.get("COBUILD") or os.environ.get("COBUILD_DEFAULT") or HERE.parent.parent / "build/release/cobuild"
    parser.add_argument("--cobuild", default=str(executable))
    return parser.parse_args()


def chosen_cases(arguments):
    cases = [case for case in EXCHANGES if not arguments.patterns or any(p in case.name for p in arguments.patterns)]
    if arguments.all:
        golden = Golden()
        for case in load_cases(arguments.patterns):
            answer = golden.find(case)
            if answer and "error" not in answer and not case.pending:
                cases.append(case)
    return cases


def report(found, name, kinds, lines):
    rows = rows_of(found, kinds)
    control = dict(zip(kinds, rows["buildkit", "buildkit"]))
    lines.append(f"| {name} | " + " | ".join(brief(outcomes) for outcomes in rows.values()) + " |")
    print(lines[-1], flush=True)
    worse = 0
    for (exporter, importer), outcomes in rows.items():
        for kind, outcome in zip(kinds, outcomes):
            if (exporter, importer) != ("buildkit", "buildkit") and (
                    outcome.error or len(outcome.missed) > len(control[kind].missed)):
                worse += 1
                beyond = [step for step in outcome.missed if step not in control[kind].missed]
                print(f"    {exporter} -> {importer}, {kind}: {outcome.error.strip() or beyond}", flush=True)
    return worse


def run_recorded(interchange, arguments):
    """Returns how many went wrong."""
    wrong = 0
    for case in RECORDED:
        if arguments.record:
            interchange.record(case)
            continue
        missed = interchange.check_recorded(case)
        wrong += bool(missed)
        print(f"{'FAILED' if missed else 'passed'}: {case.name}", *(f"    ran: {step}" for step in missed), sep="\n")
    return wrong


def main():
    arguments = parse_arguments()
    if not arguments.recorded and not (os.environ.get("BUILDKITD") and os.environ.get("BUILDCTL")):
        print("SKIPPED: set BUILDKITD and BUILDCTL to BuildKit's executables")
        return 77
    without_hybrid_cgroups()
    os.umask(0o022)
    kinds = tuple(arguments.kinds.split(",")) if arguments.kinds else KINDS[:1] if arguments.all else KINDS
    work = Path(tempfile.mkdtemp(prefix="cobuild-interchange."))
    interchange = Interchange(work, arguments)
    if arguments.recorded or arguments.record:
        try:
            return 1 if run_recorded(interchange, arguments) else 0
        finally:
            interchange.close()
            if not arguments.keep:
                subprocess.run(["rm", "-rf", "--one-file-system", str(work)], check=False)
    lines = [f"| steps that need not run ({', '.join(kinds)}) | BuildKit to BuildKit | BuildKit to cobuild | cobuild to BuildKit | cobuild to cobuild |",
             "| --- | --- | --- | --- | --- |"]
    print("\n".join(lines))
    worse = 0
    try:
        for case in chosen_cases(arguments):
            name = case.name if case.group == "interchange" else f"{case.group}.{case.name}"
            try:
                worse += report(interchange.carry(case, kinds), name, kinds, lines)
            except Exception as error:  # a case that breaks this is told, and the others go on
                worse += 1
                print(f"| {name} | {type(error).__name__}: {error}", flush=True)
    finally:
        interchange.close()
        if arguments.keep:
            print("kept:", work)
        else:
            subprocess.run(["rm", "-rf", "--one-file-system", str(work)], check=False)
    if arguments.markdown:
        Path(arguments.markdown).write_text("\n".join(lines) + "\n")
    print(f"{worse} worse than from BuildKit to BuildKit")
    return 1 if worse else 0
