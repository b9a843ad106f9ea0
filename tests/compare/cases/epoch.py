"""Times with SOURCE_DATE_EPOCH (F1.5.25, F4.6)."""

from ..case import case

EPOCH = ["--opt", "build-arg:SOURCE_DATE_EPOCH=1600000000"]

case("history", "F1.5.25, F1.11.30: created times", """
FROM base
ENV A=1
COPY a.txt /new/x
RUN echo y > /y
WORKDIR /w
""", {"a.txt": "a\n"}, *EPOCH)
case("scratch", "without a base", """
FROM scratch
COPY a.txt /x/y
COPY <<EOF /h
h
EOF
""", {"a.txt": "a\n"}, *EPOCH)
case("workdir", "F1.5.25: directories of WORKDIR", """
FROM base
WORKDIR /w/x
WORKDIR /data/sub
""", None, *EPOCH)
case("metadata_only", "F10.96: the base's history keeps its times", """
FROM base
LABEL a=b
""", None, *EPOCH)
case("declared", "F1.5.28", """
FROM base
ARG SOURCE_DATE_EPOCH
RUN echo $SOURCE_DATE_EPOCH > /x
""", None, *EPOCH)
case("global", "a global ARG", """
ARG SOURCE_DATE_EPOCH=1500000000
FROM base
WORKDIR /w
ENV A=b
""")
case("empty", "F1.5.25: as if not set", """
FROM base
WORKDIR /w
""", None, "--opt", "build-arg:SOURCE_DATE_EPOCH=")
case("bad", "F1.5.27", """
FROM base
WORKDIR /w
""", None, "--opt", "build-arg:SOURCE_DATE_EPOCH=yesterday")
case("zero", "1970", """
FROM scratch
COPY a.txt /d/x
""", {"a.txt": "a\n"}, "--opt", "build-arg:SOURCE_DATE_EPOCH=0")
