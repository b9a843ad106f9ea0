# Contexts that are no directory: repositories, downloads, stdin; and further ones by name.
source "$(dirname "$0")/lib.sh"
start_web_server
make_repositories

# A repository: its Dockerfile, all of it but .git, and no .dockerignore (F1.10.2, F1.9.2).
ok build -o "type=local,dest=$WORK/git1" "$WEB/git/main.git"
equal "$(cat "$WORK/git1/a")" two
[ -f "$WORK/git1/.dockerignore" ] || fail "the context was filtered"
ok build -o "type=local,dest=$WORK/git2" "$WEB/git/main.git#v1"
equal "$(cat "$WORK/git2/a")" one
ok cobuild build --progress plain --frontend dockerfile.v0 --opt "context=$WEB/git/main.git" --opt contextsubdir=dir \
  --opt dockerfilekey=df --local "df=$WORK/main" -o "type=local,dest=$WORK/git3"
equal "$(ls -A "$WORK/git3")" run
mkdir "$WORK/own"
printf 'FROM scratch\nCOPY a /from-git\n' >"$WORK/own/Own"
ok build -f "$WORK/own/Own" -o "type=local,dest=$WORK/git4" "$WEB/git/main.git"
equal "$(ls -A "$WORK/git4")" from-git
fails build -f nosuch "$WEB/git/main.git"
one_error
says "failed to read dockerfile: open nosuch"
says "$WEB/git/main.git"

# An archive by HTTP, packed in any way, and a plain Dockerfile (F1.10.7, F1.10.8, F10.105).
mkdir "$WORK/tree" "$WORK/tree/sub"
printf 'FROM scratch\nCOPY . /\n' >"$WORK/tree/dockerfile"
printf 'FROM scratch\nCOPY one /two\n' >"$WORK/tree/sub/Other"
echo 1 >"$WORK/tree/one"
echo one >"$WORK/tree/.dockerignore"
tar -C "$WORK/tree" -cf "$WORK/web/context.tar" .
for pack in gzip bzip2 xz; do
  command -v "$pack" >/dev/null || continue
  "$pack" <"$WORK/web/context.tar" >"$WORK/web/context.$pack"
done
for kind in tar gzip bzip2 xz; do
  [ -e "$WORK/web/context.$kind" ] || continue
  ok build -o "type=local,dest=$WORK/$kind" "$WEB/context.$kind"
  equal "$(cat "$WORK/$kind/one")" 1
  ok cobuild_stdin "$WORK/web/context.$kind" build --progress plain -o "type=local,dest=$WORK/stdin-$kind" -
  equal "$(cat "$WORK/stdin-$kind/one")" 1
done
ok build -f sub/Other -o "type=local,dest=$WORK/http2" "$WEB/context.tar"
equal "$(ls "$WORK/http2")" two
printf 'FROM scratch\nCOPY context /itself\n' >"$WORK/web/plain"
ok build -o "type=local,dest=$WORK/http3" "$WEB/plain"
cmp "$WORK/http3/itself" "$WORK/web/plain"
fails build "$WEB/gone"
one_error
says "invalid response status 404"

# On stdin (F1.10.9): through a pipe, with the Dockerfile named, a Dockerfile by itself, and what is neither.
cat "$WORK/web/context.tar" | cobuild build --progress plain -f sub/Other -o "type=local,dest=$WORK/in1" - >"$OUT" 2>"$ERR" ||
  fail "a pipe"
equal "$(ls "$WORK/in1")" two
printf 'FROM scratch\nWORKDIR /made\n' >"$WORK/df"
ok cobuild_stdin "$WORK/df" build --progress plain -o "type=local,dest=$WORK/in2" -
equal "$(ls "$WORK/in2")" made
ok cobuild_stdin "$WORK/own/Own" build --progress plain -f - -o "type=local,dest=$WORK/in3" "$WEB/git/main.git"
equal "$(ls "$WORK/in3")" from-git
fails cobuild_stdin /dev/null build -
one_error
says "the context on stdin is empty"
fails cobuild_stdin "$WORK/df" build -f X -
says "ambiguous Dockerfile source"
fails cobuild_stdin "$WORK/df" build -f - -
says "can't use stdin for both build context and dockerfile"
printf 'FROM scratch\nCOPY x /\n' >"$WORK/df"
fails cobuild_stdin "$WORK/df" build -
says '"/x": not found'

# A Dockerfile by HTTP, for contexts of all kinds.
printf 'FROM scratch\nCOPY one /two\n' >"$WORK/web/Other"
fails build -f "$WEB/Other" "$WORK/tree"
says "[internal] load $WEB/Other"
says '"/one": not found'
rm "$WORK/tree/.dockerignore"
ok build -f "$WEB/Other" -o "type=local,dest=$WORK/url1" "$WORK/tree"
equal "$(cat "$WORK/url1/two")" 1
ok build -f "$WEB/Other" -o "type=local,dest=$WORK/url2" "$WEB/context.tar"
equal "$(cat "$WORK/url2/two")" 1
ok cobuild_stdin "$WORK/web/context.tar" build --progress plain -f "$WEB/Other" -o "type=local,dest=$WORK/url3" -
equal "$(cat "$WORK/url3/two")" 1
fails build -f "$WEB/gone" "$CONTEXT"
one_error
says "invalid response status 404"
fails cobuild_stdin "$WORK/df" build -f "$WEB/Other" -
says "ambiguous Dockerfile source"

