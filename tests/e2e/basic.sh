# The main job: several stages with RUN, an image that other tools take, and a second build that runs
# nothing.
source "$(dirname "$0")/lib.sh"
with_busybox
dockerfile <<DF
$BASE
FROM base AS one
WORKDIR /work
RUN echo one > one && echo to-stderr >&2
RUN cat one one > two

FROM base AS unused
RUN echo must-not-run; exit 9

FROM base
ARG WHO=nobody
ENV GREETING="hello \$WHO"
COPY --from=one /work/two /two
RUN echo "\$GREETING" > /greeting; wc -l < /two > /lines; id -u > /uid
LABEL a=b
USER 5:6
CMD ["cat", "/greeting"]
DF

ok build -t example:1 --build-arg WHO=world -o "type=oci,dest=$WORK/image.tar" "$CONTEXT"
says "to-stderr"
says_not "must-not-run"
says_not "CACHED"
mv "$WORK/image.tar" "$WORK/first.tar"

ok build -t example:1 --build-arg WHO=world -o "type=oci,dest=$WORK/image.tar" "$CONTEXT"
all_cached

# The same layers, and the same config.
mkdir "$WORK/a" "$WORK/b"
tar -xf "$WORK/first.tar" -C "$WORK/a"
tar -xf "$WORK/image.tar" -C "$WORK/b"
equal "$(ls "$WORK/a/blobs/sha256")" "$(ls "$WORK/b/blobs/sha256")"

# A changed argument runs only what uses it.
ok build -t example:1 --build-arg WHO=you "$CONTEXT"
[ "$(cached_steps)" -gt 0 ] || fail "nothing was cached"
[ "$(cached_steps)" -lt "$(steps)" ] || fail "the step that uses WHO was not run"

ok build --no-cache --build-arg WHO=world "$CONTEXT"
says "to-stderr"

# All of its output, however much (F10.67).
printf '%sRUN seq 400000\n' "$BASE" >"$WORK/long"
ok build -f "$WORK/long" "$CONTEXT"
equal "$(grep -cE '^#[0-9]+ [0-9.]+ [0-9]+$' "$ERR")" 400000

# What is in it.
ok cobuild build --progress quiet --build-arg WHO=world -o "type=local,dest=$WORK/files" "$CONTEXT"
equal "$(cat "$WORK/files/greeting")" "hello world"
equal "$(tr -d ' ' <"$WORK/files/lines")" 2
equal "$(cat "$WORK/files/uid")" 0
absent "$WORK/files/work"
nothing_left
