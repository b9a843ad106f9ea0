# Several platforms in one build: an index, a directory each, what they share built once.
source "$(dirname "$0")/lib.sh"
with_busybox
echo shared >"$CONTEXT/file"
dockerfile <<DF
$BASE
FROM scratch AS native
COPY file /shared
FROM base AS each
COPY --from=native /shared /shared
ARG TARGETPLATFORM
RUN echo \$TARGETPLATFORM >/platform
FROM scratch
ARG TARGETARCH
COPY --from=each /shared /platform /
LABEL arch=\$TARGETARCH
MAINTAINER me
DF
platforms=linux/amd64,linux/arm64,linux/arm/v7
ok build --platform $platforms -t a/b:1 -o "type=oci,tar=false,dest=$WORK/layout" \
  -o "type=local,dest=$WORK/files" -o "type=tar,dest=$WORK/files.tar" --iidfile "$WORK/iid" \
  --metadata-file "$WORK/metadata.json" "$CONTEXT"
says "[linux/amd64 "
equal "$(grep -c 'WARN: MaintainerDeprecated' "$ERR")" 1 # F1.12.25
says "[linux/arm/v7 "
equal "$(grep -cE '^#[0-9]+ \[.*\] COPY file /shared' "$ERR")" 1

# The index, in the order that was asked for (F4.5.5), and each image's own config.
digest=$(json "$WORK/metadata.json" 'j["containerimage.digest"]')
equal "$(cat "$WORK/iid")" "$digest"
blob() { echo "$WORK/layout/blobs/sha256/${1#sha256:}"; }
index=$(blob "$digest")
equal "$(json "$index" '[m["platform"]["architecture"] for m in j["manifests"]]')" "['amd64', 'arm64', 'arm']"
equal "$(json "$index" 'j["manifests"][2]["platform"]["variant"]')" v7
for number in 0 1 2; do
  manifest=$(json "$index" "j['manifests'][$number]['digest']")
  config=$(json "$(blob "$manifest")" 'j["config"]["digest"]')
  equal "$(json "$(blob "$config")" 'j["architecture"]')" "$(json "$(blob "$config")" 'j["config"]["Labels"]["arch"]')"
done
if command -v skopeo >/dev/null; then
  ok skopeo --insecure-policy --tmpdir "$WORK" --override-arch arm64 --override-os linux inspect --config "oci:$WORK/layout:1"
  equal "$(json "$OUT" 'j["architecture"]')" arm64
fi

# A directory for each platform; side by side without when they do not clash.
for platform in linux/amd64 linux/arm64 linux/arm/v7; do
  equal "$(cat "$WORK/files/${platform//\//_}/platform")" "$platform"
  equal "$(tar -xOf "$WORK/files.tar" "${platform//\//_}/platform")" "$platform"
done
fails build --platform $platforms -o "type=local,dest=$WORK/merged,platform-split=false" "$CONTEXT"
says "when split option is disabled"
absent "$WORK/merged"

# One platform is no index, unless it is asked for (F4.5.4, F10.89).
ok build --platform linux/arm64 -o "type=oci,tar=false,dest=$WORK/one" "$CONTEXT"
equal "$(json "$WORK/one/index.json" 'j["manifests"][0]["mediaType"]')" application/vnd.oci.image.manifest.v1+json
ok build --platform linux/arm64 --opt build-arg:BUILDKIT_MULTI_PLATFORM=1 -o "type=oci,tar=false,dest=$WORK/map" "$CONTEXT"
equal "$(json "$WORK/map/index.json" 'j["manifests"][0]["mediaType"]')" application/vnd.oci.image.index.v1+json

# docker load takes one image; known before anything runs (F4.3.3, F10.98).
fails build --no-cache --platform linux/arm64 --opt multi-platform=true -o "type=docker,dest=$WORK/docker.tar" "$CONTEXT"
says "docker exporter does not currently support exporting manifest lists"
fails build --no-cache --platform $platforms -o "type=docker,dest=$WORK/docker.tar" "$CONTEXT"
one_error
says "docker exporter does not currently support exporting manifest lists"
says_not "RUN"
absent "$WORK/docker.tar"
