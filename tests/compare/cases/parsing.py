"""Lines, directives, heredocs and bad Dockerfiles (F1.1, F1.2)."""

from ..case import case

case("escape_directive", "F1.1.3, F1.2.8, F10.50", """# escape=`
FROM base
ENV A=`
b C=c`$d E=x\\y
RUN echo one `
  two > /x
COPY <<EOF /h
\\$A `$A $A
EOF
""")
case("escape_twice", "F1.1.2", """# escape=\\
# escape=`
FROM base
""")
case("escape_bad", "F1.1.3", """# escape=x
FROM base
""")
case("directive_too_late", "F1.1.1: after a blank line it is a comment", """
# escape=`
FROM base
ENV A=a\\
b
""")
case("directive_after_comment", "F1.1.1: after a comment it is one too", """# a comment
# escape=`
FROM base
ENV A=a\\
b
""")
case("directive_spelling", "F1.1.1: case and blanks", """#   EsCaPe   =   `
FROM base
ENV A=a`
b
""")
case("unknown_directive", "F1.1.1", """# nope=1
# escape=`
FROM base
ENV A=a\\
b
""")
case("bom", "F1.1.7", b"\xef\xbb\xbfFROM base\nENV A=b\n")
case("crlf", "F1.1.13", b"FROM base\r\nENV A=b \\\r\n  C=d\r\nRUN echo x > /x\r\nCOPY <<EOF /h\r\nline one\r\nline two\r\nEOF\r\nCMD [\"a\"]\r\n")
case("crlf_run_heredoc", "F1.1.13: a script with carriage returns", b"FROM base\r\nRUN <<EOF\r\necho a > /a\r\necho b > /b\r\nEOF\r\n")
case("no_newline_at_end", "the last line has none", b"FROM base\nENV A=b")
case("continuation_at_end", "the last line goes on", b"FROM base\nENV A=b \\\n")
case("continuations", "F1.1.9, F1.1.10, F1.1.11, F1.1.12", r"""
FROM base
RUN echo a \
# comment
   # indented comment

  b \   
	c > /x
ENV A=1 \

  B=2
RUN echo x\\
ENV C=\
3
""")
case("leading_blanks", "F1.1.12", """
   FROM base
	ENV A=b
  # comment
   RUN echo x > /x
""")
case("case_of_instructions", "F1.1.14", """
from base As x
Env A=b
rUn echo x > /x
FROM x
""")
case("comment_in_line", "F1.1.9: a # later is data", """
FROM base
ENV A=b#c
RUN echo x # not the builder's > /x
LABEL l="a # b"
""")
case("long_line", "F1.1.8", "FROM base\nENV A=" + "x" * 65530 + "\n")
case("long_line_allowed", "F1.1.8", "FROM base\nENV A=" + "x" * 65000 + "\n")
case("null_byte", "a NUL in a value", b"FROM base\nENV A=a\x00b\n")
case("latin1", "bytes that are no UTF-8, where only the config has them", b"FROM base\n# caf\xe9\nMAINTAINER Jos\xe9 <j@x>\nLABEL l=\xff\nCMD [\"\xe9\"]\n"
     b"HEALTHCHECK CMD \xe9\n")
