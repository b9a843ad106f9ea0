# A COPY of many files after one changed: the image is the one that a clean build makes.
source "$(dirname "$0")/lib.sh"
with_busybox
mkdir -p "$CONTEXT/src/a" "$CONTEXT/src/b"
for i in $(seq 300); do echo "$i" >"$CONTEXT/src/a/$i"; done
echo text >"$CONTEXT/src/b/small"
dockerfile <<DF
$BASE
COPY src /src
RUN gzip -k /src/a/1 && stat -c %h /src/a/2 /src/a/3 > /links
DF
find "$CONTEXT" -exec touch -h -d @1000000000 {} +
copied_layer() {
  local manifest
  manifest=$(json "$1/index.json" 'j["manifests"][0]["digest"][7:]')
  json "$1/blobs/sha256/$manifest" 'str(len(j["layers"])) + j["layers"][2]["digest"]'
}
ok build -o "type=oci,tar=false,dest=$WORK/first" "$CONTEXT"
echo changed >"$CONTEXT/src/a/2"
echo new >"$CONTEXT/src/b/new"
touch -d @1000000000 "$CONTEXT/src/a/2" "$CONTEXT/src/b/new" "$CONTEXT/src/b"
for target in "$STORE" "$WORK/clean"; do
  STORE=$target ok build -o "type=oci,tar=false,dest=$target.image" -o "type=local,dest=$target.files" "$CONTEXT"
done
equal "$(copied_layer "$STORE.image")" "$(copied_layer "$WORK/clean.image")"
[ "$(copied_layer "$STORE.image")" != "$(copied_layer "$WORK/first")" ] || fail "the change is not in the image"
rm "$STORE.files/src/a/1.gz"
diff -r "$CONTEXT/src" "$STORE.files/src" || fail "files differ"
equal "$(tr '\n' ' ' <"$STORE.files/links")" "1 1 "
# A file that goes is gone.
rm "$CONTEXT/src/b/new"
ok build -o "type=local,dest=$WORK/gone" "$CONTEXT"
absent "$WORK/gone/src/b/new"
# Directories that patterns only pass through are those of a clean build, too.
rm -r "$CONTEXT/src"
mkdir -p "$CONTEXT"/src/{a,b,c,d,e}/x
for i in $(seq 80); do touch "$CONTEXT"/src/{a,b,c,d,e}/x/"$i"; done
chmod 755 "$CONTEXT"/src/* "$CONTEXT"/src/*/x
dockerfile <<DF
FROM scratch AS parents
COPY --parents src/*/x/* /app/
FROM scratch AS exclude
COPY --exclude=b --exclude=!b/x/1 src /app/
FROM scratch
COPY --from=parents / /parents
COPY --from=exclude / /exclude
DF
ok build "$CONTEXT"
chmod 700 "$CONTEXT/src/b" "$CONTEXT/src/b/x"
echo changed >"$CONTEXT/src/a/x/1"
for target in "$STORE" "$WORK/clean"; do
  STORE=$target ok build -o "type=local,dest=$target.levels" "$CONTEXT"
done
list() { (cd "$1" && find . -printf '%p %m %U:%G %s\n' | sort); }
equal "$(list "$STORE.levels")" "$(list "$WORK/clean.levels")"
equal "$(stat -c %a "$STORE.levels/parents/app/src/b" "$STORE.levels/exclude/app/b/x" | tr '\n' ' ')" "700 700 "
nothing_left
