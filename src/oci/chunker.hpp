#pragma once

/// Cuts contents where the contents say so, and not at fixed places: after an insertion or a change
/// all but the chunks around it are the same as before.
///
/// FastCDC (Xia et al., USENIX ATC 2016): a gear hash of the last 64 bytes ends a chunk when its
/// upper bits are zero; more bits count before the normal size is reached, and fewer after it. No
/// library of the distribution has it. Where the cuts are is part of the format: with another table
/// or other sizes nothing that was stored before would be found again.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace cobuild::oci {

inline constexpr std::size_t kCutBytesMin = std::size_t{16} << 10;
inline constexpr std::size_t kCutBytesNormal = std::size_t{64} << 10;
inline constexpr std::size_t kCutBytesMax = std::size_t{256} << 10;

/// The length of the first chunk of `data`, which is all that is left or at least kCutBytesMax.
/// 0 only for no data.
[[nodiscard]] std::size_t first_cut(std::span<const std::byte> data) noexcept;

/// Cuts files, one after the other, in one buffer of a megabyte.
class FileCutter {
 public:
  FileCutter();

  /// Reads `fd` from its offset to its end and gives each chunk to `out`, in order; chunks are valid
  /// during the call only. `path` names it in errors. Blocking. \throws Error, and what `out` throws.
  void cut(int fd, std::string_view path,
           const std::function<void(std::span<const std::byte> chunk)>& out);

 private:
  std::vector<std::byte> buffer_;
};

}  // namespace cobuild::oci
