""".dockerignore (F1.9, F10.6)."""

from ..case import Dir, Link, case

FILES = {"a.md": "a\n", "b.md": "b\n", "c.txt": "c\n", "d/a.md": "da\n", "d/c.txt": "dc\n", "d/e/a.md": "dea\n", "d/e/f": "def\n",
         "empty": Dir(0o700), "x/y/z": "xyz\n", ".hidden": "h\n"}
ALL = """
FROM scratch
COPY . /
"""


def ignore(name, why, lines, more=None, dockerfile=ALL, **options):
    case(name, why, dockerfile, {**FILES, ".dockerignore": lines, **(more or {})}, **options)


ignore("names", "F1.9.5: names in the root only", "a.md\nd/e\n")
ignore("star", "F1.9.5: * does not cross /", "*.md\nd/*.md\n")
ignore("double_star", "F10.101", "**/*.md\n")
ignore("double_star_middle", "in the middle and at the end", "d/**/f\nx/**\n")
ignore("double_star_name", "**/name and name/**/", "**/e\n**/empty\n")
ignore("everything", "*", "*\n")
ignore("everything_deep", "**", "**\n")
ignore("negation", "F10.100: the usual list of what is wanted", "*\n!c.txt\n!d/e\n")
ignore("negation_deep", "F1.9.6: a file below an excluded directory", "d\n!d/e/f\n")
ignore("negation_order", "F10.100", "!d/a.md\nd\n*.md\n!b.md\n")
ignore("negation_double_star", "all but", "**\n!**/*.md\n")
ignore("negation_again", "F10.100: and out again", "*\n!d\nd/a.md\n")
ignore("cleaning", "F1.9.4", "/a.md\nd/\n./b.md\nx/../c.txt\n.\n")
ignore("comments", "F1.9.3", "# a.md\n  # b.md\n\n   c.txt   \n", {"#x": "1\n"})
ignore("hash_escaped", "F1.9.3", "\\#x\n", {"#x": "1\n"})
ignore("bom_and_crlf", "F1.9.3", b"\xef\xbb\xbfa.md\r\nd\r\n")
ignore("question_and_class", "F1.9.5", "?.md\n[c-d]\n[^c].txt\n")
ignore("escapes", "F1.9.5", "a\\*b\nback\\\\slash\n", {"a*b": "1\n", "axb": "2\n", "back\\slash": "3\n"})
ignore("bad_negation", "F1.9.6", "!\n")
ignore("bad_pattern", "an unclosed class", "a[\n")
ignore("itself", "F1.9.8: the Dockerfile and the list", "Dockerfile\n.dockerignore\n")
ignore("of_the_dockerfile", "F1.9.1", "*\n", {"Dockerfile.dockerignore": "*.md\n"})
ignore("in_subdirectory", "F10.102", "nothing\n", {"d/.dockerignore": "*\n"})
ignore("named_source", "F1.7.25", "c.txt\n", dockerfile="""
FROM scratch
COPY c.txt /
""")
ignore("named_below_ignored", "F1.7.25", "d\n", dockerfile="""
FROM scratch
COPY d/e/f /
""")
ignore("wildcard_source", "F1.7.25: not matched", "a.md\n", dockerfile="""
FROM scratch
COPY *.md /
""")
ignore("directory_source", "some of it", "d/e\n**/c.txt\n", dockerfile="""
FROM scratch
COPY d /d
""")
ignore("link_to_ignored", "a link whose target is ignored", "c.txt\n", {"l": Link("c.txt")}, dockerfile="""
FROM scratch
COPY l /x
""")
ignore("link_itself", "a link that is ignored", "l\n", {"l": Link("c.txt")})
ignore("other_stage", "copies between stages are not filtered", "a\n*.md\n", dockerfile="""
FROM base AS one
RUN touch /data/x.md
FROM scratch
COPY --from=one /data /d
""")
ignore("case_matters", "capitals", "A.MD\n")
ignore("add", "ADD obeys it too", "*.md\n", dockerfile="""
FROM scratch
ADD . /
""")
