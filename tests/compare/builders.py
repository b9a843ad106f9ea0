"""How each builder is told to build a case, and what it says when it cannot."""

import os
import re
import signal
import subprocess
import threading
import time

from .facts import facts_of


class Builder:
    """One builder with a store of its own under `work`."""

    name = ""

    def __init__(self, work, registry, times):
        self.work, self.registry, self.times = work / self.name, registry, times
        self.work.mkdir()
        self.environment = {key: value for key, value in os.environ.items() if key not in ("SOURCE_DATE_EPOCH",)}

    def command(self, options):
        raise NotImplementedError

    def build(self, case, context):
        """The facts of the image, or the error."""
        output = self.work / f"{case.group}.{case.name}.tar"
        options = ["--frontend", "dockerfile.v0", "--local", f"context={context}", "--local", f"dockerfile={context}"]
        options += [option.replace("@REGISTRY@", self.registry.host).replace("@CONTEXT@", str(context)) for option in case.options]
        options += ["--output", f"{case.output},dest={output}"]
        process = subprocess.run(self.command(options), env=self.environment, stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=120)
        log = process.stderr.decode("utf-8", "replace")
        (self.work / f"{case.group}.{case.name}.log").write_text(log)
        if process.returncode:
            return {"error": self.error(log)}
        facts = facts_of(output, self.times, self.registry.known_layers)
        output.unlink()
        return facts

    def error(self, log):
        """The last error, without what is another one at each time."""
        found = log.rfind("\nerror: ")
        text = log[found + 1:] if found >= 0 or log.startswith("error: ") else "no message: " + log[-400:]
        text = text.strip().removeprefix("error: ").removeprefix("failed to solve: ")
        text = text.replace(self.registry.host, "@REGISTRY@")
        text = re.sub(r"\bchecksum of ref [^ ]+:", "checksum of ref ID:", text).replace("rpc error: code = Unknown desc = ", "")
        return re.sub(r"/(?:tmp|var)/\S*?(?:mount|snapshots)\S*?/", "/MOUNT/", text)

    def close(self):
        pass


class Cobuild(Builder):
    name = "cobuild"

    def __init__(self, work, registry, times, executable, user=None):
        super().__init__(work, registry, times)
        self.executable, self.user = executable, user

    def command(self, options):
        words = ["runuser", "-u", self.user, "--"] if self.user else []
        words += [self.executable, "--root", self.work / "store", "--mirror", f"docker.io=http://{self.registry.host}",
                  "build", "--progress", "plain", *options]
        return [str(word) for word in words]


class BuildKit(Builder):
    name = "buildkit"

    def __init__(self, work, registry, times, daemon, client):
        super().__init__(work, registry, times)
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
            subprocess.run([self.client, "--addr", self.socket, "prune", "--all", "--filter", "type==source.local"],
                           capture_output=True, check=True)
            return super().build(case, context)

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()
