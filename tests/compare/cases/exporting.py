"""What the outputs' options change (F4)."""

from ..case import Dir, Fifo, File, Hard, Link, case

DOCKERFILE = """
FROM base
COPY a.txt /new/x
LABEL l=m
RUN rm /data/a && ln -s x /new/l
"""
FILES = {"a.txt": "a\n"}
TREE = """
FROM scratch
COPY . /
"""
TREE_FILES = {"d/f": File("f\n", 0o600), "d/h": Hard("d/f"), "l": Link("d"), "p": Fifo(), "e": Dir(0o711), "s": File("s\n", 0o4755)}


def output(name, why, spec, dockerfile=DOCKERFILE, files=None, *options, **more):
    case(name, why, dockerfile, FILES if files is None else files, *options, output=spec, **more)


output("docker", "F4.3.1", "type=docker")
output("docker_name", "F4.3.4", "type=docker,name=app")
output("oci_name", "F4.3.4", "type=oci,name=example.com/app:v2")
output("two_names", "F4.3.2, F10.91", 'type=oci,"name=app:1,other"')
output("docker_types", "F4.5.2", "type=oci,oci-mediatypes=false")
output("oci_types_for_docker", "F4.5.1", "type=docker,oci-mediatypes=true")
# Steps of their own: BuildKit takes a layer as an earlier case had it packed.
output("uncompressed", "F4.2", "type=oci,compression=uncompressed", DOCKERFILE.replace("/new", "/uncompressed"))
output("uncompressed_all", "F4.2", "type=oci,compression=uncompressed,force-compression=true", DOCKERFILE.replace("/new", "/forced"))
output("gzip_level", "F4.2.14", "type=oci,compression=gzip,compression-level=1", DOCKERFILE.replace("/new", "/level"))
output("gzip_again", "F4.2.15: after the base was unpacked for another", "type=oci,compression=gzip,force-compression=true")
output("bad_compression", "F4.2.13", "type=oci,compression=lzw")
output("annotations", "F4.2.17, F10.90", "type=oci,annotation.org.example=x,annotation.Other=Y")
output("annotation_of_descriptor", "F4.2.17", "type=oci,annotation-manifest-descriptor.a=b")
output("annotation_of_index", "F4.2.17", "type=oci,annotation-index.a=b")
output("bad_annotation", "F4.2.17", "type=oci,annotation-nope.a=b")
output("epoch", "F4.1.6: the exporter's own", "type=oci,source-date-epoch=1500000000")
output("rewrite_timestamp", "F4.2.16, F10.95", "type=oci,rewrite-timestamp=true", DOCKERFILE, FILES, "--opt", "build-arg:SOURCE_DATE_EPOCH=1500000000")
output("rewrite_timestamp_later", "F10.95: only later times", "type=oci,rewrite-timestamp=true", DOCKERFILE, FILES,
       "--opt", "build-arg:SOURCE_DATE_EPOCH=1600000000")
output("rewrite_without_epoch", "F10.95", "type=oci,rewrite-timestamp=true")
output("docker_epoch", "F4.6.2", "type=docker,rewrite-timestamp=true,name=a:b", TREE, TREE_FILES, "--opt", "build-arg:SOURCE_DATE_EPOCH=1500000000")
output("tar", "F4.4.6", "type=tar", TREE, TREE_FILES)
output("tar_epoch", "F4.6.4", "type=tar", TREE, TREE_FILES, "--opt", "build-arg:SOURCE_DATE_EPOCH=1500000000")
output("tar_of_layers", "F4.4.6: removed, replaced and linked files", "type=tar", """
FROM base AS one
RUN mkdir -p /t/gone /t/d && echo 1 > /t/a && ln /t/a /t/b && ln -s a /t/l && chown 5:6 /t/b && mkdir -m 1777 /t/tmp
RUN rm -r /t/gone && rm /t/a && echo 2 > /t/d/f
FROM scratch
COPY --from=one /t /
""")
output("unknown_exporter", "F4.1.1", "type=nope", says="nope exporter")
