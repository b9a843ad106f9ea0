"""Compares cobuild with BuildKit over many small Dockerfiles.

  scripts/compare [PATTERN...]           cobuild against the answers of BuildKit recorded in tests/compare/golden
  scripts/compare --live [PATTERN...]    against BuildKit itself; BUILDKITD and BUILDCTL name its executables
  scripts/compare --record [PATTERN...]  the same, and its answers become the recorded ones
  scripts/compare --list [PATTERN...]    what there is

A pattern is a part of GROUP.NAME. Images are compared by config, history, media types and the entries of each layer;
times since the beginning of the comparison count as equal, all others must be the same. Where a build fails, BuildKit's
message must be in ours, or the text that the case asks for.
"""

import argparse
import concurrent.futures
import difflib
import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import cases, images, web
from .builders import BuildKit, Cobuild
from .case import CASES, write_context
from .facts import Times, flattened

HERE = Path(__file__).resolve().parent
SKIPPED = 77


def load_cases(patterns):
    """All cases, group by group in the order of their files; or those of which a pattern is a part of the name."""
    for module in sorted(module.name for module in pkgutil.iter_modules(cases.__path__)):
        first = len(CASES)
        importlib.import_module(f"{cases.__name__}.{module}")
        for case in CASES[first:]:
            case.group = module
    names = [f"{case.group}.{case.name}" for case in CASES]
    for name in names:
        if names.count(name) > 1:
            raise SystemExit(f"two cases are called {name}")
    return [case for case, name in zip(CASES, names) if not patterns or any(pattern in name for pattern in patterns)]


class Golden:
    """The recorded answers: a file for each group."""

    def __init__(self):
        self.groups = {path.stem: json.loads(path.read_text()) for path in (HERE / "golden").glob("*.json")}

    def find(self, case):
        return self.groups.get(case.group, {}).get(case.name)

    def put(self, case, facts):
        self.groups.setdefault(case.group, {})[case.name] = facts

    def write(self):
        (HERE / "golden").mkdir(exist_ok=True)
        for group, answers in self.groups.items():
            order = [case.name for case in CASES if case.group == group]
            kept = {name: answers[name] for name in order if name in answers}
            text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
            (HERE / "golden" / f"{group}.json").write_bytes(text.encode())


def differences(case, ours, theirs):
    """Lines that tell what differs; none if nothing does."""
    if "error" in theirs and "error" in ours:
        wanted = case.says or theirs["error"].splitlines()[0]
        return [] if wanted in ours["error"] else [f"- {theirs['error']}", f"+ {ours['error']}"]
    lines = [json.dumps(facts, indent=1, ensure_ascii=False, sort_keys=True).splitlines() for facts in (theirs, ours)]
    found = [line for line in difflib.unified_diff(*lines, n=2, lineterm="") if not line.startswith(("---", "+++"))]
    if found and "images" in ours and "images" in theirs:
        same = all(name in theirs["images"] and flattened(image) == flattened(theirs["images"][name])
                   for name, image in ours["images"].items())
        found.append("  the flattened files are the same" if same else "  the flattened files differ")
    return found


class Servers:
    """What the cases need, with names for what is another one at each time."""

    def __init__(self, work):
        self.registry = images.Registry()
        self.web = web.Web(work / "web")
        self.names = {"@REGISTRY@": self.registry.host, "@WEBHOST@": self.web.host}
        self.values = {"@WEB@": self.web.url, "@DIGEST@": self.registry.tags["base", "latest"], **self.names}
        self.values |= {f"@COMMIT-{name}@": commit for name, commit in self.web.commits.items()}

    def fill_in(self, text):
        for name, value in self.values.items():
            text = text.replace(name, value)
        return text

    def mask(self, text):
        for name, value in self.names.items():
            text = text.replace(value, name)
        return text

    def close(self):
        self.web.close()
        self.registry.close()


