# Secrets reach the step and nothing else (F1.6.14, F1.6.15, F1.6.16, F9.1.13, F7.3.1, F7.3.2, F10.56, F10.57).
source "$(dirname "$0")/lib.sh"
with_busybox
# What is looked for is never written to a file but the secret's own.
token=very-secret-$RANDOM-$RANDOM-$RANDOM
other=also-secret-$RANDOM-$RANDOM-$RANDOM
mkdir -p "$WORK/private"
printf %s "$token" >"$WORK/private/token"
export OTHER=$other

found_anywhere() {
  # Blobs are compressed: as they are, and unpacked.
  local text=$1 file
  while IFS= read -r -d '' file; do
    if grep -qF -- "$text" "$file" || { gzip -t "$file" 2>/dev/null && gzip -dc "$file" | grep -qF -- "$text"; }; then
      echo "$file"
      return 0
    fi
  done < <(find "$STORE" "$WORK/out" "$OUT" "$ERR" "$WORK/trace" -type f -print0 2>/dev/null)
  return 1
}
hidden() {
  for text in "$token" "$other"; do
    ! found_anywhere "$text" || fail "a secret is in $(found_anywhere "$text")"
  done
}
as_store_owner() { if [ "$(id -u)" = 0 ]; then "$@"; else unshare --map-root-user --map-auto -- "$@"; fi; }

dockerfile <<DF
$BASE
RUN echo app:x:5:6:app:/:/bin/sh > /etc/passwd
RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /size; stat -c '%a %u:%g' /run/secrets/token; grep -o ' /run/secrets/token [a-z]*' /proc/mounts
RUN --mount=type=secret,id=token,target=/etc/t,mode=0440,uid=5,gid=6 stat -c 'own %a %u:%g' /etc/t; ! { echo x > /etc/t; } 2>/dev/null
RUN --mount=type=secret,id=other,env=OTHER test "\$(echo -n "\$OTHER" | sha256sum)" = "$(printf %s "$other" | sha256sum)"; test ! -e /run/secrets
RUN --mount=type=secret,id=other,env=OTHER,target=/o test "\$OTHER" = "\$(cat /o)"
RUN --mount=type=secret,id=missing test ! -e /run/secrets; echo missing is fine
RUN --mount=type=secret,id=missing,env=NOT_THERE test -z "\$NOT_THERE" && env | grep '^NOT_THERE=\$'
USER app
RUN --mount=type=secret,id=token,uid=5 cat /run/secrets/token | sha256sum | cut -c1-8
DF
build_it() {
  ok build --secret "id=token,src=$WORK/private/token" --secret id=other,env=OTHER --trace "$WORK/trace" \
    -o "type=oci,dest=$WORK/out" "$@" "$CONTEXT"
}
build_it
says "400 0:0"
says " /run/secrets/token tmpfs"
says "own 440 5:6"
says "missing is fine"
matches 'RUN --mount=type=secret,id=other,env=OTHER test .*\*\*\*\*'
as_store_owner bash -c "$(declare -f found_anywhere hidden fail); STORE='$STORE' WORK='$WORK' OUT='$OUT' ERR='$ERR' token='$token' other='$other'; hidden"
tar -xOf "$WORK/out" >"$WORK/plain" 2>/dev/null
! grep -qF -e "$token" -e "$other" "$WORK/plain" || fail "a secret is in the image"

# Another value is the same step; another id is not.
printf %s "another-$token" >"$WORK/private/token"
build_it
all_cached

# While a step runs: in no command line, and nowhere on the disk.
dockerfile <<DF
$BASE
RUN --mount=type=secret,id=token --mount=type=secret,id=other,env=OTHER sleep 300
DF
"$WORK/bin/cobuild" --root "$STORE" build --secret "id=token,src=$WORK/private/token" --secret id=other,env=OTHER \
  --progress plain "$CONTEXT" >"$WORK/running" 2>&1 &
running=$!
eventually bash -c "grep -zqsx 300 /proc/[0-9]*/cmdline"
for process in /proc/[0-9]*; do
  if { tr '\0' ' ' <"$process/cmdline" | grep -qF -e "$token" -e "$other"; } 2>/dev/null; then
    fail "a secret is in the command line of $process"
  fi
done
as_store_owner bash -c "$(declare -f found_anywhere hidden fail); STORE='$STORE' WORK='$WORK' OUT='$OUT' ERR='$ERR' token='$token' other='$other'; hidden"
kill "$running"
wait "$running" 2>/dev/null || true

# What is missing or wrong.
dockerfile <<DF
$BASE
RUN --mount=type=secret,id=needed,required true
DF
fails build "$CONTEXT"
one_error
says "secret needed: not found"
says "Dockerfile:5"
fails build --secret "id=needed,src=$WORK/private/none" "$CONTEXT"
one_error
says "secret needed (--secret id=needed,src=$WORK/private/none)"
fails build --secret "src=$WORK/private/token" "$CONTEXT"
says "secret missing ID"
printf 'a\0b' >"$WORK/private/zero"
dockerfile <<DF
$BASE
RUN --mount=type=secret,id=zero,env=Z true
DF
fails build --secret "id=zero,src=$WORK/private/zero" "$CONTEXT"
says "has a zero byte"
# A pipe is read once, for two steps.
dockerfile <<DF
$BASE
RUN --mount=type=secret,id=p grep -x piped /run/secrets/p
RUN --mount=type=secret,id=p grep -x piped /run/secrets/p && true
DF
ok bash -c "exec '$WORK/bin/cobuild' --root '$STORE' build --secret id=p,src=<(echo piped) '$CONTEXT'"
nothing_left
