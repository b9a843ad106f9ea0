"""The linter's rules (F1.12): with error=true, a finding is what the build fails with."""

from ..case import case


def lint(name, why, body, files=None, *options, head="# check=error=true\n", **more):
    case(name, why, head + body, files, *options, **more)


lint("clean", "nothing is found", """
ARG V=base
FROM $V AS one
ARG A
ENV b=$A TOKEN_FILE=x PUBLIC_KEY=y
RUN \\
# a comment
  true
WORKDIR /a
WORKDIR b
EXPOSE 80/tcp
SHELL ["/bin/sh", "-c"]
CMD x
""")
lint("stage_name_casing", "F1.12.1", "FROM base AS Foo\n")
lint("from_as_casing", "F1.12.2", "FROM base as foo\n")
lint("from_as_casing_lower", "F1.12.2", "from base AS foo\n")
lint("from_as_casing_mixed", "F1.12.2: of a FROM in one case only", "From base AS foo\n")
lint("empty_continuation", "F1.12.3, F1.1.11", "FROM base\nRUN true \\\n\n  x\n")
lint("instruction_casing", "F1.12.4", "FROM base\nENV A=b\nenv C=d\n")
lint("instruction_casing_tie", "F1.12.4: upper case wins", "FROM base\nenv A=b\n")
lint("instruction_casing_lower", "F1.12.4", "from base\nenv A=b\nENV C=d\n")
lint("instruction_casing_mixed", "F1.12.4", "FROM base\nEnv A=b\n")
lint("duplicate_stage", "F1.12.5, F10.41", "FROM base AS a\nFROM base AS a\n")
lint("reserved_stage", "F1.12.6", "FROM base AS scratch\nFROM base AS context\n")
lint("json_arguments", "F1.12.7", "FROM base\nCMD x\n")
lint("json_arguments_entrypoint", "F1.12.7", "FROM base\nENTRYPOINT x\n")
lint("json_arguments_shell", "F1.12.7: not with a SHELL", "FROM base AS a\nSHELL [\"/bin/sh\", \"-c\"]\nCMD x\nFROM a\nENTRYPOINT y\n")
lint("maintainer", "F1.12.8", "FROM base\nMAINTAINER x\n")
lint("undefined_arg_in_from", "F1.12.9", "ARG Base=base\nFROM ${Bas:-base}\n")
lint("undefined_arg_in_platform", "F1.12.9", "FROM --platform=${P:-linux/amd64} base\n")
lint("relative_workdir", "F1.12.10", "FROM base\nWORKDIR x\n")
lint("relative_workdir_child", "F1.12.10: not after an absolute one, in a stage before either",
     "FROM base AS a\nWORKDIR /x\nFROM a\nWORKDIR y\n")
lint("undefined_variable", "F1.12.11, F1.3.20", "FROM base\nENV A=$NOPE\n")
lint("undefined_variable_declared", "F1.12.11, F1.3.20", "FROM base\nARG NOPE\nENV A=$NOPE B=$PATH C=$BASE\n")
lint("undefined_variable_default", "F1.12.11", "FROM base\nENV A=${NOPE:-x}\n")
lint("undefined_variable_run", "F1.12.11: a shell's own", "FROM base\nRUN echo $NOPE\n")
lint("undefined_variable_parent_stage", "F1.12.11, F1.5.7", "FROM base AS a\nARG X=1\nFROM a\nENV A=$X\n")
lint("twice", "F1.12.12", "FROM base\nCMD [\"a\"]\nCMD [\"b\"]\n")
lint("twice_healthcheck", "F1.12.12", "FROM base\nHEALTHCHECK CMD a\nHEALTHCHECK NONE\n")
lint("twice_entrypoint_of_stages", "F1.12.12: once in each", "FROM base AS a\nENTRYPOINT [\"a\"]\nFROM a\nENTRYPOINT [\"b\"]\n")
lint("legacy_format", "F1.12.13", "FROM base\nLABEL a b\n")
lint("image_platform", "F1.12.14", "FROM arm\n", None, "--opt", "platform=linux/amd64")
lint("target_platform", "F1.12.15", "FROM --platform=$TARGETPLATFORM base\n")
lint("target_platform_of_more", "F1.12.15: that alone", "FROM --platform=${TARGETPLATFORM} base\nFROM --platform=$TARGETOS/$TARGETARCH base\n")
lint("secret", "F1.12.16", "FROM base\nENV My_Token=x\n")
lint("secret_argument", "F1.12.16", "FROM base\nARG a_password_b\n")
lint("secret_words", "F1.12.16: whole words, and none that says it is harmless",
     "FROM base\nENV KEYS=1 TOKENS=2 MY_KEY_FILE=3 PUBLIC_TOKEN=4 AUTH_VERSION=5 TOKENX=6 KEYBOARD=7\nARG API_KEY_FILE=x\n")
lint("default_of_from", "F1.12.17", "ARG B\nFROM $B\n", None, "--opt", "build-arg:B=base")
lint("constant_platform", "F1.12.18", "FROM --platform=linux/amd64 base\n")
lint("constant_platform_named", "F1.12.18: a stage that is called so", "FROM --platform=linux/amd64 base AS build-amd64\n")
lint("constant_platform_named_os", "F1.12.18", "FROM --platform=linux/amd64 base AS on-linux\n")
IGNORED = {"a.log": "a\n", ".dockerignore": "*.log\n"}
lint("ignored_file", "F1.12.19", "FROM base\nCOPY a.log /\n", IGNORED)
lint("ignored_file_add", "F1.12.19", "FROM base\nADD a.log /\n", IGNORED)
lint("ignored_file_negation", "F1.12.19: not with one", "FROM base\nCOPY b.txt /\n", {"b.txt": "b\n", ".dockerignore": "*\n!b.txt\n"})
lint("description", "F1.12.20", "# something\nFROM base AS a\n", head="# check=error=true;experimental=all\n")
lint("description_of_argument", "F1.12.20", "FROM base AS a\n# something\nARG x\n", head="# check=error=true;experimental=InvalidDefinitionDescription\n")
lint("description_right", "F1.12.20, F1.13.8", "# a what it is\nFROM base AS a\n# x this\nARG x\n", head="# check=error=true;experimental=all\n")
lint("description_not_asked", "F1.12.20", "# something\nFROM base AS a\n")
lint("protocol_casing", "F1.12.21", "FROM base\nEXPOSE 80/TCP\n")
lint("expose_address", "F1.12.22", "FROM base\nEXPOSE 127.0.0.1:80:80\n")
lint("expose_host_port", "F1.12.22", "FROM base\nEXPOSE 80:80\n")
lint("skip_at_instruction", "F1.12.23", "FROM base\n# check=skip=WorkdirRelativePath\nWORKDIR x\nENV a b\n")
lint("skip_at_stage", "F1.12.23: that line only", "\nFROM base AS one\n\n# check=skip=StageNameCasing,LegacyKeyValueFormat\nFROM base AS Two\nENV a b\n")
lint("error_of_several", "F1.12.24", "FROM base AS One\nMAINTAINER x\nENV a b\nENV c d\n")
lint("error_of_none", "F1.12.24", "FROM base AS One\n", head="# check=error=false\n")
