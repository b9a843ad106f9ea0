# Two builds of one thing on one store at once: the step runs once, and both get its result.
source "$(dirname "$0")/lib.sh"
with_busybox
dockerfile <<DF
$BASE
RUN sleep 2; head -c 16 /dev/urandom | od -An -tx1 > /random
DF
pids=()
for n in 1 2 3; do
  cobuild build --progress plain -o "type=local,dest=$WORK/files$n" "$CONTEXT" >"$WORK/out$n" 2>"$WORK/err$n" </dev/null &
  pids+=($!)
done
for n in 1 2 3; do
  status=0
  wait "${pids[$((n - 1))]}" || status=$?
  cp "$WORK/err$n" "$ERR"
  [ "$status" -eq 0 ] || fail "build $n ended with $status"
done
equal "$(cat "$WORK/files2/random")" "$(cat "$WORK/files1/random")"
equal "$(cat "$WORK/files3/random")" "$(cat "$WORK/files1/random")"
# Another store builds anew.
STORE=$WORK/store2
ok build -o "type=local,dest=$WORK/files4" "$CONTEXT"
[ "$(cat "$WORK/files4/random")" != "$(cat "$WORK/files1/random")" ] || fail "not random"
