# needs-npm: s3rver@3.7.1
# A cache in a bucket. s3rver knows whose key it is, and does not check the signature: unit tests do.
source "$(dirname "$0")/object_caches.sh"
mkdir "$WORK/buckets"
choose_port
node "$E2E_SERVERS/s3rver@3.7.1/node_modules/.bin/s3rver" -d "$WORK/buckets" -a 127.0.0.1 -p "$port" \
  --configure-bucket box >"$WORK/s3.log" 2>&1 &
SERVERS+=($!)
await_port "$WORK/s3.log"
BOX=type=s3,bucket=box,region=us-east-1,endpoint_url=http://127.0.0.1:$port,use_path_style=true
KEYS=access_key_id=S3RVER,secret_access_key=S3RVER
PLACE=$BOX,$KEYS,prefix=p/
PLACE_NAME=s3:box/p/
ELSEWHERE=$BOX,$KEYS,prefix=elsewhere/
SECRET=Sesame7opens
DENIED=$BOX,access_key_id=NOBODY,secret_access_key=$SECRET
EXPORTING="exporting cache to Amazon S3"
object_cache_rounds

# Names and layouts as BuildKit has them (F5.4.5).
[ -e "$WORK/buckets/box/p/manifests/buildkit._S3rver_object" ] || fail "no manifest: $(find "$WORK/buckets")"
ls "$WORK/buckets/box/p/blobs/" | grep -q '^sha256' || fail "no blobs"
config="$WORK/buckets/box/p/manifests/buildkit._S3rver_object"
json "$config" 'sorted(j["layers"][0]["annotations"])' | grep -qx "\['createdAt', 'diffID', 'mediaType', 'size'\]" || fail "no annotations"

# Keys from the environment and from a profile; several names out, the first of them in.
export AWS_REGION=us-east-1 AWS_BUCKET=box AWS_EC2_METADATA_DISABLED=true
NAMED=type=s3,endpoint_url=http://127.0.0.1:$port,use_path_style=true,name=one\;two
fails build --cache-to "$NAMED" "$CONTEXT"
says "no AWS credentials"
AWS_ACCESS_KEY_ID=S3RVER AWS_SECRET_ACCESS_KEY=S3RVER ok build --cache-to "$NAMED" "$CONTEXT"
mkdir -p "$HOME/.aws"
printf '[s3rver]\naws_access_key_id = S3RVER\naws_secret_access_key = S3RVER\n' >"$HOME/.aws/credentials"
fresh_store
AWS_PROFILE=s3rver ok build --cache-from "$NAMED" -o "type=local,dest=$WORK/files3" "$CONTEXT"
equal "$(cat "$WORK/files3/y")" tool
cmp "$WORK/buckets/box/manifests/one._S3rver_object" "$WORK/buckets/box/manifests/two._S3rver_object"

# touch_refresh: what is old is made new by a copy on itself.
touch -d '3 days ago' "$WORK/buckets/box/p/blobs/"*
fresh_store
ok build --cache-from "$PLACE" --cache-to "$PLACE,mode=max" "$CONTEXT"
says_not "writing layer"
# s3rver keeps the file of such a copy, and writes what is known of it anew.
touched=$(cat "$WORK/buckets/box/p/blobs/"*_metadata.json | grep -c updated-at || true)
[ "$touched" -gt 0 ] || fail "blobs are as old as they were"

# In packs, each of which is one object.
PLACE=$BOX,$KEYS,prefix=packed/
PACKED=$WORK/buckets/box/packed
stored() { find "$PACKED/blobs" -name '*_object'; }
served_in_all() {
  awk '/lobs.sha256.* 206 / { n = $NF; if (n ~ /kb$/) n *= 1024; if (n ~ /mb$/) n *= 1048576; all += n }
       END { printf "%d\n", all }' "$WORK/s3.log"
}
packed_cache_rounds

# What an index says wrongly, and a pack that is gone, cost the steps that made those layers, and nothing else; the next
# export says and has it right again.
PLACE=$BOX,$KEYS,prefix=damaged/
PACKED=$WORK/buckets/box/damaged
damage_index() { # EXPRESSION of the pack p
  python3 - "$PACKED/manifests/buildkit._S3rver_object" "$1" <<'PYTHON'
import json, sys
path, change = sys.argv[1:]
index = json.load(open(path))
for layer in index["layers"]:
    p = layer["pack"]
    exec(change)
json.dump(index, open(path, "w"))
PYTHON
}
uses_tool() { # X
  ok build --cache-from "$PLACE" --build-arg "X=$1" --target used -o "type=local,dest=$WORK/used.$1" \
    --cache-to "$PLACE,mode=max,pack=true" "$WORK/many"
  cmp "$WORK/many/tool" "$WORK/used.$1/tool-$1"
}
fresh_store
ok build --cache-to "$PLACE,mode=max,pack=true" "$WORK/many"
x=10
for change in 'p["offset"] = 0 if p["offset"] else 1' 'p["size"] = 10**12; p["offset"] = 10**11' 'p["digest"] = "sha256:" + "0" * 64' gone; do
  if [ "$change" = gone ]; then rm "$PACKED/blobs/"*; else damage_index "$change"; fi
  fresh_store
  uses_tool $((++x))
  says " WARN: failed to compute cache key"
  fresh_store
  uses_tool $((++x))
  says_not " WARN: "
done
# What cannot be is no cache.
damage_index 'p["offset"] = 10**12'
fresh_store
ok build --cache-from "$PLACE" "$WORK/many"
says "cannot have"

# What is no place is told at once.
fails build --cache-to type=s3,region=us-east-1,endpoint_url=:// "$CONTEXT"
one_error
