# The images of this machine: kept by builds and pulls, listed, looked into, pushed later and elsewhere,
# and built upon without a registry.
source "$(dirname "$0")/lib.sh"
with_busybox
command -v skopeo >/dev/null || skip "needs skopeo"
make_base_layout "$WORK/layout"
start_registry
push_base "$WORK/layout" team/base:1
flags=(--insecure-registry "$REGISTRY")
raw() { skopeo --insecure-policy --tmpdir "$WORK" inspect --raw --tls-verify=false "docker://$REGISTRY/$1"; }
dockerfile <<DF
FROM $REGISTRY/team/base:1
RUN echo one > /one
LABEL a=b
DF

# Looking makes no store.
ok cobuild images
equal "$(cat "$OUT")" "NAME   DIGEST   PLATFORM   KEPT SINCE   SIZE"
fails cobuild inspect nothing:1
one_error
says "this machine has no such image"
fails cobuild push nothing:1
one_error
absent "$STORE"

# A build keeps what it names, with and without a push; the list says so.
ok build "${flags[@]}" -t "$REGISTRY/team/app:1" -t short -o type=image --metadata-file "$WORK/metadata.json" "$CONTEXT"
digest=$(json "$WORK/metadata.json" 'j["containerimage.digest"]')
ok cobuild images -q
equal "$(cat "$OUT")" "$REGISTRY/team/app:1
short:latest"
ok cobuild images
grep -qE "^short:latest +${digest:0:19} +linux/[a-z0-9]+ +20[0-9T:-]+Z +[0-9.]+[kM]?B$" "$OUT" || fail "no such row"
ok cobuild images --json
equal "$(sed -n 1p "$OUT" | python3 -c 'import json,sys; print(json.load(sys.stdin)["digest"])')" "$digest"
ok build -t other -o type=image,store=false "$CONTEXT" --insecure-registry "$REGISTRY"
fails cobuild inspect other
one_error

# What it is made of: the base's layer is not here, since nobody pushed it elsewhere.
ok cobuild inspect short
equal "$(json "$OUT" 'j["images"][0]["config"]["config"]["Labels"]["a"]')" b
equal "$(json "$OUT" '[l["here"] for l in j["images"][0]["layers"]][-1]')" True
ok cobuild inspect --raw short
equal "sha256:$(sha256sum <"$OUT" | cut -d' ' -f1)" "$digest"
ok cobuild inspect --config "$REGISTRY/team/app:1"
equal "$(json "$OUT" 'j["config"]["Labels"]["a"]')" b

# Pushed later, without building; to another name; the answer is the name with the digest.
ok cobuild push "${flags[@]}" --progress plain "$REGISTRY/team/app:1"
equal "$(cat "$OUT")" "$REGISTRY/team/app:1@$digest"
says "pushing manifest for $REGISTRY/team/app:1@$digest"
ok cobuild push "${flags[@]}" short "$REGISTRY/elsewhere/app:2"
for name in team/app:1 elsewhere/app:2; do
  ok raw "$name"
  equal "sha256:$(sha256sum <"$OUT" | cut -d' ' -f1)" "$digest"
done
fails cobuild push short "$REGISTRY/elsewhere/app@$digest"
one_error
says "a destination has a tag"

# A pull is whole: another registry gets it from here while the first is away, bit for bit.
STORE=$WORK/store2
ok cobuild pull "${flags[@]}" --progress plain "$REGISTRY/elsewhere/app:2"
ok cobuild inspect --raw "$REGISTRY/elsewhere/app:2"
equal "sha256:$(sha256sum <"$OUT" | cut -d' ' -f1)" "$digest"
ok cobuild inspect "$REGISTRY/elsewhere/app:2"
equal "$(json "$OUT" 'all(l["here"] for l in j["images"][0]["layers"])')" True
fails cobuild pull "${flags[@]}" "$REGISTRY/elsewhere/none:1"
one_error
says "not found"
fails cobuild pull "${flags[@]}" --platform linux/riscv64 "$REGISTRY/elsewhere/app:2"
one_error
says "not for linux/riscv64"
first=$REGISTRY
stop_servers
mv "$WORK/registry" "$WORK/registry1"
start_registry
ok cobuild push --insecure-registry "$REGISTRY" "$first/elsewhere/app:2" "$REGISTRY/moved/app:3"
ok raw moved/app:3
equal "sha256:$(sha256sum <"$OUT" | cut -d' ' -f1)" "$digest"

# FROM an image that only this machine has: with the registry away, and with none for it.
mkdir "$WORK/next"
printf 'FROM %s/elsewhere/app:2\nRUN cat /one > /two\n' "$first" >"$WORK/next/Dockerfile"
ok build --insecure-registry "$first" -o "type=local,dest=$WORK/files" "$WORK/next"
equal "$(cat "$WORK/files/two")" one
says "taken from this machine's images: "
ok build --insecure-registry "$first" -o "type=local,dest=$WORK/files" "$WORK/next"
all_cached
fails build --pull --insecure-registry "$first" "$WORK/next"
one_error
STORE=$WORK/store3
dockerfile <<DF
FROM scratch
COPY busybox /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
RUN echo one > /one
DF
ok build -t "$REGISTRY/only/here:1" -o type=image,compression=zstd "$CONTEXT"
printf 'FROM %s/only/here:1\nRUN ["/bin/busybox","cp","/one","/two"]\n' "$REGISTRY" >"$WORK/next/Dockerfile"
ok build --insecure-registry "$REGISTRY" -t "$REGISTRY/only/next:1" -o type=image -o "type=local,dest=$WORK/files3" "$WORK/next"
equal "$(cat "$WORK/files3/two")" one
ok cobuild push --insecure-registry "$REGISTRY" "$REGISTRY/only/next:1"
ok raw only/next:1

# Several platforms are one image.
printf 'FROM scratch\nCOPY busybox /\n' >"$CONTEXT/Dockerfile"
ok build --platform linux/amd64,linux/arm64 -t "$REGISTRY/team/multi:1" -o type=image "$CONTEXT"
ok cobuild images --json
equal "$(tail -n 1 "$OUT" | python3 -c 'import json,sys; print(json.load(sys.stdin)["platforms"])')" "['linux/amd64', 'linux/arm64']"
ok cobuild push --insecure-registry "$REGISTRY" "$REGISTRY/team/multi:1"
ok raw team/multi:1
equal "$(json "$OUT" 'len(j["manifests"])')" 2

# What is pruned is nothing that images which are kept need, in whatever form their layers are.
dockerfile <<DF
FROM scratch
COPY busybox /bin/busybox
COPY Dockerfile /
DF
for form in squash=all compression=estargz rewrite-timestamp=true; do
  SOURCE_DATE_EPOCH=1000000000 ok build -t "$REGISTRY/kept/${form%%=*}:1" -o "type=image,$form" "$CONTEXT"
done
printf 'FROM scratch\nCOPY Dockerfile /unrelated\n' >"$WORK/next/Dockerfile"
ok build -o "type=oci,dest=$WORK/unrelated.tar" "$WORK/next"
ok cobuild prune -f description~=unrelated
! grep -qE '^Total:[[:space:]]+0B' "$OUT" || fail "nothing was pruned"
for form in squash compression rewrite-timestamp; do
  ok cobuild push --insecure-registry "$REGISTRY" "$REGISTRY/kept/$form:1"
  ok raw "kept/$form:1"
done

# A name goes with its layers.
ok cobuild prune --all
ok cobuild images -q
equal "$(cat "$OUT")" ""
nothing_left
