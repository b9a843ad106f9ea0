# What makes a step run again, and what does not.
source "$(dirname "$0")/lib.sh"
with_busybox

# The number of the step whose name has this text.
number_of() {
  local number
  number=$(grep -E '^#[0-9]+ \[' "$ERR" | grep -F -- "] $1" | head -n 1 | cut -d' ' -f1)
  [ -n "$number" ] || fail "no step is called $1"
  echo "$number"
}
hit() {
  local text
  for text; do grep -qx "$(number_of "$text") CACHED" "$ERR" || fail "was run again: $text"; done
}
miss() {
  local text
  for text; do ! grep -qx "$(number_of "$text") CACHED" "$ERR" || fail "was taken from the cache: $text"; done
}
# Builds the Dockerfile on stdin.
of() {
  dockerfile
  ok build "$@" "$CONTEXT"
}

# ---- ARG (F1.5.8, F1.5.9, F10.34, F10.35)
echo a >"$CONTEXT/a.txt"
cp "$CONTEXT/a.txt" "$CONTEXT/b.txt"
cp "$CONTEXT/a.txt" "$CONTEXT/2.txt"
echo 1 >"$CONTEXT/1.txt"
dockerfile <<DF
$BASE
RUN echo before
ARG V=1
COPY a.txt /a
RUN echo after
FROM scratch AS named
ARG V=1
COPY \$V.txt /named
FROM scratch
COPY --from=base /a /a
COPY --from=named /named /named
DF
ok build "$CONTEXT"
ok build --build-arg V=2 "$CONTEXT"
hit "RUN echo before" "COPY a.txt /a" "COPY --from=base"
miss "RUN echo after" "COPY 2.txt /named"
ok build --build-arg OTHER=x --build-arg http_proxy=http://one "$CONTEXT"
all_cached
ok build --build-arg http_proxy=http://two "$CONTEXT"
all_cached

# ---- RUN (F1.6.5, F10.63, F10.64)
run() { # LINES [FLAG...]: `RUN echo x` after these lines
  local lines=$1
  shift
  of "$@" <<DF
$BASE
$lines
RUN echo x
DF
}
run ""
for flags in "--opt hostname=h" "--ulimit nofile=100:200" "--shm-size 1m" "--network none"; do
  # shellcheck disable=SC2086 # flags are words
  run "" $flags
  miss "RUN echo x"
done
for lines in "ENV A=1" "USER 5" "WORKDIR /bin" 'SHELL ["/bin/sh", "-ec"]' "COPY a.txt /a"; do
  run "$lines"
  miss "RUN echo x"
done
for lines in "LABEL a=b" 'CMD ["x"]' "# a comment" "EXPOSE 80" 'ENTRYPOINT ["y"]' "STOPSIGNAL 9"; do
  run "$lines"
  hit "RUN echo x"
done
run "" --memory 64m --cpu-shares 512
hit "RUN echo x"
of <<DF
$BASE
RUN echo  x
DF
miss "RUN echo  x"

# ---- caches (F10.59)
mounted() {
  of <<DF
$BASE
RUN --mount=type=cache,target=$1 echo x
DF
}
mounted /c
mounted /c,id=a
miss "RUN --mount"
mounted /c,id=b
hit "RUN --mount"
mounted /d
mounted /d,sharing=locked
miss "RUN --mount"

# ---- files (F1.7.23)
mkdir -p "$CONTEXT/d1/sub" "$CONTEXT/d2/sub"
echo f | tee "$CONTEXT/f1" "$CONTEXT/f2" "$CONTEXT/d1/f" >"$CONTEXT/d2/f"
ln -s f "$CONTEXT/d1/link"
ln -s f "$CONTEXT/d2/link"
copies() {
  of <<DF
$BASE
COPY $1
RUN echo of files
DF
}
touched() { # hit|miss COMMAND...: what `COPY d1 /x` does after the command
  local expected=$1
  shift
  "$@"
  copies "d1 /x"
  "$expected" "COPY d1 /x" "RUN echo of files"
}
copies "d1 /x"
touched hit touch -h -d @1000000000 "$CONTEXT/d1" "$CONTEXT/d1/f" "$CONTEXT/d1/link" # F10.68
touched hit touch "$CONTEXT/f1"
touched miss chmod 600 "$CONTEXT/d1/f"
touched miss chmod 700 "$CONTEXT/d1/sub" # F10.69: also of a directory alone
touched miss ln -sfn sub "$CONTEXT/d1/link"
touched miss mv "$CONTEXT/d1/f" "$CONTEXT/d1/g"
touched miss rmdir "$CONTEXT/d1/sub"
touched miss mkdir "$CONTEXT/d1/sub"
mv "$CONTEXT/d1/g" "$CONTEXT/d1/f"
# F10.70: the last part of a source's name counts, the directories before it do not.
copies "d1/f /y/"
chmod 600 "$CONTEXT/d2/f"
copies "d2/f /y/"
hit "COPY d2/f /y/" "RUN echo of files"
copies "f1 /y"
copies "f2 /y"
miss "COPY f2 /y"
rm -r "$CONTEXT/d2"
cp -a "$CONTEXT/d1" "$CONTEXT/d2"
copies "d1 /z"
copies "d2 /z"
miss "COPY d2 /z"
# F10.71
copies "*.txt /w/"
touch "$CONTEXT/new.md"
copies "*.txt /w/"
hit "COPY *.txt /w/"
touch "$CONTEXT/new.txt"
copies "*.txt /w/"
miss "COPY *.txt /w/"
echo ignored.txt >"$CONTEXT/.dockerignore"
copies "*.txt /w/"
touch "$CONTEXT/ignored.txt"
copies "*.txt /w/"
hit "COPY *.txt /w/"

# Of a stage, owners and the modes of directories count too (F1.7.23, F10.69).
made() {
  of <<DF
$BASE
RUN mkdir /t && echo x > /t/f
RUN $1
FROM scratch
COPY --from=base /t /t
DF
}
made "true"
made "touch -d @1000000000 /t/f"
hit "COPY --from=base"
made "chown 5 /t/f"
miss "COPY --from=base"
made "chmod 700 /t"
miss "COPY --from=base"

# ---- what is made again, but equal (F10.72), and copies that lie on nothing (F10.73)
stages() {
  of --build-arg "V=$1" <<DF
$BASE
FROM base AS made
ARG V
RUN echo same > /same
FROM base AS next
COPY --from=made /same /same
RUN --mount=from=made,source=/same,target=/m echo mounted
FROM base
RUN echo $1
COPY --link --from=made /same /linked
COPY --from=next /same /other
DF
}
stages 1
stages 2
miss "RUN echo same" "RUN echo 2"
hit "COPY --from=made" "RUN --mount=from=made"
miss "COPY --link" "COPY --from=next"
nothing_left
