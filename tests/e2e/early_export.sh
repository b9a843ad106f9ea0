# Layers are sealed and pushed while later steps run, and only those that an image will have.
source "$(dirname "$0")/lib.sh"
with_busybox
command -v skopeo >/dev/null || skip "needs skopeo"
start_registry
flags=(--insecure-registry "$REGISTRY")
early="[internal] exporting finished layers"

# A step that waits at a gate: a file in a cache mount, which is a directory of the store.
# It ends with status $END.
gated="RUN --mount=type=cache,id=gate,target=/gate touch /gate/here && for i in \$(seq 600); do [ ! -e /gate/open ] || exit \$END; sleep 0.1; done; exit 1"
gate() { find "$STORE/caches" -name here -printf '%h\n' 2>/dev/null; }
close_gate() { rm -f "$STORE"/caches/*/here "$STORE"/caches/*/open; }
open_gate() { touch "$(gate)/open"; }
at_gate() { [ -n "$(gate)" ]; }
# Starts a build, and returns when its step stands at the gate.
start_build() {
  close_gate
  "$WORK/bin/cobuild" --root "$STORE" build --progress plain "${flags[@]}" "$@" "$CONTEXT" >"$OUT" 2>"$ERR" </dev/null &
  BUILD=$!
  eventually at_gate
}
# Waits for the build; its status must be $1.
ended() {
  local status=0
  wait "$BUILD" || status=$?
  [ "$status" -eq "$1" ] || fail "status $status instead of $1"
}
blobs() { find "$STORE/blobs/sha256" -type f | wc -l; }
uploads() { grep -cE '"PUT /v2/[^ ]*/blobs/uploads/[^ ]* HTTP/1.1" 201' "$WORK/registry.log"; }
uploaded() { [ "$(uploads)" -ge "$1" ]; }
sealed() { [ "$(blobs)" -ge "$1" ]; }

gated_steps() { # WORD END
  dockerfile <<DF
FROM scratch AS tool
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN echo only copied from >/tool
$BASE
FROM base
RUN echo $1 >/one
COPY --from=tool /tool /
ENV END=$2
$gated
DF
}

# Two layers are in the registry while the third step has not ended; then they are not sent again.
gated_steps one 0
start_build --push -t "$REGISTRY/team/app:1" -t "$REGISTRY/team/app:2"
eventually uploaded 4
open_gate
ended 0
says "$early"
says "pushing layer sha256:"
equal "$(uploads)" 6  # one more layer and the config
ok skopeo --insecure-policy --tmpdir "$WORK" copy --src-tls-verify=false "docker://$REGISTRY/team/app:2" "oci:$WORK/pulled:2"
manifest=$(json "$WORK/pulled/index.json" 'j["manifests"][0]["digest"][7:]')
equal "$(json "$WORK/pulled/blobs/sha256/$manifest" 'len(j["layers"])')" 5
# What files were only copied from is no image's: it has no blob.
equal "$(blobs)" 5

# Once more, and nothing is left to do early.
ok build "${flags[@]}" --push -t "$REGISTRY/team/app:1" "$CONTEXT"
all_cached
says_not "$early"
equal "$(uploads)" 6

# A large layer is sent while it is packed, once to each repository, and then it is there.
mkdir "$WORK/large"
head -c 50000000 /dev/urandom >"$WORK/large/data"
printf 'FROM scratch\nCOPY data /\n' >"$WORK/large/Dockerfile"
ok build "${flags[@]}" --push -t "$REGISTRY/team/large:1" -t "$REGISTRY/team/large:2" -t "$REGISTRY/other/large:1" "$WORK/large"
says "sending layer: [1/1] COPY data /"
says_not "left to the push"
for name in team/large:1 team/large:2 other/large:1; do
  ok skopeo --insecure-policy --tmpdir "$WORK" copy --src-tls-verify=false "docker://$REGISTRY/$name" "oci:$WORK/pulled-large:1"
done
begun() { grep -cE "\"POST /v2/$1/blobs/uploads/ HTTP/1.1\" 202" "$WORK/registry.log"; }
equal "$(begun team/large) $(begun other/large)" "2 2"  # the layer and the config
# What is packed for a cache is sent meanwhile, too, and so are small layers; a registry that is gone is told of once.
printf 'FROM scratch\nCOPY data /\nCOPY Dockerfile /\n' >"$WORK/large/Dockerfile"
STORE=$WORK/store-large
ok build "${flags[@]}" --cache-to "type=registry,ref=$REGISTRY/team/large-cache:1,mode=max" "$WORK/large"
says "sending layer: [1/2] COPY data /"
says "sending layer: [2/2] COPY Dockerfile /"
matches 'pushing layers( [0-9]+\.[0-9]s)? done$'
equal "$(begun team/large-cache)" 3
STORE=$WORK/store-large2
ok build "${flags[@]}" --cache-from "$REGISTRY/team/large-cache:1" "$WORK/large"
all_cached
STORE=$WORK/store-large3
status=0
build --insecure-registry 127.0.0.1:1 --registry-timeout 1 --push -t 127.0.0.1:1/none:1 "$WORK/large" >"$OUT" 2>"$ERR" </dev/null || status=$?
equal "$status" 3
one_error
says "failed to push 127.0.0.1:1/none:1"
STORE=$WORK/store
rm -r "$WORK/large" "$WORK/pulled-large"

# For an archive, in two forms. Files and nothing at all need no blobs.
STORE=$WORK/store2
start_build -o "type=local,dest=$WORK/files"
open_gate
ended 0
says_not "$early"
equal "$(blobs)" 0
gated_steps other 0
start_build -o "type=oci,dest=$WORK/gzip.tar" -o "type=oci,dest=$WORK/zstd.tar,compression=zstd"
# base's two layers, from the cache, and two more; each as gzip and zstd.
eventually sealed 8
open_gate
ended 0
equal "$(blobs)" 10
for form in gzip zstd; do
  mkdir "$WORK/$form"
  tar -C "$WORK/$form" -xf "$WORK/$form.tar"
  ok skopeo --insecure-policy --tmpdir "$WORK" copy "oci:$WORK/$form" "oci:$WORK/copy-$form:1"
done

# A build that fails, and one that is interrupted, with layers on their way.
STORE=$WORK/store3
gated_steps other 5
start_build -o "type=oci,dest=$WORK/failed.tar"
open_gate
ended 1
one_error
says "exit code: 5"
nothing_left
start_build -o "type=oci,dest=$WORK/failed.tar"
kill -INT "$BUILD"
ended 1
says "context canceled"
nothing_left
absent "$WORK/failed.tar"

# A registry that is not there yet: the export tries again.
STORE=$WORK/store
stop_servers
gated_steps late 0
start_build --push -t "$REGISTRY/team/late:1"
eventually grep -q "left to the export: " "$ERR"
docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 &
SERVERS+=($!)
eventually bash -c "exec 3<>/dev/tcp/${REGISTRY/://}"
open_gate
ended 0
ok skopeo --insecure-policy --tmpdir "$WORK" inspect --tls-verify=false "docker://$REGISTRY/team/late:1"
nothing_left
