#pragma once

/// What is known of blobs of a layer beside what its row says: forms made for one kind of export,
/// and what a base image's manifest said. Notes about the layer, which go when it does.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/store/store.hpp"

namespace cobuild::ops {

/// A blob, and what a manifest says with it.
struct LayerForm {
  DiffId diff_id;
  BlobDigest blob;
  std::int64_t bytes = 0;  ///< Of the blob.
  std::string media_type;
  std::vector<std::string> urls{};
  std::map<std::string, std::string> annotations{};

  friend bool operator==(const LayerForm&, const LayerForm&) = default;
};

/// Remembers `form` of `layer` under a name that says all that it depends on.
void put_layer_form(store::Store& store, store::LayerId layer, std::string_view name,
                    const LayerForm& form);

/// nullopt when there is none. The blob may have been collected since.
[[nodiscard]] std::optional<LayerForm> get_layer_form(store::Store& store, store::LayerId layer,
                                                      std::string_view name);

/// The name of what the manifest of a base image said of a blob.
[[nodiscard]] std::string described_form(const BlobDigest& blob);

}  // namespace cobuild::ops
