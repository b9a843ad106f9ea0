"""What rows of F1.1 to F1.4 say beside their main point."""

from ..case import case

case("heredoc_quoted_part", "F1.2.4: a quoted part quotes it all", """
FROM base
ENV V=v
COPY <<E"O"F /1
$V
EOF
COPY <<'E'OF /2
$V
EOF
RUN <<E"O"F
echo $V > /3
EOF
RUN cat <<"A" > /4; cat <<B > /5
$V
A
$V
B
""")
case("heredoc_quotes_in_body", "F1.2.8: quotes are text, the escape is always a backslash", """# escape=`
FROM base
ENV V=v
COPY <<EOF /1
"$V" '$V' `$V \\$V ${V:-"x"} ${NOPE:-'y'}
EOF
""")
case("heredoc_chomp_blanks", "F1.2.3: tabs only", """
FROM base
COPY <<-EOF /1
\t \ttab, blank, tab
  \tblanks first
\t\tEOF
""")
case("json_forms", "F1.1.22", """
FROM base
ENV V=v
VOLUME ["/a $V", "b"]
VOLUME [ "/c" ] x
SHELL ["/bin/sh", "-c"]
ENTRYPOINT ["e", "$V"] x
COPY ["a.txt", "/$V/"]
ADD ["a.txt", "/y"]
""", {"a.txt": "a\n"})
case("json_words", "F1.1.22: what is no JSON is words", """
FROM base
VOLUME ["/a", '/b']
ENTRYPOINT ["e",]
CMD ["a" "b"]
RUN [ -d / ] && echo yes > /x
LABEL l=["a"]
""")
case("global_args_left_to_right", "F1.3.19", """
ARG A=ba B=${A}se C=$NOPE
FROM $B
ARG A B C
LABEL a=$A b=$B c=$C
""")
case("label_same_instruction", "F1.3.18", """
FROM base
ENV a=old
LABEL a=new b=$a $a=$a
""")
case("variable_case", "F1.3.21: names are exact", """
FROM base
ENV name=1 Name=2 NAME=3
ENV Name=4
ARG nAmE=5
LABEL a=$name b=$Name c=$NAME d=$nAmE e=$NaMe
RUN env | grep -i ^name | sort > /x
""")
case("values_of_several_lines", "F1.3.22: without the newlines", r"""
FROM base
ENV A="one \
  two" B='three\
four' C=five\
six
LABEL l="a\nb" m="c \
# a comment

d"
ARG X="y\
z"
RUN echo "$X" > /x
""")
case("from_scratch_names", "F1.4.5: scratch is no stage and no image", """
FROM scratch AS one
COPY a.txt /
FROM scratch
COPY --from=one / /
COPY --from=scratch / /x/
""", {"a.txt": "a\n"})
case("mount_from_scratch", "F1.4.5", """
FROM base
RUN --mount=from=scratch,target=/s ls -A /s | wc -l > /x
""")
case("scratch_config", "F1.4.5: its directory and its PATH", """
FROM scratch
ENV P=$PATH
WORKDIR x
CMD ["y"]
""")
case("inherited_and_consumed", "F1.4.19", """
FROM onbuild AS one
FROM one
""", {"trigger.txt": "t\n"})
case("arg_declared_without_value", "F1.5.4: not even empty", """
FROM base
ARG A
ARG B=
RUN env | grep -E '^(A|B)=' > /x
LABEL a=${A-unset} b=${B-unset}
""")
case("user_and_directory_of_steps", "F1.6.4", """
FROM rich
RUN echo "$(pwd) $(id -u)" > /tmp/1 2>/dev/null || true
USER root
WORKDIR sub
RUN echo "$(pwd) $(id -u) $(hostname)" > /tmp/2
WORKDIR /
RUN ["sh", "-c", "echo \\"$(pwd) $(id -u)\\" > /tmp/3"]
""")
