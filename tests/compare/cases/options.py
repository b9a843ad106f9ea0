"""Frontend options (F1.11), and build arguments that only the frontend reads (F1.5)."""

from ..case import case

ALONE = """
FROM base
LABEL a=b
"""


def option(name, why, *options, dockerfile=ALONE, files=None, **more):
    case(name, why, dockerfile, files, *(word for one in options for word in ("--opt", one)), **more)


option("target", "F1.11.2", "target=two", dockerfile="""
FROM base AS one
RUN false
FROM base AS two
LABEL two=2
FROM one
""")
option("multi_platform_conflict", "F1.11.4", "platform=linux/amd64,linux/arm64", "multi-platform=false")
option("multi_platform_bad", "F1.11.4", "multi-platform=x")
option("build_arg_and_label", "F1.11.5, F1.11.6", "build-arg:A=x=y", "label:l=", "label:L=M N", dockerfile="""
FROM base
ARG A=1
LABEL a=$A
""")
case("local_names", "F1.11.10: contextkey is about remote ones only", None,
     {"Dockerfile": "FROM nowhere\n", "df/Dockerfile": "FROM scratch\nCOPY a.txt /\n", "a.txt": "a\n"},
     "--opt", "dockerfilekey=other", "--local", "other=@CONTEXT@/df", "--opt", "contextkey=another")
option("local_context_subdir", "F1.11.11: of a local one it is ignored", "contextsubdir=d", files={"a.txt": "a\n"}, dockerfile="""
FROM scratch
COPY a.txt /
""")
option("shared_key", "F1.11.13", "sharedkey:localdir:context=key", "sharedkey:localdir:dockerfile=key", files={"a.txt": "a\n"}, dockerfile="""
FROM scratch
COPY a.txt /
""")
for mode in "default", "pull", "local", "x":
    option(f"resolve_mode_{mode}", "F1.11.15", f"image-resolve-mode={mode}")
option("bad_host", "F1.11.16", "add-hosts=x=y")
option("bad_shm_size", "F1.11.19", "shm-size=1m")
option("bad_ulimit", "F1.11.20", "ulimit=files=1:2")
for name, value in (("memory", "0"), ("memswap", "-2"), ("cpushares", "-1"), ("cpuperiod", "x"), ("cpuquota", "0"), ("cpusetcpus", "3-1"),
                    ("cpusetmems", "a")):
    option(f"bad_{name}", "F1.11.22", f"{name}={value}")
option("vcs", "F1.11.26: for attestations only", "vcs:source=https://h/r.git", "vcs:revision=abc")
option("cmdline", "F1.11.28: asked for by such a file, it is asked no more", "cmdline=no/such:frontend x", "source=no/such:frontend", dockerfile="""# syntax=no/such:frontend x
FROM base
LABEL a=b
""")
option("caps", "F1.11.29", "frontend.caps=moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,"
       "moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring+forward")
option("caps_unknown", "F1.11.29", "frontend.caps=moby.buildkit.frontend.contexts,moby.buildkit.frontend.nope",
       says="unsupported frontend capability moby.buildkit.frontend.nope")
option("caps_forward", "F1.11.29: no image frontend is asked for", "frontend.caps=nope+forward", says="unsupported frontend capability nope")
option("epoch", "F1.11.30", "build-arg:SOURCE_DATE_EPOCH=1600000000")
option("unknown_keys", "those that nobody knows", "nope=1", "label=x", "build-arg=y", "cpuset-cpus=0")
option("request_unknown", "F1.13.7, F10.107", "requestid=frontend.nope", says="unsupported request frontend.nope")

option("disable_fileop", "F1.5.24", "build-arg:BUILDKIT_DISABLE_FILEOP=1")
option("disable_fileop_not", "F1.5.24", "build-arg:BUILDKIT_DISABLE_FILEOP=0")
option("override_copy_image", "F1.5.24", "override-copy-image=x")
option("check_of_argument", "F1.5.21, F1.1.6: it replaces the file's own", "build-arg:BUILDKIT_DOCKERFILE_CHECK=error=true", dockerfile="""# check=skip=all
FROM base
ENV a b
""")
option("check_of_argument_bad", "F1.5.21", "build-arg:BUILDKIT_DOCKERFILE_CHECK=nope")
option("check_skip_some", "F1.1.6", dockerfile="""# check=error=true;skip=LegacyKeyValueFormat,StageNameCasing
FROM base AS Upper
ENV a b
WORKDIR x
""")
option("scan_arguments", "F1.5.22: not in the environment", "build-arg:BUILDKIT_SBOM_SCAN_STAGE=true", dockerfile="""
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true
FROM base
ARG BUILDKIT_SBOM_SCAN_STAGE BUILDKIT_SBOM_SCAN_CONTEXT
RUN env | grep -c BUILDKIT > /x; true
LABEL a=[$BUILDKIT_SBOM_SCAN_STAGE]
""")
option("arguments_of_others", "F1.5.23: read by clients", "build-arg:BUILDKIT_INLINE_CACHE=1", "build-arg:BUILDKIT_BUILD_NAME=n", dockerfile="""
FROM base
ARG BUILDKIT_INLINE_CACHE
RUN env | grep BUILDKIT > /x
""")
option("cache_mount_namespace", "F1.5.19", "build-arg:BUILDKIT_CACHE_MOUNT_NS=ns", dockerfile="""
FROM base
RUN --mount=type=cache,id=i,target=/c echo x > /c/f
RUN --mount=type=cache,id=ns/i,target=/c ls /c > /l
""")
