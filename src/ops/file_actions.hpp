#pragma once

/// What one action of a file op does to a root file system (F2.4.2 to F2.4.12). Blocking.

#include <atomic>
#include <optional>
#include <string>

#include "core/llb/ops.pb.h"
#include "ops/copy_ledger.hpp"
#include "ops/copy_target.hpp"
#include "ops/file_tree.hpp"

namespace cobuild::ops {

/// What an action needs besides its own fields.
struct ActionContext {
  const TargetRoot& target;
  FileTree* source = nullptr;  ///< For copy.
  std::optional<Owner> owner;  ///< What the action's ChownOpt means: see resolve_owner.
  const std::atomic<bool>* stop = nullptr;
  CopyLedger* ledger = nullptr;  ///< For copy: \see CopyOptions::ledger.
};

/// Performs `action`. \throws Error as BuildKit words it.
void perform(const pb::FileAction& action, const ActionContext& context);

/// The ChownOpt of an action, or null.
[[nodiscard]] const pb::ChownOpt* owner_of(const pb::FileAction& action);

/// Who `owner` is. `passwd` and `group` are the contents of the files in the roots that it names,
/// nullopt where there are none; names that are not in them are 0 (F10.14). A user alone also is
/// the group: by number the same, by name the passwd entry's (F10.15).
[[nodiscard]] Owner resolve_owner(const pb::ChownOpt& owner,
                                  const std::optional<std::string>& passwd,
                                  const std::optional<std::string>& group);

}  // namespace cobuild::ops
