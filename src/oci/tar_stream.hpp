#pragma once

/// Writes tar archives of files, in large pieces.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "oci/compression.hpp"

namespace cobuild::oci {

/// Collects what goes to an archive, so that small entries do not cost a call each.
class TarStream {
 public:
  /// `out` gets pieces of at most 256 KiB, or what was given to write() if that is larger.
  explicit TarStream(ByteFn out);

  void write(std::string_view text);

  /// Exactly `size` bytes of `fd`, from its offset, and their padding. `path` names it in errors.
  /// \throws Error kInternal when the file is shorter.
  void write_file(int fd, std::uint64_t size, std::string_view path);

  void flush();

 private:
  ByteFn out_;
  std::vector<std::byte> buffer_;
};

/// read(2) with EINTR seen to. `path` names the file in errors.
[[nodiscard]] std::size_t read_some_of(int fd, std::span<std::byte> buffer, std::string_view path);

}  // namespace cobuild::oci
