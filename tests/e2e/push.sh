# Images to a real registry: names, an index, by digest, what moves and what does not, and a push that
# fails.
source "$(dirname "$0")/lib.sh"
with_busybox
command -v skopeo >/dev/null || skip "needs skopeo"
make_base_layout "$WORK/layout"
start_registry
push_base "$WORK/layout" team/base:1
flags=(--insecure-registry "$REGISTRY")
inspect() { skopeo --insecure-policy --tmpdir "$WORK" inspect --tls-verify=false "$@"; }
dockerfile <<DF
FROM $REGISTRY/team/base:1
RUN echo one > /one
COPY busybox /copy
DF

# Two names in one push; what is there is what was said, and a client can read it (F4.2.2, F4.7.6).
ok build "${flags[@]}" --push -t "$REGISTRY/team/app:1" -t "$REGISTRY/other/app:2" \
  --metadata-file "$WORK/metadata.json" "$CONTEXT"
says "exporting to image"
says "pushing layers"
says "pushing manifest for $REGISTRY/team/app:1@sha256:"
says "pushing manifest for $REGISTRY/other/app:2@sha256:"
digest=$(json "$WORK/metadata.json" 'j["containerimage.digest"]')
equal "$(json "$WORK/metadata.json" 'j["image.name"]')" "$REGISTRY/team/app:1,$REGISTRY/other/app:2"
for name in team/app:1 other/app:2; do
  ok inspect "docker://$REGISTRY/$name"
  equal "$(json "$OUT" 'j["Digest"]')" "$digest"
done
ok skopeo --insecure-policy --tmpdir "$WORK" copy --src-tls-verify=false "docker://$REGISTRY/other/app:2" "oci:$WORK/pulled:2"

# The next build takes it as its base.
mkdir "$WORK/next"
printf 'FROM %s/team/app:1\nRUN cat /one > /two\n' "$REGISTRY" >"$WORK/next/Dockerfile"
ok build "${flags[@]}" -o "type=local,dest=$WORK/files" "$WORK/next"
equal "$(cat "$WORK/files/two")" one

# A second push, and one to another repository that adds nothing but a label: no layer moves, so the
# line has no bytes (F4.7.2).
ok build "${flags[@]}" --push -t "$REGISTRY/team/app:1" "$CONTEXT"
all_cached
matches 'pushing layers( [0-9]+\.[0-9]s)? done$'
ok build "${flags[@]}" --push --label a=b -t "$REGISTRY/third/app:3" "$CONTEXT"
matches 'pushing layers( [0-9]+\.[0-9]s)? done$'

# A base that nobody has read: its layer is never fetched, not even by another store.
STORE=$WORK/store2
printf 'FROM %s/team/base:1\nLABEL a=b\n' "$REGISTRY" >"$WORK/next/Dockerfile"
ok build "${flags[@]}" --push -t "$REGISTRY/lazy/app:1" "$WORK/next"
layer=$(json "$WORK/layout/blobs/sha256/$(json "$WORK/layout/index.json" 'j["manifests"][0]["digest"][7:]')" 'j["layers"][0]["digest"]')
absent "$STORE/blobs/sha256/${layer#sha256:}"
ok inspect "docker://$REGISTRY/lazy/app:1"
equal "$(json "$OUT" 'j["Layers"][0]')" "$layer"
# To a registry that does not have it, it is fetched for the push.
source_registry=$REGISTRY
stop_servers
mv "$WORK/registry" "$WORK/registry1"
sed "s|rootdirectory: $WORK/registry|&1|" "$WORK/registry.yml" >"$WORK/registry1.yml"
docker-registry serve "$WORK/registry1.yml" >"$WORK/registry1.log" 2>&1 &
SERVERS+=($!)
eventually bash -c "exec 3<>/dev/tcp/${source_registry/://}"
start_registry
both=(--insecure-registry "$source_registry" --insecure-registry "$REGISTRY")
ok build "${both[@]}" --push -t "$REGISTRY/lazy/app:1" "$WORK/next"
all_cached
ok inspect "docker://$REGISTRY/lazy/app:1"
equal "$(json "$OUT" 'j["Layers"][0]')" "$layer"

# Two platforms under an index; registry.insecure instead of a flag (F4.2.4); type=registry.
STORE=$WORK/store
dockerfile <<DF
FROM scratch
COPY busybox /copy
ARG TARGETARCH
LABEL arch=\$TARGETARCH
DF
ok build --platform linux/amd64,linux/arm64 \
  -o "type=registry,name=$REGISTRY/team/multi:1,registry.insecure=true,compression=zstd" "$CONTEXT"
for arch in amd64 arm64; do
  ok skopeo --insecure-policy --tmpdir "$WORK" --override-os linux --override-arch $arch inspect --config --tls-verify=false "docker://$REGISTRY/team/multi:1"
  equal "$(json "$OUT" 'j["config"]["Labels"]["arch"]')" $arch
done
ok inspect --raw "docker://$REGISTRY/team/multi:1"
equal "$(json "$OUT" 'j["mediaType"]')" application/vnd.oci.image.index.v1+json

# By digest, in Docker's media types (F4.2.3, F4.2.7, F4.5.2).
flags=(--insecure-registry "$REGISTRY")
ok build "${flags[@]}" --metadata-file "$WORK/metadata.json" \
  -o "type=image,name=$REGISTRY/team/quiet,push=true,push-by-digest=true,name-canonical=true,oci-mediatypes=false" "$CONTEXT"
digest=$(json "$WORK/metadata.json" 'j["containerimage.digest"]')
ok inspect --raw "docker://$REGISTRY/team/quiet@$digest"
equal "$(json "$OUT" 'j["mediaType"]')" application/vnd.docker.distribution.manifest.v2+json
fails inspect "docker://$REGISTRY/team/quiet:latest"
fails build "${flags[@]}" -o "type=image,name=$REGISTRY/team/quiet:1,push=true,push-by-digest=true" "$CONTEXT"
one_error
says "can't push tagged ref $REGISTRY/team/quiet:1 by digest"

# Nothing to push to, known before anything runs; without a push the image stays here.
fails build --no-cache --push "$CONTEXT"
one_error
says "a name is needed when pushing"
ok build -t x:y -o type=image --iidfile "$WORK/iid" "$CONTEXT"
says "the image stays in the store"
grep -q '^sha256:' "$WORK/iid" || fail "no image ID"

# A registry that is gone: built and not pushed (F4.1.8), once more without building when it is back.
stop_servers
status=0
build "${flags[@]}" --push -t "$REGISTRY/team/late:1" -o "type=local,dest=$WORK/also" --label c=d "$CONTEXT" >"$OUT" 2>"$ERR" || status=$?
equal "$status" 3
one_error
says "failed to push $REGISTRY/team/late:1: "
says 'the same command pushes it without building it again, and so does `cobuild push NAME`'
[ -e "$WORK/also/copy" ] || fail "the other output was not written"
docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 &
SERVERS+=($!)
eventually bash -c "exec 3<>/dev/tcp/${REGISTRY/://}"
ok build "${flags[@]}" --push -t "$REGISTRY/team/late:1" --label c=d "$CONTEXT"
all_cached
ok inspect "docker://$REGISTRY/team/late:1"
nothing_left
