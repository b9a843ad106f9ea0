#pragma once

/// Whether the store is what its index says: `cobuild cache verify`.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/task.hpp"
#include "core/store/store.hpp"

namespace cobuild::store {

/// Something that was not as it should be, and is not in the store any more.
struct Damage {
  enum class Kind { kBlob, kLayer, kResult };
  Kind kind = Kind::kBlob;
  std::string name;     ///< "sha256:ab12...", the layer's id, or how many results.
  std::string problem;  ///< "its files are missing".
};
[[nodiscard]] std::string_view to_string(Damage::Kind kind) noexcept;

struct VerifyReport {
  std::int64_t layers = 0;
  std::int64_t blobs = 0;
  std::int64_t bytes = 0;  ///< Of the blobs that were read.
  std::vector<Damage> damages;
  /// Files without a row, as a killed build leaves them: removed, and no damage.
  std::vector<std::string> strays;
};

/// Reads all blobs and looks for the files of all layers; those of layers that have a checksum are
/// read, too. What is damaged is forgotten, whoever uses it. Builds may run meanwhile.
/// \throws Error kCorrupt when the index itself is damaged.
Task<VerifyReport> verify_store(Store& store);

}  // namespace cobuild::store
