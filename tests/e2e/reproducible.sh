# With SOURCE_DATE_EPOCH and rewrite-timestamp, the same input gives the same bits: in another store, with
# another number of CPUs, at another time and, as root, for an ordinary user too.
source "$(dirname "$0")/lib.sh"
with_busybox
make_base_layout "$WORK/base" >/dev/null
for number in $(seq 40); do head -c 30000 /dev/urandom >"$CONTEXT/random$number"; done
head -c 9000000 /dev/urandom >"$CONTEXT/large"
dockerfile <<'DF'
FROM base
COPY . /context/
RUN rm /bin/yes && mkdir -p /d/e && echo text >/d/e/f && ln /d/e/f /d/link && ln -s e /d/sym && touch -d @999999999 /d/old
WORKDIR /work/dir
ENV A=b
RUN echo more >file
DF
compressions="gzip zstd estargz uncompressed"
export SOURCE_DATE_EPOCH=1000000000
layouts() { # DIRECTORY
  for compression in $compressions; do
    printf '%s\n' -o "type=oci,tar=false,dest=$1/$compression,compression=$compression,rewrite-timestamp=true"
    printf '%s\n' -o "type=oci,dest=$1/$compression.tar,compression=$compression,rewrite-timestamp=true,squash=new"
  done
}
digests() { # DIRECTORY
  local compression
  for compression in $compressions; do
    echo "$compression $(json "$1/$compression/index.json" 'j["manifests"][0]["digest"]')"
    echo "$compression.tar $(sha256sum <"$1/$compression.tar")"
  done
}
build_into() { # DIRECTORY COMMAND...
  local directory=$1
  shift
  mapfile -t outputs < <(layouts "$directory")
  ok "$@" build --progress plain -t a/b:1 --build-context "base=oci-layout://$WORK/base:latest" "${outputs[@]}" "$CONTEXT"
}
mkdir "$WORK/one" "$WORK/two"
build_into "$WORK/one" cobuild
says "rewriting layers with source-date-epoch 1000000000 (2001-09-09 01:46:40 +0000 UTC)" # F4.6.3
touch -d @1700000000 "$CONTEXT"/*
build_into "$WORK/two" taskset -c 0 "$WORK/bin/cobuild" --root "$WORK/store2"
equal "$(digests "$WORK/two")" "$(digests "$WORK/one")"

# All there is in a layer is at the epoch or before it, but for what the base image brought.
digest=$(json "$WORK/one/gzip/index.json" 'j["manifests"][0]["digest"]')
blob() { echo "$WORK/one/gzip/blobs/sha256/${1#sha256:}"; }
layers=$(json "$(blob "$digest")" '" ".join(l["digest"] for l in j["layers"][1:])')
for layer in $layers; do
  python3 - "$(blob "$layer")" <<'PY' || fail "a time is later than the epoch"
import sys, tarfile
times = {m.name: m.mtime for m in tarfile.open(sys.argv[1])}
sys.exit(any(t > 1000000000 for t in times.values()) or times.get("d/old", 999999999) != 999999999)
PY
done
# F4.5.6, F4.6.5.
rewritten=$(json "$(blob "$digest")" '[l.get("annotations", {}).get("buildkit/rewritten-timestamp") for l in j["layers"]]')
equal "$rewritten" "[None, '1000000000', '1000000000', '1000000000', '1000000000']"
equal "$(json "$WORK/one/gzip/index.json" 'j["manifests"][0]["annotations"]["org.opencontainers.image.created"]')" 2001-09-09T01:46:40Z

if [ "$(id -u)" = 0 ]; then
  id cobuild-e2e >/dev/null 2>&1 || skip "needs the user cobuild-e2e, which the cases of ordinary users make"
  mkdir "$WORK/by-user"
  chown cobuild-e2e "$WORK/by-user"
  chmod -R a+rX "$CONTEXT" "$WORK/base"
  build_into "$WORK/by-user" runuser -u cobuild-e2e -- env -i HOME="$WORK/by-user" PATH="$PATH" \
    SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH ASAN_OPTIONS="$ASAN_OPTIONS" "$WORK/bin/cobuild" --root "$WORK/by-user/store"
  equal "$(digests "$WORK/by-user")" "$(digests "$WORK/one")"
fi

# Without an epoch there is nothing to rewrite to.
unset SOURCE_DATE_EPOCH
ok build --build-context "base=oci-layout://$WORK/base:latest" \
  -o "type=oci,dest=$WORK/x.tar,rewrite-timestamp=true" "$CONTEXT"
says "rewrite-timestamp is specified, but no source-date-epoch was found"
