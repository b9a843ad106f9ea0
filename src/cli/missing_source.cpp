#include "cli/missing_source.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace cobuild::cli {
namespace {

constexpr std::size_t kSiblingsMax = 10'000;

/// The path in `…checksum of ref …: "/x": not found` (F9.1.4), without its leading slash; empty when
/// the message is another.
std::string missing_path(std::string_view message) {
  constexpr std::string_view kEnd = "\": not found";
  if (message.find("failed to calculate checksum of ref") == std::string_view::npos) return {};
  std::size_t const end = message.rfind(kEnd);
  if (end == std::string_view::npos) return {};
  std::size_t const start = message.rfind("\"/", end);
  if (start == std::string_view::npos) return {};
  return std::string(message.substr(start + 2, end - start - 2));
}

std::vector<std::string> names_in(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (names.size() >= kSiblingsMax) break;
    names.push_back(entry->path().filename().string());
  }
  return names;
}

}  // namespace

Error explain_missing_source(const Error& error, const BuildOptions& options,
                             const dockerfile::IgnoreFile& ignore) {
  std::string const path = missing_path(error.what());
  auto const context = options.locals.find("context");
  if (path.empty() || context == options.locals.end()) return error;
  auto const siblings =
      names_in((context->second / path).lexically_normal().parent_path());
  // A pattern such as "*" excludes also what is not there at all.
  std::error_code failure;
  auto const kind = std::filesystem::symlink_status(context->second / path, failure).type();
  bool const exists = kind != std::filesystem::file_type::not_found;
  std::string const hint = dockerfile::explain_missing_source(
      path, exists ? ignore : dockerfile::IgnoreFile(), siblings);
  if (hint.empty()) return error;
  Error explained(error.kind(), std::string(error.what()) + ": " + hint);
  for (const Error::Frame& frame : error.frames()) {
    if (frame.span) explained = explained.with_span(*frame.span);
  }
  return explained;
}

}  // namespace cobuild::cli
