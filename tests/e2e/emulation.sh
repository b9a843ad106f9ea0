# Steps of another architecture: emulated where that can be had, else told how to get it (F9.1.15).
source "$(dirname "$0")/lib.sh"
[ "$(uname -m)" = x86_64 ] || skip "its program is foreign to x86_64 only"
command -v qemu-aarch64-static >/dev/null || skip "needs qemu-aarch64-static (qemu-user-static)"

# The smallest arm64 program: write(1, "hello\n", 6), exit(0).
python3 - "$CONTEXT/hello" <<'PY'
import struct, sys
code = struct.pack("<8I", 0xd2800020, 0x100000e1, 0xd28000c2, 0xd2800808, 0xd4000001, 0xd2800000, 0xd2800ba8, 0xd4000001)
start, address = 64 + 56, 0x400000
size = start + len(code) + 6
head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, address + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
segment = struct.pack("<IIQQQQQQ", 1, 5, 0, address, address, size, size, 0x1000)
open(sys.argv[1], "wb").write(head + segment + code + b"hello\n")
PY
chmod 755 "$CONTEXT/hello"
printf 'FROM scratch\nCOPY hello /\nRUN ["/hello"]\n' >"$CONTEXT/Dockerfile"

# What the machine itself has registered serves root and user alike.
if cobuild build --progress plain --platform linux/arm64 "$CONTEXT" >"$OUT" 2>"$ERR"; then
  says "hello"
else
  one_error
  says "programs for arm64 do not run on this machine"
  says "apt-get install qemu-user-static"
  says "Dockerfile:3"
  [ "$(id -u)" = 0 ] || [ "$(uname -r | cut -d. -f1)" -lt 6 ] || [[ "$(uname -r)" == 6.[0-6].* ]] ||
    fail "a user's namespace has handlers of its own since Linux 6.7"
fi
