#pragma once

/// Layers that were made on nothing, as COPY --link makes them: whatever they come to lie on, their
/// tar is the same, and nothing below them is needed for it.

#include "core/store/store.hpp"

namespace cobuild::ops {

inline void note_made_on_scratch(store::Store& store, store::LayerId layer) {
  store.put_layer_note(layer, "made on scratch", "");
}

/// False also for layers of which it is not known.
[[nodiscard]] inline bool is_made_on_scratch(store::Store& store, store::LayerId layer) {
  return store.get_layer_note(layer, "made on scratch").has_value();
}

}  // namespace cobuild::ops
