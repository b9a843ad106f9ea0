# Cache mounts that travel: from one store to the next by way of a directory and of a registry.
source "$(dirname "$0")/lib.sh"
with_busybox
command -v docker-registry >/dev/null && start_registry
dockerfile <<DF
$BASE
FROM base
ARG STEP=1
RUN --mount=type=cache,id=c,target=/c --mount=type=cache,target=/o,uid=12,gid=34,mode=750 sh /fill
DF
sed -i 's|^ARG STEP|COPY fill /fill\nARG STEP|' "$CONTEXT/Dockerfile"
fresh_store() { STORE=$WORK/store.$((++stores)); }
stores=0
# What is in the mounts, with owners, modes and times; in the build's own view.
cat >"$CONTEXT/look" <<'SH'
cd /c && find . ! -type d -exec stat -c '%n %f %u:%g %y %h %s' {} + | sort
find . -type d -exec stat -c '%n %f %u:%g %y' {} + | sort
find . -type f -exec md5sum {} + | sort
stat -c '%f %u:%g' /o
cat /o/file 2>/dev/null || true
SH
fill() { cat >"$CONTEXT/fill"; }
list() { sed -nE 's/^#[0-9]+ [0-9.]+ (.*)/\1/p' "$ERR"; }
size_of() { find "$@" -type f -printf '%s\n' | awk '{ s += $1 } END { print s + 0 }'; }

# A first build leaves 24 MB of files that cannot be packed.
fill <<'SH'
set -e
mkdir -p /c/files
for i in $(seq 50); do dd if=/dev/urandom of=/c/files/$i bs=480k count=1 2>/dev/null; done
echo small >/c/small
ln -s ../outside /c/link
ln /c/small /c/hard
mkfifo /c/fifo
chown 5:6 /c/small
chmod 4750 /c/small
touch -h -d '2001-02-03 04:05:06' /c/small /c/files
echo other >/o/file
SH
cat "$CONTEXT/look" >>"$CONTEXT/fill"
fresh_store
ok build --cache-mounts-from "type=local,src=$WORK/mounts,key=main" \
  --cache-mounts-to "type=local,dest=$WORK/mounts,key=main" "$CONTEXT"
says "saving cache mounts to local:$WORK/mounts"
says "are new"
says_not WARN
list >"$WORK/first"
grep -q '^./hard 89e8 5:6 2001-02-03 04:05:06' "$WORK/first" || fail "the step's own listing is odd"
grep -qx other "$WORK/first" || fail "no other mount"
objects=$(find "$WORK/mounts" -type f | wc -l)
[ "$objects" -le 6 ] || fail "$objects objects for two small mounts"
whole=$(size_of "$WORK/mounts")

# An empty store finds all of it; the key may begin like another.
cp "$CONTEXT/look" "$CONTEXT/fill"
for from in "key=main" "key=ma" "key=branch,restore-keys=x;mai"; do
  fresh_store
  ok build --cache-mounts-from "type=local,src=$WORK/mounts,$from" "$CONTEXT"
  says "restoring cache mount /c from local:$WORK/mounts"
  list | cmp - "$WORK/first" || fail "restored otherwise by $from"
done
equal "$(size_of "$WORK/mounts")" "$whole"
# Not when nobody asks, and not for another key.
fresh_store
ok build "$CONTEXT" --build-arg STEP=none
! list | grep -q small || fail "restored without being asked"
fresh_store
ok build --cache-mounts-from "type=local,src=$WORK/mounts,key=other" "$CONTEXT"
says_not WARN
! list | grep -q small || fail "restored by a wrong key"
# Nor what is here already, nor where a step ignores the cache.
ok build --cache-mounts-from "type=local,src=$WORK/mounts,key=main" --no-cache "$CONTEXT"
says_not "restoring cache mount"

