"""Stages, targets and platforms (F1.4, F10.40 to F10.44)."""

from ..case import case

case("from_stage", "F1.4.4: all is inherited", """
FROM base AS one
ENV A=1
ARG B=2
USER bob
WORKDIR /home/bob/w
LABEL l=1
EXPOSE 80
RUN echo x > x
FROM one AS two
RUN echo "$A $B" > y; id >> y
FROM two
CMD ["z"]
""")
case("names", "F10.40", """
FROM base AS Builder
RUN echo b > /b
FROM scratch
COPY --from=BUILDER /b /b
COPY --from=builder /b /c
""")
case("from_name_case", "F1.4.3: FROM compares exactly", """
FROM base AS Builder
ENV A=b
FROM builder
""")
case("duplicate_names", "F10.41", """
FROM base AS x
RUN echo 1 > /n
FROM base AS x
RUN echo 2 > /n
FROM scratch
COPY --from=x /n /n
""")
case("name_of_image", "a stage that is called as its image", """
FROM base AS base
RUN echo stage > /s
FROM base
RUN cat /s > /t
""")
case("target", "F1.4.15", """
FROM base AS one
ENV A=1
FROM base AS two
RUN false
""", None, "--opt", "target=ONE")
case("unreachable", "F10.43", """
FROM nope-nope-nope AS broken
COPY missing /x
FROM base
ENV A=1
""")
case("scratch_stage_copies", "files only", """
FROM base AS build
RUN mkdir -p /out/bin && cp /bin/true /out/bin/ 2>/dev/null; echo app > /out/app && chmod 755 /out/app
FROM scratch
COPY --from=build /out /
ENTRYPOINT ["/app"]
""")
case("diamond", "two stages joined", """
FROM base AS a
RUN echo a > /a
FROM a AS b
RUN echo b > /b
FROM a AS c
RUN echo c > /c
FROM scratch
COPY --from=b /a /b /
COPY --from=c /c /
""")
case("scratch_name", "a stage named scratch's way", """
FROM scratch AS empty
FROM empty
COPY a.txt /
""", {"a.txt": "a\n"})
case("env_of_from_image", "F1.4.12: only files", """
FROM scratch
COPY --from=rich /data/a /
CMD ["x"]
""")
case("platform_option", "F1.4.21: the config says it", """
FROM scratch
COPY a.txt /
""", {"a.txt": "a\n"}, "--opt", "platform=linux/arm64")
case("platform_variant", "F1.4.21", """
FROM scratch
COPY a.txt /
""", {"a.txt": "a\n"}, "--opt", "platform=linux/arm/v6")
case("platform_normalised", "F2.1.6", """
FROM scratch
COPY a.txt /
""", {"a.txt": "a\n"}, "--opt", "platform=linux/arm64/v8")
case("platform_windows", "F1.4.21", """
FROM scratch
COPY a.txt /
""", {"a.txt": "a\n"}, "--opt", "platform=windows/amd64")
case("platform_flag", "F1.4.9: another architecture of an index", """
FROM --platform=linux/arm64 multi
COPY a.txt /
""", {"a.txt": "a\n"})
case("platform_flag_and_option", "F10.44", """
FROM --platform=linux/arm64 multi AS arm
FROM multi
ARG TARGETARCH
COPY --from=arm /arch /arm-arch
LABEL t=$TARGETARCH
""", None, "--opt", "platform=linux/amd64")
case("platform_build_and_target", "the usual cross build", """
FROM --platform=$BUILDPLATFORM base AS build
ARG TARGETARCH BUILDARCH
RUN echo "$BUILDARCH for $TARGETARCH" > /out
FROM multi
COPY --from=build /out /out
""", None, "--opt", "platform=linux/arm64")
case("platform_of_base", "F1.4.10: a base of another architecture", """
FROM arm
COPY a.txt /
""", {"a.txt": "a\n"})
case("platform_of_stage", "F10.44: on a stage it is ignored", """
FROM multi AS one
FROM --platform=linux/arm64 one
COPY a.txt /
""", {"a.txt": "a\n"})
case("several_platforms", "F1.11.3", """
FROM multi
ARG TARGETPLATFORM
COPY a.txt /
LABEL p=$TARGETPLATFORM
""", {"a.txt": "a\n"}, "--opt", "platform=linux/amd64,linux/arm64")
case("several_platforms_scratch", "F1.11.3", """
FROM scratch
COPY a.txt /
""", {"a.txt": "a\n"}, "--opt", "platform=linux/arm/v7,linux/amd64")
case("multi_platform_of_one", "F1.5.17", """
FROM scratch
COPY a.txt /
""", {"a.txt": "a\n"}, "--opt", "platform=linux/amd64", "--opt", "multi-platform=true")
case("bad_platform_option", "no platform", """
FROM scratch
""", None, "--opt", "platform=a/b/c/d")
case("no_cache", "F1.11.14", """
FROM base
RUN echo x > /x
""", None, "--opt", "no-cache=")
case("no_cache_stage", "F10.75", """
FROM base AS One
RUN echo x > /x
FROM one
RUN echo y > /y
""", None, "--opt", "no-cache=ONE", says="one")

case("legacy_config", "a base with all that old docker wrote", """
FROM legacy
ENV B=2
""")
case("odd_config", "a base with an odd environment and directory", """
FROM odd
RUN pwd > /p; env | grep -E '^(A|B|C)=' > /e
WORKDIR x
""")
case("short_history", "a base with less history than layers", """
FROM shorthistory
COPY a.txt /
""", {"a.txt": "a\n"})
case("long_history", "a base with more history than layers", """
FROM longhistory
COPY a.txt /
""", {"a.txt": "a\n"})
case("plain_layer", "a base whose layer is not compressed", """
FROM plain
COPY a.txt /
""", {"a.txt": "a\n"})
case("zstd_layer", "a base whose layer is zstd", """
FROM zstd
COPY a.txt /
""", {"a.txt": "a\n"})
case("same_layer_twice", "a base with the same layer twice", """
FROM twice
COPY a.txt /
""", {"a.txt": "a\n"})
case("by_digest", "F1.4.8", """
FROM base@@DIGEST@ AS one
FROM base:v1@@DIGEST@
COPY --from=base@@DIGEST@ /data/a /x
""")
case("by_registry", "a registry of its own", """
FROM @REGISTRY@/base:v1
COPY --from=@REGISTRY@/base /data/a /x
""")
case("wrong_digest", "a digest that is not there", """
FROM base@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
""", says="base@sha256:aaaa")
