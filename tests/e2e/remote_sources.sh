# ADD of URLs (F1.7.18) and of repositories (F1.7.22): what comes out, what is asked of the server, and what is refused.
source "$(dirname "$0")/lib.sh"
start_web_server
make_repositories

dockerfile <<DF
FROM scratch
ADD $WEB/file.txt $WEB/other.txt /files/
ADD --chmod=0640 --chown=5:6 $WEB/file.txt /renamed
ADD $WEB/data.tar.gz /packed/
ADD --unpack=true $WEB/data.tar.gz /unpacked/
ADD $WEB/git/main.git /repo
ADD --keep-git-dir=true $WEB/git/main.git#v1 /tagged
ADD $WEB/git/main.git?branch=other&subdir=dir /part
ADD $WEB/git/super.git /super
ADD $WEB/git/super.git?submodules=false /flat
DF
ok build -o "type=local,dest=$WORK/out" "$CONTEXT"
equal "$(cat "$WORK/out/files/file.txt" "$WORK/out/files/other.txt" "$WORK/out/renamed")" "$(printf 'file\nother\nfile')"
equal "$(stat -c %a "$WORK/out/files/file.txt" "$WORK/out/renamed" | xargs)" "600 640"
equal "$(stat -c %Y "$WORK/out/files/file.txt")" 1000000000
[ -f "$WORK/out/packed/data.tar.gz" ] || fail "a download was unpacked"
equal "$(cat "$WORK/out/unpacked/in")" packed
equal "$(cat "$WORK/out/repo/a")" two
absent "$WORK/out/repo/.git"
equal "$(stat -c %a "$WORK/out/repo/a" "$WORK/out/repo/dir" "$WORK/out/repo/dir/run" | xargs)" "644 755 755"
equal "$(readlink "$WORK/out/repo/link")" a
equal "$(cat "$WORK/out/tagged/a")" one
equal "$(git -c safe.directory='*' -C "$WORK/out/tagged" describe --tags)" v1
equal "$(git -c safe.directory='*' -C "$WORK/out/tagged" remote get-url origin)" "$WEB/git/main.git"
equal "$(ls -A "$WORK/out/part")" run
equal "$(cat "$WORK/out/super/mods/sub/s")" sub # F1.10.6
absent "$WORK/out/super/mods/sub/.git"
equal "$(ls -A "$WORK/out/flat/mods/sub")" ""
! grep -rq "$STORE" "$WORK/out" || fail "a path of ours is in the result"

# Again: nothing is downloaded, and all is from the cache.
: >"$WORK/web.log"
ok build "$CONTEXT"
all_cached
equal "$(grep -c '^GET /[^g]' "$WORK/web.log" || true)" 0
equal "$(grep -c ' POST\|upload-pack 200$' "$WORK/web.log" || true)" "$(grep -c 'git' "$WORK/web.log")"

# A file that changed is fetched again, the others are not.
echo changed >"$WORK/web/other.txt"
: >"$WORK/web.log"
ok build -o "type=local,dest=$WORK/out2" "$CONTEXT"
equal "$(cat "$WORK/out2/files/other.txt")" changed
grep -q '^GET /other.txt 200' "$WORK/web.log" || fail "it was not fetched"
! grep -q '^GET /file.txt' "$WORK/web.log" || fail "an unchanged file was fetched"

# Checksums: with one nobody is asked once it is here; a wrong one leaves nothing.
sum=$(sha256sum "$WORK/web/file.txt" | cut -d ' ' -f 1)
one() { printf 'FROM scratch\n%s\n' "$1" >"$CONTEXT/Dockerfile"; }
one "ADD --checksum=sha256:$sum $WEB/file.txt /x"
ok build "$CONTEXT"
: >"$WORK/web.log"
ok build "$CONTEXT"
all_cached
equal "$(cat "$WORK/web.log")" ""
one "ADD --checksum=sha256:${sum//[0-9]/0} $WEB/file.txt /x"
fails build "$CONTEXT"
one_error
says "digest mismatch for $WEB/file.txt: sha256:$sum (expected: sha256:"
says "Dockerfile:2"
commit=$(git -C "$WORK/web/git/main.git" rev-parse main)
one "ADD --checksum=${commit:0:12} $WEB/git/main.git#main /x"
ok build "$CONTEXT"
one "ADD --checksum=0123456789 $WEB/git/main.git#main /x"
fails build "$CONTEXT"
says "expected checksum to match 0123456789, got $commit"

