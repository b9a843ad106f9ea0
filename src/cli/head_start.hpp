#pragma once

/// Layers sent to registries while others, and large ones themselves, are still packed for the image
/// or cache that will be pushed there.

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "cli/image_push.hpp"
#include "cli/push_options.hpp"
#include "cli/workspace.hpp"
#include "core/async/shared.hpp"
#include "core/async/task.hpp"
#include "core/async/task_group.hpp"
#include "core/solve/op.hpp"
#include "oci/content.hpp"
#include "oci/spec/reference.hpp"
#include "ops/growing_blob.hpp"

namespace cobuild::cli {

/// Each layer goes to each repository among the names once, large ones in chunks as they become
/// ready. A large one that fails is left to the push, which fails again and says why, or does not.
/// Lives on the loop; stop() must have returned before it goes.
class HeadStart final : public ops::PackWatcher {
 public:
  /// Shows on `step` what it does. What is passed by reference outlives this.
  HeadStart(const PushOptions& options, Workspace& workspace, solve::StepSink& step);

  void begun(std::shared_ptr<ops::GrowingBlob> blob) override;

  /// Whether the repository of `name` has the blob, once it is known; false for one that was not
  /// sent, or is left to the push. Cancelled with the caller. \throws Error.
  Task<bool> wait_for(oci::Reference name, BlobDigest digest);

  /// Gives up what is on its way. Waits for that.
  Task<void> stop();

 private:
  struct Repository {
    oci::Reference name;
    std::unique_ptr<PushTarget> target;  ///< Made when first needed.
  };
  struct Sending {
    oci::Reference repository;
    std::shared_ptr<ops::GrowingBlob> blob;
    Shared<bool> done;
  };

  Task<bool> send(Repository& repository, std::shared_ptr<ops::GrowingBlob> blob);
  Task<bool> send_whole(oci::ContentTarget& target, oci::Reference repository,
                        const ops::GrowingBlob& blob, std::uint64_t size);
  Task<bool> send_chunks(oci::ContentTarget& target, oci::Reference repository,
                         ops::GrowingBlob& blob);

  const PushOptions& options_;
  Workspace& workspace_;
  solve::StepSink& step_;
  std::vector<Repository> repositories_;
  std::list<Sending> sendings_;
  bool has_failed_ = false;  ///< The others are left to the push, too.
  TaskGroup group_;
};

}  // namespace cobuild::cli
