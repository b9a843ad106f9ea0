#!/usr/bin/env python3
"""Imports damaged caches: damage_runs.py WORK FIRST-SEED RUNS

WORK/cache is a cache in a directory, WORK/right what the build of WORK/context comes to. Each run damages a copy of the
cache, as its seed says, and builds with it in a store of its own. That must succeed, and come to the same files; steps
that run though the cache had them must be explained. Then the store must be as good as any: a build without the cache
finds all in it, and comes to the same. A line for each run is in WORK/runs.log; the sum is printed.
"""

import collections
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import stat
import subprocess
import sys

WORK, FIRST, RUNS = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
SECONDS_MAX = 120
CONFIG_TYPE = "application/vnd.buildkit.cacheconfig.v0"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Cache:
    """A copy of the cache, and its documents."""

    def __init__(self, directory):
        self.directory = directory
        shutil.copytree(WORK / "cache", directory)
        for path in directory.rglob("*"):
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
        self.index = json.loads((directory / "index.json").read_text())
        self.manifest_path = self.blob(self.index["manifests"][0]["digest"])
        self.manifest = json.loads(self.manifest_path.read_text())
        self.config_path = self.blob(self.manifest["config"]["digest"])
        self.config = json.loads(self.config_path.read_text())
        self.layer_paths = [self.blob(layer["digest"]) for layer in self.manifest["layers"]]

    def blob(self, digest):
        return self.directory / "blobs" / digest.replace(":", "/")

    def add(self, text):
        data = text.encode()
        self.blob(sha256(data)).write_bytes(data)
        return {"digest": sha256(data), "size": len(data)}

    def write(self, config_text=None):
        """The documents as they are now, each with its right digest: what somebody does who means it."""
        self.manifest["config"] |= self.add(config_text if config_text is not None else json.dumps(self.config))
        self.index["manifests"][0] |= self.add(json.dumps(self.manifest))
        (self.directory / "index.json").write_text(json.dumps(self.index))


def damage_bytes(path, dice):
    """What disks and networks do."""
    data = bytearray(path.read_bytes())
    kind = dice.choice(["flip", "flip", "flip", "cut", "empty", "more", "zeros", "gone"])
    if kind == "gone":
        path.unlink()
        return kind
    at = dice.randrange(len(data)) if data else 0
    if kind == "flip" and data:
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "empty":
        data.clear()
    elif kind == "more":
        data[at:at] = dice.randbytes(dice.randint(1, 100))
    elif kind == "zeros":
        data[at:at + 512] = bytes(len(data[at:at + 512]))
    path.write_bytes(data)
    return kind


def random_bytes(cache, dice):
    what = dice.choice(["index", "manifest", "config", "layer", "layer", "layer"])
    path = {"index": cache.directory / "index.json", "manifest": cache.manifest_path, "config": cache.config_path,
            "layer": dice.choice(cache.layer_paths)}[what]
    return f"{what} {damage_bytes(path, dice)}"


def all_layers(cache, dice):
    for path in cache.layer_paths:
        damage_bytes(path, dice)


