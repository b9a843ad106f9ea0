"""Debian's docker-registry, for what is pushed."""

import json
import socket
import subprocess
import time
import urllib.request

MANIFESTS = ", ".join(["application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
                       "application/vnd.docker.distribution.manifest.list.v2+json",
                       "application/vnd.docker.distribution.manifest.v2+json"])


class WritableRegistry:
    def __init__(self, directory):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        directory.mkdir()
        config = directory / "config.yml"
        config.write_text(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                          f"storage: {{filesystem: {{rootdirectory: {directory}/data}}}}\nhttp: {{addr: {self.host}}}\n")
        self.process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(self.host.rsplit(":", 1)[1]))) == 0:
                    return
            time.sleep(0.02)

    def fetch(self, repository, kind, reference):
        request = urllib.request.Request(f"http://{self.host}/v2/{repository}/{kind}/{reference}", headers={"Accept": MANIFESTS})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def diff_ids(self, name):
        """The layers of HOST/REPOSITORY:TAG, by platform."""
        repository, tag = name.split("/", 1)[1].rsplit(":", 1)
        root = self.fetch(repository, "manifests", tag)
        manifests = [root] if "config" in root else [
            self.fetch(repository, "manifests", entry["digest"]) for entry in root["manifests"]
            if "vnd.docker.reference.type" not in entry.get("annotations", {})]
        configs = [self.fetch(repository, "blobs", manifest["config"]["digest"]) for manifest in manifests]
        return [[config["architecture"], *config["rootfs"]["diff_ids"]] for config in configs]

    def close(self):
        self.process.terminate()
        self.process.wait()
