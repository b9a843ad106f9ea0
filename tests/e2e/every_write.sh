# A build that is killed when it is about to change the store, or runs out of room there, leaves a store in which
# nothing is damaged and with which the next build makes the same image: wherever that happens while it builds,
# exports an image and a cache, imports one, or removes garbage. E2E_WRITES=1 tries every write; as it is, every
# 23rd, from E2E_SEED on.
source "$(dirname "$0")/lib.sh"
tool=$WORK/write_fault
"${CC:-clang-19}" -O1 -Wall -Wextra -o "$tool" "$WORK/bin/write_fault.c" || skip "needs clang-19"
stride=${E2E_WRITES:-23}
seed=${E2E_SEED:-$RANDOM}
echo "seed $seed"

head -c 20000 /dev/urandom >"$CONTEXT/first"
head -c 20000 /dev/urandom >"$CONTEXT/second"
dockerfile <<'DF'
FROM scratch AS base
COPY first /first
FROM base AS side
COPY second /side
FROM base
COPY --from=side /side /side
COPY second /second
DF
epoch=(--build-arg SOURCE_DATE_EPOCH=1)
image=$WORK/image.tar
to_image=("${epoch[@]}" -o "type=oci,dest=$image,rewrite-timestamp=true")
cache=$WORK/cache
root_digest() { tar -xOf "$image" index.json; }

ok build "${to_image[@]}" --cache-to "type=local,dest=$cache,mode=max" "$CONTEXT"
expected=$(root_digest)
mv "$STORE" "$WORK/full"
cp -r "$cache" "$WORK/imported"

# The store is what an unharmed one is.
check_store() { # WHERE
  eventually is_idle
  ok cobuild cache verify
  ok build "${to_image[@]}" "$CONTEXT"
  equal "$1: $(root_digest)" "$1: $expected"
  ok build "${to_image[@]}" "$CONTEXT"
  all_cached
  ok cobuild cache verify
  nothing_left
}

# new_store makes the store that an operation begins with.
new_store() {
  rm -rf "$STORE" "$image" "$cache"
  [ "$1" != collect ] || cp -a "$WORK/full" "$STORE"
}
operation() {
  case $1 in
  export) echo build --progress plain --build-arg SOURCE_DATE_EPOCH=1 -o "type=oci,dest=$image,rewrite-timestamp=true" --cache-to "type=local,dest=$cache,mode=max" "$CONTEXT" ;;
  import) echo build --progress plain --build-arg SOURCE_DATE_EPOCH=1 -o "type=oci,dest=$image,rewrite-timestamp=true" --cache-from "type=local,src=$WORK/imported" "$CONTEXT" ;;
  collect) echo prune --all ;;
  esac
}

killed=0
full=0
for fault in kill full; do
  for what in export import collect; do
    read -ra words < <(operation "$what")
    first=$((1 + seed % stride))
    write=$first
    while true; do
      new_store "$what"
      where="$what, $fault at write $write"
      status=0
      "$tool" "$fault" "$write" "$STORE" "$WORK/bin/cobuild" --root "$STORE" "${words[@]}" >"$OUT" 2>"$ERR" </dev/null ||
        status=$?
      [ "$status" -ne 99 ] || break
      if [ "$fault" = kill ]; then
        equal "$where: $status" "$where: 137"
        killed=$((killed + 1))
      elif [ "$status" -ne 0 ]; then  # What is lost is not always missed.
        one_error
        matches "no room is left on the disk of "
        full=$((full + 1))
      fi
      check_store "$where"
      write=$((write + stride))
    done
    [ "$write" -gt "$first" ] || fail "$what: no write had a fault"
    echo "$what, $fault: fewer than $write writes"
  done
  [ "$(uname -m)" = x86_64 ] || break
done
echo "$killed were killed, $full had no room"
