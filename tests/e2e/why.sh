# Why steps ran: told at the end of a build's life by `cobuild why`, and in it by --explain.
source "$(dirname "$0")/lib.sh"
with_busybox

# stdout of the last command has this text, or has it not.
tells() { grep -qF -- "$1" "$OUT" || fail "stdout does not say: $1"; }
tells_not() { ! grep -qF -- "$1" "$OUT" || fail "stdout says: $1"; }
# What a member of `why --json` is, by python expression $2 on the step `s` with $1 in its name.
told() { python3 -c 'import json,sys
j = json.load(open(sys.argv[1]))
s = [s for s in j["steps"] if sys.argv[2] in s["step"]][0]
print(eval(sys.argv[3]))' "$OUT" "$1" "$2"; }

# Nothing was built yet, and asking makes no store.
fails cobuild why
one_error
says "nothing was built in $STORE yet"
absent "$STORE/store.db"

mkdir "$CONTEXT/src"
for name in a b c d; do echo $name >"$CONTEXT/src/$name"; done
write() {
  dockerfile <<DF
$BASE
FROM base AS build
ARG TOKEN=none
COPY src /src
RUN${1:-} cat /src/* > /made${2:-}
RUN echo last
DF
}
write
ok build "$CONTEXT"
ok cobuild why
tells ": 5 of 5 steps ran"
tells "[build 1/3] COPY src /src ran because"
tells "  nothing like it was built in this store before"

# Whatever was in the cache has nothing to tell.
ok build --explain "$CONTEXT"
all_cached
says_not "why:"
ok cobuild why
tells ": no step ran, 5 were in the cache"
ok cobuild why RUN echo
tells "[build 3/3] RUN echo last was in the cache"

# Files: what came, went and changed, and whatever follows for that reason.
echo other >"$CONTEXT/src/a"
rm "$CONTEXT/src/b"
chmod 755 "$CONTEXT/src/c"
echo new >"$CONTEXT/src/e"
ok build --explain "$CONTEXT"
matches '^#[0-9]+ .*why: it reads other files of \[internal\] load build context:'
matches '^#[0-9]+ .*why:   changed  src/a'
matches '^#[0-9]+ .*why: before it, \[build 1/3\] COPY src /src differs:'
ok cobuild why build 1/3
tells "    changed  src/a"
tells "    removed  src/b"
tells "    mode     src/c  0755, was 0644"
tells "    added    src/e"
tells_not "src/d"
tells_not "RUN"
ok cobuild why "[build 2/3]"
tells "  before it, [build 1/3] COPY src /src differs:"
tells "      changed  src/a"
ok cobuild why --json
equal "$(told 'COPY src' '[(f["change"], f["path"]) for f in s["why"]["differences"][0]["files"]]')" \
  "[('content', 'src/a'), ('removed', 'src/b'), ('mode', 'src/c'), ('added', 'src/e')]"
equal "$(told 'COPY src' 's["why"]["record"]["step"]')" "[build 1/3] COPY src /src"

# The command; what comes before it was in the cache.
write "" " 2>&1"
ok build "$CONTEXT"
ok cobuild why
tells ": 2 of 5 steps ran"
tells "  what it does is another:"
tells " /made 2>&1"
ok cobuild why --json
equal "$(told 'RUN cat' '[(d["kind"], d["before"][-5:], d["now"][-4:]) for d in s["why"]["differences"]]')" "[('arguments', '/made', '2>&1')]"
equal "$(told 'RUN echo' 's["why"]["causes"][0]["step"]')" "[build 2/3] RUN cat /src/* > /made 2>&1"

# An ARG: its name, never its value; not in what is kept either.
ok build --explain --build-arg TOKEN=hunter2 "$CONTEXT"
matches 'why: the variable TOKEN (has another value|is new)'
says_not hunter2
ok cobuild why
tells "the variable TOKEN "
tells_not hunter2
ok cobuild why --json
tells_not hunter2

# A mount; --secret is told by its id.
write " --mount=type=cache,target=/c --mount=type=secret,id=npm" " 2>&1"
echo hunter3 >"$WORK/npm"
ok build --secret "id=npm,src=$WORK/npm" "$CONTEXT"
ok cobuild why build 2/3
tells "the mount /c is new: type=cache"
tells "the mount /run/secrets/npm is new: type=secret,id=npm"
ok cobuild why --json
tells_not hunter3

# Whatever is asked not to be looked for says so, and so does a step that fails.
ok build --no-cache "$CONTEXT"
ok cobuild why
tells "  the cache was not to be used for it"
write "" "; exit 7"
fails build "$CONTEXT"
ok cobuild why
tells "failed: "
tells "RUN cat /src/* > /made; exit 7 failed; it ran because"
tells "  what it does is another:"

# A step that there is not.
fails cobuild why nonsense
one_error
says 'no step of the last build is called "nonsense"; it had [base 1/2] COPY'
says "[build 1/3] COPY src /src"

# SolveStatus lines have it as output of the step.
write "" "; true"
ok cobuild build --explain --progress rawjson "$CONTEXT"
python3 - "$ERR" <<'PY' || fail "no explanation in the logs"
import base64, json, sys
logs = [l for line in open(sys.argv[1]) for l in json.loads(line).get("logs") or []]
assert any(base64.b64decode(l["data"]).startswith(b"why: ") for l in logs)
PY

# What a store keeps of it goes with what it is about, and a step without a record is new again.
ok cobuild prune --all
ok build "$CONTEXT"
ok cobuild why
tells "  nothing like it was built in this store before"

# Another base.
base_image() { # CONTENT
  rm -rf "$WORK/base-context" "$WORK/base-layout"
  mkdir "$WORK/base-context"
  echo "$1" >"$WORK/base-context/content"
  cp "$BUSYBOX" "$WORK/base-context/busybox"
  printf 'FROM scratch\nCOPY busybox /bin/\nCOPY content /\n' >"$WORK/base-context/Dockerfile"
  ok build -o "type=oci,tar=false,dest=$WORK/base-layout,name=base:latest" "$WORK/base-context"
}
dockerfile <<'DF'
FROM base
RUN ["/bin/busybox", "echo", "on it"]
DF
for content in one two; do
  base_image $content
  ok build --build-context "base=oci-layout://$WORK/base-layout" "$CONTEXT"
done
ok cobuild why RUN
tells "] RUN"
tells " differs:"
tells "    the digest is another: sha256:"

# An imported cache: its name, and what can be told of it.
mkdir "$WORK/app"
echo one >"$WORK/app/file"
printf 'FROM scratch\nCOPY file /\nCOPY file /again\n' >"$WORK/app/Dockerfile"
ok build --cache-to "type=local,dest=$WORK/cache,mode=max" "$WORK/app"
STORE=$WORK/other-store
echo two >"$WORK/app/file"
ok build --explain --cache-from "type=local,src=$WORK/cache" "$WORK/app"
matches "why: the imported cache .* has this step, but:"
ok cobuild why 1
tells "  nothing like it was built in this store before"
tells "    with other files of [internal] load build context"
# What was taken of it is a record like any other, and says where it came from.
STORE=$WORK/third-store
echo one >"$WORK/app/file"
ok build --cache-from "type=local,src=$WORK/cache" "$WORK/app"
all_cached
echo three >"$WORK/app/file"
ok build "$WORK/app"
# Of the step before it, nothing was needed, nor taken.
ok cobuild why 2
tells "    changed  file"
tells ", from the imported cache "
nothing_left
