#pragma once

/// What is said of layers by somebody who may be wrong, or lie: a cache that was imported.

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/store/store.hpp"

namespace cobuild::store {

/// As Store::add_remote_layer, but what is known of the layer already is believed: a layer that is
/// here, or of which a blob is, gets no other blobs, and a known blob only another source.
Task<LayerId> add_layer_by_hearsay(Store& store, ChainId chain_id, LayerAttributes attributes);

/// The layer is not made of this blob, whoever said so. The blob itself stays.
Task<void> forget_blob(Store& store, LayerId id, BlobDigest digest);

}  // namespace cobuild::store