def swapped_blobs(cache, dice):
    one, other = dice.sample(cache.layer_paths, 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def swapped_diff_ids(cache, dice):
    one, other = (layer["annotations"] for layer in dice.sample(cache.manifest["layers"], 2))
    key = "containerd.io/uncompressed"
    one[key], other[key] = other[key], one[key]
    cache.write()


def other_diff_id(cache, dice):
    dice.choice(cache.manifest["layers"])["annotations"]["containerd.io/uncompressed"] = sha256(dice.randbytes(9))
    cache.write()


def other_blob(cache, dice):
    layer = dice.choice(cache.manifest["layers"])
    wanted = layer["digest"]
    layer |= cache.add("this is no layer")
    for entry in cache.config["layers"]:
        if entry["blob"] == wanted:
            entry["blob"] = layer["digest"]
    cache.write()


def other_size(cache, dice):
    layer = dice.choice(cache.manifest["layers"])
    layer["size"] = dice.choice([0, 1, -1, layer["size"] - 1, layer["size"] + 1, 1 << 40, (1 << 63) - 1, 1 << 63])
    cache.write()


def other_type(cache, dice):
    dice.choice(cache.manifest["layers"])["mediaType"] = dice.choice(["", "text/plain", CONFIG_TYPE])
    cache.write()


def layer_loop(cache, dice):
    layer = dice.randrange(len(cache.config["layers"]))
    cache.config["layers"][layer]["parent"] = dice.choice([layer, len(cache.config["layers"]) - 1, len(cache.config["layers"]), -7])
    cache.config["layers"][-1]["parent"] = layer
    cache.write()


def double_layers(cache, dice):
    cache.manifest["layers"] *= dice.randint(2, 5)
    cache.config["layers"] *= dice.randint(2, 5)
    cache.write()


def record_loop(cache, dice):
    records = [record for record in cache.config["records"] if record.get("inputs")]
    record = dice.choice(records)
    record["inputs"].append([{"link": cache.config["records"].index(dice.choice(records))}])
    dice.choice(records)["inputs"][0].append({"link": dice.choice([cache.config["records"].index(record), 10**6, -3])})
    cache.write()


def odd_selector(cache, dice):
    record = dice.choice([record for record in cache.config["records"] if record.get("inputs")])
    for link in record["inputs"][0]:
        link["selector"] = dice.choice(["x", "sha256:", "sha512:" + "0" * 128, "../" * 50, "sha256:" + "f" * 64])
    cache.write()


def far_result(cache, dice):
    for record in cache.config["records"]:
        for result in record.get("layers", []):
            result["layer"] = dice.choice([len(cache.config["layers"]), -1, 2**40])
    cache.write()


def many_records(cache, dice):
    text = json.dumps(cache.config)
    more = dice.choice(['{}', '{"digest":"sha256:' + "0" * 64 + '"}', '{"digest":"sha256:' + "0" * 64 + '","inputs":[[{}]]}'])
    room = dice.choice([(1 << 20) - len(text) - 10, 4 << 20])
    cache.write(text[:-2] + ("," + more) * (room // (len(more) + 1)) + "]}")


def odd_json(cache, dice):
    text = json.dumps(cache.config)
    numbers = list(re.finditer(r"(?<=: )-?[0-9]+", text))
    at = dice.choice(numbers)
    odd = dice.choice(["1e400", "0.5", '"1"', "null", "[]", "-9223372036854775809", "{}", "NaN", "[" * 5000])
    cache.write(text[:at.start()] + odd + text[at.end():])


DAMAGES = [random_bytes] * 12 + [all_layers, swapped_blobs, swapped_diff_ids, other_diff_id, other_blob, other_size, other_type, layer_loop,
                                 double_layers, record_loop, odd_selector, far_result, many_records, odd_json]


def tree_of(directory):
    """What is in a directory, by path."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else sha256(path.read_bytes()) if path.is_file() else ""
        found[str(path.relative_to(directory))] = (oct(status.st_mode), status.st_uid, status.st_gid, content)
    return found


class Wrong(Exception):
    pass


def build(store, output, *words):
    """(steps that ran, steps, stderr) of a build that must come to the right files."""
    command = [WORK / "bin/cobuild", "--root", store, "build", "--progress", "plain", *words, "-o", f"type=local,dest={output}", WORK / "context"]
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise Wrong(f"no end after {SECONDS_MAX} s") from None
    log = done.stderr.decode("utf-8", "replace")
    if done.returncode != 0:
        raise Wrong(f"status {done.returncode}: {log[-1500:]}")
    if tree_of(output) != RIGHT:
        raise Wrong("other files: " + str(set(tree_of(output).items()) ^ set(RIGHT.items())))
    steps = set(re.findall(r"^(#[0-9]+) \[[^]]*[0-9]+/[0-9]+\] (?:RUN|COPY|WORKDIR)", log, re.M))
    return len(steps - set(re.findall(r"^(#[0-9]+) CACHED$", log, re.M))), len(steps), log


def run(seed):
    """What became of one run."""
    dice = random.Random(seed)
    directory = WORK / f"run-{seed}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    cache = Cache(directory / "cache")
    damage = dice.choice(DAMAGES)
    name = damage(cache, dice) or damage.__name__
    store = directory / "store"
    ran, steps, log = build(store, directory / "out", "--cache-from", f"type=local,src={cache.directory}")
    warned = log.count("it was found in a cache, and is made again")
    imports = re.findall(r"^(#[0-9]+) importing cache manifest", log, re.M)
    refused = any(re.search(f"^{number} ERROR: ", log, re.M) for number in imports)
    if ran and not warned and not refused and damage not in (odd_selector, other_type, far_result, other_size):
        raise Wrong(f"{name}: {ran} of {steps} steps ran, and nothing was said: {log[-1500:]}")
    again, _, _ = build(store, directory / "again")
    if again:
        raise Wrong(f"{name}: {again} of {steps} steps ran again")
    build(store, directory / "good", "--cache-from", f"type=local,src={WORK / 'cache'}", "--no-cache-filter", "nothing")
    shutil.rmtree(directory, onerror=None) if os.geteuid() == 0 else subprocess.run(
        ["unshare", "--map-root-user", "--map-auto", "--", "rm", "-rf", str(directory)], check=False)
    return name, "refused" if refused else "made again" if warned else "taken" if not ran else "left out"


RIGHT = tree_of(WORK / "right")


def main():
    sums, wrong = collections.Counter(), 0
    by_damage = collections.defaultdict(collections.Counter)
    with open(WORK / "runs.log", "w") as log:
        for seed in range(FIRST, FIRST + RUNS):
            try:
                name, outcome = run(seed)
                by_damage[name][outcome] += 1
                sums[outcome] += 1
                print(seed, name, outcome, file=log, flush=True)
            except Wrong as error:
                wrong += 1
                print(f"seed {seed}: {error}", flush=True)
    for name, outcomes in sorted(by_damage.items()):
        print(f"{name}: {dict(outcomes)}")
    print(f"{RUNS} runs: {dict(sums)}, {wrong} went wrong")
    return 1 if wrong else 0


sys.exit(main())
