"""COPY (F1.7, F10.1)."""

from ..case import EPOCH, Device, Dir, Fifo, File, Hard, Link, Socket, case

TREE = {
    "tree/f": "f\n", "tree/x.sh": File("#!/bin/sh\n", 0o755), "tree/sub/g": File("g\n", 0o600),
    "tree/sub/empty": Dir(0o700), "tree/link": Link("f"), "tree/dangling": Link("nowhere"), "tree/out": Link("../../out"),
    "tree/sub": Dir(0o750), "tree": Dir(0o711, EPOCH + 5),
}

case("file", "one file to a new name", """
FROM base
COPY a.txt /new
""", {"a.txt": "hello\n"})
case("file_into_slash", "F1.7.4, F10.25: a slash makes a directory", """
FROM base
COPY a.txt /fresh/deep/
""", {"a.txt": "hello\n"})
case("file_into_slash_dot", "F10.25: so does /.", """
FROM base
COPY a.txt /fresh/.
COPY a.txt /other/./
""", {"a.txt": "hello\n"})
case("file_new_parents", "F1.7.4: missing parents of a file are made", """
FROM base
COPY a.txt /one/two/three
""", {"a.txt": "hello\n"})
case("file_onto_directory", "an existing directory takes the file", """
FROM base
COPY a.txt /data
COPY a.txt /data/sub/
""", {"a.txt": "hello\n"})
case("file_onto_file", "a file is replaced: mode, owner and content", """
FROM base
COPY a.txt /data/b
""", {"a.txt": File("hello\n", 0o640)})
case("file_onto_hard_link", "one of two names is replaced", """
FROM base
COPY a.txt /data/hard1
""", {"a.txt": "hello\n"})
case("file_onto_link_to_file", "F10.2: the link stays, its target is written", """
FROM base
COPY a.txt /data/link
""", {"a.txt": "hello\n"})
case("file_onto_link_to_directory", "F10.2: the file goes into the directory", """
FROM base
COPY a.txt /data/dirlink
COPY a.txt /linked
COPY a.txt /chain/
""", {"a.txt": "hello\n"})
case("file_onto_dangling_link", "F1.7.5: the target is made", """
FROM base
COPY a.txt /data/dangling
""", {"a.txt": "hello\n"})
case("file_below_link", "a link as a parent is followed", """
FROM base
COPY a.txt /linked/new
COPY a.txt /data/dirlink/more/new
COPY a.txt /var/run/state
COPY a.txt /bin/tool
""", {"a.txt": "hello\n"})
case("file_below_dangling_parent", "a dangling link as a parent", """
FROM base
COPY a.txt /data/dangling/x
""", {"a.txt": "hello\n"})
case("file_below_loop", "a link to itself as a parent", """
FROM base
COPY a.txt /data/loop/x
""", {"a.txt": "hello\n"}, says="data/loop")
case("file_below_file", "a file as a parent", """
FROM base
COPY a.txt /data/a/x
""", {"a.txt": "hello\n"}, says="/data/a")
case("file_onto_loop", "a link to itself as the destination", """
FROM base
COPY a.txt /data/loop
""", {"a.txt": "hello\n"}, says="data/loop")
case("absolute_link_in_parent", "absolute links stay inside the image", """
FROM base
RUN ln -s /real /abs && ln -s /../../../real /outside && ln -s ../../../../real /home/bob/up
COPY a.txt /abs/1
COPY a.txt /outside/2
COPY a.txt /home/bob/up/3
""", {"a.txt": "hello\n"})
case("relative_destination", "below WORKDIR, also with dots", """
FROM base
WORKDIR /w
COPY a.txt rel
COPY a.txt ./dot/
COPY a.txt ../up
COPY a.txt ../../../../far
COPY a.txt .
""", {"a.txt": "hello\n"})
case("workdir_is_link", "WORKDIR through a link", """
FROM base
WORKDIR /linked
COPY a.txt x
WORKDIR sub
COPY a.txt .
RUN pwd > pwd
""", {"a.txt": "hello\n"})
case("destination_dots", "dots are cleaned before links are followed", """
FROM base
COPY a.txt /data/dirlink/../dots
COPY a.txt /data//sub///slashes
COPY a.txt /data/./sub/./dot
""", {"a.txt": "hello\n"})
case("tree", "F1.7.7: the contents; links stay links; the new directory is 0755 with the time of the source", """
FROM base
COPY tree /t
""", TREE)
case("tree_with_slashes", "F1.7.7: slashes change nothing", """
FROM base
COPY tree/ /t/
COPY ./tree/. /u/
COPY /tree /v
""", TREE)
case("tree_onto_directory", "F10.1: an existing directory keeps mode and owner, and takes the time", """
FROM base
COPY tree /real
""", TREE)
case("tree_subdirectory_exists", "F10.1: subdirectories that exist take the source's metadata", """
FROM base
COPY tree /data
""", TREE)
case("tree_onto_file", "F10.4, F10.108: refused", """
FROM base
COPY tree /data/a
""", TREE, says="cannot copy to non-directory")
case("tree_file_onto_directory", "F10.4: a file in the tree against a directory of the image", """
FROM base
COPY tree /data
""", {"tree/sub": "now a file\n"}, says="cannot replace to directory")
case("tree_directory_onto_file", "F10.4: a directory in the tree against a file of the image", """
FROM base
COPY tree /data
""", {"tree/a/x": "x\n"}, says="cannot copy to non-directory")
case("tree_onto_link", "the destination is a link to a directory", """
FROM base
COPY tree /linked
""", TREE)
case("tree_into_link_slash", "the same with a slash", """
FROM base
COPY tree /data/dirlink/
""", TREE)
case("tree_onto_link_to_file", "the destination is a link to a file", """
FROM base
COPY tree /data/link
""", TREE, says="cannot copy to non-directory")
case("tree_onto_dangling", "the destination is a dangling link", """
FROM base
COPY tree /data/dangling
""", TREE)
case("tree_file_onto_link", "F10.3: inside a tree the link itself is replaced", """
FROM base
COPY tree /data
""", {"tree/link": "no link\n", "tree/dangling": "no link\n"})
case("tree_directory_onto_link", "F10.3: refused", """
FROM base
COPY tree /data
""", {"tree/dirlink/x": "x\n"}, says="cannot copy to non-directory")
case("tree_link_onto_file", "a link in the tree replaces a file", """
FROM base
COPY tree /data
""", {"tree/a": Link("b")})
case("tree_link_onto_directory", "a link in the tree against a directory", """
FROM base
COPY tree /data
""", {"tree/sub": Link("a")}, says="cannot replace to directory")
case("tree_link_onto_link", "a link in the tree replaces a link", """
FROM base
COPY tree /data
""", {"tree/link": Link("b"), "tree/dirlink": Link("sub"), "tree/loop": Link("a")})
case("tree_at_root", "onto the root, over directories that the base has", """
FROM base
COPY tree /
""", {"tree/etc/new": "x\n", "tree/etc": Dir(0o700), "tree/tmp/t": "t\n", "tree/bin2": Link("bin")})
case("tree_over_usr_merge", "bin/ over the link /bin is refused", """
FROM base
COPY tree /
""", {"tree/bin/tool": File("x\n", 0o755)}, says="cannot copy to non-directory")
case("empty_tree", "an empty directory still makes the destination", """
FROM base
COPY empty /made
COPY empty /also/
""", {"empty": Dir(0o700)})
case("whole_context", "COPY . with everything", """
FROM scratch
COPY . /
""", {**TREE, ".hidden": "h\n", "Makefile": "all:\n"})
case("whole_context_forms", "COPY / and ./ and ../", """
FROM scratch
COPY / /a/
COPY ./ /b/
COPY ../ /c/
COPY ../../tree /d/
""", TREE)
case("several", "several files, a tree among them", """
FROM base
COPY a.txt tree b.txt /all/
""", {"a.txt": "a\n", "b.txt": "b\n", "tree/c": "c\n"})
case("several_no_slash", "F1.7.8, F10.5: several onto a name: the last one stays", """
FROM base
COPY a.txt b.txt /x
""", {"a.txt": "a\n", "b.txt": "b\n"})
case("several_no_slash_directory", "F10.5: a file, then a directory onto the same name", """
FROM base
COPY a.txt tree /x
""", {"a.txt": "a\n", "tree/c": "c\n"}, says="cannot copy to non-directory")
case("several_directory_then_file", "F10.5: a directory, then a file onto the same name", """
FROM base
COPY tree a.txt /x
""", {"a.txt": "a\n", "tree/c": "c\n"})
case("same_file_twice", "a file under one name twice", """
FROM base
COPY a.txt a.txt /x/
""", {"a.txt": "a\n"})
case("wildcards", "F1.7.9", """
FROM base
COPY *.txt /star/
COPY ?.md /question/
COPY [ab].md /class/
COPY [^a].md /not/
COPY d*/x* /two/
COPY */y /mid/
""", {"one.txt": "1\n", "two.txt": "2\n", "a.md": "a\n", "b.md": "b\n", "c.md": "c\n", ".hid.txt": "h\n", "d1/x1": "x\n",
      "d2/x2/z": "z\n", "d1/y": "y1\n", "e/y": "y2\n", "d1/sub/y": "deep\n"})
