#include <array>
#include <charconv>
#include <cmath>

#include "cli/option_tables.hpp"
#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

constexpr std::string_view kFormatHelp = "'{{json .}}': print JSON";

constexpr std::array kDiskUsageFlags = {
    Flag{"filter", 'f', FlagKind::kValue, "EXPR", "only these records: type==regular, id~=PATTERN"},
    Flag{"verbose", 'v', FlagKind::kSwitch, "", "everything about each record"},
    Flag{"format", 0, FlagKind::kValue, "TEMPLATE", kFormatHelp},
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
};

constexpr std::array kDumpLlbFlags = {
    Flag{"dot", 0, FlagKind::kSwitch, "", "print a graph for graphviz"},
};

/// The factor of a unit of Go's time.ParseDuration in seconds; 0 when it is none.
double seconds_of_unit(std::string_view unit) {
  if (unit == "h") return 3600;
  if (unit == "m") return 60;
  if (unit == "s") return 1;
  if (unit == "ms") return 1e-3;
  if (unit == "us") return 1e-6;
  if (unit == "ns") return 1e-9;
  return 0;
}

/// "48h", "1h30m", "0"; no signs, since nothing is kept until the future.
std::chrono::seconds parse_duration(const std::string& text, std::string_view flag) {
  constexpr double kSecondsMax = 3.2e9;  // A hundred years.
  Error const wrong(ErrorKind::kInvalidInput, "invalid --" + std::string(flag) + " " + text +
                                                  ": use a duration such as 48h or 1h30m");
  if (text == "0") return std::chrono::seconds(0);
  double total = 0;
  std::string_view rest = text;
  if (rest.empty()) throw wrong;
  while (!rest.empty()) {
    double value = 0;
    std::size_t const number_end = std::min(rest.find_first_not_of("0123456789."), rest.size());
    auto const [end, error] = std::from_chars(rest.data(), rest.data() + number_end, value);
    if (error != std::errc() || end != rest.data() + number_end) throw wrong;
    rest.remove_prefix(number_end);
    std::size_t const unit_end = std::min(rest.find_first_of("0123456789."), rest.size());
    double const unit = seconds_of_unit(rest.substr(0, unit_end));
    if (unit == 0) throw wrong;
    rest.remove_prefix(unit_end);
    total += value * unit;
  }
  if (total > kSecondsMax) throw wrong;
  return std::chrono::seconds(static_cast<std::int64_t>(std::ceil(total)));
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
  if (!flags.has("format")) return false;
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
         "  du       what the store holds\n"
         "  prune    remove what is not used\n"
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

std::string disk_usage_help() {
  return "Usage: cobuild du [FLAGS]\n\nFlags:\n" + describe_flags(kDiskUsageFlags) +
         "\nFlags of all commands:\n" + describe_flags(global_flags());
}

std::string prune_help() {
  return "Usage: cobuild prune [FLAGS]\n\nFlags:\n" + describe_flags(kPruneFlags) +
         "\nFlags of all commands:\n" + describe_flags(global_flags());
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
