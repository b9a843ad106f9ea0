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
matches '[Nn]o space left|exit code: 1'

mount -o remount,size=200m "$WORK/small"
ok build "$CONTEXT"
says CACHED

# Exporting.
mkdir "$WORK/tiny"
mount -t tmpfs -o size=1m tmpfs "$WORK/tiny"
trap 'stop_servers; umount -l "$WORK/small" "$WORK/tiny"' EXIT
fails build -o "type=tar,dest=$WORK/tiny/image.tar" "$CONTEXT"
one_error
matches '[Nn]o space left'
absent "$WORK/tiny/image.tar"
ok build -o "type=tar,dest=$WORK/image.tar" "$CONTEXT"
all_cached
nothing_left
