"""How each builder is told to build a case, and what it says when it cannot."""

import json
import os
import re
import signal
import subprocess
import threading
import time

from .case import write_files
from .facts import facts_of

STEP = re.compile(r"^(#[0-9]+) (\[[^]]*[0-9]+/[0-9]+\] (?:RUN|COPY|ADD|WORKDIR) .*)$", re.M)


def steps_of(log):
    """What became of each instruction, as the display says."""
    cached = set(re.findall(r"^(#[0-9]+) CACHED$", log, re.M))
    numbers = {}
    for number, name in STEP.findall(log):
        numbers.setdefault(name, set()).add(number)
    # A download is a step of the same name as its ADD.
    return [f"{name}: {'cached' if numbers[name] & cached else 'run'}" for name in sorted(numbers)]


class Builder:
    """One builder with a store of its own under `work`."""

    name = ""

    def __init__(self, work, servers, times):
        self.work, self.servers, self.times = work / self.name, servers, times
        self.work.mkdir()
        self.environment = {key: value for key, value in os.environ.items() if key not in ("SOURCE_DATE_EPOCH",)}

    def command(self, options):
        raise NotImplementedError

    def build(self, case, context):
        """The facts of the image, or the error; of the second one when there are two builds."""
        facts = self.build_once(case, context, case.options)
        if case.again is None or "error" in facts:
            return facts
        write_files(case.changes, context, self.servers.fill_in)
        facts = self.build_once(case, context, case.options + case.again)
        log = (self.work / f"{case.group}.{case.name}.log").read_text()
        return {**facts, "steps": steps_of(self.servers.mask(log))}

    def build_once(self, case, context, words):
        output = self.work / f"{case.group}.{case.name}.tar"
        options = ["--frontend", "dockerfile.v0", "--local", f"context={context}", "--local", f"dockerfile={context}"]
        options += [self.servers.fill_in(option).replace("@CONTEXT@", str(context)) for option in words]
        options += ["--output", f"{case.output},dest={output}"]
        process = subprocess.run(self.command(options), env=self.environment, stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=120)
        log = process.stderr.decode("utf-8", "replace")
        (self.work / f"{case.group}.{case.name}.log").write_text(log)
        if process.returncode:
            return {"error": self.error(log)}
        facts = facts_of(output, self.times, self.servers.registry.known_layers)
        output.unlink()
        return json.loads(self.servers.mask(json.dumps(facts, ensure_ascii=False)))

    def error(self, log):
        """The last error, without what is another one at each time."""
        found = log.rfind("\nerror: ")
        text = log[found + 1:] if found >= 0 or log.startswith("error: ") else "no message: " + log[-400:]
        text = text.strip().removeprefix("error: ").removeprefix("failed to solve: ")
        text = self.servers.mask(text)
        text = re.sub(r"\bchecksum of ref [^ ]+:", "checksum of ref ID:", text).replace("rpc error: code = Unknown desc = ", "")
        return re.sub(r"/(?:tmp|var)/\S*?(?:mount|snapshots)\S*?/", "/MOUNT/", text)

    def close(self):
        pass


class Cobuild(Builder):
    name = "cobuild"

    def __init__(self, work, servers, times, executable, user=None):
        super().__init__(work, servers, times)
        self.executable, self.user = executable, user

    def command(self, options):
        words = ["runuser", "-u", self.user, "--"] if self.user else []
        words += [self.executable, "--root", self.work / "store", "--mirror", f"docker.io=http://{self.servers.registry.host}",
                  "build", "--progress", "plain", *options]
        return [str(word) for word in words]


class BuildKit(Builder):
    name = "buildkit"

    def __init__(self, work, servers, times, daemon, client):
        super().__init__(work, servers, times)
        registry = servers.registry
        self.client, self.socket = client, f"unix://{self.work}/socket"
        self.one_at_a_time = threading.Lock()
        config = self.work / "buildkitd.toml"
        config.write_text(f'[registry."docker.io"]\n  mirrors = ["{registry.host}"]\n'
                          f'[registry."{registry.host}"]\n  http = true\n')
        words = [daemon, "--root", self.work / "store", "--addr", self.socket, "--config", config,
                 "--oci-worker-snapshotter", "overlayfs", "--oci-worker-net", "host"]
        self.log = open(self.work / "log", "wb")
        self.process = subprocess.Popen([str(word) for word in words], stdout=self.log, stderr=subprocess.STDOUT)
        for _ in range(600):
            if subprocess.run([client, "--addr", self.socket, "debug", "workers"], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"buildkitd did not come up: see {self.work}/log")

    def command(self, options):
        return [str(word) for word in [self.client, "--addr", self.socket, "build", "--progress", "plain", *options]]

    def build(self, case, context):
        # buildkitd keeps a copy of what it was sent, and takes files of the same size and time from it: also those of
        # another case.
        with self.one_at_a_time:
            return super().build(case, context)

    def build_once(self, case, context, words):
        subprocess.run([self.client, "--addr", self.socket, "prune", "--all", "--filter", "type==source.local"],
                       capture_output=True, check=True)
        return super().build_once(case, context, words)

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()