# By commit, also one that no ref has any more (F10.103).
old=$(git -C "$WORK/web/git/main.git" rev-parse main~1)
one "ADD $WEB/git/main.git#$old /x"
ok build -o "type=local,dest=$WORK/out3" "$CONTEXT"
equal "$(cat "$WORK/out3/x/a")" one

# A branch that moved.
STORE=$WORK/store2
one "ADD $WEB/git/main.git#moving /x"
ok build -o "type=local,dest=$WORK/out4" "$CONTEXT"
git -C "$WORK/web/git/main.git" branch -f moving main
ok build -o "type=local,dest=$WORK/out5" "$CONTEXT"
equal "$(cat "$WORK/out4/x/a" "$WORK/out5/x/a" | xargs)" "one two"
STORE=$WORK/store

# A server that is busy is asked again; a name and a password in a URL go nowhere else.
one "ADD $WEB/busy /x"
ok build -o "type=local,dest=$WORK/out6" "$CONTEXT"
equal "$(cat "$WORK/out6/x")" busy
with_login=${WEB/127/x-access-token:secret@127}
one "ADD $with_login/git/private/main.git /x"
ok build --timings "$CONTEXT"
dockerfile <<DF
FROM scratch
ADD $WEB/file.txt /a
ADD $with_login/file.txt /b
ADD $with_login/git/private/main.git /x
DF
ok build --no-cache --explain "$CONTEXT"
says_not "x-access-token:secret"
says "ADD ${with_login/x-access-token:secret/xxxxx:xxxxx}/file.txt /b"
! grep -rqs "x-access-token:secret" "$STORE" || fail "the password is in the store"
[ -z "$(find "$STORE" -name '*token-secret*')" ] || fail "the password is in the name of a log"

# Tokens are secrets of the build: for git and for downloads, and in no layer, log or name.
printf secret >"$WORK/token"
one "ADD $WEB/git/private/main.git#v1 /x"
ok build --secret "id=GIT_AUTH_TOKEN,src=$WORK/token" -o "type=local,dest=$WORK/out7" "$CONTEXT"
equal "$(cat "$WORK/out7/x/a")" one
printf 'basic %s' "$(printf x-access-token:secret | base64)" >"$WORK/header"
echo private >"$WORK/web/private/file"
one "ADD $WEB/private/file /x"
fails build "$CONTEXT"
says "invalid response status 401: if it wants a token, give it with --secret id=HTTP_AUTH_TOKEN_127.0.0.1,src=FILE"
ok build --secret "id=HTTP_AUTH_HEADER_127.0.0.1,src=$WORK/header" -o "type=local,dest=$WORK/out8" "$CONTEXT"
equal "$(cat "$WORK/out8/x")" private
one "ADD git@127.0.0.1:o/r.git /x"
fails build "$CONTEXT"
says 'no SSH key "default" forwarded from the client'

# What cannot be had is told with its place.
check() { # INSTRUCTION TEXT...
  one "$1"
  fails build "$CONTEXT"
  one_error
  shift
  for text; do says "$text"; done
  says "Dockerfile:2"
}
check "ADD $WEB/nothing/gone /x" "GET $WEB/nothing/gone: invalid response status 404"
check "ADD $WEB/git/main.git#nosuch /x" "repository does not contain ref nosuch"
check "ADD $WEB/git/nosuch.git /x" "$WEB/git/nosuch.git"
check "ADD $WEB/git/private/main.git /x" "--secret id=GIT_AUTH_TOKEN"
check "ADD $WEB/git/main.git#main:nosuch /x" "the repository has no directory \"nosuch\""
check "ADD $WEB/git/main.git#main:link/x /x" "contains non-directory \"link\""
check "ADD http://127.0.0.1:1/x /x" "127.0.0.1:1"
check "ADD $WEB/git/evil.git /x" "transport 'file' not allowed"
check "ADD $WEB/git/main.git#--upload-pack=x /x" 'invalid git ref "--upload-pack=x"'
nothing_left
