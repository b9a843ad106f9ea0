# Ctrl-C, SIGTERM, and the terminal that is closed: the build ends within a second or two and leaves no process, mount or file (F9.1.8).
source "$(dirname "$0")/lib.sh"
with_busybox
dockerfile <<DF
$BASE
RUN echo started && sleep 300
DF
for signal in INT TERM HUP; do
  "$WORK/bin/cobuild" --root "$STORE" build --progress plain -o "type=oci,dest=$WORK/image.tar" "$CONTEXT" \
    >"$OUT" 2>"$ERR" </dev/null &
  pid=$!
  eventually grep -qE '^#[0-9]+ [0-9.]+ started' "$ERR"
  begin=$(date +%s%N)
  # A background job of a script ignores SIGINT unless it sets a handler; cobuild does.
  kill -"$signal" "$pid"
  status=0
  wait "$pid" || status=$?
  elapsed=$((($(date +%s%N) - begin) / 1000000))
  equal "$status" 1
  [ "$elapsed" -lt 5000 ] || fail "took $elapsed ms to end"
  says "context canceled"
  one_error
  absent "$WORK/image.tar"
  nothing_left
done
# What nobody reads holds the build up, but not its end.
mkfifo "$WORK/fifo"
printf 'FROM scratch\nCOPY busybox /\n' >"$CONTEXT/Dockerfile"
"$WORK/bin/cobuild" --root "$STORE" build --progress plain -o "type=oci,dest=$WORK/fifo" "$CONTEXT" >"$OUT" 2>"$ERR" </dev/null &
pid=$!
eventually grep -qF 'exporting to oci image format' "$ERR"
kill -INT "$pid"
wait "$pid" && fail "it was written"
nothing_left
# The store is as good as before.
dockerfile <<DF
$BASE
RUN echo fine
DF
ok build "$CONTEXT"
says "CACHED"