case("latin1_env", "in an ENV that no step sees", b"FROM base\nENV A=caf\xe9\n")
case("latin1_env_run", "in an ENV that a step sees", b"FROM base\nENV A=caf\xe9\nRUN true\n", says="UTF-8")
case("latin1_run", "in a RUN", b"FROM base\nRUN echo caf\xe9 > /x\n", says="UTF-8")
case("latin1_arg", "in an ARG", b"FROM base\nARG A=caf\xe9\nENV B=c\n", says="UTF-8")
case("latin1_copy", "in the name of a file", b"FROM base\nCOPY caf\xe9 /x\n", says="UTF-8")
case("latin1_heredoc", "in a file of a heredoc", b"FROM base\nCOPY <<\"EOF\" /x\ncaf\xe9\nEOF\n")
case("unicode", "names and values", """
FROM base
ENV NAME=ünïcödé ZH=中文 EMOJI=🙂
LABEL ключ=значение
RUN echo "$NAME" > /日本語
""")
case("empty", "F1.1.15", b"")
case("blank", "only blanks", b"\n  \n\t\n")
case("comments_only", "F1.1.16", b"# one\n# two\n")
case("missing_dockerfile", "F9.1.7", None, {"other": "x"})
case("lower_case_name", "F1.1.26", None, {"dockerfile": "FROM base\nENV A=b\n"})
case("other_name", "F1.11.1", None, {"sub/My.Dockerfile": "FROM base\nCOPY a.txt /\n", "a.txt": "a\n"}, "--opt", "filename=sub/My.Dockerfile")
case("dockerfile_is_directory", "a directory", None, {"Dockerfile/x": "x"}, says="Dockerfile")
case("no_from", "F1.1.17", """
ARG A=1
""")
case("run_before_from", "F1.1.17", """
RUN x
FROM base
""")
case("unknown_instruction", "F1.1.18, F9.1.6", """
FROM base
RUNN x
""")
case("unknown_far", "F1.1.18: nothing near", """
FROM base
FROBNICATE x
""")
case("from_nothing", "FROM alone", """
FROM
""")
case("from_two_words", "F1.4.1", """
FROM base AS
""")
case("from_four_words", "F1.4.1", """
FROM base AS x y
""")
case("from_bad_as", "F1.4.1", """
FROM base IS x
""")
case("stage_name_number", "F1.4.2", """
FROM base AS 1x
""")
case("stage_name_symbols", "F1.4.2", """
FROM base AS a/b
""")
case("from_bad_reference", "no image's name", """
FROM Base:v1:x
""")
case("from_upper_case", "capitals", """
FROM BASE
""")
case("from_missing_image", "F9.1.5", """
FROM base:nope
""", says="docker.io/library/base:nope")
case("from_flag", "F1.1.21", """
FROM --plattform=linux/amd64 base
""")
case("from_bad_platform", "F1.4.9", """
FROM --platform=nope/nope/nope/nope base
""")
case("from_empty_platform", "F1.4.9", """
FROM --platform=$NOPE base
""")
case("from_blank_variable", "F1.4.6", """
FROM $NOPE
""")
case("from_platform_missing", "an index without the platform", """
FROM --platform=linux/s390x multi
""", says="docker.io/library/multi:latest")
case("flag_without_value", "F1.1.20", """
FROM base
COPY --chown a.txt /
""", {"a.txt": "a\n"})
case("flag_twice", "F1.1.21", """
FROM base
COPY --chown=1 --chown=2 a.txt /
""", {"a.txt": "a\n"})
case("bool_flag", "F1.1.20", """
FROM base
COPY --link=maybe a.txt /
""", {"a.txt": "a\n"})
case("end_of_flags", "F1.1.19: -- ends them", """
FROM base
COPY --chown=1 -- --x /y
""", {"--x": "x\n"})
case("flag_quotes", "F1.1.19", """
FROM base
COPY --chown="1:2" --from='base' /data/a /y
""")
case("run_flag_unknown", "F1.1.21", """
FROM base
RUN --nope=x true
""")
case("run_nothing", "RUN alone", """
FROM base
RUN
""")
case("arg_nothing", "ARG alone", """
FROM base
ARG
""")
case("arg_blank_name", "F1.5.11", """
FROM base
ARG =x
""")
case("cycle", "F1.4.14", """
FROM base AS a
COPY --from=b /x /x
FROM base AS b
COPY --from=a /x /x
""")
case("self", "F10.42", """
FROM base AS x
COPY --from=x /data /y
""")
case("target_missing", "F1.4.15", """
FROM base AS builder
""", None, "--opt", "target=buidler")
case("target_number", "F1.4.15: an index is none", """
FROM base AS builder
""", None, "--opt", "target=0")
case("substitution_missing_brace", "F1.3.10", """
FROM base
ENV A=${B
""", says="missing '}'")
case("substitution_bad", "F1.3.10", """
FROM base
ENV A=${}
""")
case("substitution_modifier", "F1.3.9", """
FROM base
ENV A=${B:=x}
""")
case("substitution_required", "F1.3.4", """
FROM base
ENV A=${B:?must be there}
""")
case("substitution_required_plain", "F1.3.4", """
FROM base
ENV A=${B?}
""")
case("single_quote_open", "F1.3.12", """
FROM base
LABEL a='x
""")
case("run_heredoc", "F1.2.10, F10.65", """
FROM base
ENV V=v
RUN <<EOF
echo "$V" > /1
false
echo 'two' > /2
EOF
RUN <<"EOF"
echo "$V" > /3
EOF
""")
case("run_heredoc_shebang", "F1.2.11", """
FROM base
RUN <<EOF
#!/bin/busybox sh
echo "$0" > /zero
EOF
RUN <<SCRIPT
#!/bin/cat
the script itself
SCRIPT
""")
case("run_heredoc_command", "F1.2.12", """
FROM base
ENV V=v
RUN cat <<A > /a && cat <<'B' > /b
a $V
A
b $V
B
RUN cat <<-C > /c
	tabs $V
	C
""")
case("run_heredoc_number", "F1.2.2: a descriptor", """
FROM base
RUN cat 3<<EOF <&3 > /x
three
EOF
""")
case("run_heredoc_shell", "with SHELL", """
FROM base
SHELL ["/bin/sh", "-e", "-c"]
RUN <<EOF
echo x > /x
EOF
""")
case("run_heredoc_fails", "the script's status", """
FROM base
RUN <<EOF
exit 7
EOF
""")
case("run_heredoc_empty", "no lines", """
FROM base
RUN <<EOF
EOF
""")
case("run_heredoc_json", "F1.2.1: never in the JSON form", """
FROM base
RUN ["echo", "<<EOF"]
""")
case("heredoc_elsewhere", "F1.2.1: other instructions take it as data", """
FROM base
ENV A=<<EOF
LABEL b=<<X
CMD cat <<EOF
""")
case("run_less_less", "shift operators are no heredocs", """
FROM base
RUN echo $((1<<2)) > /x
RUN echo "<<EOF" > /y
""")
