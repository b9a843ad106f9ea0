"""The Dockerfiles whose caches are carried between builders by scripts/interchange."""

import hashlib

from .case import Case, Dir, File, Hard, Link, entry, tar

EXCHANGES: list[Case] = []
RECORDED: list[Case] = []  # of these, what BuildKit exported is in caches/
SUM = "sha256:" + hashlib.sha256(b"file\n").hexdigest()
TREE = {"a.txt": "a\n", "b.txt": "b\n", "run.sh": File("#!/bin/sh\necho run\n", 0o755), "d/f": "f\n", "d/g.c": "g\n", "d/e/h.c": "h\n",
        "d/e/i": File("i\n", 0o600), "link": Link("a.txt"), "dirlink": Link("d"), "d/up": Link("../b.txt"), "empty": Dir(0o711)}


def exchange(name, dockerfile, files=None, *options):
    EXCHANGES.append(Case(name, "", dockerfile, TREE if files is None else files, list(options), group="interchange"))


def recorded(name, dockerfile, *options, **files):
    RECORDED.append(Case(name, "", dockerfile, TREE | files, list(options), group="recorded"))


exchange("stages", """
FROM base AS tool
RUN echo tool > /tool
COPY a.txt /w/
FROM base AS lib
RUN mkdir /lib && echo lib > /lib/l
COPY --from=tool /tool /lib/
FROM base
RUN echo x > /x
COPY --from=tool /tool /t/
COPY --from=lib /lib /lib
RUN cat /t/tool /lib/l > /y
""")
exchange("copy", """
FROM base
COPY a.txt b.txt /one/
COPY *.txt /two/
COPY d/**/*.c d/e/ /three/
COPY d /four
COPY . /five/
COPY --chown=bob:extra a.txt /six
COPY --chown=7:8 d /seven/
COPY --chmod=751 run.sh /eight
COPY --chmod=u=rwX,go=rX d /nine/
COPY link dirlink /ten/
COPY empty /eleven
COPY ./d/../a.txt /twelve
""")
exchange("copy_link", """
FROM base AS one
RUN echo one > /one
FROM base
COPY --link a.txt /l/
COPY --link --chown=7:8 --chmod=640 b.txt d /l/
COPY --link --from=one /one /l/m/
RUN ls -lR /l > /list
COPY --link a.txt /again
""")
exchange("links_only", """
FROM scratch
COPY --link a.txt /a/
COPY --link b.txt /b/
ADD --link d /c/
""")
exchange("parents", """
FROM base
COPY --parents d/e/h.c d/./e/i /o/
COPY --parents **/*.c /p/
COPY --exclude=*.txt --exclude=d/e . /q/
COPY --exclude=**/*.c d /r/
COPY --link --parents d/f /s/
""")
exchange("parents_stage", """
FROM base AS one
COPY . /src/
FROM base
COPY --from=one --parents /src/d/e/h.c /src/./d/f /o/
COPY --from=one --exclude=*.txt /src /p/
COPY --from=one /src/*.txt /src/d /q/
COPY --from=one /src/link /r
COPY --from=one /src/dirlink/ /s/
COPY --from=one /src/dirlink/g.c /t
""")
exchange("heredocs", """
FROM base
COPY <<one <<two /files/
1
one
2
two
COPY --chmod=700 <<'EOT' /script
#!/bin/sh
echo $HOME
EOT
RUN <<EOT
set -e
echo here > /h
/script >> /h
EOT
RUN <<EOT sh -e
echo there > /t
EOT
RUN cat <<EOT > /in
$PATH
EOT
ARG V=v
ADD <<EOT /v
$V
EOT
""")
ARCHIVE = tar(entry("d", kind=b"5"), entry("d/in", "in\n"), entry("top", "top\n", mode=0o600, uid=5, gid=6))
exchange("add", """
FROM base
ADD a.tar /a/
ADD --unpack=false a.tar /b/
ADD --chown=7:8 a.tar d /c/
ADD *.tar /d/
ADD --link a.tar /e/
RUN ls -lR /a /b /c > /list
""", {**TREE, "a.tar": ARCHIVE})
exchange("add_url", f"""
FROM base
ADD @WEB@/file.txt /a/
ADD --checksum={SUM} @WEB@/file.txt /b/
ADD --chmod=600 --chown=bob @WEB@/file.txt /c
ADD @WEB@/undated.txt /d/
ADD --unpack @WEB@/data.tar /e/
ADD @WEB@/data.tar a.txt /f/
RUN ls -lR /a /b /e > /list
""")
exchange("add_git", """
FROM base
ADD @WEB@/git/main.git /a
ADD @WEB@/git/main.git#v1 /b
ADD @WEB@/git/main.git#other:dir /c
ADD --keep-git-dir=true @WEB@/git/main.git#main /d
ADD --checksum=@COMMIT-one@ @WEB@/git/main.git#v1 /e
RUN ls -R /a /b /c > /list
""")
exchange("git_context", """
FROM base
COPY a /a
COPY dir /dir/
COPY . /all/
RUN ls -R /all > /list
""", None, "--opt", "context=@WEB@/git/main.git#main", "--opt", "dockerfilekey=dockerfile")
exchange("http_context", """
FROM scratch
""", None, "--opt", "context=@WEB@/context.tar")
exchange("run_cache", """
FROM base
RUN --mount=type=cache,target=/c echo x > /c/x && ls /c > /1
RUN --mount=type=cache,target=/c,id=other,sharing=locked,mode=0700,uid=7,gid=8 stat -c %u /c > /2
RUN --mount=type=cache,target=/c,sharing=private --mount=type=cache,target=/e ls / > /3
RUN --mount=type=cache,target=/c,id=seeded,from=base,source=/data cat /c/a > /4
""")
exchange("run_bind", """
FROM base AS one
RUN mkdir /o && echo 1 > /o/1 && echo 2 > /o/2
FROM base
RUN --mount=target=/m cat /m/a.txt > /1
RUN --mount=source=d,target=/m ls /m > /2
RUN --mount=source=a.txt,target=/a.txt --mount=source=b.txt,target=/b.txt cat /a.txt /b.txt > /3
RUN --mount=target=/m,rw echo x > /m/new && ls /m > /4
RUN --mount=from=one,source=/o,target=/o ls /o > /5
RUN --mount=from=one,source=/o/1,target=/p --mount=from=one,source=/o/2,target=/q cat /p /q > /6
RUN --mount=from=one,target=/o,rw touch /o/new && ls /o > /7
RUN --mount=from=base,source=/data,target=/d cat /d/a > /8
RUN --mount=from=one,source=/o,target=/o --mount=target=/m --mount=type=cache,target=/c ls /o /m > /9
""")
exchange("run_other_mounts", """
FROM base
RUN --mount=type=tmpfs,target=/t,size=1m touch /t/x && ls /t > /1
RUN --mount=type=secret,id=s cat /run/secrets/s | wc -c > /2
RUN --mount=type=secret,id=s,env=S,required test -n "$S" && echo x > /3
RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && echo x > /4
RUN --mount=type=ssh,id=none ls / > /5
""", {**TREE, "secret": "hidden"}, "--secret", "id=s,src=@CONTEXT@/secret", "--ssh", "default=@KEY@")
exchange("run_forms", """
FROM base
RUN ["sh", "-c", "echo exec > /1"]
RUN --network=none ls /sys/class/net > /2
RUN --network=default echo x > /3
SHELL ["/bin/sh", "-ec"]
RUN echo shell > /4
SHELL ["/bin/busybox", "sh", "-c"]
RUN echo other > /5 && \\
    # a comment
    echo more >> /5
RUN true
RUN :
""")
exchange("arguments", """
ARG TAG=latest
ARG G=global
FROM base:${TAG} AS one
ARG A
ARG B=2
ARG G
ARG TARGETARCH
ARG BUILDPLATFORM
ENV C=$A D="two words" E=${F:-none}
RUN echo $A $B $C "$D" $E $G $TARGETARCH $BUILDPLATFORM > /1
ENV old form of it
ARG B=3
RUN echo $B $old > /2
ARG HTTP_PROXY
RUN echo $HTTP_PROXY > /3
COPY ${D:+a.txt} /copied/$B/
ENV PATH=/x:$PATH
RUN echo $PATH > /4
FROM one
RUN echo $B $C > /5
LABEL l=$C
""", None, "--opt", "build-arg:A=given", "--opt", "build-arg:HTTP_PROXY=http://p:1", "--opt", "build-arg:UNUSED=1")
exchange("triggers", """
FROM onbuild
RUN cat /ran > /x
FROM base AS own
ONBUILD COPY a.txt /own
ONBUILD RUN cat /own > /own2
FROM own
COPY --from=0 /x /x
""", {**TREE, "trigger.txt": "t\n"})
exchange("workdir_user", """
FROM base
WORKDIR /w/x
WORKDIR y
USER bob:extra
WORKDIR /w/bobs
RUN id > /tmp/id && pwd >> /tmp/id
COPY --chown=bob a.txt .
COPY b.txt rel/
USER 5:6
RUN id > /tmp/id2
USER root
WORKDIR $BASE
RUN pwd > /pwd
""")
exchange("ignored", """
FROM base
COPY . /all/
COPY d /d/
RUN ls -R /all > /list
""", {**TREE, ".dockerignore": "# comment\n*.txt\n!b.txt\nd/**/*.c\nempty\nDockerfile\n"})
exchange("platforms", """
FROM multi
COPY a.txt /a
COPY d /d/
FROM --platform=$BUILDPLATFORM base AS builder
ARG TARGETARCH
RUN echo $TARGETARCH > /arch
FROM multi
COPY --from=builder /arch /target
COPY --from=0 /d /d
WORKDIR /w
""", None, "--opt", "platform=linux/amd64,linux/arm64")
exchange("same_files", """
FROM base
COPY a.txt /1/
COPY a.txt /2/
COPY a.txt /1/
COPY d /3/
COPY d/e /3/e/
COPY d /4/
RUN ls -R /1 /2 /3 /4 > /list
COPY a.txt /list
""")
exchange("scratch", """
FROM scratch AS one
COPY a.txt /
WORKDIR /w
FROM scratch AS two
COPY --from=one / /one/
COPY d /d
FROM scratch
COPY --from=two /one/a.txt /x
COPY --from=two /d /d
COPY --from=one /w /w
ENV A=1
""")
exchange("from_images", """
FROM layered AS one
RUN ls -R /data > /list
FROM base
COPY --from=layered /data /l/
COPY --from=one /list /
COPY --from=rich /etc/passwd /p
COPY --from=plain /data/a /z
RUN cat /p > /q
""")
exchange("named_contexts", """
FROM other
COPY --from=files a.txt /a
RUN --mount=from=files,target=/m ls /m > /list
COPY --from=image /data/b /b
""", None, "--opt", "context:other=docker-image://layered", "--opt", "context:image=docker-image://base",
         "--opt", "context:files=local:files", "--local", "files=@CONTEXT@/")