# By name (F1.10.16, F1.10.18): a directory with its own .dockerignore, a repository, a file, a stage, nothing, a layout.
mkdir -p "$WORK/named/deep"
echo kept >"$WORK/named/kept"
echo ignored >"$WORK/named/ignored"
echo ignored >"$WORK/named/.dockerignore"
echo secret >"$WORK/named/deep/unread"
dockerfile <<DF
FROM scratch AS real
COPY Dockerfile /from
FROM never/pulled AS stage
COPY nowhere /
FROM scratch
COPY --from=dir / /dir/
COPY --from=repo a /repo
COPY --from=file context /file
COPY --from=stage from /stage
DF
ok build --build-context "dir=$WORK/named" --build-context "repo=$WEB/git/main.git#v1" --build-context "file=$WEB/file.txt" \
  --build-context stage=target:real -o "type=local,dest=$WORK/named1" "$CONTEXT"
equal "$(cat "$WORK/named1/repo" "$WORK/named1/file" "$WORK/named1/dir/kept" | xargs)" "one file kept"
absent "$WORK/named1/dir/ignored"
cmp "$WORK/named1/stage" "$CONTEXT/Dockerfile"
says "[context dir] load .dockerignore"
says "[context dir] load from client"

# SOURCE_DATE_EPOCH names one of them: its time is that of the result, and the number is what steps see.
created() { json "$1" 'j["created"]'; }
config_of() {
  rm -rf "$WORK/dated"
  ok build --build-arg "SOURCE_DATE_EPOCH=$1" -o "type=oci,tar=false,dest=$WORK/dated" "${@:2}"
  CONFIG=$(created_in "$WORK/dated")
}
created_in() {
  local manifest config
  manifest=$(json "$1/index.json" 'j["manifests"][0]["digest"][7:]')
  config=$(json "$1/blobs/sha256/$manifest" 'j["config"]["digest"][7:]')
  created "$1/blobs/sha256/$config"
}
printf 'FROM scratch AS packed\nADD %s /\nFROM scratch\nARG SOURCE_DATE_EPOCH\nCOPY Dockerfile /$SOURCE_DATE_EPOCH\n' \
  "$WEB/undated/context.tar" >"$CONTEXT/Dockerfile"
mkdir -p "$WORK/web/undated"
touch -d @1500000000 "$WORK/tree/dockerfile"
touch -d @1400000000 "$WORK/tree/one" "$WORK/tree/sub/Other"
tar -C "$WORK/tree" -cf "$WORK/web/undated/context.tar" .
cp "$CONTEXT/Dockerfile" "$WORK/web/undated/plain"
config_of repo --build-context "repo=$WEB/git/main.git" "$CONTEXT"
equal "$CONFIG" 2020-01-02T03:04:05Z
says "COPY Dockerfile /1577934245"
says "[internal] resolve SOURCE_DATE_EPOCH named context repo"
config_of file --build-context "file=$WEB/file.txt" "$CONTEXT"
equal "$CONFIG" 2001-09-09T01:46:40Z
config_of packed "$CONTEXT"
equal "$CONFIG" 2017-07-14T02:40:00Z
config_of context "$WEB/git/main.git"
equal "$CONFIG" 2020-01-02T03:04:05Z
config_of context "$WEB/undated/context.tar"
equal "$CONFIG" 2017-07-14T02:40:00Z
config_of context "$CONTEXT"
says "COPY Dockerfile /"
says_not "COPY Dockerfile /1"
fails build --build-arg SOURCE_DATE_EPOCH=nobody "$CONTEXT"
one_error
says "invalid SOURCE_DATE_EPOCH: nobody"
fails build --build-arg SOURCE_DATE_EPOCH=gone --build-context "gone=$WEB/gone" "$CONTEXT"
one_error
says "invalid response status 404"

# Only what is used of a named directory is read (F1.10.15, F1.7.26).
chmod 000 "$WORK/named/deep/unread"
printf 'FROM scratch\nCOPY --from=dir kept /\n' >"$CONTEXT/Dockerfile"
ok build --build-context "dir=$WORK/named" "$CONTEXT"

# An OCI layout as a base (F1.10.14), by tag; its config counts.
with_busybox
make_base_layout "$WORK/layout"
printf 'FROM some/image\nRUN echo $PATH > /path\n' >"$CONTEXT/Dockerfile"
ok build --build-context "some/image=oci-layout://$WORK/layout" -o "type=local,dest=$WORK/layout1" "$CONTEXT"
equal "$(cat "$WORK/layout1/path")" /bin
ok build --build-context "some/image=oci-layout://$WORK/layout:latest" "$CONTEXT"
all_cached
fails build --build-context "some/image=oci-layout://$WORK/layout:nosuch" "$CONTEXT"
one_error
says "has no image with the tag nosuch"
digest=$(json "$WORK/layout/index.json" 'j["manifests"][0]["digest"]')
ok cobuild build --progress plain --frontend dockerfile.v0 --local "context=$CONTEXT" --local "dockerfile=$CONTEXT" \
  --oci-layout "store=$WORK/layout" --opt "context:some/image=oci-layout://store@$digest"
fails cobuild build --progress plain --frontend dockerfile.v0 --local "context=$CONTEXT" --local "dockerfile=$CONTEXT" \
  --oci-layout "store=$WORK/layout" --opt "context:some/image=oci-layout://store"
says 'oci-layout reference "store" has no digest'
says "Dockerfile:1"
fails build --build-context some/image=ftp://x "$CONTEXT"
says "unsupported context source ftp for some/image"
nothing_left
