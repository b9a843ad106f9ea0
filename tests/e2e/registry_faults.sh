# Registries that fail: what passes is retried, what does not is said; nothing wrong is kept (F9.1.14).
source "$(dirname "$0")/lib.sh"
with_busybox
make_base_layout "$WORK/layout"
dockerfile <<'DF'
ARG BASE
FROM $BASE
RUN echo built > /built
DF
from() { # EXPECT FAULT... : builds on a registry with these faults and a store of its own
  local expect=$1
  shift
  STORE=$WORK/store-$1
  start_fake_registry "$WORK/layout" "$@"
  "$expect" build --insecure-registry "$REGISTRY" --build-arg "BASE=$REGISTRY/base:1" \
    -o "type=oci,dest=$WORK/image.tar" "$CONTEXT"
  [ "$expect" = ok ] || { one_error; says "$REGISTRY"; absent "$WORK/image.tar"; }
  rm -f "$WORK/image.tar"
  stop_servers
}
from ok cut
from ok wrong-once
matches '^#[0-9]+ \[registry\] blob sha256:.*: the content received has digest .*; retrying in '
from ok busy
matches '^#[0-9]+ \[registry\] .*; retrying in '
from ok broken
from fails wrong-digest
matches '^error: .*tried 2 times: blob .*digest'
from fails cut-always
from fails broken-always
says 503
matches '^error: .*tried 5 times: .*503'
from fails forbidden
matches '403|denied'
from fails down

# An image that is not there, as the base and as a named context.
start_fake_registry "$WORK/layout"
fails build --insecure-registry "$REGISTRY" --build-arg "BASE=$REGISTRY/base:missing" "$CONTEXT"
one_error
says "base:missing: not found"
fails build --insecure-registry "$REGISTRY" --build-arg BASE=other --build-context "other=docker-image://$REGISTRY/base:missing" "$CONTEXT"
one_error
says "base:missing: not found"
stop_servers

# A mirror that is down is told of, and passed over.
STORE=$WORK/store-mirror
start_fake_registry "$WORK/layout"
ok build --insecure-registry "$REGISTRY" --mirror "$REGISTRY=http://127.0.0.1:1" \
  --build-arg "BASE=$REGISTRY/base:1" "$CONTEXT"
matches '^#[0-9]+ \[registry\] mirror 127.0.0.1:1: .*; trying the next host'
stop_servers

# A login: refused without, and with the credentials of docker's config not.
from fails login
matches '401|[Uu]nauthorized|authoriz'
start_fake_registry "$WORK/layout" login
mkdir -p "$HOME/.docker"
printf '{"auths":{"%s":{"auth":"%s"}}}' "$REGISTRY" "$(printf me:secret | base64)" >"$HOME/.docker/config.json"
ok build --insecure-registry "$REGISTRY" --build-arg "BASE=$REGISTRY/base:1" "$CONTEXT"
says_not secret
ok build --insecure-registry "$REGISTRY" --build-arg "BASE=$REGISTRY/base:1" "$CONTEXT"
all_cached

# A credential helper that never answers is killed, with what it started, and named; one that writes on and on, too.
mkdir "$WORK/helpers"
printf '{"credsStore":"stuck"}' >"$HOME/.docker/config.json"
PATH=$WORK/helpers:$PATH
helper() { # SCRIPT
  printf '#!/bin/sh\n%s\n' "$1" >"$WORK/helpers/docker-credential-stuck"
  chmod 755 "$WORK/helpers/docker-credential-stuck"
}
asks_helper() { fails build --no-cache --pull --registry-timeout 1 --insecure-registry "$REGISTRY" --build-arg "BASE=$REGISTRY/base:1" "$CONTEXT"; one_error; }
helper "sleep 1234 & echo \$! >'$WORK/child'; wait"
asks_helper
says "credential helper docker-credential-stuck: no answer within 2 s (twice --registry-timeout), so it was killed"
says "echo $REGISTRY | docker-credential-stuck get"
eventually bash -c "! grep -qs sleep /proc/$(cat "$WORK/child")/cmdline"
helper 'yes | tr -d "\n"'
asks_helper
says "credential helper docker-credential-stuck: no answer within 2 s"
helper 'head -c 3000000 /dev/urandom'
asks_helper
says "credential helper docker-credential-stuck: wrote more than 1 MiB"
nothing_left
