#include "cli/options.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "cli/option_tables.hpp"
#include "core/base/error.hpp"
#include "core/base/suggest.hpp"

namespace cobuild::cli {
namespace {

constexpr std::string_view kNoDaemon = "is not needed: cobuild has no daemon to connect to";

constexpr std::array kGlobalFlags = {
    Flag{"root", 0, FlagKind::kValue, "DIR", "where the store is (default: $COBUILD_ROOT)"},
    Flag{"oci-runtime", 0, FlagKind::kValue, "PATH", "crun or runc (default: the one on PATH)"},
    Flag{"snapshotter", 0, FlagKind::kValue, "NAME", "auto, overlay or native"},
    Flag{"config", 0, FlagKind::kValue, "FILE", "a buildkitd.toml: registries, limits"},
    Flag{"insecure-registry", 0, FlagKind::kValue, "HOST", "allow plain HTTP and any certificate"},
    Flag{"registry-ca", 0, FlagKind::kValue, "[HOST=]FILE",
         "trust the certificates in this PEM file"},
    Flag{"mirror", 0, FlagKind::kValue, "HOST=URL", "try this mirror of a registry first"},
    Flag{"registry-timeout", 0, FlagKind::kValue, "SECONDS",
         "how long a registry may be silent (default: 30)"},
    Flag{"debug", 0, FlagKind::kSwitch, "", "say where in cobuild an error came from"},
    Flag{"help", 'h', FlagKind::kSwitch, "", "show this"},
    Flag{"addr", 0, FlagKind::kRefused, "", kNoDaemon},
    Flag{"tlsservername", 0, FlagKind::kRefused, "", kNoDaemon},
    Flag{"tlscacert", 0, FlagKind::kRefused, "", kNoDaemon},
    Flag{"tlscert", 0, FlagKind::kRefused, "", kNoDaemon},
    Flag{"tlskey", 0, FlagKind::kRefused, "", kNoDaemon},
    Flag{"tlsdir", 0, FlagKind::kRefused, "", kNoDaemon},
    Flag{"timeout", 0, FlagKind::kRefused, "", kNoDaemon},
    Flag{"wait", 0, FlagKind::kRefused, "", kNoDaemon},
    Flag{"builder", 0, FlagKind::kRefused, "", kNoDaemon},
    Flag{"log-format", 0, FlagKind::kRefused, "", "is not supported yet"},
};

constexpr std::array kMainFlags = {
    Flag{"version", 'v', FlagKind::kSwitch, "", "print the version"},
};

std::vector<Flag> joined(std::span<const Flag> own, std::span<const Flag> more) {
  std::vector<Flag> all(own.begin(), own.end());
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

/// The environment variable, unless it is unset or empty.
std::optional<std::string> non_empty(const Surroundings& surroundings, std::string_view name) {
  auto value = surroundings.environment(name);
  if (value && value->empty()) value.reset();
  return value;
}

Command parse_build(const std::vector<std::string>& arguments, const ParsedFlags& before,
                    const Surroundings& surroundings, bool only_llb) {
  ParsedFlags const flags = parse_command_flags(build_flags(), arguments);
  if (flags.is_on("help")) return HelpOptions{build_help()};
  auto build =
      read_build_options(flags, read_global_options(before, flags, surroundings), surroundings);
  if (!only_llb) return build;
  if (build.frontend.empty()) {
    throw Error(ErrorKind::kInvalidInput, "debug dockerfile2llb needs a CONTEXT directory");
  }
  return DockerfileToLlbOptions{std::move(build)};
}

Command parse_debug(const std::vector<std::string>& arguments, const ParsedFlags& before,
                    const Surroundings& surroundings) {
  ParsedFlags const flags = parse_flags(global_flags(), arguments, Stop::kAtFirstPositional);
  if (flags.positionals.empty() || flags.is_on("help")) return HelpOptions{debug_help()};
  const std::string& name = flags.positionals[0];
  std::vector<std::string> const rest(flags.positionals.begin() + 1, flags.positionals.end());
  if (name == "dump-llb") return parse_dump_llb(rest);
  if (name == "dockerfile2llb") return parse_build(rest, before, surroundings, true);
  std::vector<std::string> const known = {"dump-llb", "dockerfile2llb"};
  throw Error(ErrorKind::kInvalidInput,
              "unknown command: debug " + name + did_you_mean(name, known));
}

const std::vector<std::string>& command_names() {
  static const std::vector<std::string> names = {"build", "push",  "pull",   "images",
                                                 "inspect", "why",   "du",     "prune",  "cache",
                                                 "doctor",
                                                 "debug", "version", "help"};
  return names;
}

Command parse_doctor(const std::vector<std::string>& arguments, const ParsedFlags& before,
                     const Surroundings& surroundings) {
  ParsedFlags const flags = parse_command_flags({}, arguments);
  if (flags.is_on("help")) return HelpOptions{doctor_help()};
  refuse_positionals(flags, "doctor");
  return DoctorOptions{read_global_options(before, flags, surroundings)};
}

Command parse_help(const std::vector<std::string>& arguments) {
  std::string const topic = arguments.empty() ? "" : arguments[0];
  if (topic == "build" || topic == "b") return HelpOptions{build_help()};
  if (topic == "push") return HelpOptions{push_help()};
  if (topic == "pull") return HelpOptions{pull_help()};
  if (topic == "images") return HelpOptions{images_help()};
  if (topic == "inspect") return HelpOptions{inspect_help()};
  if (topic == "why") return HelpOptions{why_help()};
  if (topic == "du") return HelpOptions{disk_usage_help()};
  if (topic == "prune") return HelpOptions{prune_help()};
  if (topic == "cache") return HelpOptions{cache_help()};
  if (topic == "doctor") return HelpOptions{doctor_help()};
  if (topic == "debug") return HelpOptions{debug_help()};
  if (topic.empty() || topic == "help" || topic == "version") return HelpOptions{main_help()};
  throw Error(ErrorKind::kInvalidInput,
              "no help on " + topic + did_you_mean(topic, command_names()) + "; see cobuild help");
}

/// Seconds, at least one and at most a day.
std::chrono::seconds parse_timeout(std::string_view text) {
  constexpr int kTimeoutMax = 24 * 3600;
  int seconds = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 1 ||
      seconds > kTimeoutMax) {
    throw Error(ErrorKind::kInvalidInput, "invalid --registry-timeout " + std::string(text) +
                                              ": use a number of seconds, as in 60");
  }
  return std::chrono::seconds(seconds);
}

}  // namespace

Environment process_environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    const char* const value = std::getenv(std::string(name).c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

Surroundings process_surroundings() {
  return Surroundings{process_environment(), ::isatty(STDIN_FILENO) == 1,
                      ::isatty(STDOUT_FILENO) == 1, ::geteuid() == 0};
}

std::span<const Flag> global_flags() {
  return kGlobalFlags;
}

ParsedFlags parse_command_flags(std::span<const Flag> own,
                                const std::vector<std::string>& arguments) {
  return parse_flags(joined(own, kGlobalFlags), arguments, Stop::kAtEnd);
}

void refuse_positionals(const ParsedFlags& flags, std::string_view command) {
  if (flags.positionals.empty()) return;
  throw Error(ErrorKind::kInvalidInput, std::string(command) + " takes no arguments, but \"" +
                                            flags.positionals[0] + "\" was given");
}

GlobalOptions read_global_options(const ParsedFlags& before, const ParsedFlags& after,
                                  const Surroundings& surroundings) {
  auto const last = [&](std::string_view name, std::string_view fallback = {}) {
    return after.last(name, before.last(name, fallback));
  };
  auto const all = [&](std::string_view name) {
    auto values = before.all(name);
    for (std::string& value : after.all(name)) values.push_back(std::move(value));
    return values;
  };
  GlobalOptions global;
  global.root = resolve_root(last("root"), surroundings);
  global.oci_runtime = last("oci-runtime");
  global.snapshotter = last("snapshotter", "auto");
  std::vector<std::string> const snapshotters = {"auto", "overlay", "native"};
  if (std::find(snapshotters.begin(), snapshotters.end(), global.snapshotter) ==
      snapshotters.end()) {
    throw Error(ErrorKind::kInvalidInput, "invalid --snapshotter " + global.snapshotter +
                                              ": use auto, overlay or native" +
                                              did_you_mean(global.snapshotter, snapshotters));
  }
  if (global.snapshotter == "overlay") global.snapshotter = "overlayfs";  // as the kernel has it
  if (std::string config = last("config"); !config.empty()) global.config = std::move(config);
  global.insecure_registries = all("insecure-registry");
  for (std::string& path : all("registry-ca")) global.registry_cas.emplace_back(std::move(path));
  for (const std::string& mirror : all("mirror")) {
    std::size_t const equals = mirror.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == mirror.size()) {
      throw Error(
          ErrorKind::kInvalidInput,
          "invalid --mirror " + mirror + ": use HOST=URL, as in docker.io=http://mirror:5000");
    }
    global.mirrors[mirror.substr(0, equals)].push_back(mirror.substr(equals + 1));
  }
  global.registry_timeout = parse_timeout(last("registry-timeout", "30"));
  global.debug = last("debug") == "true";
  return global;
}

ProgressMode read_progress_mode(const ParsedFlags& flags, const Surroundings& surroundings) {
  std::string mode = flags.last("progress", "auto");
  if (mode == "auto" || mode.empty()) {
    mode = surroundings.environment("BUILDKIT_PROGRESS").value_or("auto");
  }
  if (flags.is_on("quiet")) mode = "quiet";
  if (mode == "auto" || mode.empty()) return ProgressMode::kAuto;
  if (mode == "tty") return ProgressMode::kTty;
  if (mode == "plain") return ProgressMode::kPlain;
  if (mode == "rawjson") return ProgressMode::kRawJson;
  if (mode == "quiet" || mode == "none") return ProgressMode::kQuiet;
  throw Error(ErrorKind::kInvalidInput, "invalid progress mode " + mode);
}

std::filesystem::path resolve_root(const std::string& flag, const Surroundings& surroundings) {
  if (!flag.empty()) return flag;
  if (auto root = non_empty(surroundings, "COBUILD_ROOT")) return *root;
  if (surroundings.is_root) return "/var/lib/cobuild";
  if (auto data = non_empty(surroundings, "XDG_DATA_HOME")) {
    return std::filesystem::path(*data) / "cobuild";
  }
  if (auto home = non_empty(surroundings, "HOME")) {
    return std::filesystem::path(*home) / ".local/share/cobuild";
  }
  throw Error(ErrorKind::kInvalidInput,
              "no place for the store is known: give --root DIR, or set COBUILD_ROOT or HOME");
}

Command parse_command_line(std::vector<std::string> arguments, const Surroundings& surroundings) {
  ParsedFlags const before =
      parse_flags(joined(kMainFlags, kGlobalFlags), arguments, Stop::kAtFirstPositional);
  if (before.is_on("version")) return VersionOptions{};
  if (before.positionals.empty() || before.is_on("help")) return HelpOptions{main_help()};
  const std::string& name = before.positionals[0];
  std::vector<std::string> const rest(before.positionals.begin() + 1, before.positionals.end());
  if (name == "build" || name == "b") return parse_build(rest, before, surroundings, false);
  if (name == "push") return parse_push(rest, before, surroundings);
  if (name == "pull") return parse_pull(rest, before, surroundings);
  if (name == "images") return parse_images(rest, before, surroundings);
  if (name == "inspect") return parse_inspect(rest, before, surroundings);
  if (name == "why") return parse_why(rest, before, surroundings);
  if (name == "du") return parse_disk_usage(rest, before, surroundings);
  if (name == "prune") return parse_prune(rest, before, surroundings);
  if (name == "cache") return parse_cache(rest, before, surroundings);
  if (name == "doctor") return parse_doctor(rest, before, surroundings);
  if (name == "debug") return parse_debug(rest, before, surroundings);
  if (name == "version") return VersionOptions{};
  if (name == "help") return parse_help(rest);
  throw Error(
      ErrorKind::kInvalidInput,
      "unknown command: " + name + did_you_mean(name, command_names()) + "; see cobuild help");
}

}  // namespace cobuild::cli
