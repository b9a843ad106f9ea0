#pragma once

/// Cache keys outside of a store, in the shape of F5.3: what is exported, and what is imported.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/go_time.hpp"
#include "core/solve/op.hpp"
#include "core/store/types.hpp"

namespace cobuild::solve {

/// How an input of a record is reached.
struct CacheLink {
  std::optional<Digest> selector;
  std::size_t record = 0;  ///< Index into the list of records.
  friend bool operator==(const CacheLink&, const CacheLink&) = default;
};

/// A key of what was solved.
struct KeyRecord {
  Digest digest;                               ///< rootKey(op digest, output).
  std::vector<std::vector<CacheLink>> inputs;  ///< For each input: the alternatives.
  std::optional<Result> result;
  Timestamp created_at;  ///< Of the result.
};

/// A layer that somebody else made. Its bytes are wherever `blob.sources` say.
struct ImportedLayer {
  DiffId diff_id;
  store::LayerBlob blob;
  std::optional<std::size_t> parent;  ///< The layer below it. There are no loops.
};

/// A result that can be had without running anything.
struct ImportedResult {
  std::vector<std::size_t> layers;  ///< Lowest first.
  bool with_parents = false;        ///< `layers` is one, and the layers below it belong to it.
  Timestamp created_at;
};

/// A key that somebody else solved. Inputs refer to records before it in the list.
struct ImportedRecord {
  Digest digest;
  std::vector<std::vector<CacheLink>> inputs;
  std::vector<ImportedResult> results;
};

/// One cache, as it was imported.
struct ImportedCache {
  std::string name;  ///< Where it is from: "registry.io/app:cache".
  std::vector<ImportedLayer> layers;
  std::vector<ImportedRecord> records;
};

}  // namespace cobuild::solve
