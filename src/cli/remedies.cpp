#include "cli/remedies.hpp"

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

/// What happened is told first; the remedy is the end of the one line.
Error followed_by(const Error& error, const std::string& explanation) {
  Error result(error.kind(), error.what() + explanation);
  for (const Error::Frame& frame : error.frames()) {
    if (frame.span) result = result.with_span(*frame.span);
  }
  return result;
}

Error explain_full(const Error& error, const std::string& explanation) {
  std::string_view const text = error.what();
  if (!is_about_a_full_disk(text) || text.find(kMark) != std::string_view::npos) return error;
  return followed_by(error, explanation);
}

/// Whether a file of the local directory `path`, named `name`, is what `text` is about: by its
/// path, or as a file of the context when it is hashed.
bool is_in_local(std::string_view text, const std::string& name, const std::string& path) {
  if (text.find("open " + path) != std::string_view::npos) return true;
  return name == "context" && text.find("hash /") != std::string_view::npos;
}

}  // namespace

Error explain_full_store(const Error& error, const std::filesystem::path& root) {
  return explain_full(error, std::string(kMark) + "the store " + root.string() + room_on(root) +
                                 ": free some, for example with `cobuild prune`, or choose another "
                                 "place with --root");
}

Error explain_full_destination(const Error& error, const std::filesystem::path& destination) {
  if (destination == "-") return explain_full(error, std::string(kMark) + "standard output");
  return explain_full(error, std::string(kMark) + destination.string() + room_on(destination) +
                                 ": free some, or write elsewhere");
}

Error explain_denied(const Error& error, const BuildOptions& options) {
  std::string_view const text = error.what();
  bool const is_device = text.find("mknod /") != std::string_view::npos &&
                         text.find("operation not permitted") != std::string_view::npos;
  if (is_device) {
    return followed_by(error,
                       "; only root can make devices: leave it out by .dockerignore or "
                       "COPY --exclude, or build as root");
  }
  if (text.find("ermission denied") == std::string_view::npos) return error;
  std::error_code ignored;
  std::string const root = std::filesystem::absolute(options.global.root, ignored).string();
  if (text.find("--root") == std::string_view::npos &&
      text.find("open " + root + "/") != std::string_view::npos) {
    return followed_by(
        error, "; the store " + root + " is somebody else's: choose one of your own with --root");
  }
  for (const auto& [name, path] : options.locals) {
    if (!is_in_local(text, name, path.native())) continue;
    return followed_by(error, "; it is in " + std::filesystem::absolute(path, ignored).string() +
                                  ": let yourself read it (chmod), or leave it out by "
                                  ".dockerignore");
  }
  return error;
}

}  // namespace cobuild::cli
