"""ADD of downloads and repositories; contexts that are some, by name and as the main one (F1.7, F1.10, F1.5.26)."""

from ..case import File, case

GIT = "@WEB@/git/main.git"
FILE = {"a.txt": "a\n"}


def context(url, *more):
    return ["--opt", f"context={url}", *more]


def named(name, spec):
    return ["--opt", f"context:{name}={spec}"]


case("file", "F1.7.17, F1.7.18: names, modes and times", """
FROM base
ADD @WEB@/file.txt /new/
ADD @WEB@/file.txt /new/named
ADD @WEB@/undated.txt /new/
""")
case("file_query", "a name from a URL with more in it", """
FROM base
ADD @WEB@/file.txt?a=b /new/
ADD @WEB@/with%20blank /new/
""")
case("file_onto_directory", "the name is the URL's", """
FROM base
ADD @WEB@/file.txt /data/sub
""")
case("file_flags", "owner and mode of a download", """
FROM base
ADD --chown=bob:extra --chmod=751 @WEB@/file.txt /o
ADD --chmod=u=rw,go= @WEB@/file.txt /p
""")
case("file_link", "F1.7.14", """
FROM base
ADD --link @WEB@/file.txt /o/p
""")
case("file_and_local", "sources of both kinds", """
FROM base
ADD @WEB@/file.txt a.txt /both/
""", FILE)
case("file_variables", "in the URL", """
FROM base
ARG NAME=file
ENV END=.txt
ADD @WEB@/${NAME}$END /v/
""")
case("file_empty", "nothing at all", """
FROM base
ADD @WEB@/empty /e
""")
case("file_missing", "F2.2.12", """
FROM base
ADD @WEB@/nothing /e
""", says="invalid response status 404")
case("file_exclude", "--exclude of a download", """
FROM base
ADD --exclude=*.txt @WEB@/file.txt /e/
""")
case("archive", "F1.7.19: not unpacked", """
FROM base
ADD @WEB@/data.tar /d/
""")
case("archive_unpack", "F1.7.20", """
FROM base
ADD --unpack @WEB@/data.tar /d/
ADD --unpack=false @WEB@/data.tar /e/
""")
case("archive_unpack_owner", "and owned by another one", """
FROM base
ADD --unpack --chown=7:8 @WEB@/data.tar /d/
""")
case("archive_unpack_none", "what is no archive", """
FROM base
ADD --unpack @WEB@/file.txt /d/
""")
SUM = "sha256:ff42aa2b73d6a61f5c7c82a2d8b0f2e9dc0fdc8cad7d6d6d29e0ed4b0f8a2dbe"
case("checksum", "F1.7.21: another one", f"""
FROM base
ADD --checksum={SUM} @WEB@/file.txt /c
""", says="digest mismatch")
case("checksum_right", "F1.7.21", """
FROM base
ADD --checksum=sha256:8b911a8716b94442f9ca3dff20584048536e4c2f47b8b5bb9096cbd43c3432d5 @WEB@/file.txt /c
""")
case("checksum_empty", "of nothing", """
FROM base
ARG SUM=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
ADD --checksum=$SUM @WEB@/empty /c
""")
case("checksum_bad", "no digest", """
FROM base
ADD --checksum=sha256:1 @WEB@/file.txt /c
""", says="invalid checksum digest")
case("checksum_two", "two sources", f"""
FROM base
ADD --checksum={SUM} @WEB@/file.txt @WEB@/empty /c/
""")
case("copy_url", "COPY of a URL", """
FROM base
COPY @WEB@/file.txt /c
""")
case("copy_git", "COPY of a repository", f"""
FROM base
COPY {GIT} /c
""")
case("parents", "--parents of a download", """
FROM base
COPY --parents @WEB@/file.txt /c
""")

