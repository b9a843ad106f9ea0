# Each wrong input gives one error that says where and what to do, and leaves nothing behind.
source "$(dirname "$0")/lib.sh"
with_busybox
mkdir -p "$CONTEXT/dir"
echo x >"$CONTEXT/dir/present.txt"
echo x >"$CONTEXT/secret.log"
echo '*.log' >"$CONTEXT/.dockerignore"
ln -s loop "$CONTEXT/loop"

bad() { # TEXT... : the Dockerfile on stdin must be refused with all of these
  dockerfile
  fails build -o "type=oci,dest=$WORK/image.tar" "$CONTEXT"
  one_error
  local text
  for text in "$@"; do says "$text"; done
  absent "$WORK/image.tar"
}

bad "unknown instruction: RUNN" "did you mean RUN?" "Dockerfile:2" <<'DF'
FROM scratch
RUNN echo
DF
bad "Dockerfile:1" "no build stage in current context" <<'DF'
RUN echo
DF
bad "Dockerfile:2" "COPY" <<'DF'
FROM scratch
COPY dir
DF
bad "unterminated heredoc" <<'DF'
FROM scratch
COPY <<EOT /x
never ended
DF
bad "/dir/presnt.txt" "not found" "Dockerfile:2" "present.txt" <<'DF'
FROM scratch
COPY dir/presnt.txt /
DF
bad "secret.log" "not found" ".dockerignore" "Dockerfile:2" <<'DF'
FROM scratch
COPY secret.log /
DF
echo '*' >"$CONTEXT/.dockerignore"
bad "nowhere.log" "not found" "Dockerfile:2" <<'DF'
FROM scratch
COPY nowhere.log /
DF
says_not "excluded by .dockerignore:1"
echo '*.log' >"$CONTEXT/.dockerignore"
bad "/loop" "too many links: /loop" <<'DF'
FROM scratch
COPY loop/x /
DF
bad "file with no instructions" <<'DF'
# nothing here
DF

dockerfile <<DF
FROM scratch AS one
COPY busybox /
DF
fails build --target tow "$CONTEXT"
one_error
says "tow"
matches 'target stage "?tow"? could not be found'

fails build "$WORK/no-such-context"
one_error
says "the build context $WORK/no-such-context does not exist"
fails build "$CONTEXT/dir/present.txt"
one_error
says "is not a directory"

rm "$CONTEXT/Dockerfile" "$CONTEXT/loop"
mkfifo "$CONTEXT/Dockerfile"
fails build "$CONTEXT"
one_error
says "is a pipe, not a file"
rm "$CONTEXT/Dockerfile"
fails build "$CONTEXT"
one_error
says "failed to read dockerfile: open Dockerfile: no such file or directory"

# LLB that is none.
status=0
head -c 4000 "$BUSYBOX" | cobuild build --progress plain >"$OUT" 2>"$ERR" || status=$?
equal "$status" 1
one_error
status=0
cobuild build --progress plain >"$OUT" 2>"$ERR" </dev/null || status=$?
equal "$status" 1
says "empty definition sent to build. Specify --frontend instead?"
fails cobuild build -t x --local context=.
says "--frontend"

# What is asked about a store does not make one.
ok cobuild --root "$WORK/no-store" du
ok cobuild --root "$WORK/no-store" prune
absent "$WORK/no-store"

# A context that cannot be read. (Our own files we can always read: we are root in our user namespace.)
dockerfile <<DF
FROM scratch
COPY . /
DF
if [ "$(id -u)" != 0 ] && [ ! -r /root ]; then
  fails build -f "$CONTEXT/Dockerfile" /root
  one_error
  says "/root"
  matches 'ermission denied'
fi

# Where an ordinary user may not write by the modes, nothing is written, though it is all the user's own. Files of the
# image that nobody may read are.
if [ "$(id -u)" != 0 ]; then
  cp "$CONTEXT/Dockerfile" "$WORK/before"
  dockerfile <<DF
