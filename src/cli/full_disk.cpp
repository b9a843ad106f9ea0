#include "cli/full_disk.hpp"

#include <sys/statvfs.h>

#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "core/base/units.hpp"

namespace cobuild::cli {
namespace {

/// In every text that is added here.
constexpr std::string_view kMark = "; no room is left on the disk of ";

/// The system's words, in both spellings, ours, and SQLite's.
bool is_about_a_full_disk(std::string_view text) {
  for (std::string_view const sign :
       {"o space left on device", "isk quota", "database or disk is full", "the disk is full"}) {
    if (text.find(sign) != std::string_view::npos) return true;
  }
  return false;
}

/// " (12 kB of 40 MB free)"; empty when it cannot be told.
std::string room_on(std::filesystem::path path) {
  struct statvfs disk = {};
  std::error_code error;
  path = std::filesystem::absolute(path, error);
  while (::statvfs(path.c_str(), &disk) != 0) {
    if (path.parent_path() == path || !path.has_parent_path()) return {};
    path = path.parent_path();
  }
  auto const bytes = [&disk](fsblkcnt_t blocks) {
    return format_bytes(static_cast<std::int64_t>(blocks * disk.f_frsize));
  };
  std::string text = " (" + bytes(disk.f_bavail) + " of " + bytes(disk.f_blocks) + " free";
  if (disk.f_files > 0 && disk.f_favail == 0) text += ", and no more files can be made";
  return text + ")";
}

/// As long as what happened is told first, the remedy is the end of the one line.
Error explained(const Error& error, const std::string& explanation) {
  std::string_view const text = error.what();
  if (!is_about_a_full_disk(text) || text.find(kMark) != std::string_view::npos) return error;
  Error result(error.kind(), std::string(text) + explanation);
  for (const Error::Frame& frame : error.frames()) {
    if (frame.span) result = result.with_span(*frame.span);
  }
  return result;
}

}  // namespace

Error explain_full_store(const Error& error, const std::filesystem::path& root) {
  return explained(error, std::string(kMark) + "the store " + root.string() + room_on(root) +
                              ": free some, for example with `cobuild prune`, or choose another "
                              "place with --root");
}

Error explain_full_destination(const Error& error, const std::filesystem::path& destination) {
  if (destination == "-") return explained(error, std::string(kMark) + "standard output");
  return explained(error, std::string(kMark) + destination.string() + room_on(destination) +
                              ": free some, or write elsewhere");
}

}  // namespace cobuild::cli
