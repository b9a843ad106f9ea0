# --timings tells at the end where the time went, and nothing tells it without the flag.
source "$(dirname "$0")/lib.sh"
with_busybox
dockerfile <<DF
$BASE
RUN echo one > /one
DF

# The phase has a line in the table, with a count.
has_phase() { matches "^$1 +[1-9][0-9]* +[0-9]+\.[0-9]{2} +[0-9]+\.[0-9]{2}\$"; }
# The phases of the JSON line in file $1, which must be the last one and the only one.
json_phases() {
  equal "$(grep -c '^{"timings":' "$1")" 1
  tail -n 1 "$1" | python3 -c '
import json, sys
timings = json.load(sys.stdin)["timings"]
assert all(p["total"] >= p["wall"] >= 0 and p["count"] > 0 for p in timings["phases"])
assert timings["whole"] >= timings["other"] >= 0 and timings["peakBytes"] > 0
print(" ".join(p["name"] for p in timings["phases"]))'
}

ok build --timings --trace "$WORK/trace" -o "type=oci,dest=$WORK/image.tar" "$CONTEXT"
for phase in start namespace parse scan hash probe store copy mount runtime commit seal export flush close; do
  has_phase "$phase"
done
matches '^whole: [0-9.]+ ms, CPU [0-9.]+ ms \(user [0-9.]+, system [0-9.]+\), peak RSS '
matches '^ +[0-9]+\.[0-9]{2}  \[3/3\] RUN echo one > /one$'
says_not '"timings"'
equal "$(json_phases "$WORK/trace")" \
  "start namespace parse scan hash probe store copy mount runtime commit seal export flush close"

# A build from the cache runs nothing, so it does not tell of it.
ok build --timings "$CONTEXT"
all_cached
has_phase probe
! grep -qE '^(runtime|copy|commit|seal|export) ' "$ERR" || fail "a phase that did not occur"

# As JSON, where the progress is JSON.
ok cobuild build --timings --progress rawjson "$CONTEXT"
says_not "whole:"
case " $(json_phases "$ERR") " in *" probe "*) ;; *) fail "no phase probe" ;; esac

# A failure is told of too, and the error stays last.
dockerfile <<DF
$BASE
RUN exit 3
DF
fails build --timings "$CONTEXT"
has_phase runtime
one_error

# Without the flag there is nothing.
fails build "$CONTEXT"
says_not "wall ms"
fails cobuild build --progress rawjson --trace "$WORK/other" "$CONTEXT"
says_not '"timings"'
! grep -q '"timings"' "$WORK/other" || fail "timings that nobody asked for"
nothing_left
