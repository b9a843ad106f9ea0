#include <array>

#include "cli/option_tables.hpp"
#include "core/base/error.hpp"
#include "oci/spec/platform.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::cli {
namespace {

constexpr std::array kImagesFlags = {
    Flag{"quiet", 'q', FlagKind::kSwitch, "", "names only"},
    Flag{"json", 0, FlagKind::kSwitch, "", "one JSON object for each image"},
};

constexpr std::array kInspectFlags = {
    Flag{"raw", 0, FlagKind::kSwitch, "", "print the manifest or index as it is"},
    Flag{"config", 0, FlagKind::kSwitch, "", "print the image config as it is"},
    Flag{"referrers", 0, FlagKind::kSwitch, "", "ask the registry what refers to the image: signatures, SBOMs"},
    Flag{"artifact-type", 0, FlagKind::kValue, "TYPE", "only referrers of this type"},
    Flag{"json", 0, FlagKind::kSwitch, "", "one JSON object for each referrer"},
};

constexpr std::array kPullFlags = {
    Flag{"platform", 0, FlagKind::kValue, "OS/ARCH", "this one's image (default: this machine's)"},
    Flag{"progress", 0, FlagKind::kValue, "MODE", "auto, tty, plain, rawjson or quiet"},
    Flag{"quiet", 'q', FlagKind::kSwitch, "", "no progress"},
};

constexpr std::array kPushFlags = {
    Flag{"progress", 0, FlagKind::kValue, "MODE", "auto, tty, plain, rawjson or quiet"},
    Flag{"quiet", 'q', FlagKind::kSwitch, "", "no progress"},
};

/// So that a wrong name is told before anything is opened.
const std::string& require_reference(const std::string& name) {
  try {
    (void)oci::Reference::parse(name);
  } catch (const Error& error) {
    throw error.with_context("failed to parse " + name);
  }
  return name;
}

void require_positionals(const ParsedFlags& flags, std::size_t min, std::size_t max,
                         std::string_view usage) {
  if (flags.positionals.size() >= min && flags.positionals.size() <= max) return;
  throw Error(ErrorKind::kInvalidInput, "usage: cobuild " + std::string(usage));
}

}  // namespace

Command parse_images(const std::vector<std::string>& arguments, const ParsedFlags& before,
                     const Surroundings& surroundings) {
  ParsedFlags const flags = parse_command_flags(kImagesFlags, arguments);
  if (flags.is_on("help")) return HelpOptions{images_help()};
  refuse_positionals(flags, "images");
  ImagesOptions options;
  options.global = read_global_options(before, flags, surroundings);
  options.quiet = flags.is_on("quiet");
  options.json = flags.is_on("json");
  return options;
}

Command parse_inspect(const std::vector<std::string>& arguments, const ParsedFlags& before,
                      const Surroundings& surroundings) {
  ParsedFlags const flags = parse_command_flags(kInspectFlags, arguments);
  if (flags.is_on("help")) return HelpOptions{inspect_help()};
  require_positionals(flags, 1, 1, "inspect [--raw|--config|--referrers] NAME");
  InspectOptions options;
  options.global = read_global_options(before, flags, surroundings);
  options.name = require_reference(flags.positionals[0]);
  if (flags.is_on("raw") + flags.is_on("config") + flags.is_on("referrers") > 1) {
    throw Error(ErrorKind::kInvalidInput, "--raw, --config and --referrers exclude each other");
  }
  if (flags.is_on("raw")) options.what = InspectOptions::What::kManifest;
  if (flags.is_on("config")) options.what = InspectOptions::What::kConfig;
  if (flags.is_on("referrers")) options.what = InspectOptions::What::kReferrers;
  options.artifact_type = flags.last("artifact-type");
  options.json = flags.is_on("json");
  bool const of_referrers = options.json || !options.artifact_type.empty();
  if (of_referrers && options.what != InspectOptions::What::kReferrers) {
    throw Error(ErrorKind::kInvalidInput,
                "--json and --artifact-type are for --referrers; the rest is JSON anyway");
  }
  return options;
}

Command parse_pull(const std::vector<std::string>& arguments, const ParsedFlags& before,
                   const Surroundings& surroundings) {
  ParsedFlags const flags = parse_command_flags(kPullFlags, arguments);
  if (flags.is_on("help")) return HelpOptions{pull_help()};
  require_positionals(flags, 1, 1, "pull [--platform OS/ARCH] NAME");
  PullOptions options;
  options.global = read_global_options(before, flags, surroundings);
  options.name = require_reference(flags.positionals[0]);
  options.platform = flags.last("platform");
  if (!options.platform.empty()) (void)oci::parse_platform(options.platform);
  options.progress = read_progress_mode(flags, surroundings);
  return options;
}

Command parse_push(const std::vector<std::string>& arguments, const ParsedFlags& before,
                   const Surroundings& surroundings) {
  ParsedFlags const flags = parse_command_flags(kPushFlags, arguments);
  if (flags.is_on("help")) return HelpOptions{push_help()};
  require_positionals(flags, 1, 2, "push NAME [DESTINATION]");
  PushCommandOptions options;
  options.global = read_global_options(before, flags, surroundings);
  options.name = require_reference(flags.positionals[0]);
  options.destination = require_reference(flags.positionals.back());
  if (flags.positionals.size() == 2 && oci::Reference::parse(options.destination).digest) {
    throw Error(ErrorKind::kInvalidInput, options.destination +
                                              ": a destination has a tag; its digest is the image's");
  }
  options.progress = read_progress_mode(flags, surroundings);
  return options;
}

std::string images_help() {
  return "Usage: cobuild images [FLAGS]\n\n"
         "Lists the images that this machine has by name: those of build --push and -o type=image, "
         "and\nthose of pull. They go when their layers are collected.\n\nFlags:\n" +
         describe_flags(kImagesFlags) + "\nFlags of all commands:\n" + describe_flags(global_flags());
}

std::string inspect_help() {
  return "Usage: cobuild inspect [FLAGS] NAME\n\n"
         "Prints what an image of this machine is made of, as JSON; with --referrers, what its "
         "registry has\nthat refers to it.\n\nFlags:\n" +
         describe_flags(kInspectFlags) + "\nFlags of all commands:\n" +
         describe_flags(global_flags());
}

std::string pull_help() {
  return "Usage: cobuild pull [FLAGS] NAME\n\n"
         "Fetches an image for one platform, whole, and keeps it by its name.\n\nFlags:\n" +
         describe_flags(kPullFlags) + "\nFlags of all commands:\n" + describe_flags(global_flags());
}

std::string push_help() {
  return "Usage: cobuild push [FLAGS] NAME [DESTINATION]\n\n"
         "Sends an image of this machine to its registry, or under another name; what is there "
         "already\nis not sent. Prints the name with the digest.\n\nFlags:\n" +
         describe_flags(kPushFlags) + "\nFlags of all commands:\n" + describe_flags(global_flags());
}

}  // namespace cobuild::cli
