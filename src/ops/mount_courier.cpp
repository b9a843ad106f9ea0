#include "ops/mount_courier.hpp"

#include <exception>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/async/context.hpp"

namespace cobuild::ops {
namespace {

/// What is to be told of a failure. \throws it again when it is a cancellation.
std::string explain(const std::exception_ptr& failure) {
  if (is_cancellation(failure)) std::rethrow_exception(failure);
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

Task<std::optional<store::NewLayer>> MountCourier::restore(std::string id, solve::StepSink& step) {
  for (const MountDepot& depot : from_) {
    std::string failure;
    try {
      auto files =
          co_await with_timeout(restore_mount(pool_, store_, depot, id, step), depot.timeout);
      if (files) co_return files;
      continue;
    } catch (...) {
      failure = explain(std::current_exception());
    }
    step.warn("cache mount " + id + " was not restored from " + depot.name + ": " + failure);
  }
  co_return std::nullopt;
}

void MountCourier::note_use(SavedMount mount) {
  if (to_.empty()) return;
  std::string id = mount.id;
  used_.insert_or_assign(std::move(id), std::move(mount));
}

Task<void> MountCourier::save(const MountDepot& depot, solve::StepSink& step) {
  std::string failure;
  try {
    co_await with_timeout(save_all(depot, step), depot.timeout);
    co_return;
  } catch (...) {
    failure = explain(std::current_exception());
  }
  step.warn("not all cache mounts were saved to " + depot.name + " within " +
            std::to_string(depot.timeout.count()) + "s: " + failure +
            ": timeout=DURATION gives them more");
}

/// One that fails does not keep the others from being saved.
Task<void> MountCourier::save_all(const MountDepot& depot, solve::StepSink& step) {
  for (const auto& [id, mount] : used_) {
    std::string failure;
    try {
      co_await save_mount(pool_, store_, depot, mount, step);
      continue;
    } catch (...) {
      failure = explain(std::current_exception());
    }
    step.warn("cache mount " + id + " was not saved to " + depot.name + ": " + failure);
  }
  std::string failure;
  try {
    co_await depot.objects->settle();
    co_return;
  } catch (...) {
    failure = explain(std::current_exception());
  }
  step.warn("cache mounts that were saved to " + depot.name + " may not be there: " + failure);
}

}  // namespace cobuild::ops
