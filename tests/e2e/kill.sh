# kill -9 at random instants, of either half of the process, never breaks the next build. E2E_KILLS says
# how often (12), E2E_SEED repeats a run.
source "$(dirname "$0")/lib.sh"
with_busybox
kills=${E2E_KILLS:-12}
seed=${E2E_SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed"
write_dockerfile() { # ROUND: work that no earlier round has done
  dockerfile <<DF
$BASE
RUN head -c 3000000 /dev/urandom > /r && echo $1
RUN cp /r /s && sync
RUN mkdir /d && for i in \$(seq 200); do echo \$i > /d/\$i; done
FROM base
COPY --from=0 /bin/busybox /b
COPY busybox /c
RUN head -c 2000000 /dev/urandom > /t && echo $1
DF
}
write_dockerfile 0
begin=$(date +%s%N)
ok build -o "type=oci,dest=$WORK/whole.tar" "$CONTEXT"
whole_ms=$((($(date +%s%N) - begin) / 1000000))
killed=0
for round in $(seq "$kills"); do
  write_dockerfile "$round"
  "$WORK/bin/cobuild" --root "$STORE" build --progress plain --no-cache -o "type=oci,dest=$WORK/killed.tar" "$CONTEXT" >"$OUT" 2>"$ERR" </dev/null &
  pid=$!
  delay=$((RANDOM % whole_ms))
  sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
  victim=$pid
  child=
  { read -r child _ <"/proc/$pid/task/$pid/children"; } 2>/dev/null || true
  [ $((RANDOM % 2)) = 0 ] || victim=${child:-$pid}
  if kill -9 "$victim" 2>/dev/null; then killed=$((killed + 1)); fi
  wait "$pid" 2>/dev/null || true
  eventually is_idle  # What it had started ends with it.
  # From time to time a whole build, which then must be cached.
  if [ $((round % 6)) -eq 0 ]; then
    ok build "$CONTEXT"
    ok build -o "type=oci,dest=$WORK/whole.tar" "$CONTEXT"
    all_cached
  fi
done
echo "$killed of $kills builds of $whole_ms ms were killed"
[ "$killed" -gt 0 ] || fail "none was killed"
ok build -o "type=oci,dest=$WORK/whole.tar" "$CONTEXT"
ok build -o "type=oci,dest=$WORK/whole.tar" "$CONTEXT"
all_cached
ok cobuild du
nothing_left
