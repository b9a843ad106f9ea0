"""Two builds, and what the second one takes from the first (F1.6.5, F2.6, F10.4)."""

from ..case import File, case

ARGS = """
FROM base
RUN echo before > /before
ARG A=1
RUN echo between > /between
ARG B=1
RUN echo $A $B > /after
"""


def arg(name, value):
    return ["--opt", f"build-arg:{name}={value}"]


case("same", "all of it", """
FROM base
WORKDIR /w
COPY a.txt .
RUN cat a.txt > b
ADD a.txt /d/
""", {"a.txt": "a\n"}, again=[])
case("arg_changed", "F10.56: what comes after the ARG", ARGS, None, again=arg("A", "2"))
case("arg_changed_later", "F10.56", ARGS, None, again=arg("B", "2"))
case("arg_same_as_default", "no change at all", ARGS, None, again=arg("A", "1"))
case("arg_undeclared", "that nobody reads", ARGS, None, again=arg("C", "2"))
case("arg_global", "one that only FROM reads", """
ARG TAG=latest
FROM base:$TAG
RUN echo x > /x
""", None, again=arg("TAG", "v1"))
case("arg_unused_stage", "of a stage beside", """
FROM base AS one
ARG A=1
RUN echo $A > /one
FROM base
RUN echo two > /two
COPY --from=one /one /
""", None, again=arg("A", "2"))
case("arg_no_effect", "that leads to the same file", """
FROM base AS one
ARG A=1
RUN echo ${A:+set} > /one
FROM base
COPY --from=one /one /
RUN echo after > /after
""", None, again=arg("A", "2"))
case("proxy", "F10.57: proxies change nothing", ARGS, None, again=arg("HTTP_PROXY", "http://p:1"))
case("file_changed", "and all after it", """
FROM base
COPY a.txt /a
COPY b.txt /b
RUN cat /a /b > /c
""", {"a.txt": "a\n", "b.txt": "b\n"}, again=[], changes={"b.txt": "changed\n"})
case("file_not_copied", "a change of what nobody reads", """
FROM base
COPY a.txt /a
RUN cat /a > /c
""", {"a.txt": "a\n", "b.txt": "b\n"}, again=[], changes={"b.txt": "changed\n"})
case("file_ignored", "a change of what is ignored", """
FROM base
COPY . /a
RUN cat /a/a.txt > /c
""", {"a.txt": "a\n", "b.txt": "b\n", ".dockerignore": "b.txt\nDockerfile\n.dockerignore\n"}, again=[], changes={"b.txt": "changed\n"})
case("file_time", "F10.13: times do not count", """
FROM base
COPY a.txt /a
RUN cat /a > /c
""", {"a.txt": "a\n"}, again=[], changes={"a.txt": File("a\n", mtime=1_600_000_000)})
case("file_mode", "but modes do", """
FROM base
COPY a.txt /a
RUN cat /a > /c
""", {"a.txt": "a\n"}, again=[], changes={"a.txt": File("a\n", 0o755)})
case("file_added", "to a directory", """
FROM base
COPY d /d
RUN ls /d > /c
""", {"d/a": "a\n"}, again=[], changes={"d/b": "b\n"})
case("file_beside_wildcard", "that the wildcard does not match", """
FROM base
COPY *.txt /d/
RUN ls /d > /c
""", {"a.txt": "a\n"}, again=[], changes={"b.md": "b\n"})
case("file_matches_wildcard", "that it does match", """
FROM base
COPY *.txt /d/
RUN ls /d > /c
""", {"a.txt": "a\n"}, again=[], changes={"b.txt": "b\n"})
case("file_of_other_stage", "F10.61: the same result of another stage", """
FROM base AS one
COPY a.txt b.txt /
RUN cat /a.txt > /c
FROM base
COPY --from=one /c /
RUN cat /c > /d
""", {"a.txt": "a\n", "b.txt": "b\n"}, again=[], changes={"b.txt": "changed\n"})
case("file_mounted", "a bind mount's file", """
FROM base
RUN --mount=target=/m cat /m/a.txt > /a
RUN echo after > /after
""", {"a.txt": "a\n"}, again=[], changes={"a.txt": "b\n"})
case("file_beside_mounted", "beside what is mounted", """
FROM base
RUN --mount=source=d,target=/m cat /m/a > /a
""", {"d/a": "a\n", "e/b": "b\n"}, again=[], changes={"e/b": "changed\n"})
case("comment_changed", "the text around the instructions", """
FROM base
RUN echo a > /a
""", None, again=[], changes={"Dockerfile": "# comment\nFROM base\n\n\nRUN echo a > /a\n"})
case("continued", "a line that is broken up otherwise", """
FROM base
RUN echo a > /a && echo b > /b
""", None, again=[], changes={"Dockerfile": "FROM base\nRUN echo a > /a && \\\n  echo b > /b\n"})
case("env_added", "F10.56: an ENV before", """
FROM base
RUN echo a > /a
""", None, again=[], changes={"Dockerfile": "FROM base\nENV A=1\nRUN echo a > /a\n"})
case("label_added", "a LABEL before", """
FROM base
RUN echo a > /a
""", None, again=[], changes={"Dockerfile": "FROM base\nLABEL a=b\nRUN echo a > /a\n"})
case("cmd_changed", "what is no step", """
FROM base
RUN echo a > /a
CMD one
""", None, again=[], changes={"Dockerfile": "FROM base\nRUN echo a > /a\nCMD two\nEXPOSE 80\n"})
case("user_added", "a USER before", """
FROM base
RUN id > /tmp/a
""", None, again=[], changes={"Dockerfile": "FROM base\nUSER bob\nRUN id > /tmp/a\n"})
case("workdir_added", "a WORKDIR that is there before", """
FROM base
RUN pwd > /a
""", None, again=[], changes={"Dockerfile": "FROM base\nWORKDIR /data\nRUN pwd > /a\n"})
case("order_changed", "two instructions change places", """
FROM base
RUN echo a > /a
RUN echo b > /b
""", None, again=[], changes={"Dockerfile": "FROM base\nRUN echo b > /b\nRUN echo a > /a\n"})
case("step_removed", "one less", """
FROM base
RUN echo a > /a
RUN echo b > /b
RUN echo c > /c
""", None, again=[], changes={"Dockerfile": "FROM base\nRUN echo a > /a\nRUN echo c > /c\n"})
case("stage_renamed", "names of stages", """
FROM base AS one
RUN echo a > /a
FROM base
COPY --from=one /a /
""", None, again=[], changes={"Dockerfile": "FROM base AS two\nRUN echo a > /a\nFROM base\nCOPY --from=two /a /\n"})
case("no_cache", "F1.11.14", """
FROM base
RUN echo a > /a
COPY a.txt /b
""", {"a.txt": "a\n"}, again=["--no-cache"])
case("no_cache_stage", "F1.11.14: of one stage", """
FROM base AS one
RUN echo a > /a
FROM base AS two
RUN echo b > /b
FROM base
COPY --from=one /a /
COPY --from=two /b /
""", None, again=["--opt", "no-cache=one"])
case("network_changed", "F2.6.2: the network of a step", """
FROM base
RUN echo a > /a
""", None, again=[], changes={"Dockerfile": "FROM base\nRUN --network=none echo a > /a\n"})
case("mount_added", "a mount of a step", """
FROM base
RUN echo a > /a
""", None, again=[], changes={"Dockerfile": "FROM base\nRUN --mount=type=tmpfs,target=/t echo a > /a\n"})
case("cache_mount_id", "F1.6.5: the id of a cache does not count", """
FROM base
RUN --mount=type=cache,target=/t,id=one echo a > /a
""", None, again=[], changes={"Dockerfile": "FROM base\nRUN --mount=type=cache,target=/t,id=two echo a > /a\n"})
case("hosts_added", "F10.57: hosts", """
FROM base
RUN echo a > /a
""", None, again=["--opt", "add-hosts=x=1.2.3.4"])
case("heredoc_changed", "a file of a heredoc", """
FROM base
COPY <<EOF /a
one
EOF
RUN cat /a > /b
""", None, again=[], changes={"Dockerfile": "FROM base\nCOPY <<EOF /a\ntwo\nEOF\nRUN cat /a > /b\n"})
case("heredoc_renamed", "its delimiter", """
FROM base
COPY <<EOF /a
one
EOF
RUN cat /a > /b
""", None, again=[], changes={"Dockerfile": "FROM base\nCOPY <<END /a\none\nEND\nRUN cat /a > /b\n"})
case("chown_changed", "of a COPY", """
FROM base
COPY a.txt /a
RUN stat -c '%a %u:%g' /a > /b
""", {"a.txt": "a\n"}, again=[], changes={"Dockerfile": "FROM base\nCOPY --chown=1:2 a.txt /a\nRUN stat -c '%a %u:%g' /a > /b\n"})
case("destination_changed", "of a COPY", """
FROM base
COPY a.txt /a
""", {"a.txt": "a\n"}, again=[], changes={"Dockerfile": "FROM base\nCOPY a.txt /b\n"})
case("link_base_changed", "F1.7.14: --link does not look at what is below", """
FROM base
RUN echo one > /one
COPY --link a.txt /a
""", {"a.txt": "a\n"}, again=[], changes={"Dockerfile": "FROM base\nRUN echo two > /one\nCOPY --link a.txt /a\n"})
case("copy_base_changed", "and COPY without it does", """
FROM base
RUN echo one > /one
COPY a.txt /a
""", {"a.txt": "a\n"}, again=[], changes={"Dockerfile": "FROM base\nRUN echo two > /one\nCOPY a.txt /a\n"})
case("file_renamed", "the same bytes under another name", """
FROM base
COPY a.txt /a
""", {"a.txt": "a\n", "b.txt": "a\n"}, again=[], changes={"Dockerfile": "FROM base\nCOPY b.txt /a\n"})
case("epoch_added", "SOURCE_DATE_EPOCH", """
FROM base
RUN echo a > /a
COPY a.txt /b
""", {"a.txt": "a\n"}, again=arg("SOURCE_DATE_EPOCH", "1600000000"))
case("epoch_declared", "that a step sees", """
FROM base
ARG SOURCE_DATE_EPOCH
RUN echo a > /a
""", None, again=arg("SOURCE_DATE_EPOCH", "1600000000"))
case("platform", "for another platform", """
FROM scratch
COPY a.txt /b
""", {"a.txt": "a\n"}, again=["--opt", "platform=linux/arm64"])
case("target", "another target of the same file", """
FROM base AS one
RUN echo a > /a
FROM one AS two
RUN echo b > /b
""", None, again=["--opt", "target=one"])
case("download", "F2.6.9: a download", """
FROM base
ADD @WEB@/file.txt /a
RUN cat /a > /b
""", None, again=[])
case("download_other_url", "the same bytes from elsewhere", """
FROM base
ADD @WEB@/file.txt /a
RUN cat /a > /b
""", None, again=[], changes={"Dockerfile": "FROM base\nADD @WEB@/file.txt?x /a\nRUN cat /a > /b\n"})
case("git", "F2.6.8: a repository", """
FROM base
ADD @WEB@/git/main.git#v1 /a
RUN cat /a/a > /b
""", None, again=[])
case("git_same_commit", "the same commit by another name", """
FROM base
ADD @WEB@/git/main.git#v1 /a
RUN cat /a/a > /b
""", None, again=[], changes={"Dockerfile": "FROM base\nADD @WEB@/git/main.git#@COMMIT-one@ /a\nRUN cat /a/a > /b\n"})
