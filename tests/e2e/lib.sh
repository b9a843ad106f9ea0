# What the cases share. A case is a script that sources this file; it fails at the first command that
# fails, and says which expectation was not met.
set -euo pipefail
export LC_ALL=C.UTF-8
STORE=$WORK/store
CONTEXT=$WORK/context
OUT=$WORK/stdout
ERR=$WORK/stderr
mkdir -p "$CONTEXT"
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
trap 'stop_servers' EXIT
SERVERS=()

skip() { echo "SKIPPED: $*"; exit 77; }

# Says what went wrong, with the last output, and ends the case.
fail() {
  trap - ERR
  echo "FAILED: $*" >&2
  echo "--- stdout of the last command" >&2
  head -c 4000 "$OUT" 2>/dev/null | cat -v >&2 || true
  echo "--- stderr of the last command" >&2
  tail -n 60 "$ERR" >&2 2>/dev/null || true
  exit 1
}

cobuild() { "$WORK/bin/cobuild" --root "$STORE" "$@"; }

# Runs a command that must succeed; its output is in $OUT and $ERR.
ok() {
  local status=0
  "$@" >"$OUT" 2>"$ERR" </dev/null || status=$?
  [ "$status" -eq 0 ] || fail "status $status from: $*"
}

# Runs a command that must fail with status 1.
fails() {
  local status=0
  "$@" >"$OUT" 2>"$ERR" </dev/null || status=$?
  [ "$status" -eq 1 ] || fail "status $status instead of 1 from: $*"
}

# The same with the file $1 as standard input; for ok and fails, which give none.
cobuild_stdin() {
  local file=$1
  shift
  cobuild "$@" <"$file"
}

build() { cobuild build --progress plain "$@"; }

# stderr has this text (fixed), in any line.
says() {
  grep -qF -- "$1" "$ERR" || fail "stderr does not say: $1"
}
says_not() {
  ! grep -qF -- "$1" "$ERR" || fail "stderr says: $1"
}
# stderr has a line that matches this extended regular expression.
matches() {
  grep -qE -- "$1" "$ERR" || fail "no line of stderr matches: $1"
}
# The last line that begins with "error: " is the only one, and the last.
one_error() {
  [ "$(grep -c '^error: ' "$ERR")" -eq 1 ] || fail "not exactly one error line"
  grep -q '^error: ' <<<"$(tail -n 1 "$ERR")" || fail "the error is not the last line"
}
equal() {
  [ "$1" = "$2" ] || fail "expected '$2', got '$1'"
}
absent() {
  [ ! -e "$1" ] && [ ! -L "$1" ] || fail "left behind: $1"
}

# How many steps of the last plain output ended as CACHED, and how many steps there were of FROM, RUN,
# COPY, ADD and WORKDIR.
step_numbers() { sed -nE 's/^(#[0-9]+) \[[^]]*[0-9]+\/[0-9]+\] (FROM|RUN|COPY|ADD|WORKDIR) .*/\1/p' "$ERR" | sort -u; }
steps() { step_numbers | wc -l; }
cached_steps() { sed -nE 's/^(#[0-9]+) CACHED$/\1/p' "$ERR" | sort -u | comm -12 - <(step_numbers) | wc -l; }
all_cached() {
  [ "$(steps)" -gt 0 ] || fail "no steps were shown"
  equal "$(cached_steps)" "$(steps)"
}

# The command lines of processes that name the store.
store_processes() {
  local process words
  for process in /proc/[0-9]*; do
    # Built-ins only: a process for each process would be slow on a busy machine.
    { mapfile -d '' -t words <"$process/cmdline"; } 2>/dev/null || continue
    [[ "${words[*]}" != *"$STORE"* ]] || echo "${words[*]}"
  done
}
is_idle() { [ -z "$(store_processes)" ]; }

# Nothing of the store is mounted or running any more.
nothing_left() {
  ! grep -F "$STORE" /proc/self/mounts || fail "a mount was left"
  is_idle || fail "a process was left: $(store_processes)"
}

# Waits until the command succeeds, for at most 20 s.
eventually() {
  local tries
  for tries in $(seq 200); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  fail "never became true: $*"
}

# A context with busybox, and the beginning of a Dockerfile that gives it a shell.
BUSYBOX=/bin/busybox
with_busybox() {
  [ -x "$BUSYBOX" ] || skip "needs busybox-static"
  cp "$BUSYBOX" "$CONTEXT/busybox"
}
BASE='FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
'
dockerfile() { cat >"$CONTEXT/Dockerfile"; }

