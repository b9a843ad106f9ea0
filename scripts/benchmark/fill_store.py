"""Adds records to a store, as many builds would; much faster than these. The store must not be in use."""

import hashlib
import os
import sqlite3
import time

HOUR = 3600 * 10**9
CHAIN = 10


def fill(root, count):
    """Each record is a layer with one small file, a blob, a key and a result; ten of them are one chain. They were used
    last one to 71 hours ago."""
    db = sqlite3.connect(root / "store.db")
    chain, key = [], 0
    for n in range(count):
        used = time.time_ns() - HOUR - n * 70 * HOUR // count
        layer = db.execute(
            "INSERT INTO layers(diff_id, has_snapshot, unsynced, size, description, kind, created_at, last_used_at,"
            " usage_count) VALUES(?, 1, 0, 4096, ?, 0, ?, ?, ?)",
            (os.urandom(32), f"[stage {n}/9] RUN make -j4 target-{n}", used, used, n % 7 + 1)).lastrowid
        directory = root / f"snapshots/{layer}/fs"
        directory.mkdir(parents=True)
        (directory / "file").write_text(f"record {n}\n")
        content = f"blob {layer}\n".encode()
        digest = hashlib.sha256(content)
        (root / "blobs/sha256" / digest.hexdigest()).write_bytes(content)
        db.execute("INSERT INTO blobs(digest, size, unsynced) VALUES(?, ?, 0)", (digest.digest(), len(content)))
        db.execute("INSERT INTO layer_blobs(layer, digest, size, media_type, sources) VALUES(?, ?, ?, ?, '')",
                   (layer, digest.digest(), len(content), "application/vnd.oci.image.layer.v1.tar+gzip"))
        first = n % CHAIN == 0
        below = key
        key = db.execute("INSERT INTO keys(op, root) VALUES(?, ?)", (os.urandom(32), int(first))).lastrowid
        if first:
            chain = []
        else:
            db.execute("INSERT INTO links(source, input, op, selector, target) VALUES(?, 0, ?, '', ?)",
                       (below, os.urandom(32), key))
        chain.append(layer)
        result = db.execute("INSERT INTO results(key, chain, created_at, ingredients) VALUES(?, ?, ?, '')",
                            (key, ",".join(map(str, chain)), used)).lastrowid
        db.executemany("INSERT INTO result_layers(layer, result) VALUES(?, ?)", [(each, result) for each in chain])
    db.commit()
    db.close()


def forget_collection(root):
    """As if the store had not been looked at by a collector for long."""
    db = sqlite3.connect(root / "store.db")
    db.execute("DELETE FROM state WHERE name = 'collected_at'")
    db.commit()
    db.close()
