# Files as they were sent, ignored files, owners and modes, heredocs, and the image's config.
source "$(dirname "$0")/lib.sh"
with_busybox
mkdir -p "$CONTEXT/dir/sub"
echo keep >"$CONTEXT/dir/keep"
echo drop >"$CONTEXT/dir/drop.log"
echo deep >"$CONTEXT/dir/sub/deep"
printf '*.tmp\n**/*.log\n' >"$CONTEXT/.dockerignore"
dockerfile <<DF
$BASE
WORKDIR /w
COPY dir .
COPY --chown=12:34 --chmod=0640 dir/keep owned
COPY <<EOT heredoc
from a heredoc
EOT
RUN <<EOT
stat -c '%u:%g %a' owned > stat
find . -type f | sort > /list
EOT
EXPOSE 80/tcp
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["true"]
HEALTHCHECK --interval=5s CMD true
DF
ok build -o "type=local,dest=$WORK/files" -o "type=oci,tar=false,dest=$WORK/layout" -t a:b "$CONTEXT"
equal "$(cat "$WORK/files/w/stat")" "12:34 640"
equal "$(cat "$WORK/files/w/heredoc")" "from a heredoc"
equal "$(tr '\n' ' ' <"$WORK/files/list")" "./heredoc ./keep ./owned ./stat ./sub/deep "
manifest=$(json "$WORK/layout/index.json" 'j["manifests"][0]["digest"][7:]')
config=$WORK/layout/blobs/sha256/$(json "$WORK/layout/blobs/sha256/$manifest" 'j["config"]["digest"][7:]')
equal "$(json "$config" 'j["config"]["WorkingDir"]')" /w
equal "$(json "$config" 'sorted(j["config"]["ExposedPorts"])')" "['80/tcp']"
equal "$(json "$config" 'sorted(j["config"]["Volumes"])')" "['/data']"
equal "$(json "$config" 'j["config"]["Entrypoint"]')" "['/bin/sh', '-c']"
equal "$(json "$config" 'j["config"]["StopSignal"]')" SIGTERM
equal "$(json "$config" 'len([h for h in j["history"] if not h.get("empty_layer")]) == len(j["rootfs"]["diff_ids"])')" True

# A file that is ignored, or touched, changes nothing; a file that is used does (F1.9.9).
echo other >"$CONTEXT/dir/drop.log"
touch "$CONTEXT/dir/keep"
ok build "$CONTEXT"
all_cached
echo changed >"$CONTEXT/dir/sub/deep"
ok build "$CONTEXT"
[ "$(cached_steps)" -lt "$(steps)" ] || fail "a changed file was not seen"
