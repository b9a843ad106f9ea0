# What a build does not need it does not fetch, and what a registry has it is not sent: counted in the
# registry's own log.
source "$(dirname "$0")/lib.sh"
with_busybox
make_base_layout "$WORK/layout"
start_registry
push_base "$WORK/layout" team/base:1
manifest=$(json "$WORK/layout/index.json" 'j["manifests"][0]["digest"][7:]')
layer=$(json "$WORK/layout/blobs/sha256/$manifest" 'j["layers"][0]["digest"]')
flags=(--insecure-registry "$REGISTRY")
push() { ok build "${flags[@]}" --push "$@" "$CONTEXT"; }

# What the registry did since the last call of `forget`: bytes of the base's layer that it served, bytes of
# blobs that it was sent, and how often it took a blob from another repository.
forget() { : >"$WORK/registry.log"; }
served() { awk -v blob="/blobs/$layer" '$6 == "\"GET" && index($7, blob) { sum += $10 } END { print sum + 0 }' "$WORK/registry.log"; }
uploads() { awk '($6 == "\"PUT" || $6 == "\"PATCH") && $7 ~ "/blobs/uploads/" { n++ } END { print n + 0 }' "$WORK/registry.log"; }
mounts() { awk '$6 == "\"POST" && $7 ~ "mount=" && $9 == 201 { n++ } END { print n + 0 }' "$WORK/registry.log"; }
nothing_unpacked() {
  absent "$STORE/blobs/sha256/${layer#sha256:}"
  equal "$(find "$STORE/snapshots" -path '*/fs/bin/busybox' | wc -l)" 0
}

# The log is one that counts: skopeo fetches the layer.
forget
ok skopeo --insecure-policy --tmpdir "$WORK" copy --src-tls-verify=false "docker://$REGISTRY/team/base:1" "oci:$WORK/copy:1"
[ "$(served)" -gt 100000 ] || fail "the registry's log has no bytes: $(cat "$WORK/registry.log")"

# Nothing but metadata on a base that nobody has read, to its own repository: only a config is sent.
printf 'FROM %s/team/base:1\nLABEL a=b\n' "$REGISTRY" >"$CONTEXT/Dockerfile"
forget
push -t "$REGISTRY/team/base:label"
equal "$(served) $(uploads) $(mounts)" "0 1 0"
nothing_unpacked
# To another one: the registry takes the layer from the first.
forget
push -t "$REGISTRY/other/app:1"
equal "$(served) $(uploads) $(mounts)" "0 1 1"
nothing_unpacked

# COPY --link does not need what it comes to lie on, wherever it is pushed to.
echo one >"$CONTEXT/one"
printf 'FROM %s/team/base:1\nCOPY --link one /two\nCOPY --link one /three\n' "$REGISTRY" >"$CONTEXT/Dockerfile"
forget
push -t "$REGISTRY/team/link:1"
equal "$(served) $(mounts)" "0 1"
nothing_unpacked
# The same layers as with the base at hand: an image of it is the same, digest for digest.
ok skopeo --insecure-policy --tmpdir "$WORK" inspect --raw --tls-verify=false "docker://$REGISTRY/team/link:1"
cp "$OUT" "$WORK/lazy.json"
equal "$(json "$WORK/lazy.json" 'j["layers"][0]["digest"]')" "$layer"
STORE=$WORK/store2
printf 'FROM %s/team/base:1\nRUN true\n' "$REGISTRY" >"$WORK/Dockerfile"
ok build "${flags[@]}" -f "$WORK/Dockerfile" "$CONTEXT"
push -t "$REGISTRY/team/link:2"
ok skopeo --insecure-policy --tmpdir "$WORK" inspect --raw --tls-verify=false "docker://$REGISTRY/team/link:2"
equal "$(json "$OUT" '[l["digest"] for l in j["layers"]]')" "$(json "$WORK/lazy.json" '[l["digest"] for l in j["layers"]]')"
STORE=$WORK/store
# As local files, it is read.
ok build "${flags[@]}" -o "type=local,dest=$WORK/files" "$CONTEXT"
equal "$(cat "$WORK/files/two" "$WORK/files/three" | tr '\n' ' ')" "one one "
[ -e "$WORK/files/bin/busybox" ] || fail "the base's files are missing"

# A build with steps, again: nothing is fetched, and nothing is sent; elsewhere, everything is mounted.
printf 'FROM %s/team/base:1\nRUN echo 1 >/1\nCOPY one /\nRUN echo 2 >/2\n' "$REGISTRY" >"$CONTEXT/Dockerfile"
push -t "$REGISTRY/team/steps:1"
forget
push -t "$REGISTRY/team/steps:1"
all_cached
equal "$(served) $(uploads) $(mounts)" "0 0 0"
forget
push -t "$REGISTRY/third/steps:1"
all_cached
equal "$(served) $(mounts)" "0 4"
equal "$(uploads)" 1  # the config
nothing_left
