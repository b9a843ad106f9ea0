"""RUN (F1.6, F10.3): what steps see, and what of it gets into layers (F10.80 to F10.84)."""

from ..case import File, case

case("environment", "F1.6.3", """
FROM base
ENV A=1
ARG B=2
RUN env | grep -v -E '^(OTEL_|TRACEPARENT)' | sort > /env
USER bob
RUN env | grep -E '^(HOME|USER|PATH)' | sort > /tmp/bob; id >> /tmp/bob; pwd >> /tmp/bob
""")
case("environment_bare", "F1.6.3: nothing from the base", """
FROM bare
RUN echo "$HOME" > /home; echo "$PATH" > /path
""")
case("exec_form", "F1.6.2", """
FROM base
RUN ["touch", "/a b", "/c"]
RUN ["/bin/sh", "-c", "echo $0 $1 > /x", "zero", "one two"]
""")
case("exec_not_found", "F1.6.2", """
FROM base
RUN ["no-such-program"]
""", says="no-such-program")
case("exit_status", "F1.6.24", """
FROM base
RUN exit 3
""")
case("exit_status_exec", "F9.1.3", """
FROM base
RUN ["/bin/sh", "-c", "exit 42"]
""")
case("killed", "a step that kills itself", """
FROM base
RUN kill -9 $$
""")
case("command_not_found", "127", """
FROM base
RUN no-such-command --flag
""")
case("no_shell", "a base without a shell", """
FROM scratch
COPY a.txt /
RUN echo x
""", {"a.txt": "a\n"}, says="/bin/sh")
case("users", "F10.51", """
FROM base
USER bob
RUN id > /tmp/1
USER 77
RUN id > /tmp/2
USER 77:77
RUN id > /tmp/3
USER bob:extra
RUN id > /tmp/4
USER 1234
RUN id > /tmp/5
USER 1234:99
RUN id > /tmp/6
USER alice
RUN id > /tmp/7; echo $HOME >> /tmp/7
USER nohome
RUN id > /tmp/8; echo "$HOME" >> /tmp/8
USER far
RUN id > /tmp/9; touch /tmp/far
USER 0
RUN id > /tmp/10
USER root:bobs
RUN id > /tmp/11
USER :88
RUN id > /tmp/12
""")
case("user_of_base", "F1.6.4: the base's user", """
FROM rich
RUN id > i; pwd > p; env | grep -E '^(A|B|HOME)' | sort > e
""")
case("user_unknown", "F10.52", """
FROM base
USER nobody-here
RUN true
""")
case("user_unknown_metadata", "F10.52: not without a RUN", """
FROM base
USER nobody-here
ENV A=b
""")
case("group_unknown", "F10.52", """
FROM base
USER bob:nogroup-here
RUN true
""")
case("user_without_passwd", "no /etc/passwd", """
FROM bare
USER 5:6
RUN echo x 2>/dev/null > /tmp/x || true
USER bob
RUN true
""")
case("nothing_changed", "F1.6.25: an empty layer", """
FROM base
RUN true
RUN cat /etc/passwd > /dev/null
""")
case("touched_directory", "F10.82", """
FROM base
RUN touch -d @1000000000 /data
RUN touch /data/sub && ls /data
""")
case("touched_file", "a time is a change of a file", """
FROM base
RUN touch -d @1000000000 /data/a
""")
case("mode_and_owner", "metadata only", """
FROM base
RUN chmod 700 /data/a && chown 5:6 /data/sub && chmod g+s /opt && chown -h 7:8 /data/link
""")
case("same_mode", "set to what it was", """
FROM base
RUN chmod 644 /data/a && chown 0:0 /data/a
""")
case("rewritten_the_same", "the same bytes again", """
FROM base
RUN cat /data/a > /tmp/a && cat /tmp/a > /data/a && touch -d @1577934245 /data/a && rm /tmp/a
""")
case("remove_file", "F10.80", """
FROM base
RUN rm /data/a /data/link
""")
case("remove_tree", "F10.80", """
FROM base
RUN rm -rf /data /real/keep
""")
case("remove_and_recreate_file", "another file of the same name", """
FROM base
RUN rm /data/a && echo new > /data/a && chmod 600 /data/a
""")
case("recreate_tree", "F10.80: a directory that hides", """
FROM base
RUN rm -rf /data && mkdir /data && echo new > /data/new && echo again > /data/a
""")
case("recreate_empty", "F10.80", """
FROM base
RUN rm -rf /data/sub && mkdir /data/sub
""")
case("recreate_deep", "F10.80: below the new directory too", """
FROM base
RUN mkdir -p /t/a/b && touch /t/a/b/1 /t/a/2
RUN rm -rf /t/a && mkdir -p /t/a/b && touch /t/a/b/3
""")
case("directory_to_file", "F10.80", """
FROM base
RUN rm -rf /data/sub && echo f > /data/sub
""")
case("file_to_directory", "F10.80", """
FROM base
RUN rm /data/a && mkdir /data/a && echo x > /data/a/x
""")
case("file_to_link", "types change", """
FROM base
RUN rm -r /data/a /data/sub && ln -s b /data/a && ln -s ../etc /data/sub
""")
case("link_to_directory", "types change", """
FROM base
RUN rm /data/link /linked && mkdir /data/link /linked && touch /linked/x
""")
case("renamed_directory", "a directory of the base under another name", """
FROM base
RUN mv /data/sub /data/moved
""")
case("renamed_file", "a file of the base under another name", """
FROM base
RUN mv /data/a /data/z
""")
case("made_and_removed", "F10.80: what the base lacks leaves nothing", """
FROM base
RUN touch /gone && mkdir -p /g/one && rm -rf /gone /g
""")
case("remove_in_later_layer", "removed from an earlier layer of this build", """
FROM base
RUN mkdir -p /x/y && touch /x/y/1 /x/y/2
RUN rm /x/y/1
RUN rm -r /x
RUN mkdir /x && touch /x/y
""")
case("whiteout_foreign", "F10.81: markers of the base", """
FROM layered
RUN ls /data > /list; ls /data/sub >> /list
COPY a.txt /data/a
RUN rm /data/c
""", {"a.txt": "a\n"})
case("whiteout_names", "files that are named like whiteouts", """
FROM base
RUN touch /data/.wh.x /data/.whx
""")
case("hard_links", "F10.11: within a layer and across", """
FROM base
RUN echo x > /h1 && ln /h1 /h2 && mkdir /d && ln /h1 /d/h3
RUN ln /h1 /h4
RUN chmod 600 /h2
RUN rm /h1
""")
case("hard_links_of_base", "one of two names changes", """
FROM base
RUN echo more >> /data/hard1
RUN ln /data/hard2 /data/hard3
""")
case("hard_link_to_symlink", "links to links", """
FROM base
RUN ln -s a /l1 && ln /l1 /l2; true
""")
case("special_files", "devices and pipes", """
FROM base
RUN mkfifo -m 640 /p && mknod -m 666 /null c 1 3 && mknod /blk b 7 200 && mknod /big c 300 70000
""", root=True)
case("socket", "F1.6.25: sockets are left out", """
FROM base
RUN mknod /fifo p; timeout 1 nc -l -p 1 -s local:/sock 2>/dev/null; true
""")
case("capability", "F10.84", """
FROM base
RUN cp /usr/bin/binder /copy && touch /usr/bin/binder && chown 0:0 /usr/bin/elevate
RUN mv /usr/bin/binder /moved
""")
case("modes", "setuid, sticky and none", """
FROM base
RUN touch /a /b /c && chmod 4755 /a && chmod 2711 /b && chmod 0 /c && mkdir -m 1777 /d && mkdir -m 2750 /e && touch /e/x
""")
case("umask", "what steps make without chmod", """
FROM base
RUN umask > /u; touch /f; mkdir /d; sh -c 'umask 077; touch /g'
""")
case("large_ids", "owners that need more than octal digits", """
FROM base
RUN touch /a && chown 3000000:4000000000 /a
""", root=True)
case("odd_names", "names that tars and displays trip over", r"""
FROM base
RUN mkdir /n && cd /n && touch 'a b' "$(printf 'new\nline')" "$(printf '\377latin')" 'ünï' ./-x '*' "$(printf 'tab\there')" 'back\slash' '.hidden' '...'
""")
case("long_names", "names and links of more than 100 bytes", """
FROM base
RUN mkdir -p /$(seq -s x 60)/$(seq -s y 60) && touch /$(seq -s x 60)/$(seq -s y 60)/$(seq -s z 60) && ln -s $(seq -s / 100) /long
""")
case("times", "old and far times", """
FROM base
RUN touch -d @0 /a && touch -d @1 /b && touch -d @4000000000 /c && touch -h -d @1000000000 /data/link
""")
case("sparse_and_large", "a hole, and a file of some size", """
FROM base
RUN truncate -s 3000000 /hole && seq 100000 > /seq
""")
case("many_files", "a layer of many entries, in order", """
FROM base
RUN mkdir /m && cd /m && for i in $(seq 300); do echo $i > f$i; done; mkdir B a C; touch B/x a/y C/z A.txt Z a.txt
""")
case("resolv_and_hosts", "F10.54, F10.55", """
FROM base
RUN cat /etc/hosts | grep -c image-host > /image-host; true
RUN echo 1.2.3.4 x >> /etc/hosts; echo $? > /status; true
RUN ls -la /etc/resolv.conf > /dev/null && test -e /etc/hostname || echo none > /hostname
""")
case("resolv_of_image", "writing what is mounted", """
FROM base
RUN rm /etc/resolv.conf 2>/dev/null; echo $? > /status
""")
case("scratch_directories", "F10.54: /dev, /proc and /sys of a root without them", """
FROM bare
RUN echo x > /x
RUN echo y > /y
""")
case("proc_and_dev", "what is mounted leaves nothing", """
FROM base
RUN touch /dev/mine /tmp/t; echo x > /dev/shm/y; ls /proc/self > /dev/null; mkdir -p /dev/d
""")
case("hostname", "F1.5.18, F1.6.4", """
FROM base
RUN hostname > /h
""")
case("hostname_option", "F1.11.17", """
FROM base
RUN hostname > /h
""", None, "--opt", "hostname=here", "--opt", "build-arg:BUILDKIT_SANDBOX_HOSTNAME=there")
case("add_hosts", "F1.11.16", """
FROM base
RUN grep my /etc/hosts > /h
""", None, "--opt", "add-hosts=MyHost=1.2.3.4,my2=::5")
case("workdir_removed", "cwd that a step removed", """
FROM base
WORKDIR /w
RUN rm -rf /w
RUN pwd > /p
""")
case("workdir_not_made", "F2.3.1: the base's directory is missing", """
FROM base AS one
WORKDIR /w
FROM scratch AS two
COPY --from=base / /
FROM base
WORKDIR /data/dirlink
RUN pwd > /p
""")
case("stdin", "steps have none", """
FROM base
RUN cat > /in; wc -c < /in > /count
""")
case("capabilities", "what steps may do", """
FROM base
RUN grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status > /c
USER bob
RUN grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status > /tmp/c
""", root=True)
case("mounts_seen", "the mounts of a step", """
FROM base
RUN awk 1 /proc/self/mounts 2>/dev/null || sed -E 's/^[^ ]+ ([^ ]+) ([^ ]+) .*/\\1 \\2/' /proc/self/mounts | grep -v -E '^/ ' | sort > /m
""", root=True)
case("limits", "F1.11.20", """
FROM base
RUN ulimit -n > /n
""", None, "--opt", "ulimit=nofile=512:512")
case("shm_size", "F1.11.19", """
FROM base
RUN df -k /dev/shm 2>/dev/null | tail -n 1 > /dev/null; grep shm /proc/self/mounts | grep -o 'size=[0-9]*k' > /s
""", None, "--opt", "shm-size=1048576")
case("process_left_behind", "a step that leaves a process", """
FROM base
RUN sleep 600 & echo started > /s
""")
case("step_in_link", "writes through links of the base", """
FROM base
RUN echo x > /linked/x; echo y > /var/run/y; echo z > /bin/z
""")

