#pragma once

/// What the store remembers of its last build, for `cobuild why`.

#include <optional>
#include <string>

#include "cli/options.hpp"
#include "core/async/task.hpp"
#include "core/solve/explanation.hpp"
#include "core/solve/solver.hpp"
#include "core/store/store.hpp"

namespace cobuild::cli {

/// Tells the Dockerfiles and targets apart that one store has seen (\see StepDescription::origin).
[[nodiscard]] std::string build_origin(const BuildOptions& options);

/// "DIR", "DIR, Dockerfile.dev, target test": for people.
[[nodiscard]] std::string describe_build(const BuildOptions& options);

/// Tells a step's reason among what the step writes: for --explain.
void log_explanation(const solve::Explanation& explanation, solve::StepSink& step);

/// Puts what became of the steps into `report`; also after the solve has failed.
Task<void> report_steps(solve::Solver& solver, std::string what,
                        std::optional<solve::BuildReport>& report);

/// Takes the place of the build before; written when the store is closed, if not earlier.
void keep_last_build(store::Store& store, solve::BuildReport report);
/// Nullopt when nothing was built, or nothing that this version understands.
[[nodiscard]] std::optional<solve::BuildReport> read_last_build(store::Store& store);

}  // namespace cobuild::cli
