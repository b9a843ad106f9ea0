# docker's words and buildctl's words give the same image.
source "$(dirname "$0")/lib.sh"
with_busybox
dockerfile <<DF
$BASE
FROM base AS first
ARG K=default
RUN echo "\$K" > /k
FROM base AS second
RUN exit 1
DF
ok build --target first --build-arg K=V -o "type=oci,dest=$WORK/docker.tar" "$CONTEXT"
ok cobuild build --progress plain --frontend dockerfile.v0 --local "context=$CONTEXT" \
  --local "dockerfile=$CONTEXT" --opt target=first --opt build-arg:K=V \
  --output "type=oci,dest=$WORK/buildctl.tar"
all_cached
mkdir "$WORK/a" "$WORK/b"
tar -xf "$WORK/docker.tar" -C "$WORK/a"
tar -xf "$WORK/buildctl.tar" -C "$WORK/b"
equal "$(ls "$WORK/a/blobs/sha256")" "$(ls "$WORK/b/blobs/sha256")"

# -f elsewhere, and from stdin.
mkdir "$WORK/elsewhere"
mv "$CONTEXT/Dockerfile" "$WORK/elsewhere/Other"
ok build -f "$WORK/elsewhere/Other" --target first --build-arg K=V "$CONTEXT"
all_cached
cobuild build --progress plain -f - --target first --build-arg K=V "$CONTEXT" \
  <"$WORK/elsewhere/Other" >"$OUT" 2>"$ERR"
all_cached

# Every snapshotter by its name.
for snapshotter in overlay native; do
  ok cobuild build --progress plain --snapshotter "$snapshotter" -f "$WORK/elsewhere/Other" \
    --target first --no-cache "$CONTEXT"
done
