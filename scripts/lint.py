#!/usr/bin/env python3
"""Rules of this codebase that no compiler checks. Each finding names its rule and its way out.

    scripts/lint.py [FILE...]     all of src and tests without arguments
    scripts/lint.py --longest     the longest files and functions, for a look at where to split
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60

# Which folder may include from which. A row reads: files in KEY may include headers of VALUE.
# The longest matching row counts. This table is the architecture; src/README.md explains it.
MAY_INCLUDE = {
    "core/base": {"core/base"},
    "core/async": {"core/base", "core/async"},
    "core/llb": {"core/base", "core/llb"},
    "core/progress": {"core/base", "core/progress"},
    "core/sys": {"core/base", "core/async", "core/sys"},
    "core/store": {"core/base", "core/async", "core/sys", "core/llb", "core/progress", "core/store"},
    "core/solve": {"core"},
    "oci/spec": {"core/base", "oci/spec"},
    "oci": {"core/base", "core/async", "core/sys", "oci"},
    "registry": {"core/base", "core/async", "core/sys", "oci", "registry"},
    "dockerfile": {"core/base", "core/llb", "oci/spec", "oci/reference", "dockerfile"},
    "ops": {"core", "oci", "registry", "ops"},
    "cli": {"core", "oci", "registry", "dockerfile", "ops", "cli"},
}

BANNED = [
    (r"asio::detached", "nothing is detached: use for_each_bounded or TaskGroup"),
    (r"#include <boost/(asio|beast)\.hpp>", "include the headers you use, not the umbrella"),
    (r"\bstd::system\(|\bpopen\(", "use core/sys/process.hpp"),
    (r"\bsleep_for\(|\bstd::future\b|\.get_future\(", "this blocks the only io thread"),
    (r"\bget(pwnam|pwuid|grnam|grgid)(_r)?\(", "a static executable has no NSS: read the files"),
    (r"\busing namespace std\s*;", "name what you use"),
    (r"\bdlopen\(", "a static executable cannot"),
]
# Where a banned thing is the subject itself.
ALLOWED = {("core/async", "asio::detached")}

CONTROL = re.compile(r"^\s*(if|for|while|switch|catch|do|else|try|return|co_return|case|default)\b")
SCOPE = re.compile(r"\b(namespace|class|struct|enum|union|extern)\b")


def row_for(folder):
    rows = [row for row in MAY_INCLUDE if (folder + "/").startswith(row + "/")]
    return max(rows, key=len) if rows else None


def may_include(row, included):
    return any((included + "/").startswith(allowed + "/") for allowed in MAY_INCLUDE[row])


def without_comments_and_strings(text):
    """The same text with comments and literals blanked, so that offsets and lines stay."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group(0))
    pattern = (r'R"(?P<d>[^(\s"]{0,16})\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"'
               r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'|//[^\n]*|/\*.*?\*/")
    return re.sub(pattern, blank, text, flags=re.S)


def functions(code):
    """Yields (first line, lines, header) of each function body that is not inside another one."""
    stack = []  # (is function, offset of its header)
    statement = 0
    for offset, char in enumerate(code):
        if char == "{":
            header = re.sub(r"^\s*#[^\n]*", "", code[statement:offset], flags=re.M)
            inside = any(is_function for is_function, _, _ in stack)
            plain_scope = SCOPE.search(header) and not re.search(r"\)\s*(const|noexcept|override|:|->|$)", header.strip())
            is_function = (not inside and "(" in header and not CONTROL.match(header)
                           and not plain_scope and "=" not in header.split("(")[0].replace("operator=", ""))
            stack.append((is_function, statement, header))
            statement = offset + 1
        elif char == "}":
            if stack:
                is_function, start, header = stack.pop()
                if is_function:
                    first = start + len(code[start:]) - len(code[start:].lstrip())
                    yield (code.count("\n", 0, first) + 1, code.count("\n", first, offset) + 1,
                           " ".join(header.split()))
            statement = offset + 1
        elif char == ";":
            statement = offset + 1


def lint(path, text):
    parts = path.relative_to(ROOT).parts
    code = without_comments_and_strings(text)
    line_of = lambda offset: text.count("\n", 0, offset) + 1
    if parts[0] == "src":
        folder = "/".join(parts[1:-1])
        row = row_for(folder)
        for match in re.finditer(r'^#include "((\w+(?:/\w+)*)/\w+)\.(?:pb\.)?h(?:pp)?"', text, re.M):
            if row and not (may_include(row, match.group(2)) or may_include(row, match.group(1))):
                yield line_of(match.start()), f"layering: {row} may not include {match.group(1)}"
        for pattern, way_out in BANNED:
            for match in re.finditer(pattern, code):
                if (folder, match.group(0)) not in ALLOWED:
                    yield line_of(match.start()), f"banned: {match.group(0)}: {way_out}"
        lines = text.count("\n")
        if lines > FILE_LINES_MAX:
            yield 1, f"length: {lines} lines; split by concept below {FILE_LINES_MAX}"
        for first, length, header in functions(code):
            if length > FUNCTION_LINES_MAX:
                yield first, f"length: {length} lines in {header[:60]}; split below {FUNCTION_LINES_MAX}"
    for match in re.finditer(r"\[([^\[\]&]*\w[^\[\]]*)\]\s*\([^()]*\)\s*(?:mutable\s*)?->\s*Task<", code):
        if match.group(1).strip() != "this":
            yield line_of(match.start()), "coroutine: a lambda that is one captures nothing"
    if path.suffix == ".hpp":
        if not text.startswith("#pragma once\n"):
            yield 1, "header: must start with #pragma once"
        if parts[0] == "src" and "#include <boost/json.hpp>" in text:
            yield 1, "header: boost/json.hpp costs each includer 0.8 s; use boost/json/fwd.hpp"


def longest():
    files, bodies = [], []
    for path in sorted((ROOT / "src").rglob("*.[ch]pp")):
        text = path.read_text()
        name = path.relative_to(ROOT)
        files.append((text.count("\n"), str(name)))
        for first, length, header in functions(without_comments_and_strings(text)):
            bodies.append((length, f"{name}:{first} {header[:70]}"))
    for title, rows in (("files", files), ("functions", bodies)):
        print(f"longest {title}:")
        for length, what in sorted(rows, reverse=True)[:15]:
            print(f"  {length:5} {what}")


def main(arguments):
    if arguments == ["--longest"]:
        longest()
        return 0
    files = [pathlib.Path(a).resolve() for a in arguments] or sorted(
        p for d in ("src", "tests") for p in (ROOT / d).rglob("*.[ch]pp"))
    count = 0
    for path in files:
        for line, message in lint(path, path.read_text()):
            print(f"{path.relative_to(ROOT)}:{line}: {message}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
