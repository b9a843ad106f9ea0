"""ADD: archives (F1.7.19, F10.20, F10.21)."""

import bz2
import gzip
import io
import lzma
import tarfile

from ..case import File, Link, case, entry, tar, zstd

DIR, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
PLAIN = tar(entry("d", kind=DIR, mode=0o750, uid=3, gid=4), entry("d/f", "f\n", mode=0o640, uid=1000, gid=1001),
            entry("d/s", "s\n", mode=0o4755), entry("d/l", kind=LINK, link="f"), entry("d/h", kind=HARD, link="d/f"),
            entry("e/implied/x", "x\n"))


def named(name, uid, gid, user, group):
    info, content = entry(name, "x\n", uid=uid, gid=gid)
    info.uname, info.gname = user, group
    return info, content


def with_global_header(*members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0123456789abcdef"}) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def sparse_tar():
    """GNU's old form: two pieces of data in a file of a mebibyte."""
    info, _ = entry("hole")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[124:136] = b"%011o\0" % 1024
    header[386:458] = b"".join(b"%011o\0%011o\0" % piece for piece in ((0, 512), (524288, 512), (1048576, 0)))
    header[482:483] = b"\0"
    header[483:495] = b"%011o\0" % 1048576
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"a" * 512 + b"b" * 512 + b"\0" * 1024


def old_tar(name, content):
    info, _ = entry(name, content)
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[257:512] = b"\0" * 255
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content.ljust(512, b"\0") + b"\0" * 1024


case("plain_file", "no archive: as COPY", """
FROM base
ADD a.txt /d/
ADD tree /t
""", {"a.txt": "a\n", "tree/x": "x\n"})
case("tar", "F1.7.19", """
FROM base
ADD a.tar /out
ADD a.tar /slash/
""", {"a.tar": PLAIN})
case("compressed", "F10.20: by content, whatever the name", """
FROM base
ADD a.gz /gz
ADD b /bz2
ADD c.txt /xz
ADD d.tar.zst /zst
""", {"a.gz": gzip.compress(PLAIN), "b": bz2.compress(PLAIN), "c.txt": lzma.compress(PLAIN), "d.tar.zst": zstd(PLAIN)})
case("gzip_of_no_tar", "F10.20: copied as it is", """
FROM base
ADD a.gz /out/
ADD b.tar /out/
""", {"a.gz": gzip.compress(b"just text\n", mtime=0), "b.tar": "named like a tar\n"})
case("copy_does_not_unpack", "COPY leaves archives alone", """
FROM base
COPY a.tar /out/
""", {"a.tar": tar(entry("x", "x\n"))})
case("chown", "F10.21: entries, but not their implied parents", """
FROM base
ADD --chown=bob:extra a.tar /out
ADD --chown=5 a.txt /n/m/
""", {"a.tar": PLAIN, "a.txt": "a\n"})
case("chmod", "F10.21: ignored for archives", """
FROM base
ADD --chmod=600 a.tar /out
ADD --chmod=600 a.txt /n/m/
""", {"a.tar": PLAIN, "a.txt": "a\n"})
case("onto_existing", "over what the base has", """
FROM base
ADD a.tar /data
""", {"a.tar": tar(entry("a", "new a\n"), entry("sub", kind=DIR, mode=0o700), entry("sub/c", "new c\n"), entry("link", "was a link\n"))})
case("through_links", "links of the base on the way", """
FROM base
ADD a.tar /linked
ADD a.tar /data/dirlink/
""", {"a.tar": tar(entry("f", "f\n"))})
case("entry_through_link", "an entry below a link of the base", """
FROM base
ADD a.tar /
""", {"a.tar": tar(entry("linked/f", "f\n"), entry("bin/tool", "t\n", mode=0o755))})
case("entry_directory_over_link", "a directory entry over a link of the base", """
FROM base
ADD a.tar /
""", {"a.tar": tar(entry("bin", kind=DIR), entry("bin/tool", "t\n", mode=0o755))})
case("entry_type_changes", "entries of another type than what is there", """
FROM base
ADD a.tar /data
""", {"a.tar": tar(entry("sub", "now a file\n"), entry("a", kind=DIR), entry("a/in", "x\n"))})
case("entries_twice", "the later one wins", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("f", "1\n"), entry("f", "2\n", mode=0o600), entry("g", "g\n"), entry("g", kind=LINK, link="f"))})
case("climbing_names", "names that lead out", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("../../up", "x\n"), entry("/abs", "y\n"), entry("./dot/./z", "z\n"))})
case("hard_link_to_missing", "a link to what is not there", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("h", kind=HARD, link="nope"))}, says="/h: no such file or directory")
case("whiteout_names", "names of whiteouts in an archive", """
FROM base
ADD a.tar /data
""", {"a.tar": tar(entry(".wh.a"), entry("n", "n\n"))})
case("special_entries", "devices and pipes", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666), entry("p", kind=tarfile.FIFOTYPE, mode=0o600))},
     root=True)