case("git", "F1.7.22: all of it, without .git", f"""
FROM base
ADD {GIT} /r
""")
case("git_tag", "a tag, an annotated one, a branch, a commit", f"""
FROM scratch
ADD {GIT}#v1 /tag
ADD {GIT}#noted /noted
ADD {GIT}#other /branch
ADD {GIT}#@COMMIT-one@ /commit
""")
case("git_ref_full", "full names", f"""
FROM scratch
ADD {GIT}#refs/tags/v1 /tag
ADD {GIT}#refs/heads/other /branch
""")
case("git_subdir", "and a directory of it", f"""
FROM scratch
ADD {GIT}#v1:dir /d
ADD {GIT}#:dir /e
""")
case("git_query", "F1.10.5", f"""
FROM scratch
ADD {GIT}?tag=v1 /tag
ADD {GIT}?branch=other&subdir=dir /branch
ADD {GIT}?ref=v1&checksum=@COMMIT-one@ /checked
""")
case("git_query_unknown", "F1.10.5", f"""
FROM scratch
ADD {GIT}?nope=1 /r
""")
case("git_query_conflict", "F1.10.5", f"""
FROM scratch
ADD {GIT}?ref=v1#other /r
""", says='ref conflicts: "other" vs "v1"')
case("git_checksum", "--checksum of a repository", f"""
FROM scratch
ADD --checksum=@COMMIT-one@ {GIT}#v1 /r
""")
case("git_checksum_wrong", "that does not match", f"""
FROM scratch
ADD --checksum=@COMMIT-two@ {GIT}#v1 /r
""", says="expected checksum to match")
case("git_flags", "owner and mode", f"""
FROM base
ADD --chown=bob --chmod=700 {GIT}#v1 /r
""")
case("git_link", "F1.7.14", f"""
FROM base
ADD --link {GIT}#v1 /r
""")
case("git_exclude", "--exclude in a repository", f"""
FROM base
ADD --exclude=dir --exclude=a {GIT} /r
""")
case("git_missing_ref", "F2.2.6", f"""
FROM base
ADD {GIT}#nothing /r
""", says="nothing")
case("git_missing_subdir", "a directory that is not there", f"""
FROM base
ADD {GIT}#v1:nothing /r
""", says="nothing")
case("git_submodule", "F1.10.6", """
FROM base
ADD @WEB@/git/super.git /r
""", flaw="leaves a .git that names a directory of its own")
case("git_submodule_not", "F1.10.6", """
FROM base
ADD @WEB@/git/super.git?submodules=false /s
""")
case("git_variables", "in the address", f"""
FROM scratch
ARG REF=v1
ADD {GIT}#${{REF}}:dir /r
""")
case("git_onto_existing", "merged with what is there", f"""
FROM base
RUN mkdir -p /data/dir && echo old > /data/dir/old && echo x > /data/run
ADD {GIT}#v1 /data
""")

case("context_git", "F1.10.2: no .dockerignore counts", None, None, *context(GIT))
case("context_git_fragment", "F1.10.4", None, None, *context(f"{GIT}#v1:dir"))
case("context_git_query", "F1.10.5", None, None, *context(f"{GIT}?ref=v1&subdir=dir"))
case("context_git_subdir", "F1.10.11", None, None, *context(f"{GIT}#v1", "--opt", "contextsubdir=dir"))
case("context_git_missing_file", "a Dockerfile that is not there", None, None, *context(GIT, "--opt", "filename=nothing"),
     says="failed to read dockerfile: open nothing")
case("context_git_bad_query", "F1.10.5", None, None, *context(f"{GIT}?x=y"))
case("context_git_local_file", "F1.11.10: the Dockerfile is the user's", f"""
FROM scratch
COPY dir /from-git/
""", None, *context(f"{GIT}#v1", "--opt", "dockerfilekey=dockerfile"))
case("context_archive", "F1.10.7", None, None, *context("@WEB@/context.tar"))
case("context_archive_subdir", "F1.10.11", None, None, *context("@WEB@/context.tar", "--opt", "contextsubdir=sub"))
case("context_archive_file", "another Dockerfile in it", None, None, *context("@WEB@/context.tar", "--opt", "filename=sub/Dockerfile"))
case("context_plain", "F1.10.8", None, None, *context("@WEB@/plain"))
case("context_missing", "nobody has it", None, None, *context("@WEB@/nothing"), says="invalid response status 404")

