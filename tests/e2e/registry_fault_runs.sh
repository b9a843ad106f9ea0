# Builds and pushes on bad days, by seeds: see fault_runs.py. E2E_FAULT_RUNS says how many (500 takes some ten minutes),
# E2E_SEED with which to begin.
source "$(dirname "$0")/lib.sh"
with_busybox
command -v openssl >/dev/null || skip "needs openssl"
make_base_layout "$WORK/layout"
start_registry
push_base "$WORK/layout" team/base:1
status=0
python3 "$WORK/bin/fault_runs.py" "$WORK" "$REGISTRY" "${E2E_SEED:-1}" "${E2E_FAULT_RUNS:-25}" 6 >"$OUT" 2>"$ERR" || status=$?
cat "$OUT"
[ "$status" = 0 ] || fail "some runs went wrong"
STORE=$WORK/run-
nothing_left
