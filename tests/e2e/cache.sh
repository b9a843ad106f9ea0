# Caches that travel: to a registry and a directory and inside an image, and back into an empty store.
source "$(dirname "$0")/lib.sh"
with_busybox
command -v skopeo >/dev/null || skip "needs skopeo"
start_registry
flags=(--insecure-registry "$REGISTRY")
echo a >"$CONTEXT/a.txt"
dockerfile <<DF
$BASE
FROM base AS tool
RUN echo tool > /tool
COPY a.txt /w/
FROM base
ARG X=1
RUN --mount=type=cache,target=/c echo \$X > /x
COPY --from=tool /tool /t/
COPY --link a.txt /l/
RUN cat /t/tool > /y
DF
fresh_store() { STORE=$WORK/store.$((++stores)); }
stores=0
layers_here() { find "$STORE/blobs" -type f 2>/dev/null | wc -l; }
has_run() { grep -qE "^#[0-9]+ \[.*\] $1" "$ERR" || fail "no step $1"; local n; n=$(grep -oE "^#[0-9]+ \[.*\] $1" "$ERR" | head -n 1 | cut -d' ' -f1); ! grep -qx "$n CACHED" "$ERR" || fail "step $1 was cached"; }

# Out: all at once (F5.2.1, F5.2.2, F5.2.4, F5.2.7, F5.2.8, F5.4.1 to F5.4.3).
ok build "${flags[@]}" --cache-to "type=registry,ref=$REGISTRY/cache:max,mode=max" \
  --export-cache "type=local,dest=$WORK/max,mode=max" --cache-to "type=local,dest=$WORK/min,compression=zstd" \
  --cache-to type=inline --push -t "$REGISTRY/app:1" --metadata-file "$WORK/metadata.json" "$CONTEXT"
says "exporting cache to registry"
says "exporting cache to client directory"
says "preparing build cache for export"
says "writing cache image manifest sha256:"
says "preparing layers for inline cache"
json "$WORK/metadata.json" 'json.loads(j["cache.manifest"])["mediaType"]' | grep -q image.manifest || fail "no cache.manifest"
skopeo --insecure-policy --tmpdir "$WORK" inspect --raw --tls-verify=false "docker://$REGISTRY/cache:max" >"$WORK/manifest"
equal "$(json "$WORK/manifest" 'j["config"]["mediaType"]')" application/vnd.buildkit.cacheconfig.v0
# F5.3.11.
for name in buildkit/createdat containerd.io/uncompressed; do
  equal "$(json "$WORK/manifest" "all('$name' in layer['annotations'] for layer in j['layers'])")" True
done
ok skopeo --insecure-policy --tmpdir "$WORK" inspect --config --tls-verify=false "docker://$REGISTRY/app:1"

# In: nothing runs, and no layer is fetched, since nobody reads one (F5.3.14).
for from in "$REGISTRY/cache:max" "type=registry,ref=$REGISTRY/cache:max" "type=local,src=$WORK/max"; do
  fresh_store
  ok build "${flags[@]}" --cache-from "$from" "$CONTEXT"
  all_cached
  says "importing cache manifest from "
  says "inferred cache manifest type: application/vnd.oci.image.manifest.v1+json"
  equal "$(layers_here)" 0
done
# Then it is this store's own: the registry's can go. And what is in it is right.
fresh_store
ok build "${flags[@]}" --import-cache "type=registry,ref=$REGISTRY/cache:max" "$CONTEXT"
ok build "${flags[@]}" -o "type=local,dest=$WORK/files" "$CONTEXT"
all_cached
equal "$(cat "$WORK/files/y" "$WORK/files/x" "$WORK/files/l/a.txt")" "tool
1
a"
# A push of what was imported moves nothing that the registry has.
fresh_store
ok build "${flags[@]}" --cache-from "$REGISTRY/cache:max" --push -t "$REGISTRY/app:2" "$CONTEXT"
all_cached
equal "$(layers_here)" 0
ok skopeo --insecure-policy --tmpdir "$WORK" copy --src-tls-verify=false "docker://$REGISTRY/app:2" "oci:$WORK/pulled:2"

# A step that changed runs, and only layers that it needs are fetched.
fresh_store
ok build "${flags[@]}" --cache-from "$REGISTRY/cache:max" --build-arg X=2 -o "type=local,dest=$WORK/files2" "$CONTEXT"
equal "$(cat "$WORK/files2/x" "$WORK/files2/y")" "2
tool"
has_run "RUN --mount"
# A file that is the same again is found by its content.
fresh_store
echo b >"$CONTEXT/a.txt"
ok build "${flags[@]}" --cache-from "$REGISTRY/cache:max" "$CONTEXT"
has_run "COPY --link"
echo a >"$CONTEXT/a.txt"

# F5.2.2: min has what the result is made of, and so has the image; other stages' keys are no results, but lead on.
for from in "type=local,src=$WORK/min" "type=registry,ref=$REGISTRY/app:1"; do
  fresh_store
  ok build "${flags[@]}" --cache-from "$from" -o "type=local,dest=$WORK/files3" "$CONTEXT"
  equal "$(cat "$WORK/files3/y")" tool
  grep -A1 -E '\] RUN cat' "$ERR" | grep -q CACHED || fail "the last step ran, with $from"
done

