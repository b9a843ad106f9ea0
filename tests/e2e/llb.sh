# LLB as the common language: written by one command, dumped and built by others.
source "$(dirname "$0")/lib.sh"
with_busybox
dockerfile <<DF
$BASE
RUN echo hello > /hello
DF
ok cobuild debug dockerfile2llb "$CONTEXT"
cp "$OUT" "$WORK/definition.pb"
ok cobuild debug dump-llb "$WORK/definition.pb"
equal "$(python3 -c '
import json, sys
ops = [json.loads(line) for line in open(sys.argv[1])]
print(sorted(k for op in ops for k in op["Op"]["Op"]))' "$OUT")" "['exec', 'exec', 'file', 'source']"
ok cobuild debug dump-llb --dot "$WORK/definition.pb"
grep -q '^digraph {' "$OUT" || fail "no graph"
grep -qF 'shape="box"' "$OUT" || fail "no exec"

# The same graph from stdin hits the cache of the Dockerfile's build.
ok build "$CONTEXT"
cobuild build --progress plain --local "context=$CONTEXT" -o "type=local,dest=$WORK/files" \
  <"$WORK/definition.pb" >"$OUT" 2>"$ERR" || fail "building LLB from stdin"
equal "$(cat "$WORK/files/hello")" hello
says CACHED
cobuild build --progress plain --no-cache --local "context=$CONTEXT" <"$WORK/definition.pb" >"$OUT" 2>"$ERR" ||
  fail "building LLB from stdin without the cache"
says_not CACHED

# As an image it is one of this machine's platform, with the config that has no frontend behind it (F4.5.11).
cobuild build --progress plain --local "context=$CONTEXT" -o "type=oci,tar=false,dest=$WORK/layout" \
  <"$WORK/definition.pb" >"$OUT" 2>"$ERR" || fail "an image of LLB from stdin"
equal "$(json "$WORK/layout/index.json" 'j["manifests"][0]["platform"]["os"]')" linux
digest=$(json "$WORK/layout/index.json" 'j["manifests"][0]["digest"][7:]')
config=$(json "$WORK/layout/blobs/sha256/$digest" 'j["config"]["digest"][7:]')
equal "$(json "$WORK/layout/blobs/sha256/$config" 'j["config"]["WorkingDir"]')" /

# Without its directory.
status=0
cobuild build --progress plain <"$WORK/definition.pb" >"$OUT" 2>"$ERR" || status=$?
equal "$status" 1
one_error
says 'no access allowed to dir "context": give it with --local context=DIR'
