"""Running commands and reading what they cost."""

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    seconds: float
    cpu: float


class Failed(Exception):
    pass


def _cpu_of(pid):
    """Of a process and the children it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS


def descendants(roots):
    parents = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    found, pending = set(), list(roots)
    while pending:
        pid = pending.pop()
        if pid not in found:
            found.add(pid)
            pending += parents.get(pid, [])
    return found


def resident(pids):
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            pass
    return total * os.sysconf("SC_PAGE_SIZE")


def run(commands, daemons=(), log=None, environment=None):
    """Starts all commands at once and waits for all. `daemons`: processes that work for them."""
    out = open(log, "wb") if log else subprocess.DEVNULL
    before = sum(_cpu_of(pid) for pid in daemons)
    begin = time.perf_counter()
    started = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                env=environment) for command in commands]
    cpu, failures = 0.0, []
    for process in started:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime
        if process.returncode != 0:
            failures.append(f"{' '.join(map(str, process.args))}: exit status {process.returncode}")
    seconds = time.perf_counter() - begin
    if log:
        out.close()
    if failures:
        said = Path(log).read_text(errors="replace").splitlines()[-8:] if log else []
        raise Failed("\n    ".join(failures + said))
    return Cost(seconds, cpu + sum(_cpu_of(pid) for pid in daemons) - before)


class MemoryWatch:
    """Samples the resident memory of this process's descendants and of `daemons`; for runs that are not timed."""

    def __init__(self, daemons=()):
        self.daemons = list(daemons)
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        own = os.getpid()
        others = descendants([own]) - descendants(self.daemons)
        while not self._stop.wait(0.002):
            self.peak = max(self.peak, resident(descendants([own, *self.daemons]) - others))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def bytes_in(directory):
    """Allocated bytes below a directory, each inode once."""
    done = subprocess.run(["du", "-sx", "--block-size=1", directory], capture_output=True, text=True)
    return int(done.stdout.split()[0]) if done.stdout else 0
