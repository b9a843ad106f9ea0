# A full disk while running and exporting: one error that says so, and a store that works once there is
# room again.
source "$(dirname "$0")/lib.sh"
with_busybox
mkdir "$WORK/small"
mount -t tmpfs -o size=12m tmpfs "$WORK/small" 2>/dev/null || skip "cannot mount a tmpfs"
trap 'stop_servers; umount -l "$WORK/small"' EXIT
STORE=$WORK/small/store
dockerfile <<DF
$BASE
RUN head -c 40000000 /dev/zero | tr '\\0' x > /big
DF
fails build "$CONTEXT"
one_error
matches 'exit code: 1: no space left on device; no room is left on the disk of the store .*: free some, for example with `cobuild prune`'
says "$STORE"

mount -o remount,size=200m "$WORK/small"
ok build "$CONTEXT"
says CACHED

# Exporting.
mkdir "$WORK/tiny"
mount -t tmpfs -o size=1m tmpfs "$WORK/tiny"
trap 'stop_servers; umount -l "$WORK/small" "$WORK/tiny"' EXIT
fails build -o "type=tar,dest=$WORK/tiny/image.tar" "$CONTEXT"
one_error
matches "no space left on device; no room is left on the disk of $WORK/tiny/image.tar .*: free some, or write elsewhere"
absent "$WORK/tiny/image.tar"
for output in "type=local,dest=$WORK/tiny/files" "type=oci,tar=false,dest=$WORK/tiny/layout"; do
  fails build -o "$output" "$CONTEXT"
  one_error
  matches "o space left on device; no room is left on the disk of $WORK/tiny/"
  equal "$(ls -A "$WORK/tiny")" ""
done
dd if=/dev/zero of="$WORK/tiny/full" bs=64k 2>/dev/null || true
for flag in iidfile metadata-file; do
  fails build -t x -o type=image "--$flag" "$WORK/tiny/$flag" "$CONTEXT"
  one_error
  matches "no room is left on the disk of $WORK/tiny/$flag"
  absent "$WORK/tiny/$flag"
done
ok build -o "type=tar,dest=$WORK/image.tar" "$CONTEXT"
all_cached
nothing_left
