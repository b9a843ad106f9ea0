"""Oddities of all kinds."""

from ..case import Dir, File, Link, case

SYNTAX = "FROM base\nRUN echo x > /x\n"
case("syntax_v0", "the frontend by its name", "# syntax=dockerfile.v0\n" + SYNTAX,
     says="image frontends are not supported yet")
case("syntax_empty", "with nothing", "# syntax=\n" + SYNTAX)
case("syntax_late", "below a comment", "# comment\n# syntax=nothing/at:all\n" + SYNTAX)
case("syntax_below_instruction", "below FROM", "FROM base\n# syntax=nothing/at:all\nRUN echo x > /x\n")
case("syntax_after_blank", "below an empty line", "\n\n# syntax=\n" + SYNTAX)
case("arg_in_from_stage", "a stage's name out of an ARG", """
ARG WHICH=two
FROM base AS one
RUN echo 1 > /n
FROM base AS two
RUN echo 2 > /n
FROM $WHICH
RUN cat /n > /m
""")
case("arg_in_copy_from", "F10.22: --from takes no variables of a stage", """
ARG WHICH=two
FROM base AS two
RUN echo 2 > /n
FROM base
ARG WHICH
COPY --from=$WHICH /n /m
""")
case("arg_predefined_in_from", "F1.5.14", """
ARG TARGETARCH
FROM --platform=$BUILDPLATFORM base AS x-amd64
RUN echo x > /x
FROM x-$TARGETARCH
RUN cat /x > /y
""")
case("stage_numbers", "stages by number and by name", """
FROM base
RUN echo 0 > /n
FROM base AS b
COPY --from=0 /n /m
FROM base
COPY --from=1 /m /k
COPY --from=b /m /l
""")
case("stage_named_like_image", "a stage's name hides an image", """
FROM docker AS base
RUN echo hidden > /h
FROM base
COPY --from=base /h /i
""")
case("from_itself_name", "a stage with the name of its own base", """
FROM base AS base
RUN echo x > /x
FROM base
RUN echo y > /y
""")
case("env_dollar_end", "$ at the end and before nothing", """
FROM base
ENV A=a$ B="b$" C=$ D=$$ E=$1 F=${A}
RUN env | grep '^[A-F]=' > /e
""")
case("env_tabs", "tabs between pairs", "FROM base\nENV\tA=1\tB=2\t\tC='x\ty'\nRUN env | grep '^[ABC]=' > /e\n")
case("env_self", "a variable out of itself", """
FROM base
ENV P=/a
ENV P=$P:/b P2=$P
ENV P=${P}:/c
RUN echo $P $P2 > /e
""")
case("env_path", "PATH of a step", """
FROM base
ENV PATH=/x:$PATH
RUN echo $PATH > /e
ENV PATH=/bin
RUN echo $PATH > /f
""")
case("env_unset_path", "an empty PATH", """
FROM base
ENV PATH=
RUN /bin/echo "[$PATH]" > /e
""")
case("env_home", "HOME by hand", """
FROM base
ENV HOME=/elsewhere
RUN echo ~ $HOME > /e
USER bob
RUN echo ~ $HOME > /tmp/f
""")
case("spellings", "instructions in all spellings", """
from base as one
Env A=1
RuN echo $A > /a
FROM base
cOpY --from=ONE /a /b
label X=y
""")
case("workdir_many", "relative, absolute, dots, variables", """
FROM base
ENV D=dir
WORKDIR a
WORKDIR $D/../b
WORKDIR ./c//d/
RUN pwd > /1
WORKDIR ..
RUN pwd > /2
WORKDIR /
WORKDIR x
RUN pwd > /3
""")
case("workdir_blanks", "with blanks in it", """
FROM base
WORKDIR /a b/c
RUN pwd > /1
WORKDIR "/q r"
RUN pwd > /2
""")
case("workdir_then_copy", "copies into it", """
FROM base
WORKDIR /w/x
COPY a.txt b/
COPY a.txt ../c
COPY a.txt ./
""", {"a.txt": "a\n"})
case("workdir_user", "who owns it", """
FROM base
USER bob
WORKDIR /home/bob/new
RUN stat -c '%a %u:%g' . > f
USER 1234:5678
WORKDIR /tmp/newer
RUN stat -c '%a %u:%g' . > f
""")
case("workdir_over_file", "a directory where a file is", """
FROM base
WORKDIR /data/a/b
""", says="not a directory")
case("user_forms", "numbers, names, both", """
FROM base
USER 77
RUN id > /tmp/1
USER bob:50
RUN id > /tmp/2
USER 5:staff
RUN id > /tmp/3
USER root
RUN id > /tmp/4
""")
case("user_group_only", "a group alone", """
FROM base
USER :50
RUN id > /tmp/5
""")
case("user_variable", "from a variable", """
FROM base
ARG WHO=alice
USER ${WHO}:${GRP:-bobs}
RUN id > /tmp/1
""")
case("volume_then_write", "a volume does not keep writes out", """
FROM base
VOLUME /v /w
RUN mkdir -p /v && echo x > /v/x
VOLUME ["/v", "/a b"]
""")
case("expose_many", "ranges and protocols", """
FROM base
EXPOSE 80 443/tcp 53/udp 100-103 200-201/udp 7/sctp
ARG P=99
EXPOSE $P/tcp ${P}1
""")
case("label_forms", "quotes, blanks, lines", r"""
FROM base
LABEL a=1 "b c"="d e" f='g h' i=j\ k
LABEL multi="line \
next"
""")
case("label_many_lines", "a label over lines", r"""
FROM base
LABEL a="1 \
2" b=3 \
      c=4
""")
case("label_order", "the last one counts", """
FROM base
LABEL a=1 b=2
LABEL b=3 a=
LABEL a=4
""")
case("label_variables", "in names and values", """
FROM base
ENV K=key V=value
LABEL $K=$V ${K}2="${V} x" '$K'='$V'
""")
case("cmd_single_quotes", "JSON with single quotes", """
FROM base
CMD ['sh', '-c', 'x']
ENTRYPOINT [ "a" , "b" ]
""")
case("cmd_blanks", "blanks within", "FROM base\nCMD   echo    a   \\\n     b   \nRUN   echo   'a   b'   >   /x\n")
case("run_json_unicode", "escapes of JSON", r"""
FROM base
RUN ["/bin/sh", "-c", "echo '\u00e9\t\"q\"' > /x"]
""")
case("run_brackets", "a test that looks like JSON", """
FROM base
RUN [ -e /data/a ] && echo yes > /x
RUN [[ -e /data/a ]] || echo other > /y
""")
case("run_exec_variable", "no variables in the exec form", """
FROM base
ENV A=a
RUN ["/bin/sh", "-c", "echo $A > /x"]
RUN ["echo", "$A"]
""")
case("run_semicolons", "what shells do with lines", r"""
FROM base
RUN echo a; \
    echo b \
    ;echo c > /x
RUN set -e; \
  # comment
  echo d > /y
""")
case("run_background", "a step that leaves something behind", """
FROM base
RUN (sleep 100; echo late > /late) & echo now > /now
""")
case("run_big_output", "a lot of output", """
FROM base
RUN seq 1 20000 && echo x > /x
""")
case("run_no_newline", "output without an end", """
FROM base
RUN printf abc && printf def >&2 && printf x > /x
""")
case("run_stdin", "nothing to read", """
FROM base
RUN wc -c > /x
""")
case("run_chmod_parent", "modes of directories above", """
FROM base
RUN mkdir -p /p/q/r && chmod 700 /p && chmod 2755 /p/q && echo x > /p/q/r/x
RUN chmod 1777 /p/q
""")
case("run_delete_copied", "what a COPY made", """
FROM base
COPY d /d
RUN rm -r /d/x /d/y/1 && echo z > /d/z
COPY d/y /d/y
""", {"d/x": "x\n", "d/y/1": "1\n", "d/y/2": "2\n"})
case("run_replace_link", "a link by what it leads to", """
FROM base
RUN rm /linked && cp -a /real /linked && rm -r /real
""")
case("run_move_directory", "a directory of the base", """
FROM base
RUN mv /data /moved && mkdir /data && echo new > /data/a
""")
case("run_hard_link_across", "a link to a file of the base", """
FROM base
RUN ln /data/a /data/sub/hard && ln /data/hard1 /third
""")
case("copy_over_mounts", "where steps have mounts", """
FROM base
COPY a.txt /proc/a
COPY a.txt /sys/a
COPY a.txt /dev/a
RUN ls /proc/a /dev/a > /seen 2>&1; true
""", {"a.txt": "a\n"})
case("copy_etc_files", "files that steps get other ones for", """
FROM base
COPY a.txt /etc/hosts
COPY a.txt /etc/resolv.conf
RUN grep -c '^a$' /etc/hosts > /n; true
""", {"a.txt": "a\n"})
case("copy_empty_directory", "in three ways", """
FROM base
COPY d /one
COPY d/ /two/
COPY d/e /three
""", {"d/e": Dir(0o700)})
case("copy_sticky", "bits of modes", """
FROM base
COPY d /d
""", {"d/s": File("s\n", 0o4755), "d/g": File("g\n", 0o2711), "d/t": Dir(0o1777), "d/n": File("n\n", 0o400)})
case("copy_same_directory", "onto itself, from a stage", """
FROM base AS one
FROM one
COPY --from=one /data /data
COPY --from=one /data/ /data/
""")
case("copy_root", "all of a stage over all of another", """
FROM scratch AS one
COPY d /
FROM base
COPY --from=one / /
""", {"d/data/a": "new\n", "d/x": Link("data/a"), "d/etc/more": "more\n"})
case("copy_links_in_source", "links on the way", """
FROM base
COPY l/x /1
COPY l /2
COPY d/m/../x /3
""", {"d/x": "x\n", "d/m": Link("."), "l": Link("d")})
case("copy_dotdot", "out of the context", """
FROM base
COPY ../a.txt /1
COPY /../a.txt /2
COPY ./../../a.txt /3
""", {"a.txt": "a\n"})
case("copy_trailing_dots", "sources with dots at the end", """
FROM base
COPY d/. /1/
COPY d/./ /2
COPY ./d /3
""", {"d/x": "x\n"})
case("copy_dot_files", "names that begin with a dot", """
FROM base
COPY .a* /1/
COPY d/* /2/
""", {".a": "a\n", "d/.b": "b\n", "d/c": "c\n"})
case("copy_braces", "no braces", """
FROM base
COPY {a,b}.txt /
""", {"a.txt": "a\n", "b.txt": "b\n"})
case("copy_class", "classes of characters", """
FROM base
COPY [a-b].txt /1/
COPY [!a].txt /2/
COPY [^a].txt /3/
""", {"a.txt": "a\n", "b.txt": "b\n", "!.txt": "!\n"})
case("copy_star_star", "two stars are one", """
FROM base
COPY d/**/x /1/
""", {"d/1/x": "1\n", "d/2/x": "2\n", "d/1/3/x": "3\n"})
case("copy_many_from", "from several stages, links kept", """
FROM base AS one
RUN mkdir /o && echo 1 > /o/a && ln -s a /o/l && ln /o/a /o/h
FROM base AS two
COPY --from=one /o /o
RUN echo 2 >> /o/h
FROM base
COPY --from=two /o /o
COPY --from=one /o/l /l
""")
TREE = {"d/e/x.txt": "1\n", "d/f/x.txt": "2\n", "d/e/g/x.txt": "3\n", "d/e/y.md": "4\n", "d/z.md": "5\n"}
case("parents_wildcards", "F1.7.15: patterns", """
FROM base
COPY --parents d/*/x.txt /1/
COPY --parents ./d/./e/*.txt /2/
COPY --parents d/**/x.txt /3/
COPY --parents /d/e/ /4/
""", TREE)
case("parents_pivot_odd", "F1.7.15: pivots", """
FROM base
COPY --parents d/./e/./g/x.txt /1/
COPY --parents ./d/e /2/
COPY --parents d/e/./ /3/
COPY --parents --chown=bob d/f/x.txt d/./z.md /4/
""", TREE)
case("parents_exclude", "both flags", """
FROM base
COPY --parents --exclude=**/g --exclude=*.md d /1/
""", TREE)
case("exclude_patterns", "F1.7.16", """
FROM base
COPY --exclude=*.md --exclude=e/g d /1/
COPY --exclude=**/*.txt d /2/
COPY --exclude=d/e/x.txt d /3/
COPY --exclude=* --exclude=!e/x.txt d /4/
""", TREE)
case("shell_changes", "SHELL between steps", """
FROM base
RUN echo one > /1
SHELL ["/bin/sh", "-xc"]
RUN echo two > /2
SHELL ["/usr/bin/env", "X=1", "/bin/sh", "-c"]
RUN echo $X > /3
CMD run it
""")
case("healthcheck_forms", "options and resets", """
FROM base
HEALTHCHECK --interval=1m30s --timeout=3s --start-period=1h --start-interval=5s --retries=7 CMD ["a", "b"]
HEALTHCHECK CMD curl -f http://localhost || exit 1
""")
case("stopsignal_forms", "names and numbers", """
FROM base
STOPSIGNAL sigterm
STOPSIGNAL RTMIN+3
""")
case("maintainer_variable", "a maintainer is no place for variables", """
FROM base
ENV WHO=me
MAINTAINER $WHO <x@y>
""")
case("platforms_args", "for three at once", """
FROM --platform=$BUILDPLATFORM base AS build
ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM
RUN echo "$TARGETPLATFORM $TARGETOS $TARGETARCH $TARGETVARIANT $BUILDPLATFORM" > /out
FROM scratch
COPY --from=build /out /
""", None, "--opt", "platform=linux/amd64,linux/arm/v7,linux/arm64/v8")
case("target_stage_arg", "F1.5.15", """
FROM base AS one
ARG TARGETSTAGE
RUN echo "$TARGETSTAGE" > /x
FROM one AS two
""", None, "--opt", "target=one")
case("many_stages", "a long chain", "FROM base AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\nRUN echo {n} >> /log\n" for n in range(12)))
case("unused_missing", "a stage that nobody needs, from an image that is not there", """
FROM not/there AS one
RUN x
FROM base
RUN echo x > /x
""")
case("unused_bad_reference", "and from what is no name", """
FROM Not/There:a:b AS one
FROM base
""")
case("unused_missing_file", "a COPY that nobody needs", """
FROM base AS one
COPY not/there /
FROM base
RUN echo x > /x
""")
case("check_directive", "a check that fails the build", """# check=error=true
FROM base as one
RUN echo x > /x
""", says="lint violation found")
case("check_skip", "one that is skipped", """# check=skip=FromAsCasing;error=true
FROM base as one
RUN echo x > /x
""")
case("escape_in_run", "backslashes before a newline and elsewhere", r"""
FROM base
RUN echo a\\b 'c\d' "e\\f" \
 g\ h > /x
""")
case("from_digest_and_tag", "both", """
FROM base:v1@@DIGEST@
RUN echo x > /x
""")
case("from_scratch_run", "a step on nothing", """
FROM scratch
RUN ["/nothing"]
""", says="did not complete successfully")
case("from_scratch_nothing", "no instruction that makes a file", """
FROM scratch
ENV A=b
CMD ["x"]
""")
case("from_scratch_workdir", "and one directory", """
FROM scratch
WORKDIR /a/b
""")
case("mount_order", "mounts within mounts", """
FROM base
RUN --mount=type=tmpfs,target=/m/t --mount=target=/m,source=d,rw ls -R /m > /x; mkdir -p /m/t/deep
RUN --mount=type=cache,target=/m/c --mount=type=tmpfs,target=/m echo y > /m/c/y && ls /m > /z
""", {"d/t/in": "in\n", "d/c/in": "in\n"})
case("mount_relative", "targets below the working directory", """
FROM base
WORKDIR /w
RUN --mount=target=in,source=d cat in/x > out
RUN --mount=target=./deep/er,source=d/x cat deep/er > out2
""", {"d/x": "x\n"})
case("mount_secret_forms", "in files and in the environment", """
FROM base
RUN --mount=type=secret,id=s cat /run/secrets/s > /1
RUN --mount=type=secret,id=s,target=/else/where,mode=0444,uid=77 ls -n /else/where | cut -c1-10 > /2
RUN --mount=type=secret,id=s,env=S echo $S > /3
RUN --mount=type=secret,id=none ls /run/secrets > /4 2>&1; true
""", {"secret": "s3cret\n"}, "--secret", "id=s,src=@CONTEXT@/secret")
case("mount_cache_across", "a cache in two steps", """
FROM base
RUN --mount=type=cache,target=/c,id=odd-across echo one >> /c/log
RUN --mount=type=cache,target=/else,id=odd-across,readonly cp /else/log /log && ! touch /else/x
RUN --mount=type=cache,target=/odd-across ls /odd-across > /ls
""")
case("mount_cache_owner", "whose it is", """
FROM base
RUN --mount=type=cache,target=/c,id=odd-owner,uid=77,gid=88,mode=0700 ls -nd /c | cut -d' ' -f1 > /x && id -u > /y
""")