class Comparison:
    def __init__(self, work, arguments):
        # A clock that was read before any build; times in layers are whole seconds.
        times = Times(int(time.time()) - 1)
        self.work, self.arguments = work, arguments
        self.servers = Servers(work)
        self.golden = Golden()
        self.buildkit = None
        self.cobuild = Cobuild(work, self.servers, times, arguments.cobuild, arguments.user)
        if arguments.user:
            shutil.chown(work, arguments.user)
            shutil.chown(self.cobuild.work, arguments.user)
        if arguments.live or arguments.record:
            self.buildkit = BuildKit(work, self.servers, times, os.environ["BUILDKITD"], os.environ["BUILDCTL"])

    def run(self, case):
        """(outcome, lines) of one case."""
        if case.root and (self.arguments.user or os.geteuid() != 0):
            return "skipped", ["needs root"]
        context = self.work / "contexts" / f"{case.group}.{case.name}"
        write_context(case, context, self.servers.fill_in)
        theirs = self.buildkit.build(case, context) if self.buildkit else self.golden.find(case)
        if self.buildkit and case.changes:
            shutil.rmtree(context)
            write_context(case, context, self.servers.fill_in)
        if self.arguments.record:
            self.golden.put(case, theirs)
        if theirs is None:
            return "failed", ["BuildKit's answer is not recorded: scripts/compare --record"]
        if self.arguments.user:
            subprocess.run(["chown", "-hR", self.arguments.user, str(context)], check=True)
        ours = self.cobuild.build(case, context)
        lines = differences(case, ours, theirs)
        if case.flaw:
            return ("passed" if lines else "failed"), ([] if lines else ["is marked as different, but is not"])
        if case.pending:
            return ("pending", lines) if lines else ("failed", [f"passes now: is no longer pending ({case.pending})"])
        return ("failed" if lines else "passed"), lines

    def run_safely(self, case):
        try:
            return self.run(case)
        except Exception as error:  # a case that breaks the comparison is a failure of that case
            return "failed", [f"{type(error).__name__}: {error}"]

    def close(self):
        if self.buildkit:
            self.buildkit.close()
        self.servers.close()
        if self.arguments.record:
            self.golden.write()


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/compare", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*")
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--user", help="run cobuild as this user")
    parser.add_argument("--keep", action="store_true", help="keep stores, contexts and logs")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--pending", action="store_true", help="show how pending cases differ")
    executable = os.environ.get("COBUILD") or os.environ.get("COBUILD_DEFAULT") or HERE.parent.parent / "build/release/cobuild"
    parser.add_argument("--cobuild", default=str(executable))
    return parser.parse_args()


def without_hybrid_cgroups():
    """Restarts in a mount namespace without the cgroup2 tree beside v1, with which crun refuses to run."""
    tree = "/sys/fs/cgroup/unified"
    if os.path.ismount(tree) and os.geteuid() == 0 and shutil.which("unshare"):
        os.execvp("unshare", ["unshare", "--mount", "sh", "-c", f'umount {tree} && exec "$@"', "sh", sys.executable, *sys.argv])


def why_not(arguments):
    if not os.access(images.BUSYBOX, os.X_OK):
        return "needs busybox-static"
    if (arguments.live or arguments.record) and not (os.environ.get("BUILDKITD") and os.environ.get("BUILDCTL")):
        return "set BUILDKITD and BUILDCTL to BuildKit's executables"
    return None


def main():
    arguments = parse_arguments()
    chosen = load_cases(arguments.patterns)
    if arguments.list:
        for case in chosen:
            print(f"{case.group}.{case.name}: {case.why}" + (f" (pending: {case.pending})" if case.pending else ""))
        return 0
    reason = why_not(arguments)
    if reason:
        print("SKIPPED:", reason)
        return SKIPPED
    without_hybrid_cgroups()
    work = Path(tempfile.mkdtemp(prefix="cobuild-compare."))
    os.umask(0o022)
    counts = {"passed": 0, "failed": 0, "pending": 0, "skipped": 0}
    comparison = Comparison(work, arguments)
    try:
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            for case, (outcome, lines) in zip(chosen, pool.map(comparison.run_safely, chosen)):
                counts[outcome] += 1
                if outcome == "failed" or (outcome == "pending" and arguments.pending):
                    print(f"{outcome.upper()}: {case.group}.{case.name}: {case.why}")
                    print("".join(f"    {line}\n" for line in lines), end="", flush=True)
    finally:
        comparison.close()
        if arguments.keep:
            print("kept:", work)
        else:
            subprocess.run(["rm", "-rf", "--one-file-system", str(work)], check=False)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count))
    return 1 if counts["failed"] else 0
