"""Heredocs in every form (F1.2)."""

from ..case import case

case("quotes", "delimiters in quotes", """
FROM base
ENV V=v
COPY <<'A' <<"B" <<C /d/
$V '$V' "$V" \\$V \\\\
A
$V '$V' "$V" \\$V \\\\
B
$V '$V' "$V" \\$V \\\\
C
""")
case("part_quoted", "a part of the delimiter in quotes", """
FROM base
ENV V=v
COPY <<E"O"F /a
$V
EOF
COPY <<\\EOF /b
$V
EOF
""")
case("chomp", "F1.2.5: tabs at the beginning of lines", """
FROM base
COPY <<-A /a
	one tab
		two tabs
  blanks
	 mixed
	A
COPY <<A /b
	one tab
	A
A
""")
case("descriptor", "F1.2.2: numbers before", """
FROM base
COPY 3<<A /d/
three
A
""")
case("names", "what files are called", """
FROM base
COPY <<one.txt <<two_2 <<THREE /d/
1
one.txt
2
two_2
3
THREE
""")
case("name_with_slash", "a delimiter that is a path", """
FROM base
COPY <<a/b /d/
x
a/b
""")
case("name_with_dots", "one that climbs", """
FROM base
COPY <<../up /d/
x
../up
""")
case("to_file", "one document to a name", """
FROM base
COPY <<EOF /new/name
x
EOF
""")
case("two_to_file", "two to a name", """
FROM base
COPY <<A <<B /new/name
a
A
b
B
""")
case("same_name", "two of one name", """
FROM base
COPY <<A <<A /d/
one
A
two
A
""")
case("with_files", "documents and files", """
FROM base
COPY a.txt <<B /d/
b
B
""", {"a.txt": "a\n"})
case("flags", "owner, mode, link", """
FROM base
COPY --chown=bob:extra --chmod=640 <<A /a
a
A
COPY --link --chmod=u+x <<B /b
b
B
COPY --chown=5 <<C /c/d/e
c
C
""")
case("exclude", "--exclude of a document", """
FROM base
COPY --exclude=A <<A <<B /d/
a
A
b
B
""")
case("parents", "--parents of a document", """
FROM base
COPY --parents <<A /d/
a
A
""")
case("add", "ADD of documents", """
FROM base
ADD <<A /a
a
A
ADD --chmod=600 <<A <<B /d/
a
A
b
B
""")
case("empty", "without a line", """
FROM base
COPY <<A /a
A
RUN <<B
B
""", says="")
case("empty_copy", "a document without a line", """
FROM base
COPY <<A /a
A
""")
case("blank_lines", "lines of blanks", """
FROM base
COPY <<A /a

  

end
A
""")
case("no_end", "F1.2.8", """
FROM base
COPY <<A /a
a
""")
case("end_with_blanks", "the end has blanks around it", """
FROM base
COPY <<A /a
a
 A
A 
A
""")
case("hash_lines", "comments and directives in it", """
FROM base
COPY <<A /a
# comment
# syntax=nothing/at:all
a \\
b
A
""")
case("instructions_in_it", "that look like ours", """
FROM base
RUN <<A
echo "FROM nothing
RUN x
COPY a b" > /a
A
""")
case("run_variables", "F1.2.10: the shell's", """
FROM base
ARG B=build
ENV E=env
RUN <<A
S=shell
echo "$B $E $S ${E}x \\$E" > /a
A
RUN <<'A'
S=shell
echo "$B $E $S" > /b
A
""")
case("run_chomp", "with tabs", """
FROM base
RUN <<-A
	if true; then
		echo "	x" > /a
	fi
	A
""")
case("run_two", "two documents: only the first is the script", """
FROM base
RUN <<A <<B
echo a > /a
A
echo b > /b
B
""")
case("run_then_words", "words behind the marker", """
FROM base
RUN <<A echo x
echo a > /a
A
""")
case("run_pipes", "F1.2.12: commands with several", """
FROM base
RUN cat <<A - <<B > /a
a
A
b
B
""")
case("run_shebang", "F1.2.11: a program of its own", """
FROM base
RUN <<A
#!/usr/bin/sed -n 2p
second line
A
RUN <<B
#! /bin/sh
echo "$0 $# $@" > /b
B
""")
case("run_shebang_chomped", "after tabs", """
FROM base
RUN <<-A
	#!/bin/sh
	echo x > /a
	A
""")
case("run_shebang_missing", "a program that is not there", """
FROM base
RUN <<A
#!/no/such/program
x
A
""", says="did not complete successfully")
case("run_user", "as somebody else", """
FROM base
USER bob
WORKDIR /tmp
RUN <<A
#!/bin/sh
id > /tmp/a
A
""")
case("run_mount", "with mounts", """
FROM base
RUN --mount=target=/m <<A
cat /m/a.txt > /a
A
RUN --mount=type=tmpfs,target=/t --network=none <<A
#!/bin/sh
ls /t > /b
A
""", {"a.txt": "a\n"})
case("run_exit", "that fails", """
FROM base
RUN <<A
echo one
exit 3
A
""")
case("run_errexit", "F10.65: goes on after a failure", """
FROM base
RUN <<A
false
echo on > /a
A
RUN <<A
set -e
false
echo on > /b
A
""")
case("run_shell", "with another shell", """
FROM base
SHELL ["/bin/sh", "-uc"]
RUN <<A
echo "$0 $-" > /a
A
""")
case("run_json", "that looks like JSON", """
FROM base
RUN <<A
["echo", "x"]
A
""", says="did not complete successfully")
case("run_long", "more than a command line takes", "FROM base\nRUN <<A\n" + "".join(f": {n:060}\n" for n in range(1200)) + "echo end > /a\nA\n")
case("other_instructions", "F1.2.1: where there are none", """
FROM base
ENV A=<<B
LABEL l=<<B
CMD cat <<B
ENTRYPOINT ["<<B"]
""")
case("cmd_document", "a CMD with lines", """
FROM base
CMD <<A
echo x
A
""")
case("env_document", "an ENV with lines", """
FROM base
ENV A <<B
x
B
""")
case("arithmetic", "F1.2.3: shifts are none", """
FROM base
RUN echo $((1<<2)) > /a
RUN cat <<< x > /b || echo "no here strings" > /b
""")
case("continued", "behind a line that goes on", """
FROM base
RUN cat \\
  <<A > /a
a
A
COPY <<B \\
  /b
b
B
""")
case("escape_character", "with another escape", """# escape=`
FROM base
ENV V=v
COPY <<A /a
`$V \\$V $V
A
""")
case("substitutions", "F1.2.6: all forms", """
FROM base
ENV V=value E=
COPY <<A /a
${V} ${V:-d} ${E:-d} ${U:-d} ${V:+p} ${E:+p} ${V#va} ${V%ue} ${V/a/b} $U. $$ $ ${V}$V
A
""")
case("substitution_bad", "one that is none", """
FROM base
COPY <<A /a
${V
A
""")
case("carriage_returns", "F1.1.13", b"FROM base\r\nENV V=v\r\nCOPY <<A /a\r\n$V\r\nx\r\nA\r\n")
case("not_at_end", "without a last newline", b"FROM base\nCOPY <<A /a\nx\nA")
case("variable_destination", "and a destination with a variable", """
FROM base
ENV D=/dir/
COPY <<A $D
x
A
WORKDIR /w
COPY <<A .
x
A
COPY <<A ./y
x
A
""")
case("delimiter_variable", "a variable as delimiter", """
FROM base
ENV D=E
COPY <<$D /a
x
$D
E
""")
case("many", "twenty in one instruction", "FROM base\nCOPY " + " ".join(f"<<F{n}" for n in range(20)) + " /d/\n"
     + "".join(f"{n}\nF{n}\n" for n in range(20)))
case("history", "in histories", """
FROM base
COPY <<A /a
some "text" & more
A
RUN <<A
echo "x" & wait
A
RUN cat <<A > /b
b
A
""")
