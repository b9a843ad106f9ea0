#pragma once

/// Private to core/store.

#include <filesystem>

namespace cobuild::store {

/// Layers have files of many owners and with extended attributes: overlay's own, which hide what is
/// below, and programs' capabilities. They would be others if the store was copied without these,
/// or is seen with other ids. Two files show it: one of another owner, and one with such
/// attributes. There is none where a process has no id but its own, or files have no owners or no
/// attributes.
/// \throws Error
void make_marks(const std::filesystem::path& root);

/// \throws Error kUnsupported, with what to do, when a mark is not what it was.
void check_marks(const std::filesystem::path& root);

}  // namespace cobuild::store
