#pragma once

/// Instructions as typed values, variables not yet expanded.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/llb/ops.pb.h"
#include "dockerfile/lint.hpp"
#include "dockerfile/run_flags.hpp"
#include "dockerfile/statement.hpp"
#include "oci/spec/image_config.hpp"

namespace cobuild::dockerfile {

struct KeyValue {
  std::string key;
  std::string value;
  bool legacy = false;  ///< Written "KEY value".
};

struct EnvCommand {
  std::vector<KeyValue> pairs;
};

struct LabelCommand {
  std::vector<KeyValue> pairs;
};

struct ArgCommand {
  struct Arg {
    std::string key;
    std::optional<std::string> value;
  };
  std::vector<Arg> args;
};

/// COPY, and ADD.
struct CopyCommand {
  struct Document {
    std::string name;
    std::string content;
    bool expand = true;
  };
  bool is_add = false;
  std::vector<std::string> sources;
  std::vector<Document> documents;
  std::string destination;
  std::string from;
  std::string chown;
  std::string chmod;
  std::string checksum;
  std::vector<std::string> excludes;
  bool link = false;
  bool parents = false;
  std::optional<bool> unpack;
  std::optional<bool> keep_git_dir;
};

/// The argument of RUN, CMD, ENTRYPOINT: a list, or a text for a shell.
struct CommandLine {
  std::vector<std::string> args;
  std::vector<Heredoc> heredocs;
  bool is_shell_form = false;
};

struct RunCommand {
  CommandLine line;
  std::vector<std::string> mounts;       ///< --mount, as written.
  std::vector<std::string> mount_froms;  ///< The `from` of each; "" for none.
  std::vector<RunDevice> devices;
  pb::NetMode network = pb::UNSET;
  bool network_given = false;
  pb::SecurityMode security = pb::SANDBOX;
};

struct CmdCommand {
  CommandLine line;
};
struct EntrypointCommand {
  CommandLine line;
};
struct ShellCommand {
  std::vector<std::string> shell;
};
struct WorkdirCommand {
  std::string path;
};
struct UserCommand {
  std::string user;
};
struct MaintainerCommand {
  std::string name;
};
struct StopSignalCommand {
  std::string signal;
};
struct VolumeCommand {
  std::vector<std::string> paths;
};
struct ExposeCommand {
  std::vector<std::string> ports;
};
struct OnbuildCommand {
  std::string trigger;
};
struct HealthcheckCommand {
  oci::HealthCheck check;
};

using Command = std::variant<EnvCommand, LabelCommand, ArgCommand, CopyCommand, RunCommand, CmdCommand,
                             EntrypointCommand, ShellCommand, WorkdirCommand, UserCommand,
                             MaintainerCommand, StopSignalCommand, VolumeCommand, ExposeCommand,
                             OnbuildCommand, HealthcheckCommand>;

struct Instruction {
  std::string keyword;  ///< As written.
  std::string code;     ///< All of it on one line, without heredocs.
  LineRange lines;
  std::vector<std::string> comments;
  Command command;
};

/// FROM, and what follows it.
struct Stage {
  std::string name;  ///< In lower case; empty: none.
  std::string base;
  std::string platform;
  std::string keyword;
  std::string code;
  LineRange lines;
  std::vector<std::string> comments;
  std::vector<Instruction> instructions;
};

/// What a comment right above says of `name`: the rest of the first line that begins with it (F1.13.8).
[[nodiscard]] std::string description_in(const std::vector<std::string>& comments, const std::string& name);

/// Reads the arguments of anything but FROM. Findings go to `findings`, when it is not null.
/// \throws Error kInvalidInput with BuildKit's message.
[[nodiscard]] Instruction parse_instruction(const Statement& statement, std::vector<Finding>* findings);

/// Reads a FROM. \throws Error kInvalidInput with BuildKit's message.
[[nodiscard]] Stage parse_from(const Statement& statement, std::vector<Finding>& findings);

/// The healthcheck's parser, which is long. \throws Error kInvalidInput with BuildKit's message.
[[nodiscard]] HealthcheckCommand parse_healthcheck(const Statement& statement);

}  // namespace cobuild::dockerfile