case("home", "F1.6.3: of users with and without an entry, and set", """
FROM base
USER 4242
RUN echo "$HOME" > /tmp/1
USER 4242:4242
RUN echo "$HOME" > /tmp/2
USER nohome
RUN echo "$HOME" > /tmp/3
USER 77:99
RUN echo "$HOME" > /tmp/4
ENV HOME=/custom
RUN echo "$HOME" > /tmp/5
""")
case("workdir_forbidden", "a directory that the user may not enter", """
FROM base
WORKDIR /root
USER bob
RUN pwd > /tmp/p
""", says="/root")
case("first_process", "what a step sees of itself", """
FROM base
RUN echo $$ > /pid; test -t 1; echo $? > /tty; cat /proc/1/cmdline | tr '\\0' ' ' > /cmdline
RUN ps > /dev/shm/ps; wc -l < /dev/shm/ps > /count
""")
case("same_step_twice", "equal steps of two stages are one", """
FROM base AS a
RUN cat /proc/sys/kernel/random/uuid > /u
FROM base AS b
RUN cat /proc/sys/kernel/random/uuid > /u
FROM base AS both
COPY --from=a /u /a
COPY --from=b /u /b
RUN diff /a /b && echo same > /same
FROM base
COPY --from=both /same /same
""")
case("same_step_again", "the same words on another state are another step", """
FROM base
RUN echo x >> /log
RUN echo x >> /log
""")
case("long_command", "a command of some kilobytes", "FROM base\nRUN echo " + "x" * 9000 + " | wc -c > /n\n")
case("unicode_command", "a command in other alphabets", """
FROM base
RUN echo "日本語 ünï 🙂" > "/файл"
""")
case("quotes_in_history", "quotes, tabs and backslashes", r"""
FROM base
RUN echo "a	b" 'c"d' \ > /x && echo -e "\t\x41" >> /x
RUN ["/bin/sh", "-c", "echo \"quoted\" 'single' > /y"]
""")
case("etc_files", "files that builders mount over, written by steps", """
FROM base
RUN echo me > /etc/hostname; echo x > /etc/mtab
RUN mkdir -p /etc/x && touch /etc/x/y
""")
case("bare_etc", "a root without /etc that makes its own", """
FROM bare
RUN /bin/busybox mkdir -p /etc && echo 'root:x:0:0::/:/bin/sh' > /etc/passwd
RUN echo x > /etc/hosts || echo refused > /refused
RUN /bin/busybox ls /etc > /etc-list; /bin/busybox ls /dev | /bin/busybox grep -v -E '^(core|otel-grpc.sock)$' > /dev-list
""")
case("dev_of_scratch", "what /dev, /proc and /sys of a bare root hold afterwards", """
FROM bare
RUN ["/bin/busybox", "mkdir", "-p", "/dev/mine", "/tmp/x"]
RUN ["/bin/busybox", "touch", "/dev/file"]
RUN ["/bin/busybox", "mkdir", "/proc2"]
""")
case("remove_then_copy", "removed, then there again from the context", """
FROM base
RUN rm -rf /data
COPY tree /data
RUN rm -rf /data/*
COPY tree/x /data
""", {"tree/x": "x\n", "tree/a": "a\n"})
case("chown_recursive", "all of a tree has another owner", """
FROM base
RUN chown -R bob:extra /data /real && chmod -R go-w /data
""")
case("case_of_names", "names that differ in case", """
FROM base
RUN touch /x /X /Data && mkdir /DATA
""")
case("deep_tree", "deeper than any name is long", """
FROM base
RUN cd / && for i in $(seq 60); do mkdir d$i && cd d$i; done && touch f
""")
case("link_loops", "links to themselves and to each other", """
FROM base
RUN ln -s loop /loop && ln -s b /a && ln -s a /b && ln -s / /root/root && ln -s . /data/self
""")
case("background_output", "output without a newline, and none", """
FROM base
RUN printf 'no newline'; printf 'err' >&2
RUN printf '\\000\\001\\377binary\\n'
""")
case("opaque_chain", "removed and made again in several layers", """
FROM base
RUN mkdir -p /x/a /x/b && touch /x/a/1 /x/b/1
RUN rm -r /x && mkdir -p /x/a && touch /x/a/2
RUN rm -r /x/a && mkdir /x/a
RUN touch /x/a/3 && mkdir /x/b && ls -R /x > /list
""")
case("replaced_by_copy", "COPY into what a step made again", """
FROM base
RUN rm -rf /data && mkdir /data
COPY tree/ /data/
RUN ls /data > /list && mv /data /moved && mkdir /data
""", {"tree/a": "a\n", "tree/sub/z": "z\n"})
case("swap", "two names change places", """
FROM base
RUN mv /data/a /tmp/x && mv /data/b /data/a && mv /tmp/x /data/b
RUN mv /data/sub /tmp/y && mv /real /data/sub && mv /tmp/y /real
""")
case("mode_of_root", "the root directory itself", """
FROM base
RUN chmod 700 / && chown 5:6 /
""")
case("root_of_scratch", "the root's mode on nothing", """
FROM bare
RUN ["/bin/busybox", "chmod", "711", "/"]
COPY a.txt /
""", {"a.txt": "a\n"})
case("write_below_mounts", "what is written where builders mount", """
FROM base
RUN echo x > /proc/x 2>/dev/null || echo no; echo y > /sys/y 2>/dev/null || echo no; echo z > /dev/z; mkdir /run/inside; echo w > /run/w
RUN ls /dev/z /run 2>&1 | cat > /list
""")
case("tmp_and_run", "what stays of /tmp and /run", """
FROM base
RUN touch /tmp/t /run/r /var/run/s /var/x
""")
case("replace_busybox", "a program that runs is replaced", """
FROM base
RUN cp /usr/bin/busybox /tmp/b && mv /tmp/b /usr/bin/busybox && chmod 4755 /usr/bin/busybox && touch -d @1577934245 /usr/bin/busybox
""")
case("set_group_id_tree", "files below a directory with setgid", """
FROM base
RUN mkdir -m 2775 /g && chown 0:99 /g && mkdir -p /g/a/b && touch /g/a/b/c
COPY tree /g/t
COPY a.txt /g/new/a.txt
""", {"tree/x/y": "y\n", "a.txt": "a\n"})
case("exec_relative", "programs by relative paths and through PATH", """
FROM base
WORKDIR /usr/bin
RUN ["./sh", "-c", "echo 1 > /1"]
ENV PATH=/nowhere:/usr/bin
RUN ["sh", "-c", "echo 2 > /2"]
""")
case("empty_path", "PATH that leads nowhere", """
FROM base
ENV PATH=
RUN echo x > /x
""")
case("variable_in_exec_form", "an ENV with odd characters", r"""
FROM base
ENV A="a'b\"c" B='$x' C="line\\nend" D="= =" E=é
RUN printf '%s|' "$A" "$B" "$C" "$D" "$E" > /x
""")