case("capability", "attributes of an archive", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("c", "c\n", mode=0o755, xattrs={"security.capability": b"\x01\x00\x00\x02\x00\x04" + b"\x00" * 14, "user.x": b"1"}))},
     root=True)
case("formats", "old and new headers, long names", """
FROM base
ADD gnu.tar /gnu
ADD ustar.tar /ustar
ADD pax.tar /pax
""", {"gnu.tar": tar(entry("n" * 150, "x\n"), entry("l", kind=LINK, link="t" * 150), form=tarfile.GNU_FORMAT),
      "ustar.tar": tar(entry("d" * 90 + "/" + "f" * 90, "x\n"), form=tarfile.USTAR_FORMAT),
      "pax.tar": tar(entry("ü" * 100, "x\n"), entry("t", "t\n", mtime=1_500_000_000.5))})
case("empty_tar", "nothing inside", """
FROM base
ADD a.tar /out
""", {"a.tar": tar()})
case("cut_tar", "the end is missing", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("big", "x" * 5000), entry("more", "y" * 5000))[:7000]}, says="a.tar")
case("cut_gzip", "the end of the gzip is missing", """
FROM base
ADD a.tgz /out
""", {"a.tgz": gzip.compress(tar(*(entry(f"f{n}", str(n * 7919) * 400) for n in range(40))))[:3000]}, says="a.tgz")
case("several_archives", "archives and files in one ADD", """
FROM base
ADD a.tar b.txt c.tar /out/
""", {"a.tar": tar(entry("a", "a\n")), "b.txt": "b\n", "c.tar": tar(entry("c", "c\n"))})
case("wildcard_archives", "archives by wildcard", """
FROM base
ADD *.tar /out/
""", {"a.tar": tar(entry("a", "a\n")), "c.tar": tar(entry("c", "c\n"))})
case("link_to_archive", "F1.7.19: a link to an archive", """
FROM base
ADD l.tar /out/
""", {"a.tar": tar(entry("a", "a\n")), "l.tar": Link("a.tar")})
case("archive_in_directory", "archives in directories are files", """
FROM base
ADD d /out/
""", {"d/a.tar": tar(entry("a", "a\n"))})
case("archive_onto_file", "the destination is a file", """
FROM base
ADD a.tar /data/a
""", {"a.tar": tar(entry("a", "a\n"))}, says="/data/a")
case("unpack_false", "F1.7.20", """
FROM base
ADD --unpack=false a.tar /out/
""", {"a.tar": tar(entry("a", "a\n"))})
case("unpack_true", "F1.7.20", """
FROM base
ADD --unpack=true a.tar /out/
ADD --unpack a.txt /plain/
""", {"a.tar": tar(entry("a", "a\n")), "a.txt": "a\n"})
case("checksum_of_local", "F1.7.21", """
FROM base
ADD --checksum=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa a.txt /x
""", {"a.txt": "a\n"})
case("heredoc", "F1.2.7", """
FROM base
ADD <<EOF <<B /h/
a $HOME $PATH
EOF
b
B
""")
case("xz_text", "compressed text stays compressed", """
FROM base
ADD t.xz t.bz2 /out/
""", {"t.xz": lzma.compress(b"text\n" * 50), "t.bz2": bz2.compress(b"text\n" * 50)})
case("from_flag", "F1.7.2: ADD has no --from", """
FROM base
ADD --from=base /a /b
""")
case("history", "F1.7.27", """
FROM base
ADD a.tar /t/
ADD --chown=1:2 --chmod=777 a.txt b.txt /x/
ADD ["a.txt", "/y/"]
ADD <<EOF /z
z
EOF
""", {"a.tar": tar(entry("a", "a\n")), "a.txt": "a\n", "b.txt": "b\n"})

