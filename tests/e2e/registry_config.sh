# What this machine's configuration says of registries: certs.d with client certificates, registries.conf, and an
# address of IPv6.
source "$(dirname "$0")/lib.sh"
with_busybox
command -v skopeo >/dev/null || skip "needs skopeo"
command -v openssl >/dev/null || skip "needs openssl"
make_base_layout "$WORK/layout"
start_registry
push_base "$WORK/layout" hub/library/base:1
plain=$REGISTRY
containers=$HOME/.config/containers
mkdir -p "$containers"
dockerfile <<'DF'
ARG BASE=base:1
FROM $BASE
RUN echo built > /built
DF

# A mirror has what Docker Hub has, and a name of ours is elsewhere; both are said to be insecure.
cat >"$containers/registries.conf" <<CONF
unqualified-search-registries = ["example.invalid"]
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "$plain/hub"
insecure = true
[[registry]]
prefix = "team.example/apps"
location = "$plain/deep/er"
insecure = true
[[registry]]
location = "blocked.example"
blocked = true
CONF
ok build --push -t team.example/apps/a:1 "$CONTEXT"
ok skopeo --insecure-policy --tmpdir "$WORK" inspect --tls-verify=false "docker://$plain/deep/er/a:1"
ok build --build-arg BASE=team.example/apps/a:1 --no-cache "$CONTEXT"
fails build --build-arg BASE=blocked.example/a:1 "$CONTEXT"
one_error
says "blocked.example/a is blocked by $containers/registries.conf"
echo '[[registry]' >"$containers/registries.conf"
fails build "$CONTEXT"
one_error
says "$containers/registries.conf:1: "
rm "$containers/registries.conf"

# A registry that wants to know who we are: a CA, a certificate and its key, where docker and podman look for them.
cd "$WORK"
for name in server client; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" -days 2 \
    -addext subjectAltName=IP:127.0.0.1 -keyout $name.key -out $name.pem 2>/dev/null
done
stop_servers
port=${plain#*:}
serve() { # HTTP-PART-OF-THE-CONFIGURATION: the same registry in another way
  sed -i '/^http:/d' registry.yml
  echo "http: {$1}" >>registry.yml
  docker-registry serve registry.yml >registry.log 2>&1 &
  SERVERS+=($!)
}
serve "addr: '127.0.0.1:$port', tls: {certificate: $WORK/server.pem, key: $WORK/server.key, clientcas: [$WORK/client.pem]}"
eventually bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
certs=$containers/certs.d/$plain
mkdir -p "$certs"
cp server.pem "$certs/ca.crt"
fails build --build-arg "BASE=$plain/hub/library/base:1" "$CONTEXT"
one_error
says "TLS with $plain: it does not accept who we are: "
says "/etc/docker/certs.d/$plain"
says_not retrying
cp client.pem "$certs/client.cert"
fails build --build-arg "BASE=$plain/hub/library/base:1" "$CONTEXT"
one_error
says "client certificate $certs/client.cert with key $certs/client.key"
cp client.key "$certs/client.key"
ok build --build-arg "BASE=$plain/hub/library/base:1" --push -t "$plain/secure/a:1" "$CONTEXT"
all_cached

# By an address of IPv6.
stop_servers
serve "addr: '[::1]:$port'"
for try in $(seq 50); do
  (exec 3<>"/dev/tcp/::1/$port") 2>/dev/null && break
  sleep 0.1
done
(exec 3<>"/dev/tcp/::1/$port") 2>/dev/null || { echo "no IPv6 here"; exit 0; }
ok build --build-arg "BASE=[::1]:$port/secure/a:1" --push -t "[::1]:$port/six/a:1" "$CONTEXT"
ok build --build-arg "BASE=[::1]:$port/six/a:1" "$CONTEXT"  # skopeo has no such names
nothing_left