case("named_git", "F1.10.16", """
FROM scratch
COPY --from=src a /a
COPY --from=src dir /dir
""", None, *named("src", f"{GIT}#v1"))
case("named_git_base", "as what a stage starts from", """
FROM src
COPY a.txt /
""", FILE, *named("src", f"{GIT}#v1"))
case("named_http", "F1.10.16: one file, not unpacked", """
FROM scratch
COPY --from=src context /a
""", None, *named("src", "@WEB@/data.tar"))
case("named_image", "F1.10.13: instead of another image", """
FROM nothing
RUN echo $BASE > /x
COPY --from=other /data/a /copied
""", None, *named("nothing", "docker-image://base:v1"), *named("other", "docker-image://docker"))
case("named_scratch", "F1.10.13", """
FROM base
COPY a.txt /
""", FILE, *named("base", "docker-image://scratch"))
case("named_stage", "F1.10.18: instead of a stage", """
FROM base AS one
RUN exit 1
FROM base
COPY --from=one /data/a /copied
""", None, *named("one", "docker-image://docker"))
case("named_stage_target", "F1.10.18: and that is the target", """
FROM base AS one
RUN exit 1
""", None, *named("one", "docker-image://rich"))
case("named_stage_base", "what starts from such a stage", """
FROM base AS one
RUN exit 1
FROM one
RUN id > /x
""", None, *named("one", "docker-image://rich"))
case("named_local", "F1.10.15: with an ignore file of its own", """
FROM scratch
COPY --from=dir . /d/
""", {"more/.dockerignore": "x\n", "more/x": "x\n", "more/y": "y\n", "more/run": File("run\n", 0o755)},
     *named("dir", "local:more"), "--local", "more=@CONTEXT@/more")
case("named_platform", "F1.10.12: the one for the platform", """
FROM one
""", None, *named("one", "docker-image://base"), *named("one::linux/amd64", "docker-image://rich"))
case("named_mount", "as what is mounted", """
FROM base
RUN --mount=from=src,target=/m cat /m/a > /a
""", None, *named("src", f"{GIT}#v1"))
case("named_input", "F1.10.17", """
FROM one
""", None, *named("one", "input:two"))
case("named_bad", "F1.10.19", """
FROM one
""", None, *named("one", "nothing"))
case("named_unknown", "F1.10.19", """
FROM one
""", None, *named("one", "ftp://x"))
case("named_git_bad", "F1.10.19", """
FROM one
""", None, *named("one", "git:x"))
case("named_of_itself", "F1.10.19: a context that stands for itself", """
FROM one
COPY a.txt /
""", FILE, *named("one", "docker-image://base"), *named("base", "docker-image://docker"))
case("named_latest", "F1.10.12", """
FROM docker.io/library/one:latest
COPY a.txt /
""", FILE, *named("one", "docker-image://base"))

EPOCH = ["--opt", "build-arg:SOURCE_DATE_EPOCH=context"]
DATED = """
FROM base
ARG SOURCE_DATE_EPOCH
RUN echo "epoch $SOURCE_DATE_EPOCH" > /x
WORKDIR /w
"""
case("epoch_context_git", "F1.5.26: when the commit was made", DATED, None,
     *context(GIT, "--opt", "dockerfilekey=dockerfile"), *EPOCH)
case("epoch_context_archive", "F1.5.26: when the server says", DATED, None,
     *context("@WEB@/context.tar", "--opt", "dockerfilekey=dockerfile"), *EPOCH)
case("epoch_context_undated", "F1.5.26: of the newest file", DATED, None,
     *context("@WEB@/undated.tar", "--opt", "dockerfilekey=dockerfile"), *EPOCH)
