# What the store holds, and that pruning leaves a store that works.
source "$(dirname "$0")/lib.sh"
with_busybox
dockerfile <<DF
$BASE
RUN head -c 5000000 /dev/zero > /five-megabytes
DF
ok build "$CONTEXT"
ok cobuild du
grep -qE '^ID[[:space:]]+RECLAIMABLE[[:space:]]+SIZE[[:space:]]+LAST ACCESSED' "$OUT" || fail "no header"
grep -qE '^Total:[[:space:]]+[0-9.]+MB' "$OUT" || fail "no total"
ok cobuild du -v
grep -qF 'five-megabytes' "$OUT" || fail "no description"
ok cobuild du --format '{{json .}}'
equal "$(json "$OUT" 'len(j) > 1')" True
ok cobuild prune --all
grep -qE '^Total:[[:space:]]+[0-9.]+MB' "$OUT" || fail "no total"
ok cobuild du
grep -qE '^Total:[[:space:]]+0B' "$OUT" || fail "something was kept"
ok build "$CONTEXT"
says_not CACHED
ok build "$CONTEXT"
all_cached
