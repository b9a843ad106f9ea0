# Three stages on a base in a real registry, as root and as an ordinary user: the layers are the same
# bytes, and the second builds run nothing. Started as root.
source "$(dirname "$0")/lib.sh"
with_busybox
make_base_layout "$WORK/layout"
start_registry
push_base "$WORK/layout" base:1
echo file >"$CONTEXT/file"
dockerfile <<DF
FROM $REGISTRY/base:1 AS one
RUN echo 1 > /one && chown 1000:2000 /one && touch -d @1000000000 /one
FROM $REGISTRY/base:1 AS two
COPY --from=one /one /d/two
RUN mkdir -p /d/e && ln /d/two /d/e/link && ln -s two /d/sym && chmod 4755 /d/two && find /d -exec touch -h -d @1000000000 {} +
FROM $REGISTRY/base:1
COPY --from=two --chown=7:8 /d /d
COPY file /file
RUN rm /bin/yes && touch -d @1000000000 /bin && echo end > /end && touch -d @1000000000 /end
DF
id cobuild-e2e >/dev/null 2>&1 || useradd --no-create-home --shell /bin/bash cobuild-e2e
for file in /etc/subuid /etc/subgid; do
  grep -qs "^cobuild-e2e:" "$file" || echo "cobuild-e2e:300000:65536" >>"$file"
done
touch -d @1000000000 "$CONTEXT"/*
mkdir "$WORK/by-user"
chown cobuild-e2e "$WORK/by-user"
as_user() { runuser -u cobuild-e2e -- env -i HOME="$WORK/by-user" PATH="$PATH" "$@"; }
flags=(build --progress plain --insecure-registry "$REGISTRY" -t x:y)
for round in 1 2; do
  ok cobuild "${flags[@]}" -o "type=oci,tar=false,dest=$WORK/by-root-$round" "$CONTEXT"
  [ $round = 1 ] || all_cached
  ok as_user "$WORK/bin/cobuild" --root "$WORK/by-user/store" "${flags[@]}" \
    -o "type=oci,tar=false,dest=$WORK/by-user/layout-$round" "$CONTEXT"
  [ $round = 1 ] || all_cached
done
layers() { python3 - "$1" <<'PY'
import json, sys
blob = lambda d: json.load(open(f"{sys.argv[1]}/blobs/sha256/{d[7:]}"))
index = json.load(open(f"{sys.argv[1]}/index.json"))
print("\n".join(l["digest"] for l in blob(index["manifests"][0]["digest"])["layers"]))
PY
}
equal "$(layers "$WORK/by-user/layout-1")" "$(layers "$WORK/by-root-1")"
equal "$(layers "$WORK/by-root-2")" "$(layers "$WORK/by-root-1")"
equal "$(layers "$WORK/by-user/layout-2")" "$(layers "$WORK/by-root-1")"
equal "$(layers "$WORK/by-root-1" | wc -l)" 4
