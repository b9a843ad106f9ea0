# Questions about a Dockerfile: --check, --call, buildctl's requestid; and "# syntax=".
source "$(dirname "$0")/lib.sh"
echo x >"$CONTEXT/x"

prints() { # TEXT: stdout has it
  grep -qF -- "$1" "$OUT" || fail "stdout does not say: $1"
}

dockerfile <<'DF'
# base what others start from
FROM scratch AS base
# V which one
ARG V=1
COPY x /x

FROM base AS last
ENV a b
DF
ok build --call targets "$CONTEXT"
diff - "$OUT" <<'TEXT' || fail "the table of targets"
TARGET         DESCRIPTION
base           what others start from
last (default) 
TEXT
ok build --call=outline --build-arg V=2 "$CONTEXT"
diff - "$OUT" <<'TEXT' || fail "the outline"
TARGET: last

BUILD ARG   VALUE   DESCRIPTION
V           2       which one

TEXT
ok build --call outline,format=json --target base "$CONTEXT"
prints '"description": "what others start from"'

# Findings are an exit status of 1, and nothing is built.
fails build --check "$CONTEXT"
prints "Check complete, 1 warning has been found!"
prints "WARNING: LegacyKeyValueFormat - https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/"
prints "   8 | >>> ENV a b"
says_not "error:"
ok build --call check,ignorestatus=true "$CONTEXT"
fails build --call check,format=json "$CONTEXT"
prints '"ruleName": "LegacyKeyValueFormat"'
ok build --check --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=all "$CONTEXT"
prints "Check complete, no warnings found."
fails build --build-arg BUILDKIT_DOCKERFILE_CHECK=error=true "$CONTEXT"
says "lint violation found for rules: LegacyKeyValueFormat"
ok build "$CONTEXT"
matches "^$(sed -n 's/ \[internal\] load build definition .*//p' "$ERR") WARN: LegacyKeyValueFormat" # F9.1.10
says "WARN: LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 8)"
fails build --call nonsense "$CONTEXT"
one_error

# As buildctl has it (F1.11.27): the text, and success whatever it says.
ok build --frontend dockerfile.v0 --local "context=$CONTEXT" --local "dockerfile=$CONTEXT" \
  --opt requestid=frontend.lint
prints "WARNING: LegacyKeyValueFormat"
ok build --frontend dockerfile.v0 --local "context=$CONTEXT" --local "dockerfile=$CONTEXT" \
  --opt requestid=frontend.subrequests.describe
prints "outline              1.0.0   List all parameters current build target supports"
fails build --frontend dockerfile.v0 --local "context=$CONTEXT" --opt requestid=frontend.nonsense
says "unsupported request frontend.nonsense"
ok build --frontend dockerfile.v0 --local "context=$CONTEXT" --local "dockerfile=$CONTEXT" \
  --opt requestid=frontend.convertllb # F1.13.6
sed 1d "$OUT" >"$WORK/llb.json"
equal "$(json "$WORK/llb.json" 'sorted(j)')" "['def', 'metadata', 'source']"
equal "$(json "$WORK/llb.json" '"local://context" in str(j["def"])')" True

# All errors of a file, each with its place.
dockerfile <<'DF'
FROM scratch
RUNN a
COPY x /x
CPY x /y
DF
fails build "$CONTEXT"
says "unknown instruction: RUNN (did you mean RUN?)"
says "unknown instruction: CPY (did you mean COPY?)"
says ">>> RUNN a"
says ">>> CPY x /y"
fails build --check "$CONTEXT"
says "unknown instruction: RUNN (did you mean RUN?)"

# Frontend images that are built in are named in the log; others are refused, with the line.
dockerfile <<'DF'
# syntax=docker/dockerfile:1.7-labs
FROM scratch
COPY x /x
DF
ok build "$CONTEXT"
says "the built-in Dockerfile frontend stands in for docker/dockerfile:1.7-labs"
dockerfile <<'DF'
# syntax=example.com/frontend:2
FROM scratch
DF
fails build "$CONTEXT"
says "example.com/frontend:2: image frontends are not supported yet"
says "Dockerfile:1"
one_error
ok build --build-arg BUILDKIT_SYNTAX=docker/dockerfile:1 "$CONTEXT"
