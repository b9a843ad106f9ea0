# Every kind of output, and that other tools take it.
source "$(dirname "$0")/lib.sh"
command -v skopeo >/dev/null || skip "needs skopeo"
with_busybox
dockerfile <<DF
$BASE
RUN mkdir -p /d/e && echo data > /d/e/f && ln -s f /d/e/link && chmod 750 /d
ENV A=b
CMD ["sh"]
DF
inspect() { skopeo --insecure-policy --tmpdir "$WORK" inspect "$@"; }

# Several at once (F4.1.4), each with its step (F4.3.7, F4.4.8).
ok build -t name:tag -o "type=oci,dest=$WORK/oci.tar" -o "type=docker,dest=$WORK/docker.tar" \
  -o "type=oci,tar=false,dest=$WORK/layout" -o "type=tar,dest=$WORK/files.tar" \
  -o "type=local,dest=$WORK/files" --metadata-file "$WORK/metadata.json" --iidfile "$WORK/iid" "$CONTEXT"
for step in "oci image format" "docker image format" "client tarball" "client directory"; do says "exporting to $step"; done
says "sending tarball"
says "copying files"
ok inspect --config "oci-archive:$WORK/oci.tar"
equal "$(json "$OUT" 'j["config"]["Env"][-1]')" A=b
ok inspect "docker-archive:$WORK/docker.tar"
ok inspect "oci:$WORK/layout:tag"
equal "$(tar -xOf "$WORK/docker.tar" manifest.json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["RepoTags"])')" "['name:tag']"

# The files.
equal "$(tar -xOf "$WORK/files.tar" d/e/f)" data
equal "$(cat "$WORK/files/d/e/f")" data
equal "$(readlink "$WORK/files/d/e/link")" f
equal "$(stat -c %a "$WORK/files/d")" 750
equal "$(stat -c %u:%a "$WORK/files" "$WORK/files/d/e/f" | xargs)" "$(id -u):700 $(id -u):644" # F10.94

# The digests that are told are those that are written.
digest=$(json "$WORK/metadata.json" 'j["containerimage.digest"]')
equal "$(json "$WORK/layout/index.json" 'j["manifests"][0]["digest"]')" "$digest"
config=$(json "$WORK/layout/blobs/sha256/${digest#sha256:}" 'j["config"]["digest"]')
equal "$(cat "$WORK/iid")" "$config"

# Stdout, and nothing but the archive there.
cobuild build --progress plain -o type=oci "$CONTEXT" >"$WORK/stdout.tar" 2>"$ERR"
ok inspect "oci-archive:$WORK/stdout.tar"
cobuild build --progress plain -o - "$CONTEXT" >"$WORK/stdout2.tar" 2>"$ERR"
equal "$(tar -xOf "$WORK/stdout2.tar" d/e/f)" data

# A standard output that takes nothing is named as what it is, whatever was to be written there.
ok build -t kept -o type=image "$CONTEXT"
for command in "build -q" "build -o -" "build -o type=oci" "build -o type=docker,dest=/dev/stdout" "build --call targets" \
  "build --check" "debug dockerfile2llb" images "images -q" "images --json" "inspect kept" "inspect --raw kept" \
  "inspect --config kept" du "du -v" "du --json" why "why --json" "cache verify" "cache verify --json" doctor version help \
  "help build" "prune --filter id==none"; do
  status=0
  case $command in build* | debug*) place=$CONTEXT ;; *) place= ;; esac
  cobuild $command $place >/dev/full 2>"$ERR" </dev/null || status=$?
  equal "$command: $status" "$command: 1"
  one_error
  matches '^error: .*write to standard output: .*o space left on device.*; no room is left on the disk of standard output$'
done
says_not "$STORE"

# Without a standard output there is nowhere to write to.
status=0
cobuild build --progress plain -o type=oci "$CONTEXT" >&- 2>"$ERR" || status=$?
equal "$status" 1
says "write to standard output: write the image archive: Bad file descriptor"

# umoci unpacks what was written.
if command -v umoci >/dev/null; then
  rootless=()
  [ "$(id -u)" = 0 ] || rootless=(--rootless)
  ok umoci unpack "${rootless[@]}" --image "$WORK/layout:tag" "$WORK/bundle"
  equal "$(cat "$WORK/bundle/rootfs/d/e/f")" data
fi

# A second image in the same layout keeps the first.
ok build -t other:new -o "type=oci,tar=false,dest=$WORK/layout" "$CONTEXT"
equal "$(json "$WORK/layout/index.json" 'len(j["manifests"])')" 2

# Several builds at once add to one layout.
mkdir "$WORK/at-once"
builds=()
for number in 1 2 3 4; do
  build -t "at/once:$number" -o "type=oci,tar=false,dest=$WORK/at-once" "$CONTEXT" >/dev/null 2>"$ERR.$number" &
  builds+=($!)
done
for process in "${builds[@]}"; do wait "$process" || fail "$(tail -n 1 "$ERR".?)"; done
equal "$(json "$WORK/at-once/index.json" 'len(j["manifests"])')" 4

# A link is followed and the mode of what is there kept.
mkdir "$WORK/elsewhere"
echo old >"$WORK/elsewhere/real.tar"
chmod 600 "$WORK/elsewhere/real.tar"
ln -s elsewhere/real.tar "$WORK/link.tar"
ok build -o "type=tar,dest=$WORK/link.tar" "$CONTEXT"
equal "$(readlink "$WORK/link.tar")" elsewhere/real.tar
equal "$(tar -xOf "$WORK/elsewhere/real.tar" d/e/f)" data
equal "$(stat -c %a "$WORK/elsewhere/real.tar")" 600

# Nothing is packed that goes nowhere (F4.1.5).
STORE=$WORK/store2 ok build "$CONTEXT"
equal "$(find "$WORK/store2/blobs" -type f | wc -l)" 0

# The image's id, of an image that goes nowhere.
ok cobuild build -q --iidfile "$WORK/iid2" "$CONTEXT"
equal "$(cat "$WORK/iid2")" "$config"
equal "$(cat "$OUT")" "$config"

# A pipe or a device is written to, not replaced.
mkfifo "$WORK/pipe"
cat "$WORK/pipe" >"$WORK/piped" &
ok build --iidfile "$WORK/pipe" "$CONTEXT"
wait $!
equal "$(cat "$WORK/piped")" "$config"
[ -p "$WORK/pipe" ] || fail "the pipe was replaced"
equal "$(build --iidfile /dev/stdout "$CONTEXT" 2>"$ERR" | cat)" "$config"
fails build --iidfile /dev/full "$CONTEXT"
one_error
says "no room is left on the disk of /dev/full"
[ -c /dev/full ] || fail "the device was replaced"

# Refusals, before anything runs.
fails build --no-cache -o "type=oci,dest=$WORK/no/such/x.tar" "$CONTEXT"
one_error
says "mkdir -p $WORK/no/such"
says_not "RUN"
fails build -o "type=oci,dest=$WORK/files" "$CONTEXT"
says "destination file is a directory"
fails build -o "type=nonsense" "$CONTEXT"
one_error
says 'unknown exporter "nonsense"' # F4.1.1
fails build -o "type=local" "$CONTEXT"
says "output directory is required for local exporter"