case("wildcard_one_match_no_slash", "F1.7.9: one match to a name", """
FROM base
COPY o*.txt /name
COPY dir* /dirname
""", {"one.txt": "1\n", "dir1/f": "f\n"})
case("wildcard_many_no_slash", "F10.5 with a wildcard", """
FROM base
COPY *.txt /name
""", {"one.txt": "1\n", "two.txt": "2\n"})
case("wildcard_no_match", "F10.6: nothing is copied, nothing is made", """
FROM base
COPY *.none /nothing/
COPY a.tx* *.none /some/
""", {"a.txt": "a\n"})
case("wildcard_directories", "F1.7.9: matches that are directories give their contents", """
FROM base
COPY d? /all/
""", {"d1/a": "1\n", "d2/a": "2\n", "d2/b": "b\n", "d1": Dir(0o700)})
case("wildcard_link", "a match that is a link is followed", """
FROM base
COPY l* /all/
""", {"l1": Link("f"), "l2": Link("d"), "f": "f\n", "d/g": "g\n"})
case("wildcard_dangling", "a match that is a dangling link", """
FROM base
COPY l* /all/
""", {"l1": Link("nowhere"), "l2": "x\n"})
case("escaped_brackets", "F10.7", r"""
FROM base
COPY arr[[]0].txt /a/
COPY star\*.txt /b/
COPY q\?.txt /c/
""", {"arr[0].txt": "0\n", "star*.txt": "s\n", "star1.txt": "no\n", "q?.txt": "q\n"})
case("bad_pattern", "an unclosed class", """
FROM base
COPY a[.txt /x/
""", {"a.txt": "a\n"})
case("missing", "F9.1.4", """
FROM base
COPY nope.txt /x/
""")
case("missing_among", "one of several is missing", """
FROM base
COPY a.txt nope.txt /x/
""", {"a.txt": "a\n"})
case("missing_parent", "the directory is missing", """
FROM base
COPY no/such/file /x/
""")
case("missing_below_file", "a file as the parent of the source", """
FROM base
COPY a.txt/b /x/
""", {"a.txt": "a\n"})
case("missing_in_stage", "missing in a stage", """
FROM base AS one
FROM base
COPY --from=one /nope /x/
""")
case("link_source", "F1.7.10, F10.10: followed", """
FROM base
COPY l /f
COPY ld /d
COPY abs /abs
COPY ld/g /g
""", {"l": Link("f"), "f": "f\n", "ld": Link("d"), "d/g": "g\n", "d/inner": Link("g"), "abs": Link("/d")})
case("link_source_outside", "F10.10: absolute and climbing links stay in the context", """
FROM base
COPY up /up
COPY etc /etc2
""", {"up": Link("../../../f"), "f": "f\n", "etc": Link("/etc/passwd"), "etc2": Link("x"), "d/etc/passwd": "no\n",
      "etcdir": Dir()}, says="too many links")