# Another shape, another tag, several imports, one of which is not there: a failed step, and no failed build
# (F5.2.10, F5.3.10, F5.4.3).
ok build "${flags[@]}" --cache-to "type=registry,ref=$REGISTRY/cache:index,mode=max,image-manifest=false" \
  --cache-to "type=local,dest=$WORK/max,mode=max,tag=second" "$CONTEXT"
skopeo --insecure-policy --tmpdir "$WORK" inspect --raw --tls-verify=false "docker://$REGISTRY/cache:index" >"$WORK/manifest"
equal "$(json "$WORK/manifest" 'j["mediaType"]')" application/vnd.oci.image.index.v1+json
fresh_store
ok build "${flags[@]}" --cache-from "$REGISTRY/none:1" --cache-from "type=local,src=$WORK/nowhere" \
  --cache-from "$REGISTRY/cache:index" "$CONTEXT"
all_cached
says "none:1: not found"
fresh_store
ok build --cache-from "type=local,src=$WORK/max,tag=second" "$CONTEXT"
all_cached
# A local cache that has gone again, with its layers still lazy: the steps run.
mv "$WORK/max" "$WORK/gone"
ok build -o "type=local,dest=$WORK/files4" "$CONTEXT"
equal "$(cat "$WORK/files4/y")" tool
mv "$WORK/gone" "$WORK/max"
# reset: what no tag leads to goes (F5.4.3).
echo c >"$CONTEXT/a.txt"
before=$(ls "$WORK/max/blobs/sha256" | wc -l)
ok build --cache-to "type=local,dest=$WORK/min,mode=min,reset=true" "$CONTEXT"
echo a >"$CONTEXT/a.txt"
[ "$(ls "$WORK/min/blobs/sha256" | wc -l)" -lt "$before" ] || fail "nothing was dropped"
fresh_store
ok build --opt 'cache-imports=[{"Type":"local","Attrs":{"src":"'"$WORK/max"'"}}]' "$CONTEXT"
all_cached

# A damaged blob is told when it is read, none of it is used, and the step runs.
blob=$(json "$WORK/manifest" 'max(j["manifests"], key=lambda m: m["size"])["digest"][7:]')
chmod u+w "$WORK/max/blobs/sha256/$blob"
printf x | dd of="$WORK/max/blobs/sha256/$blob" bs=1 seek=1000 conv=notrunc status=none
fresh_store
ok build --cache-from "type=local,src=$WORK/max" -o "type=local,dest=$WORK/files5" "$CONTEXT"
says "it was found in a cache, and is made again"
equal "$(cat "$WORK/files5/y")" tool
ok build -o "type=local,dest=$WORK/files6" "$CONTEXT"
all_cached
equal "$(cat "$WORK/files6/y")" tool

# So are layers that a registry has lost since.
fresh_store
ok build "${flags[@]}" --cache-from "$REGISTRY/cache:max" "$CONTEXT"
all_cached
find "$WORK/registry" -path "*/blobs/*" -name data -size +0 -exec sh -c 'head -c 2 "$1" | grep -q "{" || rm "$1"' sh {} \;
ok build "${flags[@]}" -o "type=local,dest=$WORK/files7" "$CONTEXT"
says "it was found in a cache, and is made again"
equal "$(cat "$WORK/files7/y" "$WORK/files7/t/tool")" "tool
tool"

fresh_store
ok build "${flags[@]}" --cache-from "$REGISTRY/cache:max" "$CONTEXT"
all_cached
stop_servers
# And those of a registry that has gone itself.
ok build "${flags[@]}" --registry-timeout 2 -o "type=local,dest=$WORK/files8" "$CONTEXT"
says "it was found in a cache, and is made again"
equal "$(cat "$WORK/files8/y")" tool

# A cache that cannot be written fails the build, unless that is to be ignored (F5.2.3).
ok build "${flags[@]}" --registry-timeout 2 --cache-to "type=registry,ref=$REGISTRY/cache:late,mode=max,ignore-error=true" "$CONTEXT"
fails build "${flags[@]}" --registry-timeout 2 --cache-to "type=registry,ref=$REGISTRY/cache:late,mode=max" "$CONTEXT"
one_error
says "failed to export cache: failed to push $REGISTRY/cache:late"

# Nothing to export (F5.2.9).
mkdir "$WORK/nothing"
echo 'FROM scratch' >"$WORK/nothing/Dockerfile"
ok build --cache-to "type=local,dest=$WORK/none" "$WORK/nothing"
says "skipping cache export for empty result"
absent "$WORK/none"

# What is wrong is told before anything is built (F5.2.1, F5.2.5, F5.3.10).
fails build --cache-to type=nothing "$CONTEXT"
says 'unknown cache exporter: "nothing"'
fails build --cache-from type=nothing "$CONTEXT"
says 'unknown cache importer: nothing'
fails build --export-cache mode=max "$CONTEXT"
says '--export-cache requires type=<type>'
fails build --cache-to type=local "$CONTEXT"
says 'local cache exporter requires dest'
fails build --cache-from type=local "$CONTEXT"
says 'local cache importer requires src'
fails build --cache-to "type=registry,ref=$REGISTRY/c,oci-mediatypes=false,image-manifest=true" "$CONTEXT"
says 'OCI mediatypes are required for image-manifest cache format'
nothing_left
