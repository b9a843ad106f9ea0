#pragma once

/// Running git on what strangers wrote.
///
/// Nothing of this machine's or this user's configuration is read, no hook, template, credential helper
/// or file system monitor runs, nobody is asked for a password, and no transport but the named ones is
/// used, by submodules neither. Secrets go by the environment, which only this user can read, never by
/// the command line.

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/error.hpp"
#include "core/base/secret.hpp"

namespace cobuild::ops {

/// What git may fetch from.
enum class GitTransports {
  kNone,
  kNetwork,    ///< http, https, ssh and git.
  kLocalOnly,  ///< file: from a repository of our own.
};

/// One run of git. Paths are absolute.
struct GitCommand {
  std::vector<std::string> args;  ///< From the subcommand on.
  std::filesystem::path git_dir;    ///< Empty: none.
  std::filesystem::path work_tree;  ///< Empty: none. Also the working directory.
  GitTransports transports = GitTransports::kNone;
};

/// What a command's surroundings are in one build. A value.
struct GitSurroundings {
  std::filesystem::path program;
  std::filesystem::path directory;  ///< Where commands without a work tree run: ours, without .git.
  /// Passed on from our environment: proxies, TLS trust, PATH.
  std::vector<std::string> environment;
  /// Configuration that is secret.
  std::vector<std::pair<std::string, Secret>> secret_config;
  std::filesystem::path ssh_socket;       ///< Empty: no agent.
  std::filesystem::path ssh_known_hosts;  ///< What a source says: no other key is taken. Empty: nothing.
  /// Else those of the user: a host in there must have that key, any key of other ones is taken, as BuildKit
  /// does for all hosts. Empty: there are none.
  std::filesystem::path ssh_user_hosts;
};

/// The git on PATH with what of our environment it may see. \throws Error kUnsupported, with the
/// remedy, when there is none.
[[nodiscard]] GitSurroundings find_git(const std::filesystem::path& directory);

/// The whole environment of `command`.
[[nodiscard]] std::vector<std::string> git_environment(const GitSurroundings& surroundings,
                                                       const GitCommand& command);
/// Its argv.
[[nodiscard]] std::vector<std::string> git_arguments(const GitCommand& command);

/// Runs git; cancelling kills it. Gives its standard output. Commands that a server cannot serve as
/// they are are run again without --depth=1. \throws Error of the kind that git's words stand for,
/// `git stderr: …`.
Task<std::string> run_git(GitSurroundings surroundings, GitCommand command);

/// The same, but failing is an answer.
Task<bool> try_git(GitSurroundings surroundings, GitCommand command);

/// The kind of failure that git's words stand for.
[[nodiscard]] ErrorKind git_failure_kind(std::string_view text) noexcept;

}  // namespace cobuild::ops
