#pragma once

/// What commands that only look at the store begin with.

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "cli/options.hpp"
#include "cli/remedies.hpp"
#include "core/async/runtime.hpp"
#include "core/base/error.hpp"
#include "core/store/store.hpp"
#include "ops/exec/sandbox.hpp"

namespace cobuild::cli {

/// Runs the coroutine `body(runtime, options)` in the sandbox, since the store's files belong to the
/// ids there, and returns its exit status. \throws Error what `body` throws, explained.
template <class Options, class Body>
int run_on_store(Options options, Body body) {
  ops::SandboxOptions sandbox;
  sandbox.oci_runtime = options.global.oci_runtime;
  (void)ops::enter_sandbox(sandbox);
  std::filesystem::path const root = options.global.root;
  try {
    Runtime runtime;
    return runtime.run(body(runtime, std::move(options)));
  } catch (const Error& error) {
    throw explain_full_store(error, root);
  }
}

/// \throws Error what opening a store throws. `runtime` outlives the store.
[[nodiscard]] inline std::unique_ptr<store::Store> open_store(Runtime& runtime,
                                                              const GlobalOptions& global) {
  store::Store::Options options;
  options.root = global.root;
  return store::Store::open(runtime.loop(), runtime.pool(), std::move(options));
}

/// Looking at a store must not make one. True also when that cannot be told: opening it will tell.
[[nodiscard]] inline bool may_have_store(const GlobalOptions& global) {
  std::error_code error;
  return std::filesystem::exists(global.root / "store.db", error) || error;
}

}  // namespace cobuild::cli
