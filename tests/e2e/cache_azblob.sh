# needs-npm: azurite@3.37.0
# A cache in Azure's blob storage, as Azurite has it, which checks signatures and shared access signatures.
source "$(dirname "$0")/object_caches.sh"
choose_port
mkdir "$WORK/azurite"
KEY=$(printf 'a key of sixty-four bytes, more or less, which nobody else has......' | base64 -w0)
AZURITE_ACCOUNTS="acct:$KEY" node "$E2E_SERVERS/azurite@3.37.0/node_modules/.bin/azurite-blob" --silent --disableTelemetry \
  --location "$WORK/azurite" --blobHost 127.0.0.1 --blobPort "$port" >"$WORK/azurite.log" 2>&1 &
SERVERS+=($!)
await_port "$WORK/azurite.log"
URL=http://127.0.0.1:$port/acct
BOX=type=azblob,account_url=$URL,account_name=acct
PLACE=$BOX,secret_access_key=$KEY,prefix=p
PLACE_NAME=azblob:acct/buildkit-cache/p/
ELSEWHERE=$BOX,secret_access_key=$KEY,container=elsewhere
SECRET=$(printf 'another key' | base64)
DENIED=$BOX,secret_access_key=$SECRET
EXPORTING="exporting cache to Azure Blob Storage"
object_cache_rounds

# Several names, all of which are read; what there is to say may come from the environment (F5.4.6).
export BUILDKIT_AZURE_STORAGE_ACCOUNT_URL=$URL BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME=acct BUILDKIT_AZURE_STORAGE_PREFIX=p
ok build --cache-to "type=azblob,secret_access_key=$KEY,name=one,mode=max" "$CONTEXT"
fresh_store
ok build --cache-from "type=azblob,secret_access_key=$KEY,name=none;one" "$CONTEXT"
all_cached

# Small layers go from objects of their own into a pack, and from there to a step that reads them.
fresh_store
ok build --cache-from "$PLACE" --cache-to "$PLACE,name=packed,mode=max,pack=true" "$CONTEXT"
all_cached
matches 'writing pack sha256:[0-9a-f]+ of [0-9]+ layers'
fresh_store
ok build --cache-from "$PLACE,name=packed" --build-arg X=3 -o "type=local,dest=$WORK/packed" "$CONTEXT"
equal "$(cat "$WORK/packed/x" "$WORK/packed/y")" "3
tool"
cmp "$WORK/files0/t/large" "$WORK/packed/t/large"

# A shared access signature in the URL instead of the key.
SIGNED=$(python3 "$WORK/bin/azure_sas.py" acct "$KEY")
fresh_store
ok build --cache-from "type=azblob,account_url=$URL?$SIGNED,name=one" "$CONTEXT"
all_cached
ok build --cache-from "type=azblob,account_url=$URL?${SIGNED/sig=/sig=X},name=one" "$CONTEXT"
says_not "${SIGNED##*sig=}"

# Nobody says who we are.
fails build --cache-to "type=azblob,account_url=$URL" "$CONTEXT"
says "no Azure credentials"
