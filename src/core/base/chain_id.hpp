#pragma once

#include <optional>

#include "core/base/digest.hpp"

namespace cobuild {

/// The chain ID of `diff_id` stacked on `parent` (OCI image-spec, config.md, "Layer ChainID").
[[nodiscard]] inline ChainId extend_chain(const std::optional<ChainId>& parent, const DiffId& diff_id) {
  if (!parent) return ChainId(diff_id.digest());
  return ChainId(Digest::of(std::string_view(parent->to_string() + " " + diff_id.to_string())));
}

}  // namespace cobuild