DOT = tar(entry("./", kind=DIR, mode=0o700, uid=5, gid=6), entry("./f", "f\n", uid=5, gid=6), entry("./d/", kind=DIR), entry("./d/g", "g\n"))
case("root_entry", "an entry for the directory itself, as tar -C d . makes it", """
FROM base
ADD a.tar /new
ADD a.tar /data/sub
ADD --chown=bob a.tar /owned
""", {"a.tar": DOT})
case("root_entry_at_root", "the same onto /", """
FROM base
ADD a.tar /
""", {"a.tar": DOT})
case("rootfs", "a whole root file system onto nothing", """
FROM scratch
ADD rootfs.tar.gz /
CMD ["/bin/sh"]
""", {"rootfs.tar.gz": gzip.compress(tar(
    entry("./", kind=DIR), entry("./bin", kind=LINK, link="usr/bin"), entry("./usr/", kind=DIR), entry("./usr/bin/", kind=DIR),
    entry("./usr/bin/x", "x\n", mode=0o4755), entry("./usr/bin/y", kind=HARD, link="./usr/bin/x"), entry("./tmp/", kind=DIR, mode=0o1777),
    entry("./etc/passwd", "root:x:0:0::/:/bin/sh\n")))})
case("names_of_owners", "numbers count, names do not", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(named("f", 5, 6, "bob", "extra"))})
case("global_header", "what git archive puts in front", """
FROM base
ADD a.tar /out
""", {"a.tar": with_global_header(entry("d", kind=DIR), entry("d/f", "f\n"))})
case("file_before_directory", "entries below a directory before its own", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("d/f", "f\n"), entry("d", kind=DIR, mode=0o500, uid=9))})
case("link_then_below", "a link, then entries below it", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("t", kind=DIR), entry("l", kind=LINK, link="t"), entry("l/f", "f\n"))})
case("link_out_then_below", "a link that leads out, then entries below it", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("l", kind=LINK, link="/data/sub"), entry("l/f", "f\n"), entry("m", kind=LINK, link="../../../../real"), entry("m/g", "g\n"))})
case("absolute_hard_link", "a hard link by an absolute name", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("f", "f\n"), entry("h", kind=HARD, link="/f"), entry("i", kind=HARD, link="../f"))})
case("hard_link_to_link", "a hard link to a link", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("f", "f\n"), entry("l", kind=LINK, link="f"), entry("h", kind=HARD, link="l"))})
case("sparse", "a file with holes", """
FROM base
ADD a.tar /out
""", {"a.tar": sparse_tar()}, flaw="BuildKit refuses GNU's sparse files")
case("two_members", "gzip in two members", """
FROM base
ADD a.tgz /out
""", {"a.tgz": gzip.compress(PLAIN[:3000]) + gzip.compress(PLAIN[3000:])})
case("trailing_bytes", "something after the end", """
FROM base
ADD a.tar /out
""", {"a.tar": PLAIN + b"trailing" * 200})
case("zip", "no tar: as it is", """
FROM base
ADD a.zip b.lzma c.Z /out/
""", {"a.zip": b"PK\x03\x04" + b"\x00" * 40, "b.lzma": lzma.compress(PLAIN, lzma.FORMAT_ALONE), "c.Z": b"\x1f\x9d\x90abc"})
case("old_format", "a tar without a magic", """
FROM base
ADD a.tar /out
""", {"a.tar": old_tar("f", b"f\n")})
case("modes", "setuid, sticky, and none", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("a", mode=0o6755), entry("b", kind=DIR, mode=0o3777), entry("c", mode=0), entry("d", kind=DIR, mode=0))}, root=True)
case("workdir_relative", "a relative destination", """
FROM base
WORKDIR /w
ADD a.tar .
ADD a.tar sub
""", {"a.tar": tar(entry("f", "f\n"))})
case("large_ids", "owners above 16 bits", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("f", "f\n", uid=3000000, gid=4000000))}, root=True)
case("negative_time", "times before 1970, and far ahead", """
FROM base
ADD a.tar /out
""", {"a.tar": tar(entry("old", mtime=-100.5), entry("zero", mtime=0), entry("far", mtime=4_000_000_000))})