# An image with busybox as an OCI layout in $1, made without cobuild.
make_base_layout() {
  command -v umoci >/dev/null || skip "needs umoci"
  local layout=$1 root=$WORK/base-root rootless=()
  [ "$(id -u)" = 0 ] || rootless=(--rootless)
  rm -rf "$root"
  mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/dev" "$root/proc" "$root/sys"
  cp "$BUSYBOX" "$root/bin/busybox"
  local name
  for name in $("$BUSYBOX" --list); do
    [ "$name" = busybox ] || ln -sf busybox "$root/bin/$name"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  umoci init --layout "$layout"
  umoci new --image "$layout:latest"
  umoci insert "${rootless[@]}" --image "$layout:latest" "$root" /
  umoci config --image "$layout:latest" --config.env PATH=/bin --config.cmd /bin/sh
}

stop_servers() {
  local server
  for server in "${SERVERS[@]}"; do
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  done
  SERVERS=()
}

# Starts Debian's docker-registry on a free port of localhost; sets $REGISTRY to host:port.
start_registry() {
  command -v docker-registry >/dev/null || skip "needs docker-registry"
  local port try
  for try in $(seq 20); do
    port=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    cat >"$WORK/registry.yml" <<YML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $WORK/registry}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port"}
YML
    docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 &
    SERVERS+=($!)
    REGISTRY=127.0.0.1:$port
    eventually bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
    return 0
  done
  fail "no free port"
}

# Starts fake_registry.py over the layout $1 with faults $2...; sets $REGISTRY.
start_fake_registry() {
  local layout=$1
  shift
  rm -f "$WORK/port"
  python3 "$WORK/bin/fake_registry.py" "$layout" "$WORK/port" "$@" >"$WORK/fake.log" 2>&1 &
  SERVERS+=($!)
  eventually test -s "$WORK/port"
  REGISTRY=127.0.0.1:$(cat "$WORK/port")
}

# Starts http_server.py over $WORK/web; sets $WEB to its URL. Its requests are in $WORK/web.log.
start_web_server() {
  command -v git >/dev/null || skip "needs git"
  mkdir -p "$WORK/web/private" "$WORK/web/git/private"
  echo file >"$WORK/web/file.txt"
  echo other >"$WORK/web/other.txt"
  echo busy >"$WORK/web/busy"
  touch -d @1000000000 "$WORK/web/file.txt"
  mkdir "$WORK/data"
  echo packed >"$WORK/data/in"
  tar -C "$WORK/data" -czf "$WORK/web/data.tar.gz" in
  python3 "$WORK/bin/http_server.py" "$WORK/web" "$WORK/web.port" "$WORK/web.log" >"$WORK/web.err" 2>&1 &
  SERVERS+=($!)
  eventually test -s "$WORK/web.port"
  WEB=http://127.0.0.1:$(cat "$WORK/web.port")
}

# Repositories below $WEB/git: main (branches main, other, moving, tag v1), super with the submodule sub, evil with
# one on this machine, private/main.
make_repositories() (
  export GIT_CONFIG_GLOBAL=$WORK/gitconfig GIT_AUTHOR_DATE=2020-01-02T03:04:05Z GIT_COMMITTER_DATE=2020-01-02T03:04:05Z
  git config --file "$GIT_CONFIG_GLOBAL" user.name test
  git config --file "$GIT_CONFIG_GLOBAL" user.email test@example.com
  git config --file "$GIT_CONFIG_GLOBAL" init.defaultBranch main
  git config --file "$GIT_CONFIG_GLOBAL" protocol.file.allow always
  git config --file "$GIT_CONFIG_GLOBAL" advice.detachedHead false
  bare=$WORK/web/git
  cd "$WORK"
  git init -q main
  mkdir main/dir
  echo one >main/a
  echo run >main/dir/run
  chmod +x main/dir/run
  ln -s a main/link
  printf 'FROM scratch\nCOPY . /\n' >main/Dockerfile
  echo a >main/.dockerignore
  git -C main add .
  git -C main commit -qm one
  git -C main tag -a v1 -m v1
  git -C main branch other
  git -C main branch moving
  echo two >main/a
  git -C main commit -qam two
  git clone -q --bare main "$bare/main.git"
  git init -q sub
  echo sub >sub/s
  git -C sub add .
  git -C sub commit -qm sub
  git clone -q --bare sub "$bare/sub.git"
  git init -q super
  git -C super submodule --quiet add "$bare/sub.git" mods/sub
  git -C super config --file .gitmodules submodule.mods/sub.url ../sub.git
  git -C super commit -qam super
  git clone -q --bare super "$bare/super.git"
  git -C super config --file .gitmodules submodule.mods/sub.url "file://$bare/sub.git"
  git -C super commit -qam evil
  git clone -q --bare super "$bare/evil.git"
  git clone -q --bare main "$bare/private/main.git"
)

push_base() { # LAYOUT NAME
  command -v skopeo >/dev/null || skip "needs skopeo"
  skopeo --insecure-policy --tmpdir "$WORK" copy --quiet --dest-tls-verify=false "oci:$1:latest" "docker://$REGISTRY/$2"
}

# One member of the JSON in file $1, by python expression $2 on `j`.
json() { python3 -c 'import json,sys; j=json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }
