#include "ops/git_command.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/sys/process.hpp"

namespace cobuild::ops {
namespace {

constexpr std::string_view kDepth = "--depth=1";
/// Of git's words, in a message.
constexpr std::size_t kMessageMax = 2000;

/// Settings of every run.
constexpr std::array kSettings = {
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null", "credential.helper=", "init.defaultBranch=master",
    // Nothing goes on in the background after the command has ended.
    "gc.auto=0", "maintenance.auto=false", "fetch.recurseSubmodules=false",
    "advice.detachedHead=false", "core.autocrlf=false", "core.symlinks=true",
    // A server that stops sending is given up.
    "http.lowSpeedLimit=1", "http.lowSpeedTime=60"};

constexpr std::array kPassedVariables = {
    "PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy",
    "no_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"};

/// For a shell, and for ssh, which splits the options of -o at blanks.
std::string quote_path(const std::string& path) {
  std::string out = "'\"";
  for (char const c : path) {
    if (c == '\'') {
      out += R"('\'')";
    } else {
      out += c;
    }
  }
  return out + "\"'";
}

std::string ssh_command(const GitSurroundings& surroundings) {
  std::string command = "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=30";
  if (!surroundings.ssh_known_hosts.empty()) {
    return command + " -o UserKnownHostsFile=" + quote_path(surroundings.ssh_known_hosts.string());
  }
  // New ones go into the first file, which is ours.
  command += " -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=" +
             quote_path((surroundings.directory / "new_hosts").string());
  if (surroundings.ssh_user_hosts.empty()) return command;
  return command + "' '" + quote_path(surroundings.ssh_user_hosts.string());
}

/// Of the user who builds: in a user namespace ssh would look for that of root.
std::filesystem::path find_user_hosts() {
  const char* const home = std::getenv("HOME");
  if (home == nullptr || *home != '/') return {};
  std::filesystem::path file = std::filesystem::path(home) / ".ssh" / "known_hosts";
  return ::access(file.c_str(), R_OK) == 0 ? file : std::filesystem::path();
}

std::string allowed_protocols(GitTransports transports) {
  switch (transports) {
    case GitTransports::kNetwork: return "http:https:ssh:git";
    case GitTransports::kLocalOnly: return "file";
    case GitTransports::kNone: break;
  }
  return "none";
}

/// Without control characters and empty lines, and not endless.
std::string one_line(std::string_view text) {
  std::string out;
  for (char const c : text) {
    bool const is_break = c == '\n' || c == '\r';
    if (is_break && (out.empty() || out.ends_with("; "))) continue;
    if (is_break) {
      out += "; ";
    } else {
      out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
    if (out.size() > kMessageMax) return out + "…";
  }
  while (out.ends_with(' ') || out.ends_with(';')) out.pop_back();
  return out;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

Task<CapturedOutput> run_once(const GitSurroundings& surroundings, const GitCommand& command) {
  ProcessOptions options;
  options.program = surroundings.program;
  options.args = git_arguments(command);
  options.env = git_environment(surroundings, command);
  options.cwd = command.work_tree.empty() ? surroundings.directory : command.work_tree;
  CapturedOutput output = co_await run_program(std::move(options));
  co_return output;
}

/// Servers that know nothing of shallow clones are asked for everything.
Task<CapturedOutput> run_as_served(GitSurroundings surroundings, GitCommand command) {
  CapturedOutput output = co_await run_once(surroundings, command);
  bool const is_refused = contains(output.err, "--depth") || contains(output.err, "shallow");
  if (output.exit.success() || !is_refused) co_return output;
  if (std::erase(command.args, std::string(kDepth)) == 0) co_return output;
  output = co_await run_once(surroundings, command);
  co_return output;
}

}  // namespace

GitSurroundings find_git(const std::filesystem::path& directory) {
  auto const program = find_program("git");
  if (!program) {
    throw Error(ErrorKind::kUnsupported,
                "git repositories need the program git, which is not on PATH: install it "
                "(Debian: apt-get install git)");
  }
  GitSurroundings surroundings;
  surroundings.program = *program;
  surroundings.directory = directory;
  surroundings.ssh_user_hosts = find_user_hosts();
  for (const char* name : kPassedVariables) {
    if (const char* const value = std::getenv(name)) {
      surroundings.environment.push_back(std::string(name) + "=" + value);
    }
  }
  return surroundings;
}

std::vector<std::string> git_environment(const GitSurroundings& surroundings,
                                         const GitCommand& command) {
  std::vector<std::string> env = surroundings.environment;
  env.insert(env.end(), {"LC_ALL=C", "HOME=/dev/null", "XDG_CONFIG_HOME=/dev/null",
                         "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
                         "GIT_CONFIG_SYSTEM=/dev/null", "GIT_ATTR_NOSYSTEM=1",
                         "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false",
                         "GIT_OPTIONAL_LOCKS=0"});
  env.push_back("GIT_ALLOW_PROTOCOL=" + allowed_protocols(command.transports));
  env.push_back("GIT_SSH_COMMAND=" + ssh_command(surroundings));
  if (!surroundings.ssh_socket.empty()) {
    env.push_back("SSH_AUTH_SOCK=" + surroundings.ssh_socket.string());
  }
  if (surroundings.secret_config.empty() || command.transports != GitTransports::kNetwork) return env;
  env.push_back("GIT_CONFIG_COUNT=" + std::to_string(surroundings.secret_config.size()));
  for (std::size_t i = 0; i < surroundings.secret_config.size(); ++i) {
    const auto& [key, value] = surroundings.secret_config[i];
    env.push_back("GIT_CONFIG_KEY_" + std::to_string(i) + "=" + key);
    env.push_back("GIT_CONFIG_VALUE_" + std::to_string(i) + "=" + value.reveal());
  }
  return env;
}

std::vector<std::string> git_arguments(const GitCommand& command) {
  std::vector<std::string> args = {"git"};
  for (const char* setting : kSettings) {
    args.emplace_back("-c");
    args.emplace_back(setting);
  }
  if (!command.work_tree.empty()) args.push_back("--work-tree=" + command.work_tree.string());
  // Without one git would look for a repository above the working directory, and read its settings.
  args.push_back("--git-dir=" + (command.git_dir.empty() ? "/dev/null" : command.git_dir.string()));
  args.insert(args.end(), command.args.begin(), command.args.end());
  return args;
}

ErrorKind git_failure_kind(std::string_view text) noexcept {
  for (std::string_view const words :
       {"Authentication failed", "could not read Username", "could not read Password",
        "Permission denied", "error: 401", "error: 403", "certificate", "Host key verification failed"}) {
    if (contains(text, words)) return ErrorKind::kDenied;
  }
  for (std::string_view const words : {"not found", "does not exist", "error: 404",
                                       "does not appear to be a git repository", "couldn't find remote ref"}) {
    if (contains(text, words)) return ErrorKind::kNotFound;
  }
  return ErrorKind::kUnavailable;
}

Task<std::string> run_git(GitSurroundings surroundings, GitCommand command) {
  std::string const name = command.args.at(0);
  CapturedOutput output = co_await run_as_served(std::move(surroundings), std::move(command));
  if (output.exit.success()) co_return std::move(output.out);
  std::string said = one_line(output.err);
  if (said.empty()) said = "git " + name + " ended with " + to_string(output.exit);
  throw Error(git_failure_kind(output.err), "git stderr: " + said);
}

Task<bool> try_git(GitSurroundings surroundings, GitCommand command) {
  CapturedOutput const output = co_await run_as_served(std::move(surroundings), std::move(command));
  co_return output.exit.success();
}

}  // namespace cobuild::ops
