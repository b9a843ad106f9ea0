# Flags that change how RUN runs: hosts, limits, network, security (F1.6.20 to F1.6.23, F7.5).
source "$(dirname "$0")/lib.sh"
with_busybox
dockerfile <<DF
$BASE
RUN cat /etc/hosts; hostname; df -k /dev/shm | tail -n 1; ulimit -Sn; ulimit -Hn
DF
expect_options() {
  matches "10\.1\.2\.3.named"
  says "buildhost"
  matches '/dev/shm$'
  matches ' 2048 '
  matches '^#[0-9]+ [0-9.]+ 200$'
  matches '^#[0-9]+ [0-9.]+ 300$'
}
ok build --add-host Named:10.1.2.3 --shm-size 2m --ulimit nofile=200:300 --opt hostname=buildhost "$CONTEXT"
expect_options
# The same in the other spelling is the same build; another address too, another name is not (F10.62).
ok build --opt add-hosts=named=10.9.9.9 --opt shm-size=2097152 --opt ulimit=nofile=200:300 \
  --opt hostname=buildhost "$CONTEXT"
all_cached
ok build --opt add-hosts=other=10.9.9.9 --opt shm-size=2097152 --opt ulimit=nofile=200:300 \
  --opt hostname=buildhost "$CONTEXT"
says "10.9.9.9"

# ---- network
dockerfile <<DF
$BASE
RUN --network=none ls /sys/class/net > /none; grep -c : /proc/net/dev > /devices
RUN --network=default cat /proc/net/dev | wc -l > /default
DF
ok build -o "type=local,dest=$WORK/net" "$CONTEXT"
equal "$(cat "$WORK/net/devices")" 1
dockerfile <<DF
$BASE
RUN --network=host echo on-the-host
DF
fails build "$CONTEXT"
one_error
says "network.host is not allowed"
says "Dockerfile:5"
ok build --allow network.host "$CONTEXT"
says "on-the-host"
ok build --no-cache --network host "$CONTEXT"
dockerfile <<DF
$BASE
RUN --network=hosts true
DF
fails build "$CONTEXT"
says 'invalid network mode "hosts"'

# ---- security
dockerfile <<DF
$BASE
RUN --security=insecure grep CapEff /proc/self/status; mkdir /m; mount -t tmpfs none /m && umount /m && rmdir /m && echo may-mount
RUN mkdir /m; mount -t tmpfs none /m 2>/dev/null || echo may-not-mount; rmdir /m
DF
fails build "$CONTEXT"
one_error
says "security.insecure is not allowed"
ok build --allow security.insecure "$CONTEXT"
matches '^#[0-9]+ [0-9.]+ may-mount$'
says "may-not-mount"
fails build --allow everything "$CONTEXT"
says "unknown entitlement everything"

# ---- limits: kept, or one warning
dockerfile <<DF
$BASE
RUN cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; echo limits=seen
RUN echo again
DF
ok build --memory 64m --cpu-shares 512 "$CONTEXT"
says "limits=seen"
if ! grep -q 67108864 "$ERR"; then
  equal "$(grep -c 'memory and CPU limits' "$ERR")" 1
fi
fails build --memory -1 "$CONTEXT"
fails build --opt memory=0 "$CONTEXT"
says "invalid memory value: 0: must be > 0"
dockerfile <<DF
$BASE
RUN --device=vendor.com/device=x,required true
DF
fails build "$CONTEXT"
says 'required device "vendor.com/device=x" is not registered'
nothing_left