exchange("target", """
FROM base AS one
RUN echo 1 > /1
FROM one AS two
COPY --from=one /1 /2
RUN echo 2 >> /2
FROM base AS three
RUN false
""", None, "--opt", "target=two")
exchange("same_content", """
FROM base AS one
ARG A=1
RUN echo same > /same
FROM base AS two
RUN echo same > /same && true
FROM base
COPY --from=one /same /1
COPY --from=two /same /1
COPY --from=two /same /2
RUN cat /1 /2 > /3
""")
exchange("whole_stage", """
FROM base AS one
RUN rm -rf /data && mkdir /data && echo new > /data/new && ln -s new /data/l && chmod 700 /data
FROM scratch
COPY --from=one / /
RUN ls -lR /data > /list
RUN rm /list
""")
exchange("files_of_all_kinds", """
FROM base AS one
COPY . /c/
RUN chown 7:8 /c/f && ln /c/f /c/f2 && mkfifo /c/p && mkdir -m 1777 /c/sticky && chmod 4755 /c/g
FROM base
COPY --from=one /c /c
COPY . /d/
COPY one two /e/
RUN ls -lR /c /d > /list
""", {"f": "f\n", "g": File("g\n", 0o755), "big": "0123456789abcdef" * 40_000, "one": "1\n", "two": Hard("one"), "name with blanks": "n\n",
      "späte/größe": "u\n", "x": File("x\n", xattrs={"user.note": b"hello"})})
