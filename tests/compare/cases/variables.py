"""ARG, ENV and expansion (F1.3, F1.5, F10.2)."""

from ..case import case

case("forms", "F1.3.1, F1.3.2, F1.3.3", r"""
FROM base
ENV set=S empty=
LABEL a=$set b=${set} c=${set}x d=$setx e=$NOPE f=${NOPE} g=$ h=a$ i=$$ j=$1 k=${1} l=$@ m=$%
LABEL n=${set:-d} o=${empty:-d} p=${empty-d} q=${NOPE:-d} r=${NOPE-d} s=${set:+a} t=${empty:+a} u=${empty+a} v=${NOPE+a}
LABEL w=${set?x} y=${empty?x} z=${NOPE:-}
""")
case("nested", "F1.3.11", """
FROM base
ENV A=1 B=2
LABEL a=${NOPE:-${A}} b=${A:+${B}x} c=${NOPE:-a${NOPE:-$B}c} d="${NOPE:-q $A}" e=${NOPE:-'$A'}
""")
case("strip", "F1.3.5, F1.3.6", r"""
FROM base
ENV v=foobarfoo p=/a/b/c.tar.gz s=a*b
LABEL a=${v#foo} b=${v##*o} c=${v#*o} d=${v%foo} e=${v%%o*} f=${v%o*} g=${p##*/} h=${p%%.*} i=${p%/*} j=${v#x} k=${v#} l=${s#a\*} m=${v#?} n=${NOPE#x}
LABEL o="${p#/a}" q=${p#*/b} r=${v%f??}
""")
case("replace", "F1.3.7, F10.37", r"""
FROM base
ENV v=foobarfoo p=/a/b
LABEL a=${v/foo/X} b=${v//foo/X} c=${v/o*b/Y} d=${v//o/} e=${p//\//-} f=${v/?/Z} g=${v//[fo]/N} h=${NOPE/a/b} i=${v/foo/$p} j=${v/foo/} k="${v//oo/a b}"
""")
case("replace_missing_slash", "F1.3.7", """
FROM base
ENV v=x
LABEL a=${v/x}
""")
case("pattern_bad_escape", "F1.3.8", r"""
FROM base
ENV v=x
LABEL a=${v#\x}
""")
case("quotes", "F1.3.12, F1.3.13, F1.3.14", r"""
FROM base
ENV V=v
LABEL a='$V' b="$V" c=\$V d="\$V" e="\V" f='\V' g=\V h="a'$V'b" i='a"$V"b' j=a"b"'c'd k="\"" l=\' m="\\$V" n=\\$V
""")
case("unicode_names", "F1.3.1: letters of all kinds", """
FROM base
ENV é=1 _u=2 x9=3
LABEL a=$é b=${é} c=$_u d=$x9 e=$x9y
""")
case("blank_in_braces", "F10.36", """
FROM base
ENV q="x y"
ENV a=${q#x }
""")
case("blank_in_quoted_braces", "F10.36", """
FROM base
ENV q="x y"
ENV a="${q#x }"
""")
case("not_in_run", "F1.3.17, F1.6.1, F10.38", """
FROM base
ENV X=x
RUN ["/bin/echo", "$X"]
CMD echo $X
ENTRYPOINT ["$X"]
HEALTHCHECK CMD $X
RUN echo '$X' "$X" > /x
""")
case("arg_default", "F1.5.2, F1.5.3, F1.5.4, F1.5.5", """
FROM base
ARG A=1
ARG B
ARG C="x y" D=$A-${C} E=
RUN echo "[$A][$B][$C][$D][$E][${B-unset}]" > /x
""")
case("arg_override", "F1.5.3", """
FROM base
ARG A=1
ARG B
ARG C=${NOPE:?fails}
RUN echo "[$A][$B][$C]" > /x
""", None, "--opt", "build-arg:A=one", "--opt", "build-arg:B=two words", "--opt", "build-arg:C=c", "--opt", "build-arg:UNUSED=u")
case("arg_empty_override", "an empty value is a value", """
FROM base
ARG A=1
RUN echo "[$A][${A-unset}]" > /x
""", None, "--opt", "build-arg:A=")
case("arg_same_line", "F10.30", """
FROM base
ARG a=1 b=$a c=${b}x
RUN echo $a $b $c > /x
""")
case("arg_after_env", "F10.31", """
FROM base AS one
ENV a=env
ARG a=arg
RUN echo $a > /x
ENV b=$a
FROM one
RUN echo $a > /y
""")
case("env_after_arg", "F10.31", """
FROM base
ARG a=arg
ENV a=env
RUN echo $a > /x
ARG a
RUN echo $a > /y
""", None, "--opt", "build-arg:a=option")
case("env_from_arg", "the usual way to keep one", """
FROM base
ARG VERSION=1
ENV VERSION=${VERSION:-none}
ENV OTHER=v${VERSION}
""", None, "--opt", "build-arg:VERSION=7")
case("global_arg", "F10.32", """
ARG V=v1 IMAGE=base
ARG W=${V}x
FROM ${IMAGE}:$V AS one
RUN echo "[$V]" > /1
ARG V
ARG W=own
ARG IMAGE
RUN echo "[$V][$W][$IMAGE]" > /2
""")
case("global_arg_override", "F1.5.1", """
ARG TAG=nope
FROM base:${TAG}
ARG TAG
RUN echo $TAG > /x
""", None, "--opt", "build-arg:TAG=v1")
case("global_arg_from_expansions", "in FROM, with modifiers", """
ARG NAME
ARG FULL=x-base-y
FROM ${NAME:-base} AS one
FROM ${FULL#x-}
""", says="base-y")
case("arg_scope_between_stages", "not seen by a stage beside it", """
FROM base AS one
ARG A=1
FROM base
RUN echo "[$A]" > /x
""")
case("arg_inherited", "F1.5.7, F10.33", """
FROM base AS one
ARG z=zz
FROM one
RUN echo "[$z]" > /x
ENV k=$z
""")
case("arg_before_base_env", "F1.5.6: the base's ENV against an ARG of the same name", """
FROM base
ARG BASE=arg
RUN echo $BASE > /x
""")
case("arg_twice", "the later default wins", """
FROM base
ARG A=1
RUN echo $A > /1
ARG A=2
RUN echo $A > /2
ARG A
RUN echo $A > /3
""")
case("arg_quoted", "quotes in defaults", r"""
FROM base
ARG A="a b" B='c d' C=e\ f D="$A" E='$A'
RUN echo "[$A][$B][$C][$D][$E]" > /x
""")
case("run_history", "F1.5.10, F1.6.6, F10.39", """
FROM base
ARG a=1
ARG b
ARG c="x y"
RUN true
ARG a=2
RUN ["true"]
""")
case("platform_args", "F1.5.14", """
FROM --platform=$BUILDPLATFORM base AS one
ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM BUILDOS BUILDARCH BUILDVARIANT TARGETSTAGE
RUN env | grep -E 'TARGET|BUILD' | sort > /x
RUN echo "[$TARGETOSVERSION]" > /y
""")
case("platform_args_undeclared", "F1.5.14: need ARG", """
FROM base
RUN echo "[$TARGETPLATFORM]" > /x
LABEL p=$TARGETPLATFORM
""")
case("platform_args_override", "F1.5.14", """
FROM base
ARG TARGETARCH
ARG BUILDARCH=mine
RUN echo "$TARGETARCH $BUILDARCH" > /x
""", None, "--opt", "build-arg:TARGETARCH=z80")
case("target_stage", "F1.5.15", """
FROM base AS First
ARG TARGETSTAGE
RUN echo "$TARGETSTAGE" > /x
FROM base
""", None, "--opt", "target=first")
case("proxy_args", "F1.5.13", """
FROM base
RUN env | grep -i proxy | sort > /x
""", None, "--opt", "build-arg:http_proxy=http://p:1", "--opt", "build-arg:NO_PROXY=localhost")
case("proxy_args_declared", "F1.5.13, F10.35", """
FROM base
ARG http_proxy
RUN echo $http_proxy > /x
""", None, "--opt", "build-arg:http_proxy=http://p:1")
case("env_in_all_places", "F1.3.16", """
FROM base
ENV P=80 U=bob D=/dir S=SIGINT N=key
USER $U
WORKDIR $D
EXPOSE $P
VOLUME $D/v
STOPSIGNAL $S
LABEL $N=$U
ENV $N=$U
ARG $N=2
ONBUILD ENV X=$U
""")
case("tilde_and_glob", "no shell: nothing else is expanded", """
FROM base
ENV A=~ B=* C=`date` D=$(date) E={a,b}
""")
