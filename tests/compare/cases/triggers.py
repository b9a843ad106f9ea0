"""ONBUILD: chains of stages and images (F1.8.13, F1.8.14, F10.45)."""

from ..case import case

FILES = {"trigger.txt": "trigger\n", "a.txt": "a\n"}

case("next_stage_only", "a trigger does not reach the grandchild", """
FROM base AS one
ONBUILD RUN echo one >> /log
FROM one AS two
RUN echo two >> /log
FROM two
RUN echo three >> /log
""")
case("chain", "each stage leaves triggers to the next", """
FROM base AS one
ONBUILD RUN echo one >> /log
FROM one AS two
ONBUILD RUN echo two >> /log
FROM two AS three
ONBUILD RUN echo three >> /log
FROM three
RUN echo end >> /log
""")
case("twice", "two stages from one with triggers", """
FROM base AS one
ONBUILD ARG A=1
ONBUILD RUN echo $A >> /log
FROM one AS two
FROM one
COPY --from=two /log /log2
""")
case("order", "triggers come before the stage's own instructions", """
FROM base AS one
ONBUILD ENV A=trigger
ONBUILD WORKDIR /t
FROM one
RUN echo $A > here
ENV A=own
RUN echo $A >> here
""")
case("last_stage", "in the last stage: stored and not run", """
FROM base
RUN echo a > /a
ONBUILD RUN echo b > /b
ONBUILD EXPOSE 80
""")
case("target", "the target is the stage with the triggers", """
FROM base AS one
ONBUILD RUN exit 1
FROM one
""", None, "--opt", "target=one")
case("image_and_stage", "the image's and the stage's", """
FROM onbuild AS one
ONBUILD RUN echo stage > /stage
FROM one
RUN ls / > /list
""", FILES)
case("image_twice", "two stages from the same image", """
FROM onbuild AS one
FROM onbuild
COPY --from=one /ran /one
""", FILES)
case("image_argument", "a build arg for a trigger's ARG", """
FROM onbuild
RUN echo "$FROM_TRIGGER" > /arg
""", FILES, "--opt", "build-arg:FROM_TRIGGER=given")
case("image_copied_from", "COPY --from an image with triggers: they do not run", """
FROM base
COPY --from=onbuild /etc/passwd /p
""")
case("copy_from_stage", "a trigger that copies from a stage", """
FROM base AS files
RUN echo f > /f
FROM base AS one
ONBUILD COPY --from=files /f /got
FROM one
""")
case("copy_from_image", "a trigger that copies from an image", """
FROM base AS one
ONBUILD COPY --from=layered /data/sub /got
FROM one
""")
case("copy_from_later", "from a stage that comes later", """
FROM base AS one
ONBUILD COPY --from=later /f /got
FROM one AS two
FROM base AS later
RUN echo f > /f
""")
case("mount_from_stage", "a trigger that mounts a stage", """
FROM base AS files
RUN echo f > /f
FROM base AS one
ONBUILD RUN --mount=from=files,target=/m cat /m/f > /got
FROM one
""")
case("mount_cache", "a trigger with a cache", """
FROM base AS one
ONBUILD RUN --mount=type=cache,target=/c touch /c/x && echo ok > /ok
FROM one
""")
case("heredoc", "F1.2.13", """
FROM base AS one
ONBUILD RUN <<EOF
echo a > /a
echo b > /b
EOF
ONBUILD COPY <<X <<Y /d/
x $A
X
y
Y
FROM one
ENV A=late
""")
case("variables", "expanded where they run", """
FROM base AS one
ENV A=first
ONBUILD ENV B=$A
ONBUILD LABEL l=${A:-none}
ONBUILD COPY $A.txt /
FROM one
ENV A=second
""", {"first.txt": "1\n", "second.txt": "2\n"})
case("healthcheck_and_others", "what is no step", """
FROM base AS one
ONBUILD HEALTHCHECK --interval=5s CMD true
ONBUILD VOLUME /v
ONBUILD USER bob
ONBUILD STOPSIGNAL 9
ONBUILD SHELL ["/bin/sh", "-ec"]
ONBUILD CMD ["x"]
ONBUILD ENTRYPOINT y
ONBUILD EXPOSE 1-3
ONBUILD LABEL a="b c"
FROM one
""")
case("flag", "flags of a trigger", """
FROM base AS one
ONBUILD COPY --chown=bob --chmod=700 --link a.txt /x
ONBUILD ADD --unpack=false a.txt /y
ONBUILD RUN --network=none id > /z
FROM one
""", FILES)
case("bad_flag", "a trigger's flag that is none, where it runs", """
FROM base AS one
ONBUILD COPY --nope a.txt /x
FROM one
""", FILES)
case("bad_flag_alone", "and where it does not", """
FROM base
ONBUILD COPY --nope a.txt /x
""")
case("bad_argument", "a trigger that is no instruction of its kind", """
FROM base AS one
ONBUILD EXPOSE
FROM one
""")
case("unset", "a trigger with nothing", """
FROM base
ONBUILD
""")
case("fails", "a trigger that fails", """
FROM base AS one
ONBUILD RUN exit 7
FROM one
""")
case("named_context", "a named context with triggers", """
FROM nothing
RUN ls / > /list
""", FILES, "--opt", "context:nothing=docker-image://onbuild")
case("stage_order", "the base's triggers where the child is not built", """
FROM base AS one
ONBUILD RUN exit 1
FROM one AS two
FROM base
""")
case("arg_scope", "an ARG of a trigger in the next stage only", """
FROM base AS one
ONBUILD ARG T=t
FROM one AS two
RUN echo "$T" > /two
FROM two
RUN echo "[$T]" > /three
""")
case("platforms", "for two platforms", """
FROM scratch AS one
ONBUILD ARG TARGETARCH
ONBUILD COPY a.txt /$TARGETARCH
FROM one
""", FILES, "--opt", "platform=linux/amd64,linux/arm64")
case("no_cache", "of a stage with triggers", """
FROM base AS one
ONBUILD RUN echo one > /one
FROM one AS two
RUN echo two > /two
""", None, again=["--opt", "no-cache=two"])