exchange("many", """
FROM base
COPY m /m
COPY m/*7 /n/
RUN ls /m | wc -l > /count
""", {f"m/{number % 10}/{number}": f"{number}\n" for number in range(300)})
exchange("long", "FROM base\n" + "".join(
    f"RUN echo {number} > /{number}\n" if number % 3 else f"COPY a.txt /c/{number}\n" for number in range(40)))
exchange("settings_between", """
FROM rich
LABEL a=1
RUN echo 1 > /tmp/1
ENV X=1
EXPOSE 80
RUN echo 2 > /tmp/2
VOLUME /v
STOPSIGNAL SIGTERM
HEALTHCHECK CMD true
COPY --chown=bob a.txt /tmp/a
CMD ["x"]
ENTRYPOINT ["y"]
""")
exchange("epoch", """
FROM base
COPY a.txt d /x/
RUN echo $SOURCE_DATE_EPOCH > /y
ARG SOURCE_DATE_EPOCH
RUN echo $SOURCE_DATE_EPOCH > /z
""", None, "--opt", "build-arg:SOURCE_DATE_EPOCH=1500000000")
exchange("image_kinds", """
FROM docker AS one
RUN echo 1 > /1
FROM zstd AS two
RUN echo 2 > /2
FROM twice AS three
RUN echo 3 > /3
FROM base
COPY --from=one /1 /
COPY --from=two /2 /
COPY --from=three /3 /
""")

