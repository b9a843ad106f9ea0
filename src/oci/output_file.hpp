#pragma once

/// Files that appear whole or not at all, and writes that finish or say why not.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::oci {

/// Writes all of `data` to `fd`. `what` names it in errors: "out.tar".
/// \throws Error kUnavailable for a full disk or an exceeded quota, saying so; others as
/// from_errno.
void write_fully(int fd, std::span<const std::byte> data, std::string_view what);
void write_fully(int fd, std::string_view data, std::string_view what);

/// The Error for a write that failed with `errno_value`. \see write_fully.
[[nodiscard]] Error write_error(int errno_value, std::string_view what);

/// A file under a temporary name beside its own; gone unless committed.
class OutputFile {
 public:
  /// `path` may name a symlink to a file: the file is replaced, the link stays. `mode` is subject
  /// to the umask, and for a new file: one that is there keeps its own. \throws Error kInvalidInput
  /// "destination file is a directory".
  OutputFile(const std::filesystem::path& path, unsigned mode);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  /// Gives the file its name. Devices and pipes ("/dev/stdout") were written directly. Not synced:
  /// after a power cut an export is made again.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;  ///< Empty: written directly, or committed.
  UniqueFd fd_;
};

}  // namespace cobuild::oci
