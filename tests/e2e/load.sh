# --load: the image goes to docker load or podman load, which run where the user is.
source "$(dirname "$0")/lib.sh"
with_busybox
dockerfile <<DF
FROM scratch
COPY busybox /bin/busybox
DF
mkdir "$WORK/programs"
PATH=$WORK/programs:/usr/sbin:/usr/bin:/sbin:/bin

# Says who it is, keeps what it gets.
program() {
  cat >"$WORK/programs/$1"
  chmod +x "$WORK/programs/$1"
}
program docker <<'DF'
#!/bin/bash
[ "$1" = load ] || exit 9
cat >"$WORK/loaded.tar"
id -u >"$WORK/uid"
echo "Loaded image: it"
DF
ok build --load -t me/it:1 "$CONTEXT"
says "importing to docker"
says "Loaded image: it"
equal "$(cat "$WORK/uid")" "$(id -u)"
tar -xOf "$WORK/loaded.tar" manifest.json >"$WORK/manifest.json"
equal "$(json "$WORK/manifest.json" 'j[0]["RepoTags"]')" "['me/it:1']"

# One that fails says why, whether it has read the archive or not.
program docker <<'DF'
#!/bin/bash
cat >/dev/null
echo "no room" >&2
exit 5
DF
fails build --load -t me/it:1 "$CONTEXT"
one_error
says "docker load failed with status 5: no room"
program docker <<'DF'
#!/bin/bash
echo "Cannot connect to the Docker daemon" >&2
exit 1
DF
fails build --load -t me/it:1 "$CONTEXT"
one_error
says "docker load failed with status 1: Cannot connect to the Docker daemon"

# A build that fails starts nothing.
program docker <<'DF'
#!/bin/bash
touch "$WORK/started"
DF
printf 'FROM scratch\nCOPY missing /\n' >"$CONTEXT/Other"
fails build --load -f "$CONTEXT/Other" "$CONTEXT"
absent "$WORK/started"

# podman will do, too.
rm "$WORK/programs/docker"
if ! command -v docker >/dev/null; then
  program podman <<'DF'
#!/bin/bash
cat >"$WORK/loaded2.tar"
DF
  ok build --load -t me/it:1 "$CONTEXT"
  says "importing to podman"
  [ -s "$WORK/loaded2.tar" ] || fail "nothing was loaded"
  rm "$WORK/programs/podman"
  if ! command -v podman >/dev/null; then
    fails build --load -t me/it:1 "$CONTEXT"
    one_error
    says "--load needs docker or podman"
    says "--output type=docker,dest=FILE"
  fi
fi
eventually is_idle
nothing_left
