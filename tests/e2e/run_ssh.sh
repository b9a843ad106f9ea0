# SSH agents and keys, lent to a step (F1.6.17, F7.3.3 to F7.3.5, F9.1.13, F10.58).
source "$(dirname "$0")/lib.sh"
with_busybox
for program in ssh-agent ssh-add ssh-keygen; do command -v "$program" >/dev/null || skip "needs openssh-client"; done
ssh-keygen -q -t ed25519 -N '' -C one -f "$WORK/one"
ssh-keygen -q -t rsa -b 2048 -N '' -C two -f "$WORK/two"
ssh-keygen -q -t ecdsa -m PEM -N '' -C three -f "$WORK/three"
fingerprint() { ssh-keygen -lf "$WORK/$1.pub" | cut -d' ' -f2; }
ssh-agent -D -a "$WORK/agent" >/dev/null 2>&1 &
SERVERS+=($!)
eventually test -S "$WORK/agent"
export SSH_AUTH_SOCK=$WORK/agent
ok ssh-add "$WORK/one"

# This machine's own programs, with their libraries, are the clients.
for file in $(command -v ssh-add) $(command -v ssh-keygen) $(ldd "$(command -v ssh-add)" "$(command -v ssh-keygen)" | grep -o '/[^ ]*[^ :]' | sort -u); do
  mkdir -p "$CONTEXT/root$(dirname "$file")"
  cp -L "$file" "$CONTEXT/root$file"
done
mkdir -p "$CONTEXT/root/etc" "$CONTEXT/root/keys"
echo 'root:x:0:0:root:/root:/bin/sh' >"$CONTEXT/root/etc/passwd"
cp "$WORK"/*.pub "$CONTEXT/root/keys/"
START="FROM scratch
COPY root /
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
"
dockerfile <<DF
$START
RUN --mount=type=ssh stat -c 'socket %a %u:%g' \$SSH_AUTH_SOCK; ssh-add -l
RUN --mount=type=ssh echo text | ssh-keygen -Y sign -f /keys/one.pub -n test > /signed.one
RUN --mount=type=ssh ! ssh-add -D; ! ssh-add -x </dev/null; ssh-add -l | grep -c SHA256
RUN --mount=type=ssh,id=keys,target=/agent,mode=0666,uid=1,gid=2 stat -c 'own %a %u:%g' /agent; export SSH_AUTH_SOCK=/agent; ssh-add -l; \
  for key in two three; do echo text | ssh-keygen -Y sign -f /keys/\$key.pub -n test > /signed.\$key; done
RUN --mount=type=ssh,id=raw ssh-add -l | sed s/^/raw:/
RUN --mount=type=ssh,id=absent echo "at=\$SSH_AUTH_SOCK"; test ! -e \$SSH_AUTH_SOCK
ENV SSH_AUTH_SOCK=/mine
RUN --mount=type=ssh test \$SSH_AUTH_SOCK = /mine
RUN test ! -e /run -a ! -e /agent
DF
ok build --ssh default --ssh "keys=$WORK/two,$WORK/three" --ssh "raw=$WORK/agent,raw=true" \
  -o "type=local,dest=$WORK/files" "$CONTEXT"
says "socket 600 0:0"
says "own 666 1:2"
says "at=/run/buildkit/ssh_agent.0"
for key in one two three; do
  says "$(fingerprint "$key")"
  ssh-keygen -Y check-novalidate -n test -s "$WORK/files/signed.$key" <<<text >"$OUT" 2>&1 || fail "the signature by $key"
done
matches "raw:256"
# Nothing that the steps tried has changed the agent.
ok ssh-add -l
grep -q "$(fingerprint one)" "$OUT" || fail "the agent lost its key"

dockerfile <<DF
$START
RUN --mount=type=ssh,required true
DF
fails build "$CONTEXT"
one_error
says 'no SSH key "default" forwarded from the client'
says "Dockerfile:6"
ssh-keygen -q -t ed25519 -N secret -f "$WORK/locked"
fails build --ssh "default=$WORK/locked" "$CONTEXT"
one_error
says "has a passphrase"
fails env -u SSH_AUTH_SOCK "$WORK/bin/cobuild" --root "$STORE" build --ssh default "$CONTEXT"
says "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set"
nothing_left