# The shell of tiny does nothing, so that no file depends on the machine.
recorded("stages", """
FROM tiny AS one
COPY a.txt b.txt d /one/
RUN work on one
FROM tiny AS two
WORKDIR /two
COPY --from=one /one/e ./e/
RUN work on two
FROM tiny
COPY --from=one /one/*.txt /x/
COPY --from=two /two /y
COPY --from=tiny /data/a /z
RUN cat /x/a.txt
""")
recorded("copy", """
FROM tiny
COPY . /all/
COPY --chown=bob:extra --chmod=640 d/**/*.c /c/
COPY --exclude=*.c d /e/
COPY --parents d/e/./i d/g.c /p/
COPY link dirlink empty /l/
COPY <<one <<two /here/
1
one
2
two
RUN <<EOT
several
lines
EOT
""")
recorded("links", """
FROM tiny AS one
COPY d /d/
FROM tiny
COPY --link a.txt /1/
RUN work on 1
COPY --link --chown=7:8 b.txt /2/
COPY --link --from=one /d/e /3/
RUN work on all
""")
recorded("mounts", """
FROM tiny AS one
COPY d /d/
FROM tiny
RUN --mount=type=cache,target=/c --mount=type=cache,id=x,target=/x,uid=5 work
RUN --mount=target=/m,source=d work
RUN --mount=from=one,source=/d,target=/m --mount=target=/n,rw work
RUN --mount=from=one,source=/d/f,target=/f --mount=from=one,source=/d/e,target=/e work
RUN --mount=type=secret,id=s --mount=type=ssh --mount=type=tmpfs,target=/t,size=1m work
RUN --network=none work
""")
recorded("words", """
ARG G=g
FROM tiny
ARG A=1
ARG G
ARG TARGETARCH
ENV E=$A-$G-$TARGETARCH
RUN work $A
USER bob:extra
WORKDIR /home/of/bob
RUN ["/bin/sh", "exec form"]
SHELL ["/bin/sh", "-ec"]
COPY --chown=bob ${E:+a.txt} .
RUN work again
""", "--opt", "build-arg:A=2")
recorded("adding", f"""
FROM tiny
ADD a.tar /a/
ADD --unpack=false a.tar /b/
ADD --checksum={SUM} @WEB@/file.txt /c/
ADD --keep-git-dir=false @WEB@/git/main.git#v1 /d
RUN work
""", **{"a.tar": ARCHIVE, ".dockerignore": "b.txt\nd/e\n"})
