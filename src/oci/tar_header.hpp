#pragma once

/// Headers of tar entries, written byte for byte as Go's archive/tar writes them: digests of layers
/// must be those that BuildKit computes.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace cobuild::oci {

inline constexpr std::size_t kTarBlockBytes = 512;

/// The kind of an entry, as in the header's type flag.
enum class TarType : char {
  kRegular = '0',
  kHardLink = '1',
  kSymlink = '2',
  kCharDevice = '3',
  kBlockDevice = '4',
  kDirectory = '5',
  kFifo = '6',
};

struct TarHeader {
  std::string name{};  ///< Directories end in '/'.
  std::string link_name{};
  TarType type = TarType::kRegular;
  std::uint32_t mode = 0;  ///< Permission, setuid, setgid and sticky bits.
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t size = 0;   ///< Of the contents that follow; 0 for all but regular files.
  std::int64_t mtime = 0;  ///< Seconds since 1970; may be negative.
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  /// Further records of the extended header ("SCHILY.xattr.security.capability").
  std::map<std::string, std::string> records{};
};

/// The header blocks of an entry: ustar where that holds everything, with a long name cut in two;
/// else with an extended header before it.
[[nodiscard]] std::string format_tar_header(const TarHeader& header);

/// How many zero bytes follow contents of `size` bytes.
[[nodiscard]] constexpr std::size_t tar_padding(std::uint64_t size) noexcept {
  return static_cast<std::size_t>((kTarBlockBytes - size % kTarBlockBytes) % kTarBlockBytes);
}

/// What ends an archive: two zero blocks.
[[nodiscard]] std::string_view tar_end() noexcept;

}  // namespace cobuild::oci
