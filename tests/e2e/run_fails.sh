# A step that fails: its output, the place, the status; and nothing half-written.
source "$(dirname "$0")/lib.sh"
with_busybox
dockerfile <<DF
$BASE
RUN echo before; echo of-the-failure >&2; exit 7
RUN echo never
DF
fails build -o "type=oci,dest=$WORK/image.tar" "$CONTEXT"
one_error
says "of-the-failure"
says 'process "/bin/sh -c echo before; echo of-the-failure >&2; exit 7" did not complete successfully: exit code: 7'
says "Dockerfile:5"
says '   5 | >>> RUN echo before'
matches '^ > \[.*\] RUN echo before'
matches '^error: failed to solve: process ' # F9.1.1
absent "$WORK/image.tar" # F9.1.9
absent "$WORK/metadata.json"

# The failure is not cached, what was before it is.
fails build "$CONTEXT"
says "CACHED"
says "of-the-failure"

# A signal is not an exit code of the program's own.
dockerfile <<DF
$BASE
RUN sh -c 'kill -9 \$\$'; exit \$?
DF
fails build "$CONTEXT"
one_error
matches 'did not complete successfully: (exit code: 137|.*(signal|killed))'

# Not there to be run.
dockerfile <<DF
$BASE
RUN ["/no/such/program"]
DF
fails build "$CONTEXT"
one_error
says "/no/such/program"

# What failed in one branch stops the other, which ran at the same time (F1.4.17).
dockerfile <<DF
$BASE
FROM base AS slow
RUN sleep 300
FROM base AS bad
RUN sleep 1; exit 3
FROM base
COPY --from=slow /bin/busybox /a
COPY --from=bad /bin/busybox /b
DF
begin=$SECONDS
fails build "$CONTEXT"
[ $((SECONDS - begin)) -lt 60 ] || fail "the other branch was not stopped"
says "exit code: 3"
matches '^#[0-9]+ CANCELED'
nothing_left
