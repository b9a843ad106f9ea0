"""--link, --parents and --exclude of COPY and ADD (F1.7.14 to F1.7.16)."""

from ..case import Dir, File, Link, case, entry, tar

case("link", "F1.7.14: a layer of its own, parents included", """
FROM base
COPY --link a.txt /l/m/n
COPY --link tree /data
""", {"a.txt": "a\n", "tree/a": "other\n", "tree/sub/z": "z\n"})
case("link_over_link", "F10.18: the link is replaced", """
FROM base
COPY --link a.txt /linked/
""", {"a.txt": "a\n"})
case("link_onto_file", "a directory in the place of a file", """
FROM base
COPY --link a.txt /data/a/b
""", {"a.txt": "a\n"})
case("link_chown_name", "F10.13", """
FROM base
COPY --link --chown=bob a.txt /x
""", {"a.txt": "a\n"})
case("link_chown_number", "numbers work", """
FROM base
COPY --link --chown=77:88 a.txt /p/x
""", {"a.txt": "a\n"})
case("link_chmod", "F10.17", """
FROM base
COPY --link --chmod=600 a.txt /linked/x
""", {"a.txt": "a\n"})
case("link_from_stage", "from a stage, in the middle of others", """
FROM base AS one
RUN echo built > /out
FROM base
RUN echo before > /before
COPY --link --from=one /out /out
RUN cat /out /before > /after
COPY --link=true --from=one /data/sub /sub
COPY --link=false a.txt /a
WORKDIR /w
COPY --link a.txt .
""", {"a.txt": "a\n"})
case("link_scratch", "onto nothing", """
FROM scratch
COPY --link a.txt /x/
COPY --link a.txt /y/
""", {"a.txt": "a\n"})
case("link_whole_context", "COPY --link . .", """
FROM base
WORKDIR /app
COPY --link . .
RUN ls > list
""", {"a.txt": "a\n", "d/e": "e\n"})
case("add_link", "ADD has it too", """
FROM base
ADD --link a.txt t.tar /x/
""", {"a.txt": "a\n", "t.tar": tar(entry("in/tar", "x\n"))})
case("parents", "F10.24", """
FROM base
COPY --parents p/q/f p/g /o/
COPY --parents p/q/./r/f /pivot/
COPY --parents p/*/s/*.c /wild/
COPY --parents **/*.h /deep/
COPY --parents p/none*/x /none/
""", {"p/q/f": "f\n", "p/g": "g\n", "p/q/r/f": "rf\n", "p/1/s/a.c": "a\n", "p/2/s/b.c": "b\n", "x.h": "x\n", "p/q/r/y.h": "y\n",
      "p": Dir(0o700), "p/q": Dir(0o711)})
case("parents_missing", "F1.7.16: a missing source", """
FROM base
COPY --parents p/nope /o/
""", {"p/q": "q\n"})
case("parents_directory", "a whole directory", """
FROM base
COPY --parents a/b a/c/ /o/
COPY --parents ./a/./b /dots/
""", {"a/b/f": "f\n", "a/c/g": "g\n", "a/d/no": "no\n"})
case("parents_from_stage", "from a stage, through links", """
FROM base AS one
FROM base
COPY --parents --from=one /data/sub/c /etc/passwd /o/
COPY --parents --chown=bob --from=one /data/./sub /p/
""")
case("exclude", "F1.7.15", """
FROM base
COPY --exclude=*.md d /1/
COPY --exclude=**/*.md --exclude=x d /2/
COPY --exclude=* --exclude=!keep.md d /3/
COPY --exclude=sub d /4/
""", {"d/a.md": "a\n", "d/keep.md": "k\n", "d/x": "x\n", "d/sub/b.md": "b\n", "d/sub/x": "x\n"})
case("exclude_named_file", "F10.12: files named are copied all the same", """
FROM base
COPY --exclude=*.txt hom* /m/
COPY --exclude=*.txt hom1.txt /n/
""", {"hom1.txt": "1\n", "homdir/a.txt": "a\n", "homdir/b": "b\n"})
case("exclude_from_stage", "from a stage", """
FROM base AS one
FROM scratch
COPY --from=one --exclude=sub/c --exclude=hard* /data /d
""")
case("exclude_parents", "with --parents", """
FROM base
COPY --parents --exclude=**/x d /o/
""", {"d/x": "x\n", "d/y": "y\n", "d/e/x": "x\n"})
