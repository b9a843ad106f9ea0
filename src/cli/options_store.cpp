#include <array>
#include <charconv>
#include <chrono>

#include "cli/option_tables.hpp"
#include "core/base/error.hpp"
#include "core/base/suggest.hpp"
#include "dockerfile/duration.hpp"

namespace cobuild::cli {
namespace {

constexpr std::string_view kFormatHelp = "'{{json .}}': print JSON";

constexpr std::array kDiskUsageFlags = {
    Flag{"filter", 'f', FlagKind::kValue, "EXPR", "only these records: type==regular, id~=PATTERN"},
    Flag{"verbose", 'v', FlagKind::kSwitch, "", "everything about each record"},
    Flag{"format", 0, FlagKind::kValue, "TEMPLATE", kFormatHelp},
    Flag{"json", 0, FlagKind::kSwitch, "", "the same as --format '{{json .}}'"},
};

constexpr std::array kPruneFlags = {
    Flag{"all", 0, FlagKind::kSwitch, "", "internal and frontend records too"},
    Flag{"filter", 'f', FlagKind::kValue, "EXPR", "only these records: type==regular, id~=PATTERN"},
    Flag{"keep-duration", 0, FlagKind::kValue, "TIME", "keep what was used since: 48h, 30m"},
    Flag{"keep-storage", 0, FlagKind::kValue, "MB", "stop when no more than this is used"},
    Flag{"keep-storage-min", 0, FlagKind::kValue, "MB", "always leave this much"},
    Flag{"free-storage", 0, FlagKind::kValue, "MB", "stop when this much of the disk is free"},
    Flag{"verbose", 'v', FlagKind::kSwitch, "", "everything about each record"},
    Flag{"format", 0, FlagKind::kValue, "TEMPLATE", kFormatHelp},
    Flag{"json", 0, FlagKind::kSwitch, "", "the same as --format '{{json .}}'"},
};

constexpr std::array kCacheFlags = {
    Flag{"json", 0, FlagKind::kSwitch, "", "print one JSON object"},
};

constexpr std::array kWhyFlags = {
    Flag{"json", 0, FlagKind::kSwitch, "", "print JSON"},
};

constexpr std::array kDumpLlbFlags = {
    Flag{"dot", 0, FlagKind::kSwitch, "", "print a graph for graphviz"},
};

/// "48h", "1h30m", "0"; no signs, since nothing is kept until the future.
std::chrono::seconds parse_duration(const std::string& text, std::string_view flag) {
  try {
    auto const duration = dockerfile::parse_duration(text);
    if (duration.count() >= 0) return std::chrono::ceil<std::chrono::seconds>(duration);
  } catch (const Error&) {  // said below, with the flag
  }
  throw Error(ErrorKind::kInvalidInput, "invalid --" + std::string(flag) + " " + text +
                                            ": use a duration such as 48h or 1h30m");
}

/// A number of megabytes (10^6), as bytes; 0 when the flag is absent.
std::int64_t megabytes(const ParsedFlags& flags, std::string_view flag) {
  if (!flags.has(flag)) return 0;
  std::string const text = flags.last(flag);
  double value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  constexpr double kMegabytesMax = 9e12;
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0) ||
      value > kMegabytesMax) {
    throw Error(ErrorKind::kInvalidInput,
                "invalid --" + std::string(flag) + " " + text + ": use a number of megabytes");
  }
  return static_cast<std::int64_t>(value * 1e6);
}

bool wants_json(const ParsedFlags& flags) {
  if (!flags.has("format")) return flags.is_on("json");
  std::string const format = flags.last("format");
  std::string squeezed;
  for (char const c : format) {
    if (c != ' ') squeezed += c;
  }
  // Spaces are free in Go's templates, but for the one that ends the function's name.
  bool const is_template = squeezed == "{{json.}}" && format.find("json ") != std::string::npos;
  if (is_template || format == "json") return true;
  throw Error(ErrorKind::kUnsupported,
              "--format " + format + " is not supported yet; '{{json .}}' is");
}

}  // namespace

Command parse_disk_usage(const std::vector<std::string>& arguments, const ParsedFlags& before,
                         const Surroundings& surroundings) {
  ParsedFlags const flags = parse_command_flags(kDiskUsageFlags, arguments);
  if (flags.is_on("help")) return HelpOptions{disk_usage_help()};
  refuse_positionals(flags, "du");
  DiskUsageOptions options;
  options.global = read_global_options(before, flags, surroundings);
  options.filters = flags.all("filter");
  options.verbose = flags.is_on("verbose");
  options.json = wants_json(flags);
  return options;
}

Command parse_prune(const std::vector<std::string>& arguments, const ParsedFlags& before,
                    const Surroundings& surroundings) {
  ParsedFlags const flags = parse_command_flags(kPruneFlags, arguments);
  if (flags.is_on("help")) return HelpOptions{prune_help()};
  refuse_positionals(flags, "prune");
  PruneCommandOptions options;
  options.global = read_global_options(before, flags, surroundings);
  options.filters = flags.all("filter");
  options.all = flags.is_on("all");
  options.verbose = flags.is_on("verbose");
  options.json = wants_json(flags);
  if (flags.has("keep-duration")) {
    options.keep_duration = parse_duration(flags.last("keep-duration"), "keep-duration");
  }
  options.max_used_bytes = megabytes(flags, "keep-storage");
  options.reserved_bytes = megabytes(flags, "keep-storage-min");
  options.min_free_bytes = megabytes(flags, "free-storage");
  return options;
}

