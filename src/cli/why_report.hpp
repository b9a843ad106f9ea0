#pragma once

/// Why steps ran, in words: what `cobuild why` and `build --explain` print. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "core/solve/explanation.hpp"

namespace cobuild::cli {

/// What follows "ran because", one line or more, those below the first level indented.
[[nodiscard]] std::vector<std::string> explain(const solve::Explanation& explanation);

/// Keeps the steps that `step` names: by number ("3"), or by a part of the name, in whatever case
/// when it is nowhere as it is. \throws Error kNotFound with the steps that there are.
void select_steps(solve::BuildReport& report, std::string_view step);

/// A line about the build, and each step that ran. `with_cached`: also those that did not.
[[nodiscard]] std::string render_report(const solve::BuildReport& report, bool with_cached);

}  // namespace cobuild::cli
