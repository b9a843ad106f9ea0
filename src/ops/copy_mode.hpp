#pragma once

/// Permission bits said in symbols: "u=rwX,go=rX".

#include <sys/types.h>

#include <string_view>
#include <vector>

namespace cobuild::ops {

/// A change of mode as chmod(1) and BSD's setmode(3) understand it, with a umask of 0. A value.
class ModeChange {
 public:
  /// Symbolic, or octal digits. \throws Error kInvalidInput "invalid syntax".
  [[nodiscard]] static ModeChange parse(std::string_view text);

  /// The permission bits (07777) that a file with mode `mode` (type included) gets.
  [[nodiscard]] mode_t apply(mode_t mode) const;

 private:
  enum class Action { kClear, kSet, kSetIfExecutable, kCopySet, kCopyClear, kCopyAssign };
  struct Step {
    Action action = Action::kSet;
    mode_t bits = 0;      ///< What is set or cleared; for copies: where to.
    unsigned source = 0;  ///< For copies: the shift of the class that is copied (6, 3 or 0).
  };
  class Parser;
  std::vector<Step> steps_;
};

}  // namespace cobuild::ops