Command parse_cache(const std::vector<std::string>& arguments, const ParsedFlags& before,
                    const Surroundings& surroundings) {
  ParsedFlags const flags = parse_command_flags(kCacheFlags, arguments);
  if (flags.is_on("help") || flags.positionals.empty()) return HelpOptions{cache_help()};
  std::vector<std::string> const known = {"verify"};
  if (const std::string& name = flags.positionals[0]; name != known[0]) {
    throw Error(ErrorKind::kInvalidInput,
                "unknown command: cache " + name + did_you_mean(name, known));
  }
  if (flags.positionals.size() > 1) {
    throw Error(ErrorKind::kInvalidInput,
                "cache verify takes no arguments, but \"" + flags.positionals[1] + "\" was given");
  }
  CacheVerifyOptions options;
  options.global = read_global_options(before, flags, surroundings);
  options.json = flags.is_on("json");
  return options;
}

Command parse_why(const std::vector<std::string>& arguments, const ParsedFlags& before,
                  const Surroundings& surroundings) {
  ParsedFlags const flags = parse_command_flags(kWhyFlags, arguments);
  if (flags.is_on("help")) return HelpOptions{why_help()};
  WhyOptions options;
  options.global = read_global_options(before, flags, surroundings);
  options.json = flags.is_on("json");
  // Names of steps have blanks in them, and need no quotes.
  for (const std::string& word : flags.positionals) {
    options.step += (options.step.empty() ? "" : " ") + word;
  }
  return options;
}

Command parse_dump_llb(const std::vector<std::string>& arguments) {
  ParsedFlags const flags = parse_command_flags(kDumpLlbFlags, arguments);
  if (flags.is_on("help")) return HelpOptions{debug_help()};
  if (flags.positionals.size() > 1) {
    throw Error(ErrorKind::kInvalidInput, "debug dump-llb takes one file");
  }
  DumpLlbOptions options;
  if (!flags.positionals.empty()) options.file = flags.positionals[0];
  options.dot = flags.is_on("dot");
  return options;
}

std::string main_help() {
  return "cobuild builds container images: no daemon, no root.\n\n"
         "Usage: cobuild [FLAGS] COMMAND\n\n"
         "  build    build an image from a Dockerfile, or LLB from stdin (also: b)\n"
         "  push     send an image of this machine to a registry\n"
         "  pull     fetch an image\n"
         "  images   list the images of this machine\n"
         "  inspect  what an image is made of\n"
         "  why      why the steps of the last build ran\n"
         "  du       what the store holds\n"
         "  prune    remove what is not used\n"
         "  cache    verify: look for damage in the store, and drop what is damaged\n"
         "  doctor   what this machine can do, what is missing, and how to get it\n"
         "  debug    dump-llb, dockerfile2llb\n"
         "  version  print the version\n"
         "  help     help [COMMAND]\n\n"
         "Flags of all commands:\n" +
         describe_flags(global_flags());
}

std::string build_help() {
  return "Usage: cobuild build [FLAGS] CONTEXT\n"
         "       cobuild build --frontend dockerfile.v0 --local context=DIR --local dockerfile=DIR "
         "[FLAGS]\n"
         "       cobuild build [FLAGS] < definition.pb\n\n"
         "Flags:\n" +
         describe_flags(build_flags()) + "\nFlags of all commands:\n" +
         describe_flags(global_flags());
}

std::string why_help() {
  return "Usage: cobuild why [FLAGS] [STEP]\n\n"
         "For each step that ran in the last build: the nearest earlier record, and what differs from "
         "it.\n"
         "STEP is the step's number, or a part of its name: 3, build 3/5, RUN make.\n\nFlags:\n" +
         describe_flags(kWhyFlags) + "\nFlags of all commands:\n" + describe_flags(global_flags());
}

std::string disk_usage_help() {
  return "Usage: cobuild du [FLAGS]\n\nFlags:\n" + describe_flags(kDiskUsageFlags) +
         "\nFlags of all commands:\n" + describe_flags(global_flags());
}

std::string prune_help() {
  return "Usage: cobuild prune [FLAGS]\n\nFlags:\n" + describe_flags(kPruneFlags) +
         "\nFlags of all commands:\n" + describe_flags(global_flags());
}

std::string cache_help() {
  return "Usage: cobuild cache verify [FLAGS]\n\n"
         "Reads all blobs of the store and looks for the files of all layers. What is damaged is\n"
         "dropped, so that it is made again when it is needed; the status is then 1. Builds may "
         "run\n"
         "meanwhile.\n\nFlags:\n" +
         describe_flags(kCacheFlags) + "\nFlags of all commands:\n" +
         describe_flags(global_flags());
}

std::string doctor_help() {
  return "Usage: cobuild doctor\n\n"
         "Tries what a build needs and prints the sandbox that this machine gives, what is "
         "missing,\n"
         "and the command that would fix it.\n\nFlags of all commands:\n" +
         describe_flags(global_flags());
}

std::string debug_help() {
  return "Usage: cobuild debug dump-llb [--dot] [FILE]\n"
         "       cobuild debug dockerfile2llb [-f FILE] [FLAGS OF build] CONTEXT > "
         "definition.pb\n\n"
         "dump-llb prints LLB as JSON, one operation per line, or as a graph; from stdin without "
         "FILE.\n"
         "dockerfile2llb writes the LLB that build would run.\n";
}

}  // namespace cobuild::cli
