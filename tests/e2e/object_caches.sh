# What all caches that are kept as objects must do; sourced by their cases, which set PLACE (type and attributes),
# ELSEWHERE (the same, where nothing is), DENIED (the same, with a secret that is not right), SECRET, and EXPORTING.
source "$(dirname "$0")/lib.sh"
with_busybox
echo a >"$CONTEXT/a.txt"
dockerfile <<DF
$BASE
FROM base AS tool
RUN echo tool > /tool; dd if=/dev/urandom of=/large bs=1M count=20 2>/dev/null
COPY a.txt /w/
FROM base
ARG X=1
RUN echo \$X > /x
COPY --from=tool /tool /large /t/
COPY --link a.txt /l/
RUN cat /t/tool > /y
DF
# Sets $port to one that is free.
choose_port() {
  local try
  for try in $(seq 20); do
    port=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
  done
  fail "no free port"
}
# Waits for the server on $port, which may have very much to load first; $1 is its log.
await_port() {
  local try
  for try in $(seq 600); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return 0
    sleep 0.2
  done
  cat "$1" >&2
  fail "nothing listens on $port"
}
stores=0
fresh_store() { STORE=$WORK/store.$((++stores)); }
layers_here() { find "$STORE/blobs" -type f 2>/dev/null | wc -l; }

object_cache_rounds() {
  # Out, and in again: nothing runs, and nothing but the config is read.
  ok build --cache-to "$PLACE,mode=max" -o "type=local,dest=$WORK/files0" "$CONTEXT"
  says "$EXPORTING"
  says "preparing build cache for export"
  says "writing layer sha256:"
  fresh_store
  ok build --cache-from "$PLACE" "$CONTEXT"
  all_cached
  says "importing cache manifest from ${PLACE_NAME}"
  matches "found [0-9]+ layers in cache"
  equal "$(layers_here)" 0
  # What is read then is what was made, and only that is fetched.
  ok build --cache-from "$PLACE" -o "type=local,dest=$WORK/files1" "$CONTEXT"
  all_cached
  diff -r "$WORK/files0" "$WORK/files1"
  fresh_store
  ok build --cache-from "$PLACE" --build-arg X=2 -o "type=local,dest=$WORK/files2" "$CONTEXT"
  equal "$(cat "$WORK/files2/x" "$WORK/files2/y")" "2
tool"
  cmp "$WORK/files0/t/large" "$WORK/files2/t/large"

  # What is there is not sent again; a cache goes from place to place without being fetched.
  fresh_store
  ok build --cache-from "$PLACE" --cache-to "$PLACE,mode=max" "$CONTEXT"
  all_cached
  says_not "writing layer"
  equal "$(layers_here)" 0

  # Nothing there yet, and no right to look: neither fails a build. Exports do, unless that is ignored.
  fresh_store
  ok build --cache-from "$ELSEWHERE" "$CONTEXT"
  says "no cache is there yet"
  ok build --cache-from "$DENIED" "$CONTEXT"
  ok build --cache-to "$DENIED,ignore-error=true" "$CONTEXT"
  says_not "$SECRET"
  fails build --cache-to "$DENIED" "$CONTEXT"
  one_error
  says_not "$SECRET"
  says "failed to export cache"

  # Cache mounts take the same way, and fail nothing.
  printf '%s\nFROM base\nRUN --mount=type=cache,target=/m cat /m/seen; echo "was here" >/m/seen\n' "$BASE" >"$CONTEXT/mounts"
  fresh_store
  ok build --cache-mounts-to "$PLACE,key=k-1" -f "$CONTEXT/mounts" "$CONTEXT"
  says "saving cache mounts to ${PLACE_NAME}"
  ! grep -qE '^#[0-9]+ [0-9.]+ was here$' "$ERR" || fail "the mount was not empty"
  says_not "was not saved"
  fresh_store
  ok build --cache-mounts-from "$PLACE,key=k-2,restore-keys=k-" -f "$CONTEXT/mounts" "$CONTEXT"
  matches '^#[0-9]+ [0-9.]+ was here$'
  fresh_store
  ok build --cache-mounts-from "$DENIED" --cache-mounts-to "$DENIED" -f "$CONTEXT/mounts" "$CONTEXT"
  says "was not restored from"
  says "was not saved to"
  says_not "$SECRET"
}

# How many bytes of layers were read since it was last asked.
served() {
  local before all
  before=$(cat "$WORK/served" 2>/dev/null || echo 0)
  all=$(served_in_all)
  echo $((all - before))
  echo "$all" >"$WORK/served"
}
# Small layers of a cache in packs. The case has stored (a line for each object with layers that there is), and
# served_in_all (how many bytes of such objects were read).
packed_cache_rounds() {
  local many=$WORK/many i size
  mkdir "$many"
  head -c 30000 /dev/urandom >"$many/tool"
  {
    printf 'FROM scratch AS tool\nCOPY tool /\nFROM scratch AS many\n'
    for i in $(seq 120); do
      head -c 5000 /dev/urandom >"$many/f$i"
      echo "COPY f$i /"
    done
    printf 'FROM scratch AS used\nARG X=1\nCOPY --from=tool /tool /tool-$X\nFROM used\nCOPY --from=many /f1 /\n'
  } >"$many/Dockerfile"

  # Some hundred layers are one object; nothing but the index is read to find them.
  fresh_store
  ok build --cache-to "$PLACE,mode=max,pack=true" -o "type=local,dest=$WORK/packed0" "$many"
  matches 'writing pack sha256:[0-9a-f]+ of [0-9]+ layers'
  equal "$(stored | wc -l)" 1
  served >/dev/null
  fresh_store
  ok build --cache-from "$PLACE" "$many"
  all_cached
  equal "$(layers_here)" 0
  equal "$(served)" 0
  # A step that reads one layer gets its bytes and no others.
  ok build --cache-from "$PLACE" --build-arg X=2 --target used -o "type=local,dest=$WORK/packed1" "$many"
  cmp "$many/tool" "$WORK/packed1/tool-2"
  size=$(served)
  [ "$size" -gt 30000 ] && [ "$size" -lt 32000 ] || fail "$size bytes were read for a layer of 30000"
  ok build --cache-from "$PLACE" -o "type=local,dest=$WORK/packed2" "$many"
  all_cached
  diff -r "$WORK/packed0" "$WORK/packed2"

  # From a machine that has no layer nothing is sent again; of one that is new there is one object more.
  fresh_store
  ok build --cache-from "$PLACE" --cache-to "$PLACE,mode=max,pack=true" "$many"
  all_cached
  says_not "writing layer"
  says_not "writing pack"
  equal "$(layers_here)" 0
  head -c 5000 /dev/urandom >"$many/f120"
  ok build --cache-from "$PLACE" --cache-to "$PLACE,mode=max,pack=true" "$many"
  equal "$(grep -cE 'writing (layer|pack) sha256:.* done$' "$ERR")" 1
  equal "$(stored | wc -l)" 2
  fresh_store
  ok build --cache-from "$PLACE" "$many"
  all_cached
  # Both kinds of caches may be at one place.
  ok build --cache-from "$PLACE" --cache-to "$PLACE,mode=max" "$many"
  [ "$(stored | wc -l)" -gt 120 ] || fail "layers in packs were taken for objects"

  fails build --cache-from "$PLACE,pack=true" "$many"
  says "imports find out by themselves"
  fails build --cache-to "type=local,dest=$WORK/x,pack=true" "$many"
  says "the layers of local caches are not packed"
  fails build --cache-mounts-to "$PLACE,pack=true" "$many"
  says "--cache-mounts-to has no pack"
}
