#pragma once

/// The ledgers of former copies, in the store.

#include <optional>
#include <string>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/store/store.hpp"
#include "ops/copy_ledger.hpp"
#include "ops/file_tree.hpp"

namespace cobuild::ops {

/// A copy made earlier: its layer, and what it put there.
struct FormerCopy {
  store::LayerId layer;
  std::string ledger;
};

/// The copies of one vertex from one directory onto one base. Lives on the loop.
class CopyHistory {
 public:
  /// `context`: the directory. Two checkouts of one project have the same vertices.
  CopyHistory(store::Store& store, const Digest& vertex, const FileTree::Entry& context,
              const store::LayerChain& base);

  /// The last copy whose layer is still here, leased by this process; nullopt when there is none.
  Task<std::optional<FormerCopy>> find() const;

  /// Makes `layer`, which `ledger` describes, the one that later copies amend. The ledger goes when
  /// the layer does, and that of the copy before goes now.
  void save(store::LayerId layer, const std::string& ledger) const;

 private:
  store::Store& store_;
  std::string key_;
};

}  // namespace cobuild::ops
