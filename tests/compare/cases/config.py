"""What metadata instructions leave in the config and in the history (F1.8, F10.86 to F10.88)."""

from ..case import Dir, File, case

case("nothing", "F1.4.5, F10.85: an empty image", """
FROM scratch
""")
case("only_env", "F10.85: metadata only", """
FROM scratch
ENV A=b
LABEL l=m
""")
case("base_alone", "a base and nothing else", """
FROM base
""")
case("rich_alone", "F1.4.19: everything inherited", """
FROM rich
""")
case("docker_base", "a base with docker's media types", """
FROM docker
RUN echo x > /x
""")
case("base_without_history", "a base whose history is missing", """
FROM nohistory
ENV A=b
COPY a.txt /x
""", {"a.txt": "a\n"})
case("bare_base", "F1.4.18: no PATH in the base", """
FROM bare
RUN echo "$PATH" > /path
ENV X=y
""")
case("rich_overridden", "over all of it", """
FROM rich
USER root
WORKDIR sub
ENV A=2 C=3
LABEL keep=you more=1
EXPOSE 90 8080/udp
VOLUME /other /vol
STOPSIGNAL 9
CMD ["x"]
HEALTHCHECK NONE
MAINTAINER me <me@example.com>
SHELL ["/bin/sh", "-xc"]
""")
case("entrypoint_resets_cmd", "F10.46", """
FROM rich
ENTRYPOINT ["/new"]
""")
case("cmd_then_entrypoint", "F10.46: a CMD of this stage stays", """
FROM rich
CMD ["mine"]
ENTRYPOINT ["/new"]
""")
case("entrypoint_in_parent_stage", "F10.46 over stages", """
FROM base AS one
CMD ["one"]
FROM one
ENTRYPOINT ["/e"]
""")
case("cmd_forms", "F1.8.6", """
FROM base
CMD echo  "a   b"  $HOME
""")
case("cmd_empty", "F1.8.6: none", """
FROM base
CMD []
""")
case("cmd_without_words", "CMD alone", """
FROM base
CMD
""")
case("entrypoint_empty", "F1.8.7", """
FROM rich
ENTRYPOINT []
""")
case("entrypoint_shell", "F1.8.7", """
FROM base
ENTRYPOINT exec top -b
CMD ["--help"]
""")
case("json_falls_back", "F10.49", """
FROM base
CMD ["a", 'b']
ENTRYPOINT [ "x", "y" ] 
""")
case("json_not_strings", "F10.49", """
FROM base
CMD ["a", 1]
""")
case("json_escapes", "unicode, escapes and blanks", r"""
FROM base
CMD [ "tab\t" , "quote\"", "\u00e9\u4e2d", "back\\slash", "<&>", "" ]
ENTRYPOINT	["a","b"]
""")
case("json_html_history", "characters that JSON writers escape", """
FROM base
ENV A="<&>" B='é\u2028x'
LABEL l=<&>
CMD ["<&>"]
""")
case("shell_form_after_shell", "F1.6.1, F1.8.8", """
FROM base
SHELL ["/bin/sh", "-ec"]
CMD a b
RUN echo "$0" > /zero
ENTRYPOINT c
HEALTHCHECK CMD d
SHELL ["/bin/busybox", "sh", "-c"]
RUN echo again > /again
""")
case("shell_not_json", "F1.8.8", """
FROM base
SHELL /bin/sh -c
""")
case("shell_empty", "SHELL []", """
FROM base
SHELL []
RUN echo
""")
case("labels", "F1.8.3", r"""
FROM base
LABEL a=1 b="two words" c='single' d=esc\ aped "quoted key"=v
LABEL legacy some words here
LABEL multi=a\
b
LABEL a=again empty= e2=""
ARG V=value
LABEL v=$V w='$V' x="$V-${V}" y=\$V
""")
case("label_options", "F10.97", """
FROM rich
LABEL keep=mine
""", None, "--opt", "label:keep=option", "--opt", "label:new=a b")
case("label_missing_value", "a word without =", """
FROM base
LABEL a=b c
""")
case("env", "F1.5.12", r"""
FROM base
ENV A=1
ENV B=2 C="x y" D='s q' E=a\ b
ENV F f g  h
ENV A=3
ENV G="$A" H='$A' I=$A-${B} J=\$A
ENV PATH=$PATH:/more
ENV EMPTY= E2=""
RUN env | grep -v -E '^(OTEL_|TRACEPARENT)' | sort > /env
""")
case("env_same_line", "F10.29", """
FROM base
ENV a=old
ENV a=new c=$a
ENV $a=key
""")
case("env_quotes", "F10.48: quotes and escapes", r"""
FROM base
ENV a="x \"y\" z" b='it''s' c=a"b"c d="$" e="a\
b" f=\"q\" g="\\" h='\n' i=a\\b
ENV k "quoted   legacy" 'x'
ENV l   leading
ENV m=" spaced " n=$'x'
""")
case("env_one_word", "F1.1.23", """
FROM base
ENV A
""")
case("env_without_equals", "F1.1.23", """
FROM base
ENV A=1 B
""")
case("env_blank_name", "no name", """
FROM base
ENV =1
""")
case("env_unclosed_quote", "F1.3.13", """
FROM base
ENV A="x
""")
case("expose", "F1.8.4, F10.47", """
FROM base
ENV P=1000
EXPOSE 80 443/tcp 53/UDP 7000-7002 $P/sctp ${P}
EXPOSE 80/udp
""")
case("expose_odd", "F10.47: addresses and host ports", """
FROM base
EXPOSE [::1]:5:443/TCP 127.0.0.1:80:8080 9:10
EXPOSE 0 65535
""")
case("expose_words_in_variable", "F1.3.15", """
FROM base
ENV P="80 90/udp"
EXPOSE $P
""")
case("expose_bad_port", "F1.8.4", """
FROM base
EXPOSE 70000
""")
case("expose_bad_protocol", "F1.8.4", """
FROM base
EXPOSE 80/icmp
""")
case("expose_empty", "a variable that is not set", """
FROM base
EXPOSE $NOPE
""")
case("expose_word", "no number", """
FROM base
EXPOSE http
""")
case("expose_backwards", "a range from high to low", """
FROM base
EXPOSE 90-80
""")
case("volume", "F1.8.5", """
FROM base
ENV D=/v
VOLUME /a /b $D/c
VOLUME ["/d e", "/f"]
VOLUME relative
RUN mkdir -p /a && echo kept > /a/kept
""")
case("volume_empty", "F1.8.5", """
FROM base
VOLUME [""]
""")
case("volume_no_words", "VOLUME alone", """
FROM base
VOLUME
""")
case("healthcheck", "F1.8.9", """
FROM base
HEALTHCHECK --interval=1m30s --timeout=2s --start-period=1h --start-interval=500ms --retries=7 CMD curl -f http://localhost/ || exit 1
""")
case("healthcheck_exec", "F1.8.9", """
FROM base
HEALTHCHECK --retries=0 CMD ["a", "b c"]
""")
case("healthcheck_none", "F1.8.10", """
FROM rich
HEALTHCHECK NONE
""")
case("healthcheck_lower_case", "cmd in small letters", """
FROM base
HEALTHCHECK --interval=1.5h cmd true
""")
case("healthcheck_too_short", "F1.8.9", """
FROM base
HEALTHCHECK --interval=1us CMD true
""")
case("healthcheck_negative", "F1.8.9", """
FROM base
HEALTHCHECK --retries=-1 CMD true
""")
case("healthcheck_bad_duration", "F1.8.9", """
FROM base
HEALTHCHECK --timeout=5 CMD true
""")
case("healthcheck_none_arguments", "F1.8.10", """
FROM base
HEALTHCHECK NONE x
""")
case("healthcheck_type", "F1.8.10", """
FROM base
HEALTHCHECK RUN x
""")
case("healthcheck_empty", "F1.8.10", """
FROM base
HEALTHCHECK CMD
""")
case("stopsignal", "F1.8.11", """
FROM base
ARG S=RTMIN+3
STOPSIGNAL $S
""")
case("stopsignal_number", "F1.8.11", """
FROM base
STOPSIGNAL 15
""")
case("stopsignal_bad", "F1.8.11", """
FROM base
STOPSIGNAL SIGNOPE
""")
case("stopsignal_variable", "F1.8.11: not known before", """
FROM base
STOPSIGNAL ${S:-sigterm}
""")
case("maintainer", "F1.8.12", """
FROM base
MAINTAINER  Some  One <x@y>
""")
case("user", "F1.8.2", """
FROM base
USER bob
USER 1000:1000
ENV U=alice
USER $U:${NOPE:-extra}
""")
case("user_empty", "no name", """
FROM base
USER $NOPE
""")
case("user_two_words", "two words", """
FROM base
USER a b
""")
case("workdir", "F1.8.1, F10.27", """
FROM base
WORKDIR /a/b
WORKDIR c
WORKDIR ../d
WORKDIR /
WORKDIR rel
WORKDIR /tmp
WORKDIR ./x/.//y/
ENV W=/w
WORKDIR $W/${NOPE:-z}
WORKDIR /with blank/in it
""")
case("workdir_scratch", "on nothing", """
FROM scratch
WORKDIR /a/b
WORKDIR /a/b
""")
case("workdir_of_base", "F1.8.1: relative to the base's", """
FROM rich
WORKDIR x
RUN pwd > p; id > i
""")
case("workdir_owner", "F10.26", """
FROM base
USER bob
WORKDIR /w/x
USER 1234
WORKDIR /w/y
USER 5:6
WORKDIR z
USER alice:extra
WORKDIR /tmp/alice
WORKDIR /data/sub/below
""")
case("workdir_link", "through links of the base", """
FROM base
WORKDIR /linked/in
WORKDIR /var/run/x
WORKDIR /chain
""")
case("workdir_dangling", "a dangling link as the directory", """
FROM base
WORKDIR /data/dangling
""")
case("workdir_file", "a file as the directory", """
FROM base
WORKDIR /data/a
""", says="/data/a")
case("workdir_unknown_user", "a user that is not there", """
FROM base
USER nobody-here
WORKDIR /w
""")
case("workdir_empty", "an empty variable", """
FROM base
WORKDIR /x
WORKDIR $NOPE
RUN pwd > /p
""")
case("workdir_no_words", "WORKDIR alone", """
FROM base
WORKDIR
""")
case("onbuild_stored", "F10.88", """
FROM base
ONBUILD RUN echo hi
ONBUILD   copy a b
ONBUILD COPY <<EOF /x
text $HERE
EOF
ONBUILD ENV A=b
""")
case("onbuild_chain", "F1.8.13", """
FROM base
ONBUILD ONBUILD RUN x
""")
case("onbuild_from", "F1.8.13", """
FROM base
ONBUILD FROM x
""")
case("onbuild_maintainer", "F1.8.13", """
FROM base
ONBUILD MAINTAINER x
""")
case("onbuild_bad_instruction", "the trigger is checked where it is written", """
FROM base
ONBUILD NOPE x
""")
case("onbuild_image", "F1.8.14: triggers of an image", """
FROM onbuild
COPY trigger.txt /own
""", {"trigger.txt": "t\n"})
case("onbuild_missing_file", "a trigger that fails", """
FROM onbuild
""", says='"/trigger.txt": not found')
case("onbuild_stage", "F10.45: triggers of a stage, once", """
FROM base AS parent
ONBUILD RUN echo triggered >> /t
ONBUILD ENV T=1
FROM parent AS child
RUN echo own >> /t
FROM child
RUN echo grand >> /t
""")
case("onbuild_uses_stage", "F1.8.14: a trigger that copies from a stage of the child's file", """
FROM base AS parent
ONBUILD COPY --from=other /o /o
FROM scratch AS other
COPY a.txt /o
FROM parent
""", {"a.txt": "a\n"})
case("onbuild_heredoc", "a heredoc in a trigger", """
FROM base AS parent
ONBUILD RUN <<EOF
echo one > /1
echo two > /2
EOF
FROM parent
""")
case("history_of_all", "F1.8.16: one of each", """
FROM base
ARG A=1 B
ENV X=1 Y=2
LABEL l=1
WORKDIR /w
COPY a.txt .
ADD a.txt b
RUN echo $A
RUN ["true", "x y"]
USER bob
EXPOSE 1
VOLUME /v
STOPSIGNAL TERM
SHELL ["/bin/sh", "-c"]
HEALTHCHECK CMD true
MAINTAINER x
CMD x
ENTRYPOINT ["e"]
""", {"a.txt": "a\n"})
case("history_spelling", "blanks, continuations and case of the source", r"""
from base
env   A=1    B="2"
run   echo   a \
   # comment
   b   &&   \
   true
label    x=1 \
  y=2
copy   a.txt    /x
cmd   echo    x
expose    80     81
""", {"a.txt": "a\n"})