case("link_source_dangling", "a dangling link by its name", """
FROM base
COPY l /x
""", {"l": Link("nowhere")})
case("link_source_loop", "a link to itself by its name", """
FROM base
COPY l /x
""", {"l": Link("l")}, says="l")
case("from_stage", "F1.7.11: owners, modes and links as in the stage", """
FROM base AS one
RUN chown 5:6 /data/a && chmod 4711 /data/a && ln -s a /data/newlink && touch -d @1000000000 /data/a /data/sub
FROM scratch
COPY --from=one /data /copied
COPY --from=one /data/a /data/newlink /files/
COPY --from=one /usr/bin/elevate /usr/bin/binder /bin/
""")
case("from_stage_root", "all of a stage", """
FROM base AS one
FROM scratch
COPY --from=one / /
""")
case("from_stage_link_chain", "links along the path of a stage are followed", """
FROM base AS one
FROM scratch
COPY --from=one /chain/keep /1
COPY --from=one /chain /2
COPY --from=one /data/dirlink/c /3
COPY --from=one /bin/elevate /4
COPY --from=one /var/run /5
""")
case("from_stage_wildcard", "wildcards in a stage, also behind links", """
FROM base AS one
FROM scratch
COPY --from=one /data/hard* /h/
COPY --from=one /data/[abhs]* /all/
COPY --from=one /data/sub/[cd] /s/
""")
case("from_stage_wildcard_below_link", "a wildcard below a link", """
FROM base AS one
FROM scratch
COPY --from=one /linked/* /l/
COPY --from=one /data/dirlink/* /d/
""")
case("from_index", "F1.4.11", """
FROM base
RUN echo 0 > /stage0
FROM base AS named
RUN echo 1 > /stage1
FROM scratch
COPY --from=0 /stage0 /
COPY --from=1 /stage1 /
""")
case("from_index_out_of_range", "F1.4.11", """
FROM base
COPY --from=7 /x /
""")
case("from_self_index", "F10.42 by index", """
FROM base
COPY --from=0 /x /
""")
case("from_image", "F1.4.12: an image", """
FROM scratch
COPY --from=base:v1 /data/a /
COPY --from=base /etc/passwd /etc/
""")
case("from_image_missing", "an image that is not there", """
FROM scratch
COPY --from=base:nope /data/a /
""", says="docker.io/library/base:nope")
case("from_variable", "F1.3.17: refused", """
FROM base AS one
FROM base
ARG S=one
COPY --from=$S /data/a /
""")
case("from_later", "F1.4.13", """
FROM base AS one
COPY --from=two /data/a /
FROM base AS two
""", None, "--opt", "target=one")
case("chown_forms", "F1.7.12, F10.15", """
FROM base
COPY --chown=5 a.txt /1
COPY --chown=5:6 a.txt /2
COPY --chown=bob a.txt /3
COPY --chown=bob:extra a.txt /4
COPY --chown=5:staff a.txt /5
COPY --chown=bob:7 a.txt /6
COPY --chown=60000 a.txt /7
COPY --chown=far a.txt /8
COPY --chown=77 a.txt /9
""", {"a.txt": "a\n"})
case("chown_odd_forms", "half-empty and huge", """
FROM base
COPY --chown=:88 a.txt /1
COPY --chown=2000000000:2000000001 a.txt /2
""", {"a.txt": "a\n"}, root=True)
case("chown_empty_group", "nothing after the colon", """
FROM base
COPY --chown=bob: a.txt /1
""", {"a.txt": "a\n"})
case("chown_unknown", "F10.14: 0:0 without an error", """
FROM base
COPY --chown=nobody-here a.txt /1
COPY --chown=bob:nogroup-here a.txt /2
COPY --chown=nobody-here:extra a.txt /3
""", {"a.txt": "a\n"})
case("chown_name_on_scratch", "F10.13", """
FROM scratch
COPY --chown=bob a.txt /1
""", {"a.txt": "a\n"})
case("chown_name_without_passwd", "a root without /etc/passwd", """
FROM bare
COPY --chown=bob:extra a.txt /1
""", {"a.txt": "a\n"})
case("chown_number_on_scratch", "F10.13: numbers work", """
FROM scratch
COPY --chown=12:34 a.txt /d/1
""", {"a.txt": "a\n"})
case("chown_variables", "F1.3.16", """
FROM base
ARG U=bob
ENV G=extra
COPY --chown=$U:${G} a.txt /1
COPY --chown=${NOPE:-alice} a.txt /2
""", {"a.txt": "a\n"})
case("chown_tree", "all of the tree and the parents that are made, but no directory that was there", """
FROM base
COPY --chown=bob:extra tree /new/parent/t
COPY --chown=12:34 tree /data
""", TREE)
case("chown_passwd_of_stage", "names are those of the image copied to", """
FROM scratch AS other
COPY passwd /etc/passwd
FROM base
COPY --from=other --chown=bob /etc/passwd /1
FROM other
COPY --from=base --chown=bob:extra /data/a /2
""", {"passwd": "bob:x:4:5::/:/bin/sh\n"})
case("chown_empty_value", "no value", """
FROM base
COPY --chown= a.txt /1
""", {"a.txt": "a\n"})
case("chmod_octal", "F10.16: files, directories and parents that are made", """
FROM base
COPY --chmod=0751 tree /n/m/
COPY --chmod=4755 tree/f /suid
COPY --chmod=644 tree/x.sh /x
COPY --chmod=7 tree/f /seven
COPY --chmod=1777 tree/sub/empty /sticky
""", TREE)
case("chmod_symbolic", "F1.7.13: relative to each source", """
FROM base
COPY --chmod=u=rwX,go=rX tree /n/m/
COPY --chmod=a+x tree/f /p
COPY --chmod=go-r,u+s tree/x.sh /q
COPY --chmod=+x tree/f /r
COPY --chmod=g=u tree/sub/g /s
""", TREE)
case("chmod_bad", "F1.7.13", """
FROM base
COPY --chmod=99 a.txt /1
""", {"a.txt": "a\n"})
case("chmod_bad_word", "neither octal nor symbolic", """
FROM base
COPY --chmod=rw a.txt /1
""", {"a.txt": "a\n"}, says="invalid chmod parameter: 'rw'")
case("chmod_too_large", "above 07777", """
FROM base
COPY --chmod=17777 a.txt /1
""", {"a.txt": "a\n"})
case("chmod_variable", "F1.3.16", """
FROM base
ARG M=600
COPY --chmod=$M a.txt /1
COPY --chmod=${X:-u=rw,go=} a.txt /2
""", {"a.txt": "a\n"})
case("chmod_and_chown", "both", """
FROM base
COPY --chmod=640 --chown=bob a.txt /p/1
COPY --chown=1:2 --chmod=a+rwx tree /t
""", {"a.txt": "a\n", **TREE})
case("modes", "odd modes of the context are kept", """
FROM scratch
COPY . /
""", {"none": File("x", 0o000), "all": File("x", 0o777), "suid": File("x", 0o6755), "sticky": Dir(0o1777), "sgid": Dir(0o2755),
      "ro": File("x", 0o444), "wo": File("x", 0o222)}, root=True)
