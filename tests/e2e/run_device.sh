# RUN --device: devices of this machine by name (F1.6.22, F7.5.4). What is registered is in /etc, over which this case
# lays something of its own.
source "$(dirname "$0")/lib.sh"
if [ "${1:-}" != inside ]; then
  # For a user, root is who may do that.
  [ "$(id -u)" = 0 ] || skip "needs root"
  mkdir "$WORK/etc" "$WORK/etc.work"
  unshare --mount true 2>/dev/null || skip "needs mount namespaces"
  unshare --mount bash -c 'mount -t overlay overlay -o "lowerdir=/etc,upperdir=$WORK/etc,workdir=$WORK/etc.work" /etc &&
    exec bash "$0" inside' "$0"
  exit $?
fi
with_busybox
mkdir -p /etc/cdi
cat >/etc/cdi/test.yaml <<'YAML'
cdiVersion: "0.6.0"
kind: example.com/zero
containerEdits:
  env: [SHARED=yes]
devices:
  - name: a
    containerEdits:
      env: [DEVICE=a]
      deviceNodes:
        - path: /dev/test-zero
          hostPath: /dev/zero
      mounts:
        - {hostPath: /etc/cdi, containerPath: /specs, options: [ro]}
  - name: free
    annotations: {org.mobyproject.buildkit.device.autoallow: "true"}
    containerEdits: {env: [DEVICE=free]}
YAML
dockerfile <<DF
$BASE
RUN --device=example.com/zero=a,required head -c 3 /dev/test-zero | wc -c > /n; echo "\$SHARED \$DEVICE" > /env; ls /specs > /ls
DF
fails build "$CONTEXT"
one_error
says "device example.com/zero=a is requested by the build but not allowed"
says "Dockerfile:5"
ok build --allow device=example.com/zero -o "type=local,dest=$WORK/out" "$CONTEXT"
equal "$(cat "$WORK/out/n" "$WORK/out/env" "$WORK/out/ls" | xargs)" "3 yes a test.yaml"
absent "$WORK/out/dev/test-zero"
# As somebody else, too: devices are bound then.
if id cobuild-e2e >/dev/null 2>&1 && grep -qs "^cobuild-e2e:" /etc/subuid; then
  mkdir "$WORK/theirs"
  chown cobuild-e2e "$WORK" "$WORK/theirs"
  ok runuser -u cobuild-e2e -- env WORK="$WORK" "$WORK/bin/cobuild" --root "$WORK/theirs/store" build --progress plain \
    --allow device -o "type=local,dest=$WORK/theirs/out" "$CONTEXT"
  equal "$(cat "$WORK/theirs/out/n" "$WORK/theirs/out/env" "$WORK/theirs/out/ls" | xargs)" "3 yes a test.yaml"
  runuser -u cobuild-e2e -- unshare --map-root-user --map-auto rm -rf "$WORK/theirs"
fi
# What nobody has to allow, what is not there, and what must be.
dockerfile <<DF
$BASE
RUN --device=example.com/zero=free --device=example.com/none echo "\$DEVICE" > /env
DF
ok build -o "type=local,dest=$WORK/out2" "$CONTEXT"
equal "$(cat "$WORK/out2/env")" free
dockerfile <<DF
$BASE
RUN --device=example.com/none,required true
DF
fails build --allow device "$CONTEXT"
one_error
says 'required device "example.com/none" is not registered'
nothing_left
