# Every compression, from every other: the types, the digests, and that other tools read them.
source "$(dirname "$0")/lib.sh"
command -v skopeo >/dev/null || skip "needs skopeo"
with_busybox
make_base_layout "$WORK/base" >/dev/null
head -c 6000000 /dev/urandom >"$CONTEXT/large"
dockerfile <<'DF'
FROM base
COPY large /large
RUN mkdir -p /d && echo text >/d/f && ln -s f /d/s && ln /d/f /d/l && rm /bin/yes
DF
with_base=(--build-context "base=oci-layout://$WORK/base:latest")
# Every layer's blob has its digest and, where python can unpack it, its diff ID; one line for each.
check_layout() {
  python3 - "$1" <<'PY'
import gzip, hashlib, json, subprocess, sys
def blob(digest):
    data = open(f"{sys.argv[1]}/blobs/sha256/{digest[7:]}", "rb").read()
    assert hashlib.sha256(data).hexdigest() == digest[7:], digest
    return data
index = json.load(open(f"{sys.argv[1]}/index.json"))
manifest = json.loads(blob(index["manifests"][0]["digest"]))
config = json.loads(blob(manifest["config"]["digest"]))
for layer, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
    data = blob(layer["digest"])
    kind = layer["mediaType"].removeprefix("application/vnd.oci.image.layer.v1.tar") or "+none"
    if data[:2] == b"\x1f\x8b":
        tar = gzip.decompress(data)
    elif data[:4] == b"\x28\xb5\x2f\xfd":
        tar = subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    else:
        tar = data
    assert hashlib.sha256(tar).hexdigest() == diff_id[7:], "diff ID"
    notes = layer.get("annotations", {})
    if "containerd.io/snapshot/stargz/toc.digest" in notes:
        kind = "+estargz"
        assert int(notes["io.containers.estargz.uncompressed-size"]) == len(tar)
        footer = data[-51:]
        assert footer[32:38] == b"STARGZ" and b"stargz.index.json" in gzip.decompress(data[int(footer[16:32], 16):])
    print(kind, end=" ")
PY
}
command -v zstd >/dev/null || skip "needs zstd"
previous=gzip
for compression in zstd estargz uncompressed gzip estargz zstd; do
  rm -rf "$WORK/layout" "$WORK/forced" "$WORK/bundle"
  name=${compression/uncompressed/none}
  ok build "${with_base[@]}" -o "type=oci,tar=false,dest=$WORK/layout,compression=$compression" \
    -o "type=oci,tar=false,dest=$WORK/forced,compression=$compression,force-compression=true" "$CONTEXT"
  # The base image's layer stays as it is unless forced.
  equal "$(check_layout "$WORK/layout")" "+gzip +$name +$name "
  equal "$(check_layout "$WORK/forced")" "+$name +$name +$name "
  for layout in layout forced; do
    ok skopeo --insecure-policy --tmpdir "$WORK" copy --quiet "oci:$WORK/$layout:latest" "dir:$WORK/copied"
    rm -rf "$WORK/copied"
  done
  # umoci of Debian knows no zstd.
  if [ $compression != zstd ]; then
    rootless=()
    [ "$(id -u)" = 0 ] || rootless=(--rootless)
    ok umoci unpack "${rootless[@]}" --image "$WORK/forced:latest" "$WORK/bundle"
    equal "$(cat "$WORK/bundle/rootfs/d/l")" text
    cmp "$WORK/bundle/rootfs/large" "$CONTEXT/large" || fail "/large differs"
    absent "$WORK/bundle/rootfs/stargz.index.json"
    absent "$WORK/bundle/rootfs/bin/yes"
  fi
done

# What was made can be a base, and what is estargz stays it.
rm -rf "$WORK/stargz"
ok build "${with_base[@]}" -o "type=oci,tar=false,dest=$WORK/stargz,compression=estargz,force-compression=true" "$CONTEXT"
mkdir "$WORK/upon"
printf 'FROM base\nRUN cat /d/f && test ! -e /stargz.index.json && echo more >/more\n' >"$WORK/upon/Dockerfile"
ok build --build-context "base=oci-layout://$WORK/stargz:latest" -o "type=oci,tar=false,dest=$WORK/layout2" "$WORK/upon"
equal "$(check_layout "$WORK/layout2")" "+estargz +estargz +estargz +gzip "
ok build --build-context "base=oci-layout://$WORK/stargz:latest" \
  -o "type=oci,tar=false,dest=$WORK/layout3,compression=zstd,force-compression=true" "$WORK/upon"
equal "$(check_layout "$WORK/layout3")" "+zstd +zstd +zstd +zstd "

# What may not be distributed is an ordinary layer, unless it is to stay what it is (F4.2.12).
cp -r "$WORK/base" "$WORK/foreign"
python3 - "$WORK/foreign" <<'PY'
import hashlib, json, pathlib, sys
layout = pathlib.Path(sys.argv[1])
index = json.loads((layout / "index.json").read_text())
blob = lambda digest: layout / "blobs/sha256" / digest[7:]
manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text())
manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
manifest["layers"][0]["urls"] = ["https://example.com/layer"]
text = json.dumps(manifest).encode()
digest = "sha256:" + hashlib.sha256(text).hexdigest()
blob(digest).write_bytes(text)
index["manifests"][0].update(digest=digest, size=len(text))
(layout / "index.json").write_text(json.dumps(index))
PY
for prefer in true false; do
  # In a store of its own: elsewhere the layer is known as an ordinary one.
  STORE=$WORK/store-foreign ok build --build-context "base=oci-layout://$WORK/foreign:latest" \
    -o "type=oci,tar=false,dest=$WORK/$prefer,prefer-nondist-layers=$prefer" "$CONTEXT"
  manifest=$WORK/$prefer/blobs/sha256/$(json "$WORK/$prefer/index.json" 'j["manifests"][0]["digest"][7:]')
  json "$manifest" '[(l["mediaType"][32:], l.get("urls")) for l in j["layers"][:2]]' >"$WORK/types.$prefer"
done
equal "$(cat "$WORK/types.true")" "[('nondistributable.v1.tar+gzip', ['https://example.com/layer']), ('v1.tar+gzip', None)]"
equal "$(cat "$WORK/types.false")" "[('v1.tar+gzip', None), ('v1.tar+gzip', None)]"

# Docker's types, and what they rule out.
ok build "${with_base[@]}" -t a:1 -o "type=docker,dest=$WORK/docker.tar,oci-mediatypes=false,compression=zstd" "$CONTEXT"
ok skopeo --insecure-policy --tmpdir "$WORK" inspect "docker-archive:$WORK/docker.tar"
fails build "${with_base[@]}" -o "type=oci,dest=$WORK/x.tar,oci-mediatypes=false,compression=estargz" "$CONTEXT"
says 'exporter option "compression=estargz" conflicts with "oci-mediatypes=false"'
