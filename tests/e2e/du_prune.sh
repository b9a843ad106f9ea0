# What the store holds, and that pruning leaves a store that works (F5.5.1 to F5.5.8).
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
cp "$OUT" "$WORK/template.json"
ok cobuild du --json
cmp -s "$OUT" "$WORK/template.json" || fail "--json is not what the template prints"
ok cobuild du -f type==exec.cachemount
! grep -q '^Total' "$OUT" || fail "a summary of some records"
fails cobuild du -f 'type='
says 'failed to parse diskusage filters [type=]: filters: parse error'
ok cobuild prune --json -f 'description~=/five-.*bytes/'
equal "$(json "$OUT" 'j["recordType"]')" regular
ok build "$CONTEXT"
ok cobuild prune --keep-duration 1h
equal "$(cat "$OUT")" "Total:	0B"
ok cobuild prune --all
grep -qE '^Total:[[:space:]]+[0-9.]+MB' "$OUT" || fail "no total"
ok cobuild du
grep -qE '^Total:[[:space:]]+0B' "$OUT" || fail "something was kept"
ok build "$CONTEXT"
says_not CACHED
ok build "$CONTEXT"
all_cached
