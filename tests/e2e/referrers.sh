# What refers to an image: listed by a registry's API or by the tag that stands in for it, which a push keeps up.
source "$(dirname "$0")/lib.sh"
with_busybox
command -v skopeo >/dev/null || skip "needs skopeo"
make_base_layout "$WORK/layout"
start_registry
push_base "$WORK/layout" team/app:1
push_base "$WORK/layout" copies/app:1
subject=$(json "$WORK/layout/index.json" 'j["manifests"][0]["digest"]')
flags=(--insecure-registry "$REGISTRY")

# NAME TYPE: puts into the layout, and under team/app:NAME, what refers to the image and is one itself.
refer() {
  python3 - "$WORK/layout" "$subject" "$REGISTRY" "$@" <<'PY'
import hashlib, json, pathlib, sys, urllib.request
layout, subject, registry, name, kind = sys.argv[1:]
blobs = pathlib.Path(layout, "blobs/sha256")
old = (blobs / subject[7:]).read_bytes()
manifest = json.loads(old)
media_type = "application/vnd.oci.image.manifest.v1+json"
manifest |= {"mediaType": media_type, "artifactType": kind,
             "subject": {"mediaType": media_type, "digest": subject, "size": len(old)},
             "annotations": {"org.opencontainers.image.created": "2024-01-02T03:04:05Z", "name": name}}
body = json.dumps(manifest).encode()
digest = hashlib.sha256(body).hexdigest()
(blobs / digest).write_bytes(body)
request = urllib.request.Request(f"http://{registry}/v2/team/app/manifests/{name}", body, {"Content-Type": media_type}, method="PUT")
assert urllib.request.urlopen(request).status == 201
print("sha256:" + digest)
PY
}
signature=$(refer signature example/signature)
bill=$(refer bill example/bill)
third=$(refer third example/bill)

# Debian's registry has no such API, and nobody has kept up the tag: nothing.
ok cobuild inspect "${flags[@]}" --referrers "$REGISTRY/copies/app:1"
equal "$(cat "$OUT")" "DIGEST   ARTIFACT TYPE   SIZE   CREATED"
absent "$STORE"

# A push of an image that refers to another adds it, once.
copy() {
  ok cobuild pull "${flags[@]}" "$REGISTRY/team/app:$1"
  ok cobuild push "${flags[@]}" "$REGISTRY/team/app:$1" "$REGISTRY/copies/app:$1"
}
copy signature
copy bill
copy signature
ok cobuild inspect "${flags[@]}" --referrers "$REGISTRY/copies/app:1"
equal "$(wc -l <"$OUT")" 3
grep -qE "^$signature +example/signature +[0-9.]+k?B +2024-01-02T03:04:05Z$" "$OUT" || fail "no such row"
grep -qE "^$bill +example/bill " "$OUT" || fail "no such row"
ok cobuild inspect "${flags[@]}" --referrers --json --artifact-type example/bill "$REGISTRY/copies/app@$subject"
equal "$(wc -l <"$OUT")" 1
equal "$(json "$OUT" 'j["digest"]')" "$bill"
equal "$(json "$OUT" 'j["annotations"]["name"]')" bill
ok skopeo --insecure-policy --tmpdir "$WORK" inspect --raw --tls-verify=false "docker://$REGISTRY/copies/app:${subject/:/-}"
equal "$(json "$OUT" '[m["digest"] for m in j["manifests"]]')" "['$signature', '$bill']"

# Wrong flags, and names that are not there.
fails cobuild inspect "${flags[@]}" --referrers "$REGISTRY/copies/none:1"
one_error
says "copies/none:1: not found"
fails cobuild inspect --json "$REGISTRY/copies/app:1"
one_error
stop_servers
fails cobuild inspect "${flags[@]}" --registry-timeout 1 --referrers "$REGISTRY/copies/app@$subject"
one_error
says "referrers of $REGISTRY/copies/app@$subject"

# A registry with the API: all pages, and only what was asked for though it does not filter.
start_fake_registry "$WORK/layout" referrers
ok cobuild inspect --insecure-registry "$REGISTRY" --referrers "$REGISTRY/any/app@$subject"
equal "$(wc -l <"$OUT")" 4
ok cobuild inspect --insecure-registry "$REGISTRY" --referrers --artifact-type example/bill "$REGISTRY/any/app:1"
equal "$(cut -d' ' -f1 "$OUT" | sed 1d | sort)" "$(printf '%s\n' "$bill" "$third" | sort)"
nothing_left
