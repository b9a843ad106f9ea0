#pragma once

/// Carries cache mounts from one machine to the next. Nothing of it fails a build: what goes wrong is
/// a warning, and the mount is empty or is not saved.

#include <boost/asio/thread_pool.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/async/task.hpp"
#include "core/solve/op.hpp"
#include "core/store/store.hpp"
#include "ops/mount_depot.hpp"

namespace cobuild::ops {

class MountCourier {
 public:
  /// Connects to nothing yet. `pool` and `store` must outlive this.
  MountCourier(asio::thread_pool& pool, store::Store& store, std::vector<MountDepot> from,
               std::vector<MountDepot> to)
      : pool_(pool), store_(store), from_(std::move(from)), to_(std::move(to)) {}

  /// Whether restore() can ever find anything.
  [[nodiscard]] bool restores() const noexcept { return !from_.empty(); }

  /// The files of the cache mount `id` from the first depot that has some; nullopt when there are
  /// none, or when they could not be had in time, which `step` is told. Cancellable.
  Task<std::optional<store::NewLayer>> restore(std::string id, solve::StepSink& step);

  /// Says that a step has used a cache mount.
  void note_use(SavedMount mount);

  /// Places that they are to be saved to.
  [[nodiscard]] const std::vector<MountDepot>& destinations() const noexcept { return to_; }

  /// Sends all cache mounts that were used to `depot`, within its time. What goes wrong is told to
  /// `step`. Cancellable.
  Task<void> save(const MountDepot& depot, solve::StepSink& step);

 private:
  Task<void> save_all(const MountDepot& depot, solve::StepSink& step);

  asio::thread_pool& pool_;
  store::Store& store_;
  std::vector<MountDepot> from_;
  std::vector<MountDepot> to_;
  std::map<std::string, SavedMount> used_;  ///< By id.
};

}  // namespace cobuild::ops
