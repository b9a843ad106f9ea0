#pragma once

/// Which frontend a Dockerfile asks for (F1.1.4, F1.1.5, F1.5.16), and whether the built-in one will do.

#include <map>
#include <optional>
#include <string>

#include "dockerfile/warning.hpp"

namespace cobuild::dockerfile {

/// Images docker/dockerfile:1.N up to this N have nothing that the built-in frontend lacks.
constexpr int kFrontendMinor = 26;

struct Syntax {
  std::string image;  ///< As written.
  LineRange lines;    ///< Of the directive; 0: it comes from a build argument.
  friend bool operator==(const Syntax&, const Syntax&) = default;
};

/// What the file's `# syntax=` says, or build-arg:BUILDKIT_SYNTAX, which is stronger.
[[nodiscard]] std::optional<Syntax> wanted_frontend(const std::string& text,
                                                    const std::map<std::string, std::string>& build_args);

/// Whether `image` is docker/dockerfile or docker/dockerfile-upstream of a version that the built-in
/// frontend covers; a digest does not count.
[[nodiscard]] bool is_built_in(const std::string& image);

/// The error's text for an image that is not built in.
[[nodiscard]] std::string refusal_of(const Syntax& syntax);

}  // namespace cobuild::dockerfile