case("times", "times of files, links and directories, also old and fractional ones", """
FROM scratch
COPY t /t
""", {"t/old": File("x", mtime=0), "t/future": File("x", mtime=1_600_000_000), "t/before": File("x", mtime=-5),
      "t/part": File("x", mtime=1_500_000_000.75), "t/d": Dir(mtime=1_400_000_000)})
case("hard_links", "F10.11: links within one tree stay", """
FROM base
COPY d /d
COPY d/h1 d/h2 /two/
COPY d/h* /wild/
""", {"d/h1": "same\n", "d/h2": Hard("d/h1"), "d/sub/h3": Hard("d/h1")})
case("hard_links_from_stage", "F10.11: and from a stage", """
FROM base AS one
RUN mkdir /h && echo x > /h/1 && ln /h/1 /h/2 && mkdir /h/d && ln /h/1 /h/d/3
FROM scratch
COPY --from=one /h /all
COPY --from=one /h/1 /h/2 /some/
COPY --from=one /data /data
""")
case("special_files", "pipes and devices of the context", """
FROM scratch
COPY . /
""", {"fifo": Fifo(0o640), "null": Device(1, 3, 0o666)}, root=True)
case("fifo_alone", "a pipe by its name", """
FROM scratch
COPY fifo /x
""", {"fifo": Fifo(0o640)})
case("socket", "sockets are left out", """
FROM scratch
COPY . /
""", {"sock": Socket(), "f": "f\n"})
case("capability", "F10.84: security.capability is kept, other attributes are not", """
FROM base
COPY c /c
RUN cp /c /d; cp /usr/bin/binder /binder2
""", {"c": File("x", 0o755, {"security.capability": b"\x01\x00\x00\x02\x00\x04" + b"\x00" * 14, "user.note": b"n"})}, root=True)
case("capability_from_stage", "and from a stage", """
FROM base AS one
FROM scratch
COPY --from=one /usr/bin/binder /b
COPY --from=one --chown=5:5 /usr/bin/binder /c
COPY --from=one --chmod=700 /usr/bin/binder /d
""", root=True)
case("names", "odd names", r"""
FROM scratch
COPY ["a b.txt", "tab\there", "/s p/"]
COPY . /all/
""", {"a b.txt": "1\n", "tab\there": "2\n", "quo'te": "3\n", "ünïcödé": "4\n", "日本/語": "5\n", "new\nline": "6\n",
      "back\\slash": "7\n", "-dash": "8\n", "#hash": "9\n", "~tilde": "10\n", "trailing ": "11\n", "...": "12\n", "$var": "13\n"})
