# Annotations, by place and by platform, and what is told of the image in files.
source "$(dirname "$0")/lib.sh"
with_busybox
echo text >"$CONTEXT/file"
printf 'FROM scratch\nCOPY file /file\n' >"$CONTEXT/Dockerfile"
build_index() {
  rm -rf "$WORK/layout"
  "$1" build --platform linux/amd64,linux/arm64 -o "type=oci,tar=false,dest=$WORK/layout" "${@:2}" \
    --metadata-file "$WORK/metadata.json" "$CONTEXT"
}
blob() { echo "$WORK/layout/blobs/sha256/${1#sha256:}"; }
build_index ok --annotation "A=all" --annotation "manifest[linux/arm64]:B=arm" \
  --annotation "index,manifest-descriptor:C=3" --annotation "index-descriptor:D=4" --annotation "manifest-descriptor[linux/amd64]:E=5"
index=$(blob "$(json "$WORK/layout/index.json" 'j["manifests"][0]["digest"]')")
equal "$(json "$WORK/layout/index.json" 'j["manifests"][0]["annotations"]["D"]')" 4
equal "$(json "$WORK/metadata.json" 'j["containerimage.descriptor"]["annotations"]["D"]')" 4
equal "$(json "$index" 'j["annotations"]')" "{'C': '3'}"
equal "$(json "$index" '[m["annotations"] for m in j["manifests"]]')" "[{'C': '3', 'E': '5'}, {'C': '3'}]"
for expected in "0 {'A': 'all'}" "1 {'A': 'all', 'B': 'arm'}"; do
  manifest=$(json "$index" "j['manifests'][${expected%% *}]['digest']")
  equal "$(json "$(blob "$manifest")" 'j["annotations"]')" "${expected#* }"
done
build_index fails --annotation "manifest[linux/s390x]:a=b"
one_error
says "invalid annotation: no platform linux/s390x found in source"

# One image alone. Keys of --output are in lower case (F10.90).
ok build -o "type=oci,tar=false,dest=$WORK/one,annotation.Foo.Bar=1" "$CONTEXT"
digest=$(json "$WORK/one/index.json" 'j["manifests"][0]["digest"]')
equal "$(json "$WORK/one/blobs/sha256/${digest#sha256:}" 'j["annotations"]')" "{'foo.bar': '1'}"
fails build --annotation index:a=b -o "type=oci,dest=$WORK/x.tar" "$CONTEXT"
says "index annotations not supported for single platform export"
fails build --annotation manifest-descriptor:a=b -o "type=oci,dest=$WORK/x.tar,oci-mediatypes=false" "$CONTEXT"
says 'cannot export annotations with "oci-mediatypes=false"'
ok build --annotation "manifest[linux/amd64]:a=b" -o "type=oci,dest=$WORK/x.tar" "$CONTEXT"
says "annotations for linux/amd64 have no effect on an image that is in no index"

# What is told of an image that is in no archive has no time in it.
ok build --metadata-file "$WORK/metadata.json" -o "type=image,name=*,image.name=made/up:1" "$CONTEXT"
equal "$(json "$WORK/metadata.json" 'sorted(j)')" \
  "['containerimage.config.digest', 'containerimage.descriptor', 'containerimage.digest', 'image.name']"
equal "$(json "$WORK/metadata.json" 'j["image.name"]')" made/up:1
equal "$(json "$WORK/metadata.json" '"annotations" in j["containerimage.descriptor"]')" False

# Not what was asked for: built, and told.
printf 'FROM --platform=linux/arm64 scratch\nCOPY file /file\n' >"$CONTEXT/Dockerfile"
ok build --platform linux/amd64,linux/amd64 -o "type=oci,dest=$WORK/x.tar" "$CONTEXT"
says 'Duplicate platform result requested "linux/amd64"'
