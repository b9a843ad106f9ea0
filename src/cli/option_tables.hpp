#pragma once

/// The pieces that parse_command_line is made of: one table and one function for each command.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/flags.hpp"
#include "cli/options.hpp"

namespace cobuild::cli {

/// Flags that every command takes, before or after its name.
[[nodiscard]] std::span<const Flag> global_flags();
[[nodiscard]] std::span<const Flag> build_flags();

/// The words of a command: those of its own table and the global ones.
[[nodiscard]] ParsedFlags parse_command_flags(std::span<const Flag> own,
                                              const std::vector<std::string>& arguments);

/// For commands that take flags only. \throws Error kInvalidInput.
void refuse_positionals(const ParsedFlags& flags, std::string_view command);

/// What the global flags say, those before the command's name and those after it; the latter win.
[[nodiscard]] GlobalOptions read_global_options(const ParsedFlags& before, const ParsedFlags& after,
                                                const Surroundings& surroundings);

/// --progress and --quiet, with $BUILDKIT_PROGRESS. \throws Error kInvalidInput.
[[nodiscard]] ProgressMode read_progress_mode(const ParsedFlags& flags,
                                              const Surroundings& surroundings);

/// --cache-to, --cache-from and what the frontend's options say of caches.
void read_cache_options(const ParsedFlags& flags, BuildOptions& build);

[[nodiscard]] BuildOptions read_build_options(const ParsedFlags& flags, GlobalOptions global,
                                              const Surroundings& surroundings);

[[nodiscard]] Command parse_disk_usage(const std::vector<std::string>& arguments,
                                       const ParsedFlags& before, const Surroundings& surroundings);
[[nodiscard]] Command parse_prune(const std::vector<std::string>& arguments,
                                  const ParsedFlags& before, const Surroundings& surroundings);
[[nodiscard]] Command parse_cache(const std::vector<std::string>& arguments,
                                  const ParsedFlags& before, const Surroundings& surroundings);
[[nodiscard]] Command parse_why(const std::vector<std::string>& arguments,
                                const ParsedFlags& before, const Surroundings& surroundings);
[[nodiscard]] Command parse_images(const std::vector<std::string>& arguments,
                                   const ParsedFlags& before, const Surroundings& surroundings);
[[nodiscard]] Command parse_inspect(const std::vector<std::string>& arguments,
                                    const ParsedFlags& before, const Surroundings& surroundings);
[[nodiscard]] Command parse_pull(const std::vector<std::string>& arguments,
                                 const ParsedFlags& before, const Surroundings& surroundings);
[[nodiscard]] Command parse_push(const std::vector<std::string>& arguments,
                                 const ParsedFlags& before, const Surroundings& surroundings);
[[nodiscard]] Command parse_dump_llb(const std::vector<std::string>& arguments);

/// Help texts, ready to print.
[[nodiscard]] std::string main_help();
[[nodiscard]] std::string build_help();
[[nodiscard]] std::string disk_usage_help();
[[nodiscard]] std::string prune_help();
[[nodiscard]] std::string cache_help();
[[nodiscard]] std::string why_help();
[[nodiscard]] std::string images_help();
[[nodiscard]] std::string inspect_help();
[[nodiscard]] std::string pull_help();
[[nodiscard]] std::string push_help();
[[nodiscard]] std::string doctor_help();
[[nodiscard]] std::string debug_help();

}  // namespace cobuild::cli