case("long_names", "names that a tar header has no room for", """
FROM scratch
COPY . /
""", {"n" * 120: "1\n", "d" * 90 + "/" + "e" * 90 + "/" + "f" * 90: "2\n", "link": Link("t" * 150), "ü" * 60: "3\n"})
case("json_form", "blanks and brackets", """
FROM base
COPY ["a b", "c", "/d e/"]
""", {"a b": "1\n", "c": "2\n"})
case("json_invalid", "not JSON: words", """
FROM base
COPY ['a', '/x']
""", {"a": "1\n"})
case("quoted_words", "F10.9", """
FROM base
COPY "a b" /q
""", {"a b": "1\n"})
case("quoted_word", "quotes around a whole word", """
FROM base
COPY "a" '/q'
COPY "a" /dir"x"/
""", {"a": "1\n"})
case("variables", "F1.3.16: in sources and in the destination", """
FROM base
ARG DIR=d
ENV NAME=f EXT=.txt
COPY $DIR/${NAME}$EXT /${DIR}/x
COPY ${NOPE:-d}/* /all/
COPY d/f.t?t /$NOPE/y
""", {"d/f.txt": "f\n"})
case("escaped_blank", "a blank after an escape", r"""
FROM base
COPY a\ b /x
""", {"a b": "1\n"}, says="not found")
case("identical", "F10.19: an empty layer", """
FROM base
COPY a.txt /x
COPY a.txt /x
""", {"a.txt": "a\n"})
case("over_earlier_layer", "later layers hold only what changed", """
FROM base
COPY one /d
COPY two /d
""", {"one/a": "1\n", "one/b": "1\n", "two/b": "2\n", "two/c": "2\n"})
case("to_root", "destination / and .", """
FROM base
COPY a.txt /
COPY a.txt b.txt .
COPY tree .
""", {"a.txt": "a\n", "b.txt": "b\n", "tree/z": "z\n"})
case("one_argument", "F1.7.1", """
FROM base
COPY a.txt
""")
case("url_source", "F1.7.17", """
FROM base
COPY https://example.com/x /x
""")
case("onto_bare_scratch", "layers of a scratch image, parents included", """
FROM scratch
COPY a.txt /p/q/r
COPY a.txt /p/s
""", {"a.txt": "a\n"})
case("unknown_flag", "F1.1.21", """
FROM base
COPY --chwon=bob a.txt /x
""", says="unknown flag: --chwon (did you mean ch")
case("heredoc", "F1.2.7", """
FROM base
ENV V=value
COPY <<one.txt /h/
expanded: $V ${V:-x} "quoted" 'single' \\$V \\\\
one.txt
COPY <<"two.txt" <<'three.txt' /h/
not: $V
two.txt
nor: ${V}
three.txt
COPY --chmod=755 --chown=bob <<EOF /h/script
#!/bin/sh
EOF
""")
case("heredoc_chomp", "F10.28", """
FROM base
COPY <<-EOF /h/tabs
\tone
\t\ttwo
    blanks
\tEOF
COPY <<-"EOF" /h/raw
\t$PATH
\tEOF
""")
case("heredoc_mixed", "with files beside it, and empty ones", """
FROM base
COPY a.txt <<b.txt <<c.txt /h/
b
b.txt
c.txt
COPY <<x /h/d/
x
""", {"a.txt": "a\n"})
case("heredoc_same_names", "F1.2.6", """
FROM base
COPY <<a <<a /h/
first
a
second
a
""")
case("heredoc_destination", "F1.2.9", """
FROM base
COPY a.txt <<EOF
x
EOF
""", {"a.txt": "a\n"})
case("heredoc_unterminated", "F1.2.5", """
FROM base
COPY <<EOF /x
never ends
""")
case("heredoc_instructions_inside", "what looks like instructions is text", """
FROM base
COPY <<EOF /x
# a comment
RUN false
FROM nowhere
 \\
EOF
""")

