# A cache in GitHub's service, by both of its protocols (F5.4.4).
source "$(dirname "$0")/object_caches.sh"
export ACTIONS_RUNTIME_TOKEN
ACTIONS_RUNTIME_TOKEN=$(python3 "$WORK/bin/gha_server.py" --token)
SECRET=${ACTIONS_RUNTIME_TOKEN:0:-1}M
start_gha() { # MODE...
  rm -f "$WORK/gha.port"
  python3 "$WORK/bin/gha_server.py" "$WORK/gha.port" "$WORK/gha.log" "$@" >"$WORK/gha.err" 2>&1 &
  SERVERS+=($!)
  eventually test -s "$WORK/gha.port"
  GHA=http://127.0.0.1:$(cat "$WORK/gha.port")
  : >"$WORK/gha.log"
}
asked() { grep -c "$1" "$WORK/gha.log" || true; }
PLACE_NAME=gha:s
EXPORTING="exporting to GitHub Actions Cache"
for version in 1 2; do
  start_gha limit=7 expire
  PLACE=type=gha,scope=s,url=$GHA/,url_v2=$GHA/,version=$version
  ELSEWHERE=$PLACE,scope=elsewhere
  DENIED=$PLACE,token=$SECRET
  fresh_store
  object_cache_rounds
  [ "$(asked ' 429$')" -gt 0 ] || fail "no limit was met"
  says_not "sig="
done

# In packs, each of which is one entry; the protocol is the second.
start_gha
PLACE=type=gha,scope=s,url_v2=$GHA/
stored() { grep '^STORED buildkit-blob-' "$WORK/gha.log" || true; }
served_in_all() { awk '/^SERVED buildkit-blob-/ { n += $3 } END { print n + 0 }' "$WORK/gha.log"; }
packed_cache_rounds

# As docker's flags have it, with all the rest from the environment. Each export has a number of its own.
export ACTIONS_RESULTS_URL=$GHA/ ACTIONS_CACHE_SERVICE_V2=true
fresh_store
ok build --cache-to type=gha,scope=n "$CONTEXT"
ok build --cache-to type=gha,scope=n "$CONTEXT"
ok build --cache-from type=gha,scope=n "$CONTEXT"
all_cached
equal "$(asked 'POST .*FinalizeCacheEntryUpload 200$' | head -c 1 | grep -c '[1-9]')" 1

# A service that does not get done costs its time, and no build.
start_gha slow
fresh_store
ok build --cache-to "type=gha,url_v2=$GHA/,timeout=2s" "$CONTEXT"
says "not exported within its timeout of 2s"

# Away from GitHub docker's flag fails nothing, and says why; buildctl's is an error.
unset ACTIONS_RUNTIME_TOKEN
ok build --cache-to type=gha --cache-from type=gha "$CONTEXT"
says 'requires token parameter or $ACTIONS_RUNTIME_TOKEN'
fails build --export-cache type=gha "$CONTEXT"
one_error
