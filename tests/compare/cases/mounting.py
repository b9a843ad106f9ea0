"""RUN --mount, --network and --security (F1.6.8 to F1.6.21, F10.3)."""

from ..case import File, case

case("bind_context", "F1.6.10", """
FROM base
RUN --mount=target=/ctx cat /ctx/a.txt > /x && ls /ctx | sort > /l
RUN --mount=type=bind,source=d,target=/mnt/d ls /mnt/d > /y
""", {"a.txt": "a\n", "d/f": "f\n"})
case("bind_write", "F10.53", """
FROM base
RUN --mount=target=/ctx,rw echo x > /ctx/new && cat /ctx/new > /x
RUN --mount=target=/ctx touch /ctx/no 2>/dev/null || echo refused > /y
""", {"a.txt": "a\n"})
case("bind_from_stage", "F1.6.19", """
FROM base AS one
RUN echo 1 > /one
FROM base
RUN --mount=from=one,target=/s,source=/one --mount=type=bind,from=base,source=/data,target=/d cat /s /d/a > /x
""")
case("bind_over_directory", "F1.6.18: what is below the mount stays", """
FROM base
RUN --mount=target=/data,source=d ls /data > /x
RUN --mount=target=/no/such/dir,source=d ls /no/such/dir > /y
WORKDIR /w
RUN --mount=target=rel,source=d ls /w/rel > /z
""", {"d/f": "f\n"})
case("bind_file", "a file over a file, and where there is none", """
FROM base
RUN --mount=target=/data/a,source=a.txt cat /data/a > /x
RUN --mount=target=/new/file,source=a.txt cat /new/file > /y
""", {"a.txt": "mounted\n"})
case("bind_missing", "a source that is not there", """
FROM base
RUN --mount=target=/x,source=nope true
""")
case("cache", "F1.6.11", """
FROM base
RUN --mount=type=cache,target=/c echo x > /c/f && ls -ld /c | cut -c1-10 > /m
RUN --mount=type=cache,target=/c cat /c/f > /x
RUN --mount=type=cache,id=other,target=/c,uid=5,gid=6,mode=0700 stat -c '%u %g %a' /c > /y
""")
case("cache_from", "F1.6.11: seeded", """
FROM base
RUN --mount=type=cache,id=seeded,target=/c,from=base,source=/data cat /c/a > /x
""")
case("tmpfs", "F1.6.13", """
FROM base
RUN --mount=type=tmpfs,target=/t,size=1m touch /t/x && grep ' /t ' /proc/self/mounts | cut -d' ' -f3 > /x
RUN --mount=type=tmpfs,target=/data touch /data/x; ls /data > /y
""")
case("secret", "F1.6.14", """
FROM base
RUN --mount=type=secret,id=s stat -c '%u:%g %a' /run/secrets/s > /x && wc -c < /run/secrets/s >> /x
RUN --mount=type=secret,id=s,target=/etc/conf,mode=0440,uid=77,gid=88 stat -c '%u:%g %a' /etc/conf > /y
RUN --mount=type=secret,id=s,env=TOKEN test -n "$TOKEN" && ls /run > /z
RUN --mount=type=secret,id=nope test ! -e /run/secrets/nope
""", {"secret.txt": "hidden"}, "--secret", "id=s,src=@CONTEXT@/secret.txt")
case("secret_required", "F1.6.14", """
FROM base
RUN --mount=type=secret,id=nope,required true
""")
case("ssh_absent", "F10.58", """
FROM base
RUN --mount=type=ssh echo "$SSH_AUTH_SOCK" > /x
""")
case("unknown_key", "F1.6.8", """
FROM base
RUN --mount=tipe=bind,target=/x true
""")
case("no_key", "F1.6.8", """
FROM base
RUN --mount=foo true
""")
case("unknown_type", "F9.1.11", """
FROM base
RUN --mount=type=bnid,target=/x true
""")
case("mode_of_bind", "F1.6.9", """
FROM base
RUN --mount=type=bind,mode=0700,target=/x true
""")
case("target_root", "F1.6.18", """
FROM base
RUN --mount=target=/ true
""")
case("from_variable", "F1.3.17", """
FROM base
ARG S=base
RUN --mount=from=$S,target=/x true
""")
case("variables", "F1.3.16", """
FROM base
ENV D=d T=/mnt
RUN --mount=source=$D,target=${T}/x ls /mnt/x > /l
""", {"d/f": "f\n"})
case("from_later_stage", "F1.4.13", """
FROM base AS one
RUN --mount=from=two,target=/x true
FROM base AS two
""", None, "--opt", "target=one")
case("heredoc", "with a heredoc", """
FROM base
RUN --mount=target=/ctx <<EOF
cat /ctx/a.txt > /x
EOF
""", {"a.txt": "a\n"})
case("history", "flags are not in the history", """
FROM base
RUN --mount=type=tmpfs,target=/t --network=default true
""")
case("network_none", "F1.6.20", """
FROM base
RUN --network=none grep -c eth /proc/net/dev > /n; grep -c lo: /proc/net/dev >> /n
""")
case("network_host", "F10.66", """
FROM base
RUN --network=host true
""")
case("network_unknown", "F1.6.20", """
FROM base
RUN --network=nope true
""")
case("security_insecure", "F1.6.21", """
FROM base
RUN --security=insecure true
""")
case("device", "F1.6.22", """
FROM base
RUN --device=x true
""", flaw="is built without devices")
case("force_network_none", "F1.11.18", """
FROM base
RUN grep -c eth /proc/net/dev > /n; true
""", None, "--opt", "force-network-mode=none")
case("bad_network_option", "F1.11.18", """
FROM base
""", None, "--opt", "force-network-mode=nope")