$BASE
RUN mkdir -p /d/locked && echo x > /d/locked/f && echo y > /d/f && chown 1:1 /d/f && chmod 0 /d/f /d/locked && chmod 555 /d
DF
  mkdir "$WORK/locked"
  chmod 555 "$WORK/locked"
  for output in "type=local,dest=$WORK/locked" "type=local,dest=$WORK/locked/new" "type=tar,dest=$WORK/locked/x.tar" \
    "type=oci,dest=$WORK/locked/x.tar" "type=oci,tar=false,dest=$WORK/locked/layout"; do
    fails build -o "$output" "$CONTEXT"
    one_error
    says "cannot write to the directory $WORK/locked: Permission denied"
  done
  for flag in --iidfile --metadata-file --ref-file; do
    fails build "$flag" "$WORK/locked/x" "$CONTEXT"
    one_error
    says "Permission denied"
  done
  equal "$(ls -A "$WORK/locked")" ""
  mkdir "$WORK/open" "$WORK/open/d"
  chmod 555 "$WORK/open/d"
  for twice in 1 2; do ok build -o "type=local,dest=$WORK/open" "$CONTEXT"; done
  equal "$(stat -c %a "$WORK/open/d" "$WORK/open/d/f" "$WORK/open/d/locked" | xargs)" "555 0 0"
  # What a container left there, with an owner of its own, is replaced or deleted like any other file.
  mkdir "$WORK/foreign"
  unshare --map-root-user --map-auto sh -c "mkdir -p '$WORK/foreign/d' '$WORK/foreign/bin' '$WORK/foreign/extra' &&
    touch '$WORK/foreign/d/f' '$WORK/foreign/extra/f' && chown -R 1000 '$WORK'/foreign/*"
  ok build -o "type=local,mode=delete,dest=$WORK/foreign" "$CONTEXT"
  equal "$(stat -c %u:%a "$WORK/foreign/d" "$WORK/foreign/d/f" | xargs)" "$(id -u):555 $(id -u):0"
  absent "$WORK/foreign/extra"
  ok build -o "type=tar,dest=$WORK/readable.tar" "$CONTEXT"
  equal "$(tar -xOf "$WORK/readable.tar" d/f)" y
  chmod -R u+rwX "$WORK/open" "$WORK/foreign" "$WORK/locked"
  cp "$WORK/before" "$CONTEXT/Dockerfile"
fi

# A device in the context, which the cases for users cannot make, but have.
if [ "$(id -u)" != 0 ] && mkdir "$WORK/devices" && [ -c /dev/null ]; then
  dockerfile <<DF
FROM scratch
COPY null /
DF
  fails build -f "$CONTEXT/Dockerfile" /dev
  one_error
  says "mknod /null: operation not permitted; only root can make devices"
  dockerfile <<DF
FROM scratch
COPY . /
DF
fi

# Flags.
fails cobuild build --attest type=sbom "$CONTEXT"
says "error: --attest is not supported yet"
fails cobuild build --tagg x "$CONTEXT"
says "did you mean --tag?"
fails cobuild biuld
says "did you mean build?"
fails cobuild help biuld
says "did you mean build?"
fails cobuild doctor extra
says "extra"
fails cobuild du --format '{{json.}}'

# No runtime.
dockerfile <<DF
$BASE
DF
fails build --oci-runtime "$WORK/no-runtime" "$CONTEXT"
one_error
says "no-runtime"

# What is no runtime: an error, and nothing of it in the cache.
dockerfile <<DF
$BASE
RUN echo this-ran
DF
fails build --oci-runtime /bin/true "$CONTEXT"
one_error
says "/bin/true"
says "--oci-runtime"
ok build "$CONTEXT"
matches '^#[0-9]+ [0-9.]+ this-ran'

# A user whose id an ordinary user has not been given.
if [ "$(id -u)" != 0 ]; then
  cp "$CONTEXT/Dockerfile" "$WORK/good"
  dockerfile <<DF
$BASE
USER 4000000
RUN true
DF
  fails build "$CONTEXT"
  one_error
  says "user 4000000: this user namespace lacks that id; give the user more subordinate ids in /etc/subuid"
  cp "$WORK/good" "$CONTEXT/Dockerfile"
fi

# A store of a newer version is left alone.
ok build "$CONTEXT"
python3 - "$STORE/store.db" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA user_version = 9999")
db.commit()
PY
fails build "$CONTEXT"
one_error
says "newer"
nothing_left
