# RUN --mount: bind, cache and tmpfs, and what they leave behind (F1.6.8 to F1.6.13, F1.6.18).
source "$(dirname "$0")/lib.sh"
with_busybox
mkdir -p "$CONTEXT/d"
echo one >"$CONTEXT/d/a"
echo two >"$CONTEXT/d/b"

# ---- bind: read-only unless rw, and then for the one step only; mount points go away again
dockerfile <<DF
$BASE
FROM base AS tools
RUN echo tool > /tool; mkdir /t; echo x > /t/x
FROM base
RUN --mount=target=/ctx ! touch /ctx/d/new 2>/dev/null && cat /ctx/d/a > /a
RUN --mount=target=/ctx,rw echo changed > /ctx/d/a && cat /ctx/d/a > /b
RUN --mount=source=d,target=/deep/er cat /deep/er/b > /c
RUN --mount=from=tools,source=/tool,target=/tool cat /tool > /d
RUN --mount=from=tools,source=/t,target=/t,rw echo y >> /t/x && cat /t/x > /e
RUN --mount=from=tools,source=/t,target=/t cat /t/x > /f
RUN test ! -e /ctx && test ! -e /deep && test ! -e /tool && test ! -e /t
DF
ok build -o "type=local,dest=$WORK/bind" "$CONTEXT"
for pair in a:one b:changed c:two d:tool f:x; do
  equal "$(cat "$WORK/bind/${pair%%:*}")" "${pair#*:}"
done
equal "$(cat "$WORK/bind/e")" "x
y"
equal "$(cat "$CONTEXT/d/a")" one
for left in ctx deep tool t run; do absent "$WORK/bind/$left"; done
# Only the selected files count for the cache (F10.61).
echo changed >"$CONTEXT/d/b"
ok build -o "type=local,dest=$WORK/bind" "$CONTEXT"
equal "$(cat "$WORK/bind/c")" changed
[ "$(cached_steps)" -gt 0 ] || fail "nothing was cached"

# ---- cache: kept, seeded, with owner and mode; not part of the image (F5.5.14, F5.5.16)
mounts() {
  dockerfile <<DF
$BASE
FROM base AS seeds
RUN mkdir /dir; echo seed > /dir/file; ln -s /dir/file /dir/link
FROM base
RUN --mount=type=cache,target=/k echo $1 >> /k/log; cat /k/log; ls -ldn /k
RUN --mount=type=cache,target=/k --mount=type=cache,id=/k,target=/same test -s /same/log; cat /k/log | wc -l | grep -x $2
RUN --mount=type=cache,target=/own,uid=7,gid=8,mode=0750 stat -c 'own %u:%g %a' /own; echo $1 >> /own/f; echo lines=\$(wc -l < /own/f)
RUN --mount=type=cache,target=/seeded,from=base,source=/bin,id=seeded test -x /seeded/busybox; echo $1 >> /seeded/n; echo seeds=\$(wc -l < /seeded/n)
RUN --mount=type=cache,target=/one,from=seeds,source=/dir/link,id=one-file echo $1 >> /one; echo one=\$(wc -l < /one)
RUN --mount=type=cache,target=/ro,id=/k,readonly ! touch /ro/x 2>/dev/null; ! test -e /x
RUN --mount=type=cache,target=/l,sharing=locked --mount=type=cache,id=/l,target=/l2,sharing=locked echo $1 > /l/x; cat /l2/x
RUN --mount=type=cache,target=/p,sharing=private echo $1 > /p/x
RUN test ! -e /k -a ! -e /own -a ! -e /seeded
DF
}
mounts first 1
ok build -o "type=local,dest=$WORK/cache" "$CONTEXT"
says "own 7:8 750"
says "lines=1"
says "seeds=1"
says "one=2"
for left in k own seeded ro l l2 p same; do absent "$WORK/cache/$left"; done
mounts second 2
ok build "$CONTEXT"
says "lines=2"
says "seeds=2"
says "one=3"
matches '^#[0-9]+ .*drwxr-xr-x .* 0 +0 '
# A step that ignores the cache begins with empty mounts (F1.11.14, F5.5.15).
mounts third 1
ok build --no-cache "$CONTEXT"
says "lines=1"

# ---- sharing (F1.6.12): a locked one waits, also for a process that is killed; a private one does not wait
dockerfile <<DF
$BASE
RUN --mount=type=cache,id=one,target=/k,sharing=locked echo in >> /k/in; sleep 300
DF
"$WORK/bin/cobuild" --root "$STORE" build --progress plain "$CONTEXT" >"$WORK/slow" 2>&1 &
slow=$!
eventually bash -c "grep -rqsx in '$STORE/caches' || unshare --map-root-user --map-auto grep -rqsx in '$STORE/caches'"
cat >"$WORK/waiting.dockerfile" <<DF
$BASE
RUN --mount=type=cache,id=one,target=/k,sharing=locked cat /k/in && echo got-it > /k/next
DF
build -f "$WORK/waiting.dockerfile" "$CONTEXT" >"$WORK/waiting" 2>&1 &
waiting=$!
dockerfile <<DF
$BASE
RUN --mount=type=cache,id=one,target=/k,sharing=private test ! -e /k/in
RUN --mount=type=cache,id=one,target=/k test ! -e /k/in
DF
ok build "$CONTEXT"
kill -0 "$waiting" || fail "the locked mount was not waited for"
kill -9 "$slow"
wait "$slow" 2>/dev/null || true
wait "$waiting" || fail "the lock of a killed process was kept"

# ---- tmpfs
dockerfile <<DF
$BASE
RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | grep ' 1024 '; ! dd if=/dev/zero of=/t/x bs=1M count=2 2>/dev/null
RUN mkdir -m 0700 /p
RUN --mount=type=tmpfs,target=/p --mount=type=tmpfs,target=/q stat -c '%n %a' /p /q
RUN --mount=type=tmpfs,target=/bin/t touch /bin/t/x; grep ' /bin/t tmpfs' /proc/mounts
DF
ok build -o "type=local,dest=$WORK/tmpfs" "$CONTEXT"
says "/p 700"
says "/q 1777"
absent "$WORK/tmpfs/t"
absent "$WORK/tmpfs/bin/t"

# ---- what is wrong is said with its place
dockerfile <<DF
$BASE
RUN --mount=type=cache,targt=/x true
DF
fails build "$CONTEXT"
one_error
says "unexpected key 'targt' in 'targt=/x' (did you mean target?)"
says "Dockerfile:5"
dockerfile <<DF
$BASE
RUN --mount=source=none,target=/x true
DF
fails build "$CONTEXT"
one_error
says '"/none": not found'
nothing_left
