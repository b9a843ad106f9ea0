#pragma once

#include <exception>

#include "core/async/task.hpp"
#include "core/progress/events.hpp"
#include "core/store/gc_policy.hpp"
#include "core/store/store.hpp"

namespace cobuild::cli {

/// Writes what the next build is to find. Only after a success it is also made to last, by
/// checksums or by waiting for the disk: what was built before a failure is there for the next try
/// anyway. Then what is too much goes: after a failure too, which may be that of a full disk.
/// Whoever does not want to wait for that can end it. `build_failure`: null when it went well.
Task<void> settle(store::Store& store, store::GcConfig gc, std::exception_ptr build_failure,
                  progress::Sink& progress);

}  // namespace cobuild::cli
