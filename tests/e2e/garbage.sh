# The store stays within its limits (F5.5.11, F5.5.13), and what is damaged is found and made anew.
source "$(dirname "$0")/lib.sh"
with_busybox
write_dockerfile() {
  dockerfile <<DF
$BASE
RUN head -c 5000000 /dev/zero > /$1-file
DF
}
# Looked at once a minute only: as if that were over.
a_minute_later() {
  python3 - "$STORE/store.db" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("DELETE FROM state WHERE name = 'collected_at'")
db.commit()
PY
}
id_of() { python3 -c 'import json, sys
print(next((r["id"] for r in json.load(sys.stdin) if sys.argv[1] in r["description"]), ""))' "$1" < <(cobuild du --json); }

cat >"$WORK/buildkitd.toml" <<'TOML'
[worker.oci]
maxUsedSpace = "11MB"
TOML
write_dockerfile first
ok build --config "$WORK/buildkitd.toml" "$CONTEXT"
[ -n "$(id_of first-file)" ] || fail "what was just built is not there"
write_dockerfile second
ok build --config "$WORK/buildkitd.toml" "$CONTEXT"
[ -n "$(id_of first-file)" ] || fail "collected twice in a minute"
a_minute_later
ok build "$CONTEXT"
[ -n "$(id_of first-file)" ] || fail "collected without a limit"
a_minute_later
ok build --config "$WORK/buildkitd.toml" "$CONTEXT"
all_cached
equal "$(id_of first-file)" ""
[ -n "$(id_of second-file)" ] || fail "what was in use was collected"
write_dockerfile first
ok build "$CONTEXT"
equal "$(cached_steps)" 2

# A build that failed may have failed for want of room.
dockerfile <<<"${BASE}RUN false"
a_minute_later
fails build --config "$WORK/buildkitd.toml" "$CONTEXT"
[ -z "$(id_of first-file)" ] || [ -z "$(id_of second-file)" ] || fail "nothing was collected after a failure"
for name in first second; do
  write_dockerfile $name
  ok build "$CONTEXT"
done

echo 'gc = false' >>"$WORK/buildkitd.toml"
a_minute_later
ok build --config "$WORK/buildkitd.toml" "$CONTEXT"
[ -n "$(id_of second-file)" ] || fail "collected although that is switched off"
echo 'minFreeSpace = "much"' >>"$WORK/buildkitd.toml"
fails build --config "$WORK/buildkitd.toml" "$CONTEXT"
says "buildkitd.toml:4: worker.oci.minFreeSpace must be a number of bytes"

# Damage.
write_dockerfile first
ok build -o "type=oci,dest=$WORK/image.tar" "$CONTEXT"
ok cobuild cache verify
grep -qE '^[0-9]+ layers and [0-9]+ blobs \(.*\) were checked, 0 damaged$' "$OUT" || fail "no summary"
mv "$STORE/snapshots/$(id_of first-file)" "$WORK/aside"
blob=$(find "$STORE/blobs/sha256" -type f -size +100k | head -n 1)
echo more >>"$blob"
fails cobuild cache verify
grep -qE '^layer [0-9]+ \(.*first-file\): its files are missing: dropped$' "$OUT" || fail "the layer was not missed"
grep -qE "^blob sha256:$(basename "$blob"): has [0-9]+ bytes, not [0-9]+: dropped\$" "$OUT" || fail "the blob was not missed"
ok cobuild cache verify --json
equal "$(json "$OUT" 'len(j["damaged"])')" 0
ok build -o "type=oci,dest=$WORK/image2.tar" "$CONTEXT"
equal "$(cached_steps)" 2
ok build -o "type=oci,dest=$WORK/image2.tar" "$CONTEXT"
all_cached

# Two builds and prunes at once: neither takes what the other needs.
sed -i "s/gc = false/gc = true/; /much/d; s/11MB/6MB/" "$WORK/buildkitd.toml"
for n in 1 2; do
  write_dockerfile "third-$n"
  mkdir "$WORK/context-$n"
  cp "$CONTEXT"/* "$WORK/context-$n"
done
for round in 1 2 3; do
  pids=()
  a_minute_later
  for n in 1 2; do
    cobuild build --config "$WORK/buildkitd.toml" --progress plain -o "type=local,dest=$WORK/out-$round-$n" \
      "$WORK/context-$n" >"$WORK/out$n" 2>"$WORK/err$n" </dev/null &
    pids+=($!)
  done
  while kill -0 "${pids[@]}" 2>"$WORK/nobody"; do ok cobuild prune --all; done
  for n in 1 2; do
    status=0
    wait "${pids[$((n - 1))]}" || status=$?
    cp "$WORK/err$n" "$ERR"
    [ "$status" -eq 0 ] || fail "build $n of round $round ended with $status"
    equal "$(stat -c %s "$WORK/out-$round-$n/third-$n-file")" 5000000
  done
done
ok cobuild cache verify
grep -qF ' 0 damaged' "$OUT" || fail "damaged by two builds and a prune"
write_dockerfile first

# Forms of layers stay as long as these: what is taken is nothing that an export needs.
export_forms() {
  ok build -o "type=oci,dest=$WORK/image.tar" "$CONTEXT"
  ok build -o "type=oci,dest=$WORK/squashed.tar,squash=all" "$CONTEXT"
  ok build -o "type=oci,dest=$WORK/stargz.tar,compression=estargz" "$CONTEXT"
  SOURCE_DATE_EPOCH=1000000000 ok build -o "type=oci,dest=$WORK/clamped.tar,rewrite-timestamp=true" "$CONTEXT"
}
blobs() { find "$STORE/blobs/sha256" -type f -printf '%f %i\n' | sort; }
export_forms
blobs >"$WORK/blobs"
ok build "$WORK/context-1" -o "type=oci,dest=$WORK/out.tar"
[ "$(blobs | wc -l)" -gt "$(wc -l <"$WORK/blobs")" ] || fail "no blob was added"
eventually is_idle  # Blobs go only when nobody else is there.
ok cobuild prune -f description~=third-1
blobs | cmp - "$WORK/blobs" || fail "other blobs than before"
export_forms
blobs | cmp - "$WORK/blobs" || fail "something was packed again"

# Moved and copied stores.
ok build --iidfile "$WORK/iid" -o "type=oci,dest=$WORK/image.tar" "$CONTEXT"
mv "$STORE" "$WORK/moved"
STORE=$WORK/moved
ok build --iidfile "$WORK/moved-iid" -o "type=oci,dest=$WORK/moved.tar" "$CONTEXT"
all_cached
cmp "$WORK/iid" "$WORK/moved-iid" || fail "another image"
ok cobuild cache verify
grep -qF ' 0 damaged' "$OUT" || fail "damaged by the move"
with_all_ids() { if [ "$(id -u)" = 0 ]; then "$@"; else unshare --map-root-user --map-auto -- "$@"; fi; }
with_all_ids cp -a "$STORE" "$WORK/with-owners"
STORE=$WORK/with-owners ok build "$CONTEXT"
all_cached
with_all_ids cp -r "$STORE" "$WORK/without-owners"
STORE=$WORK/without-owners fails build "$CONTEXT"
one_error
says "has files whose owners are not what they were"
# tar has to be told of the attributes that hide what a layer removed.
tarred() { # STORE FLAG...
  mkdir "$1"
  with_all_ids tar -C "$STORE" --numeric-owner "${@:2}" -cf "$WORK/store.tar" .
  with_all_ids tar -C "$1" --numeric-owner "${@:2}" -xf "$WORK/store.tar"
}
tarred "$WORK/without-attributes"
STORE=$WORK/without-attributes fails build "$CONTEXT"
one_error
says "has files that lost their extended attributes"
tarred "$WORK/with-attributes" --xattrs "--xattrs-include=*"
STORE=$WORK/with-attributes ok build "$CONTEXT"
all_cached
with_all_ids rm -rf "$WORK"/with-* "$WORK"/without-*
nothing_left
