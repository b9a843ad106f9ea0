# Caches that are damaged, or lie, by seeds: see damage_runs.py. E2E_CACHE_DAMAGE_RUNS says how many (500 takes some ten
# minutes), E2E_SEED with which to begin.
source "$(dirname "$0")/lib.sh"
with_busybox
echo a >"$CONTEXT/a.txt"
dockerfile <<DF
$BASE
FROM base AS tool
RUN echo tool > /tool
COPY a.txt /w/
FROM base
RUN echo x > /x
COPY --from=tool /tool /t/
COPY --link a.txt /l/
RUN cat /t/tool /l/a.txt > /y
DF
ok build --cache-to "type=local,dest=$WORK/cache,mode=max" -o "type=local,dest=$WORK/right" "$CONTEXT"
status=0
python3 "$WORK/bin/damage_runs.py" "$WORK" "${E2E_SEED:-1}" "${E2E_CACHE_DAMAGE_RUNS:-20}" >"$OUT" 2>"$ERR" || status=$?
cat "$OUT"
[ "$status" = 0 ] || fail "some runs went wrong"
STORE=$WORK/run-
nothing_left
