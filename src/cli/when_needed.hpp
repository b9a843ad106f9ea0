#pragma once

/// Parts of a workspace that are made when they are first used: a build of which everything is
/// cached mounts nothing and runs nothing, and should not pay for trying whether it could.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "core/store/snapshotter.hpp"
#include "core/store/store.hpp"
#include "ops/exec/container.hpp"

namespace cobuild::cli {

/// A snapshotter that `make` makes. May be used from any thread. What `make` throws, the first use
/// throws, and the next one tries again.
[[nodiscard]] std::unique_ptr<store::Snapshotter> make_when_needed(
    std::function<std::unique_ptr<store::Snapshotter>()> make);

/// A runtime that `make` makes on the loop, given a directory of this build in which it may work
/// (it goes with the runtime, and is swept if we die). `store` must outlive it.
[[nodiscard]] std::unique_ptr<ops::ContainerRuntime> make_when_needed(
    store::Store& store,
    std::function<std::unique_ptr<ops::ContainerRuntime>(const store::NewLayer&)> make);

}  // namespace cobuild::cli
