# A base image in a real registry: pulled once, by tag and by digest.
source "$(dirname "$0")/lib.sh"
with_busybox
make_base_layout "$WORK/layout"
start_registry
push_base "$WORK/layout" team/base:1
digest=$(json "$WORK/layout/index.json" 'j["manifests"][0]["digest"]')
dockerfile <<DF
ARG BASE
FROM \$BASE AS one
RUN echo one > /one
FROM \$BASE
COPY --from=one /one /two
RUN cat /two /etc/passwd > /three
DF
flags=(--insecure-registry "$REGISTRY")
ok build "${flags[@]}" --build-arg "BASE=$REGISTRY/team/base:1" -o "type=local,dest=$WORK/files" "$CONTEXT"
equal "$(head -n 1 "$WORK/files/three")" one
equal "$(tail -n 1 "$WORK/files/three")" "$(tail -n 1 "$WORK/base-root/etc/passwd")"
ok build "${flags[@]}" --build-arg "BASE=$REGISTRY/team/base:1" -t x:y -o "type=oci,dest=$WORK/image.tar" "$CONTEXT"
all_cached
ok build "${flags[@]}" --build-arg "BASE=$REGISTRY/team/base@$digest" "$CONTEXT"

# The base's layer is in the image as it is in the registry.
layer=$(json "$WORK/layout/blobs/sha256/${digest#sha256:}" 'j["layers"][0]["digest"][7:]')
tar -tf "$WORK/image.tar" >"$WORK/names"  # not a pipe: grep -q may end before tar does
grep -qF "blobs/sha256/$layer" "$WORK/names" || fail "the base's layer was changed"

# An image that is not there, and a registry that is not.
fails build "${flags[@]}" --build-arg "BASE=$REGISTRY/team/other:1" "$CONTEXT"
one_error
says "$REGISTRY/team/other:1"
says "not found"
says "Dockerfile:2"
stop_servers
STORE=$WORK/store2
fails build "${flags[@]}" --build-arg "BASE=$REGISTRY/team/base:1" "$CONTEXT"
one_error
says "$REGISTRY"