case("root_of_stage", "all of a stage into a directory", """
FROM base AS one
RUN rm -r /data
FROM scratch
COPY --from=one / /x/
""")
case("chown_number_forms", "leading zeros", """
FROM base
COPY --chown=0077:088 a.txt /1
COPY --chown=00 a.txt /2
""", {"a.txt": "a\n"})
case("chown_negative", "below zero", """
FROM base
COPY --chown=-1:5 a.txt /1
""", {"a.txt": "a\n"})
case("chown_too_large", "more than 32 bits", """
FROM base
COPY --chown=5000000000 a.txt /1
""", {"a.txt": "a\n"})
case("chown_two_colons", "three parts", """
FROM base
COPY --chown=1:2:3 a.txt /1
""", {"a.txt": "a\n"})
case("chmod_forms", "zero and leading zeros", """
FROM base
COPY --chmod=0 a.txt /1
COPY --chmod=000644 a.txt /2
COPY --chmod=o=u,u-x a.txt /3
COPY --chmod=a=,u=r a.txt /4
COPY --chmod=u=g a.txt /5
""", {"a.txt": File("a\n", 0o751)})
case("chmod_empty", "no value", """
FROM base
COPY --chmod= a.txt /1
""", {"a.txt": "a\n"})
case("many_layers", "more layers than one mount takes", "FROM base\n" + "".join(
    f"COPY a.txt /l/{number}\n" for number in range(140)) + "RUN ls /l | wc -l > /count\n", {"a.txt": "a\n"})
