#pragma once

/// Directories of the user's as sources: local://NAME (F2.2.14).
///
/// Nothing is copied. The result of a local source is a LocalTree: the user's directory seen
/// through the source's filters, read in place by whoever needs it. The content digests that make
/// it cacheable are those that BuildKit computes of a transferred copy: owner 0:0, no times.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/semaphore.hpp"
#include "core/async/task.hpp"
#include "core/llb/definition.hpp"
#include "core/solve/op.hpp"
#include "ops/file_tree.hpp"
#include "ops/services.hpp"

namespace cobuild::ops {

/// The directories that the command line gave names: "context", "dockerfile", ... A plain value.
struct LocalContexts {
  std::map<std::string, std::filesystem::path> directories;
};

/// What a local source makes: a directory through filters. The tree was listed once, when the
/// source ran; files are read when they are needed. Lives on the loop but for `tree`, which belongs
/// to whoever holds a slot of `exclusive`.
class LocalTree final : public solve::Unstored {
 public:
  LocalTree(asio::any_io_executor executor, std::string name, std::unique_ptr<FileTree> tree)
      : name_(std::move(name)), tree_(std::move(tree)), exclusive_(std::move(executor), 1) {}

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// The user's directory. Without the filters: for messages only.
  [[nodiscard]] const std::filesystem::path& root() const noexcept { return tree_->root_path(); }
  /// Whoever uses tree() holds a slot of this for as long.
  [[nodiscard]] Semaphore& exclusive() const noexcept { return exclusive_; }
  [[nodiscard]] FileTree& tree() const noexcept { return *tree_; }
  /// The layer that it was copied into, if it was. \see materialise, which sets it.
  [[nodiscard]] const std::optional<store::LayerId>& layer() const noexcept { return layer_; }
  void set_layer(store::LayerId layer) const noexcept { layer_ = layer; }

 private:
  std::string name_;
  std::unique_ptr<FileTree> tree_;
  mutable Semaphore exclusive_;
  mutable std::optional<store::LayerId> layer_;
};

/// An op for `vertex`, a local source. Everything passed by reference must outlive the op. Running
/// it lists the directory on the pool. Errors, from run(): kInvalidInput `no access allowed to dir
/// "x"` for a name that was not given; kNotFound, kDenied with the path for what cannot be read.
[[nodiscard]] std::unique_ptr<solve::Op> make_local_source(
    const Services& services, const LocalContexts& contexts,
    std::shared_ptr<const llb::Vertex> vertex);

/// The layers of `result`. A LocalTree is copied into a layer first (once; later calls give the
/// same layer); anything else has its layers already. For ops that need a mounted tree.
Task<store::LayerChain> materialise(Services services, solve::Result result, solve::StepSink& step);

}  // namespace cobuild::ops