case("epoch_context_plain", "F1.5.26: of one file", None, None, *context("@WEB@/plain"), *EPOCH)
case("epoch_context_undated_plain", "F1.5.26: none", None, None, *context("@WEB@/undated.plain"), *EPOCH)
case("context_plain_local_file", "F1.11.10: the Dockerfile is the user's", """
FROM scratch
COPY context /x
""", None, *context("@WEB@/plain", "--opt", "dockerfilekey=dockerfile"), flaw="looks for the Dockerfile by the download's name")
case("epoch_context_local", "F1.5.26: none", DATED, None, *EPOCH)
case("epoch_named", "F1.5.27", DATED, None, *named("src", GIT), "--opt", "build-arg:SOURCE_DATE_EPOCH=src")
case("epoch_named_image", "F1.5.27: none", DATED, None, *named("src", "docker-image://base"), "--opt", "build-arg:SOURCE_DATE_EPOCH=src")
case("epoch_named_http", "F1.5.27", DATED, None, *named("src", "@WEB@/file.txt"), "--opt", "build-arg:SOURCE_DATE_EPOCH=src")
SRC = "ARG SOURCE_DATE_EPOCH=src\n"
case("epoch_stage_git", "F1.5.27", SRC + f"FROM scratch AS src\nARG REF=v1\nADD {GIT}#$REF /\n" + DATED)
case("epoch_stage_http", "F1.5.27", SRC + "FROM scratch AS src\nADD @WEB@/file.txt /\n" + DATED)
case("epoch_stage_undated", "F1.5.27", SRC + "FROM scratch AS src\nADD @WEB@/undated.tar /\n" + DATED)
case("epoch_stage_text", "F1.5.27", SRC + "FROM scratch AS src\nADD @WEB@/undated.txt /\n" + DATED)
case("epoch_stage_used", "F1.5.27: a stage like others", SRC + "FROM scratch AS src\nADD @WEB@/file.txt /f\n" + DATED +
     "COPY --from=src /f /f\n")
case("epoch_stage_based", "F1.5.27", SRC + "FROM base AS src\nADD @WEB@/file.txt /\n" + DATED)
case("epoch_stage_run", "F1.5.27", SRC + "FROM scratch AS src\nADD @WEB@/file.txt /\nENV A=b\n" + DATED)
case("epoch_stage_two", "F1.5.27", SRC + "FROM scratch AS src\nADD @WEB@/file.txt /\nADD @WEB@/file.txt /x\n" + DATED)
case("epoch_stage_sources", "F1.5.27", SRC + "FROM scratch AS src\nADD @WEB@/file.txt @WEB@/empty /\n" + DATED)
case("epoch_stage_local", "F1.5.27", SRC + "FROM scratch AS src\nADD a.txt /\n" + DATED, FILE)
case("epoch_stage_nothing", "F1.5.27", SRC + "FROM scratch AS src\n" + DATED)
case("epoch_stage_overridden", "F1.5.27: by a number", SRC + "FROM scratch AS src\nADD @WEB@/file.txt /\n" + DATED, None,
     "--opt", "build-arg:SOURCE_DATE_EPOCH=1600000000")
case("epoch_stage_reset", "F1.5.27: by nothing", SRC + "FROM scratch AS src\nADD @WEB@/file.txt /\n" + DATED, None,
     "--opt", "build-arg:SOURCE_DATE_EPOCH=")
case("epoch_two_platforms", "F1.5.27: for two platforms", SRC + "FROM scratch AS src\nADD @WEB@/file.txt /\nFROM scratch\n"
     "ARG SOURCE_DATE_EPOCH\nWORKDIR /$SOURCE_DATE_EPOCH\n", None, "--opt", "platform=linux/amd64,linux/arm64",
     flaw="dates the index by its clock")
case("epoch_missing", "F1.5.27: a download that is not there", SRC + "FROM scratch AS src\nADD @WEB@/nothing /\n" + DATED,
     says="invalid response status 404")