case("empty_capability", "an empty file with capabilities", """
FROM base
COPY c /c
""", {"c": File("", 0o755, {"security.capability": b"\x01\x00\x00\x02\x00\x04" + b"\x00" * 14})}, root=True)
case("file_over_directory_link_by_from", "a stage's file onto a link of this one", """
FROM base AS one
FROM base
COPY --from=one /data/a /data/link
COPY --from=one /data/link /data/copy
COPY --from=one /data /data
""")
case("source_slash_file", "a slash after a file's name", """
FROM base
COPY a.txt/ /x
""", {"a.txt": "a\n"})
case("source_dots", "F1.7.3: dots in sources", """
FROM scratch
COPY ./d/../a.txt /1
COPY d/./e//f /2
COPY d/e/../../b* /3/
COPY . .
""", {"a.txt": "a\n", "d/e/f": "f\n", "b1": "b\n"})
case("destination_variable_slash", "a destination that a variable ends with a slash", """
FROM base
ENV D=/dir/
COPY a.txt $D
COPY a.txt ${D}sub/
""", {"a.txt": "a\n"})
case("node_project", "what many do", """
FROM base AS deps
WORKDIR /app
COPY package*.json ./
RUN mkdir -p node_modules/x && echo x > node_modules/x/index.js && ln -s ../x/index.js node_modules/.bin
FROM base
WORKDIR /app
COPY --from=deps /app/node_modules ./node_modules
COPY . .
USER bob
EXPOSE 3000
CMD ["node", "server.js"]
""", {"package.json": "{}\n", "package-lock.json": "{}\n", "src/index.js": "1\n", "node_modules/x/index.js": "host\n",
      ".dockerignore": "node_modules\n.git\n", ".git/HEAD": "x\n"})
