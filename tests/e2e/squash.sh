# --squash: the layers above the base become one, which says of the base what they said together.
source "$(dirname "$0")/lib.sh"
command -v umoci >/dev/null || skip "needs umoci"
with_busybox
make_base_layout "$WORK/base" >/dev/null
dockerfile <<'DF'
FROM base
RUN echo one >/a && mkdir /d && echo x >/d/gone && rm /bin/yes
RUN rm /d/gone && echo two >/a && ln /a /d/link && rm /etc/passwd && echo new >/etc/new
ENV A=b
RUN rm /bin/wc && chmod 700 /tmp && echo three >/d/c
DF
with_base=(--build-context "base=oci-layout://$WORK/base:latest")
layout() { ok build "${with_base[@]}" "${@:2}" -o "type=oci,tar=false,dest=$WORK/$1${SQUASH:+,squash=$SQUASH}" "$CONTEXT"; }
manifest() { echo "$WORK/$1/blobs/sha256/$(json "$WORK/$1/index.json" 'j["manifests"][0]["digest"][7:]')"; }
config() { echo "$WORK/$1/blobs/sha256/$(json "$(manifest "$1")" 'j["config"]["digest"][7:]')"; }
files() {
  local rootless=()
  [ "$(id -u)" = 0 ] || rootless=(--rootless)
  ok umoci unpack "${rootless[@]}" --image "$WORK/$1:latest" "$WORK/$1-bundle"
  (cd "$WORK/$1-bundle/rootfs" && find . ! -name . -printf '%p %y %m %n %s %l\n' | sort)
}
layout plain
equal "$(json "$(manifest plain)" 'len(j["layers"])')" 4
layout new --squash
equal "$(json "$(manifest new)" 'len(j["layers"])')" 2
equal "$(json "$(manifest new)" 'j["layers"][0]["digest"]')" "$(json "$(manifest plain)" 'j["layers"][0]["digest"]')"
SQUASH=all layout all
equal "$(json "$(manifest all)" 'len(j["layers"])')" 1
for kind in plain new all; do files $kind >"$WORK/$kind.files"; done
cmp "$WORK/plain.files" "$WORK/new.files" || fail "squashed above the base: other files"
cmp "$WORK/plain.files" "$WORK/all.files" || fail "squashed: other files"
absent "$WORK/new-bundle/rootfs/bin/yes"

# One entry of the history stands for all of them.
equal "$(json "$(config new)" 'len(j["rootfs"]["diff_ids"])')" 2
equal "$(json "$(config new)" '[h.get("comment") for h in j["history"] if not h.get("empty_layer")][-1]')" cobuild.exporter.squash.v0
equal "$(json "$(config new)" 'sum(not h.get("empty_layer") for h in j["history"])')" 2
equal "$(json "$(config new)" 'j["config"]["Env"][-1]')" A=b

# The merged layer tells what is no more, and not what was only here for a while.
blob=$WORK/new/blobs/sha256/$(json "$(manifest new)" 'j["layers"][1]["digest"][7:]')
tar -tzf "$blob" | sort >"$OUT"
grep -qx "bin/.wh.yes" "$OUT" || fail "no whiteout of bin/yes"
grep -qx "etc/.wh.passwd" "$OUT" || fail "no whiteout of etc/passwd"
! grep -q gone "$OUT" || fail "d/gone is told of"

# Again: nothing is packed anew, and the digest is the same.
layout again --squash
all_cached
equal "$(json "$(config again)" 'j["rootfs"]')" "$(json "$(config new)" 'j["rootfs"]')"
SQUASH=what fails build "${with_base[@]}" -o "type=oci,dest=$WORK/x.tar,squash=what" "$CONTEXT"
says "invalid squash=what"
