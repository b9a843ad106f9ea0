#!/usr/bin/env python3
"""Builds through fault_proxy.py: fault_runs.py WORK REGISTRY FIRST-SEED RUNS JOBS

Each run pulls team/base:1 of REGISTRY, builds, and pushes, with a store of its own, while the proxy does what its
seed says. It must end in time, in success or with one error as the last line; no credential may go to another host
or be shown; the store and the registry may hold nothing wrong. If it failed, the same command must succeed once
the faults are over. A line for each run is in WORK/runs.log; the sum is printed. Status 1: a run did not do that.
"""

import base64
import collections
import concurrent.futures
import hashlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import ssl
import subprocess
import sys
import time

import fault_proxy

WORK, REGISTRY = pathlib.Path(sys.argv[1]), sys.argv[2]
FIRST, RUNS, JOBS = map(int, sys.argv[3:6])
THOROUGH = RUNS >= 100
SECONDS_MAX = 120 if THOROUGH else 60
LAYER_BYTES = 1000 * 1000
LARGE_LAYER_BYTES = 40 * 1000 * 1000  # Sent while it is packed.
DOCKERFILE = "ARG BASE\nFROM $BASE\nCOPY data /data\nRUN echo built > /built\n"


def make_certificates(directory):
    """good, wrong-name and expired by one CA, unknown-ca by another: NAME.pem, NAME.key, and ca.pem."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
    directory.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        openssl("req", "-x509", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2")
        (directory / f"{name}.srl").write_text("01\n")
        (directory / f"{name}.index").touch()
        (directory / f"{name}.cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={name}.index\nserial={name}.srl\nnew_certs_dir=.\ndefault_md=sha256\n"
            "policy=p\nunique_subject=no\ncopy_extensions=copy\n[p]\ncommonName=supplied\n")
    for name, san, ca, end in (
            ("good", "IP:127.0.0.1,IP:127.0.0.2", "ca", "20991231000000Z"), ("unknown-ca", "IP:127.0.0.1", "other", "20991231000000Z"),
            ("wrong-name", "DNS:registry.example", "ca", "20991231000000Z"), ("expired", "IP:127.0.0.1", "ca", "20010101000000Z")):
        openssl("req", *key, "-subj", f"/CN={name}", "-addext", f"subjectAltName={san}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")
        openssl("ca", "-batch", "-notext", "-config", f"{ca}.cnf", "-cert", f"{ca}.pem", "-keyfile", f"{ca}.key",
                "-startdate", "20000101000000Z", "-enddate", end, "-in", f"{name}.csr", "-out", f"{name}.pem")


def context_of(name):
    if name in ("off", "not-tls"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(WORK / "tls" / f"{name}.pem", WORK / "tls" / f"{name}.key")
    return context


class Wrong(Exception):
    pass


class Run:
    def __init__(self, seed):
        self.seed = seed
        self.directory = WORK / f"run-{seed}"
        self.store = self.directory / "store"
        self.plan = fault_proxy.Plan(seed, THOROUGH)
        self.proxy = fault_proxy.FaultProxy(REGISTRY, self.plan)
        self.host = self.proxy.here.authority
        self.prepare()

    def prepare(self):
        (self.directory / "context").mkdir(parents=True)
        (self.directory / "context/Dockerfile").write_text(DOCKERFILE)
        size = LARGE_LAYER_BYTES if self.seed % 5 == 0 else LAYER_BYTES
        (self.directory / "context/data").write_bytes(random.Random(self.seed).randbytes(size))
        auth = base64.b64encode(f"{fault_proxy.USER}:{fault_proxy.PASSWORD}".encode()).decode()
        (self.directory / "config.json").write_text(json.dumps({"auths": {self.host: {"auth": auth}}}))
        self.proxy.use_tls(context_of(self.plan.tls))
        with (self.directory / "buildkitd.toml").open("w") as config:
            for host in (self.host, self.proxy.there.authority):
                config.write(f'[registry."{host}"]\n')
                if self.plan.tls == "off":
                    config.write("http = true\n")
                else:
                    config.write(f'http = false\nca = ["{WORK}/tls/ca.pem"]\n')

    def build(self):
        """Status, seconds and stderr of one build."""
        command = [WORK / "bin/cobuild", "--root", self.store, "build", "--progress", "plain", "--config",
                   self.directory / "buildkitd.toml", "--registry-timeout", "1", "--build-arg", f"BASE={self.host}/team/base:1",
                   "--push", "-t", f"{self.host}/runs/{self.seed}:1", "--metadata-file", self.directory / "metadata.json",
                   self.directory / "context"]
        start = time.monotonic()
        try:
            done = subprocess.run(command, env={**os.environ, "DOCKER_CONFIG": str(self.directory)}, capture_output=True,
                                  stdin=subprocess.DEVNULL, timeout=SECONDS_MAX, check=False)
        except subprocess.TimeoutExpired as error:
            raise Wrong(f"did not end within {SECONDS_MAX} s:\n{(error.stderr or b'').decode()}") from None
        text = done.stderr.decode()
        if fault_proxy.PASSWORD in text or self.proxy.token in text:
            raise Wrong("shows a credential:\n" + text)
        return done.returncode, time.monotonic() - start, text

    def error_of(self, status, text):
        errors = [line for line in text.splitlines() if line.startswith("error: ")]
        if status not in (1, 3) or len(errors) != 1 or errors[0] != text.splitlines()[-1]:
            raise Wrong(f"status {status}, not one error at the end:\n{text}")
        if "127.0.0." not in errors[0]:
            raise Wrong("does not name the host: " + errors[0])
        return errors[0]

    def fetch(self, path):
        connection = http.client.HTTPConnection(REGISTRY, timeout=30)
        connection.request("GET", f"/v2/runs/{self.seed}/{path}", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        if response.status != 200:
            raise Wrong(f"GET {path}: {response.status}")
        return body

    def check_image(self):
        """What was pushed is there, whole, and what the build said."""
        manifest = self.fetch("manifests/1")
        said = json.loads((self.directory / "metadata.json").read_text())["containerimage.digest"]
        if said != "sha256:" + hashlib.sha256(manifest).hexdigest():
            raise Wrong("the tag leads to another manifest")
        parsed = json.loads(manifest)
        for part in (parsed["config"], *parsed["layers"]):
            body = self.fetch("blobs/" + part["digest"])
            if part["digest"] != "sha256:" + hashlib.sha256(body).hexdigest() or part["size"] != len(body):
                raise Wrong("wrong content: " + part["digest"])

    def check_store(self):
        for file in (self.store / "blobs/sha256").glob("*"):
            if hashlib.sha256(file.read_bytes()).hexdigest() != file.name:
                raise Wrong(f"the store holds a damaged {file.name}")

    def run(self):
        result = {"seed": self.seed, "tls": self.plan.tls, "login": self.plan.login, "faults": self.plan.kinds}
        try:
            status, seconds, text = self.build()
            result |= {"status": status, "seconds": round(seconds, 1), "happened": list(self.plan.happened)}
            if status != 0:
                result["error"] = self.error_of(status, text)
                self.check_store()
                self.plan.stop()
                self.proxy.use_tls(context_of("off" if self.plan.tls == "off" else "good"))
                status, _, text = self.build()
                if status != 0:
                    raise Wrong(f"status {status} when the faults were over, after {result['error']}\n{text}")
            self.check_image()
            self.check_store()
            if self.proxy.leaks:
                raise Wrong(f"credentials went to another host: {self.proxy.leaks}")
        except Wrong as error:
            result["wrong"] = str(error)
        finally:
            self.proxy.close()
            shutil.rmtree(self.directory, ignore_errors=True)
        return result


def check_registry():
    for file in (WORK / "registry/docker/registry/v2/blobs").glob("sha256/*/*/data"):
        if hashlib.sha256(file.read_bytes()).hexdigest() != file.parent.name:
            raise SystemExit(f"the registry holds a damaged {file.parent.name}")


def summary(results):
    kinds = collections.Counter()
    for result in results:
        if "error" in result:
            text = re.sub(r"127\.0\.0\.\d:\d+|\d+ of \d+ bytes|[0-9a-f]{64}|/runs/\d+|uploads/[-0-9a-f]+", "…", result["error"])
            kinds[re.sub(r"^.*?(tried \d times: )?(?=[^:]*: [^:]*$)", "", text)[:150]] += 1
    longest = max(results, key=lambda result: result.get("seconds", 0))
    succeeded = sum(result.get("status") == 0 for result in results)
    faults = sum(len(result.get("happened", ())) for result in results)
    print(f"{len(results)} runs, {faults} faults: {succeeded} succeeded, {sum(kinds.values())} ended with an error and succeeded "
          f"when it was over; the longest, seed {longest['seed']}, took {longest.get('seconds')} s")
    for text, count in kinds.most_common():
        print(f"{count:5} {text}")


def main():
    make_certificates(WORK / "tls")
    results = []
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool, (WORK / "runs.log").open("w") as log:
        for result in pool.map(lambda seed: Run(seed).run(), range(FIRST, FIRST + RUNS)):
            results.append(result)
            print(json.dumps(result), file=log, flush=True)
    check_registry()
    summary(results)
    wrong = [result for result in results if "wrong" in result]
    for result in wrong:
        print(json.dumps({**result, "wrong": ""}) + "\n" + result["wrong"])
    sys.exit(1 if wrong else 0)


main()