# 2 % have changed: about 2 % are added.
fill <<'SH'
dd if=/dev/urandom of=/c/files/33 bs=480k count=1 2>/dev/null
SH
cat "$CONTEXT/look" >>"$CONTEXT/fill"
fresh_store
ok build --cache-mounts-from "type=local,src=$WORK/mounts,key=main" \
  --cache-mounts-to "type=local,dest=$WORK/mounts,key=main" "$CONTEXT"
list >"$WORK/second"
added=$(($(size_of "$WORK/mounts") - whole))
[ "$added" -gt 400000 ] && [ "$added" -lt $((whole * 25 / 1000)) ] || fail "$added of $whole bytes were added"
# A build that changes nothing adds nothing, and a failed one saves nothing.
before=$(size_of "$WORK/mounts")
cp "$CONTEXT/look" "$CONTEXT/fill"
fresh_store
both=(--cache-mounts-from "type=local,src=$WORK/mounts,key=main" --cache-mounts-to "type=local,dest=$WORK/mounts,key=main")
ok build "${both[@]}" "$CONTEXT"
list | cmp - "$WORK/second" || fail "the second state is not restored"
says "cache mount /c has not changed"
ok build "${both[@]}" "$CONTEXT"  # Cached: no mount is used.
all_cached
echo 'echo no >/c/no; false' >"$CONTEXT/fill"
fails build "${both[@]}" "$CONTEXT"
equal "$(size_of "$WORK/mounts")" "$before"

# Damage and places that are not to be had are warnings.
cp "$CONTEXT/look" "$CONTEXT/fill"
cp -r "$WORK/mounts" "$WORK/damaged"
for file in "$WORK"/damaged/*pack*; do printf XXXX | dd of="$file" bs=1 seek=1000 conv=notrunc 2>/dev/null; done
echo file >"$WORK/file"
fresh_store
ok build --cache-mounts-from "type=local,src=$WORK/damaged" --cache-mounts-to "type=local,dest=$WORK/file/x" "$CONTEXT"
says "cache mount /c was not restored from local:$WORK/damaged"
says "was not saved to local:$WORK/file/x"
! list | grep -q small || fail "damaged files were restored"
fresh_store
ok build --cache-mounts-from "type=registry,ref=127.0.0.1:1/none,timeout=2s" --cache-mounts-to "type=registry,ref=127.0.0.1:1/none,timeout=2s" \
  --insecure-registry 127.0.0.1:1 "$CONTEXT"
says "was not restored from registry:127.0.0.1:1/none"
# Flags that cannot be right are errors, before anything runs.
fails build --cache-mounts-to type=local "$CONTEXT"
says "dest=DIR"
fails build --cache-mounts-to "type=what,dest=x" "$CONTEXT"
says "unknown type what"
fails build --cache-mounts-to "type=local,dest=x,max-size=much" "$CONTEXT"
says "invalid max-size much"

# The same by way of a registry.
[ -n "${REGISTRY:-}" ] || exit 0
both=(--insecure-registry "$REGISTRY" --cache-mounts-from "type=registry,ref=$REGISTRY/team/mounts"
  --cache-mounts-to "type=registry,ref=$REGISTRY/team/mounts")
fresh_store
ok build "${both[@]}" --cache-mounts-from "type=local,src=$WORK/mounts,key=main" "$CONTEXT"
says_not WARN
whole=$(size_of "$WORK/registry")
fill <<'SH'
dd if=/dev/urandom of=/c/files/34 bs=480k count=1 2>/dev/null
SH
cat "$CONTEXT/look" >>"$CONTEXT/fill"
fresh_store
ok build "${both[@]}" "$CONTEXT"
says "restoring cache mount /c from registry:$REGISTRY/team/mounts"
list >"$WORK/third"
added=$(($(size_of "$WORK/registry") - whole))
[ "$added" -gt 400000 ] && [ "$added" -lt $((whole * 25 / 1000)) ] || fail "$added of $whole bytes were added to the registry"
cp "$CONTEXT/look" "$CONTEXT/fill"
fresh_store
ok build "${both[@]}" "$CONTEXT"
list | cmp - "$WORK/third" || fail "the registry gives something else"
nothing_left
