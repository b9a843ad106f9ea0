#pragma once

/// Writing as the user who started us would.

#include <cstdint>

namespace cobuild {

/// Whose files are written.
enum class WriteRights {
  kAll,    ///< Our own: what we may.
  kUsers,  ///< Those of an ordinary user as whose root we run in a user namespace.
};

/// With kUsers, and while it lives, the thread that made it may write only where modes let it: root
/// of a user namespace may otherwise write to all that belongs to its user, read-only directories
/// too, which surprises whoever made them so. Reading and searching are not limited. Not to be
/// moved between threads, nor kept across an await. Never fails: without the capability there is
/// nothing to do.
class LimitedWriting {
 public:
  explicit LimitedWriting(WriteRights rights) noexcept;
  LimitedWriting(const LimitedWriting&) = delete;
  LimitedWriting& operator=(const LimitedWriting&) = delete;
  ~LimitedWriting();

 private:
  std::uint32_t taken_ = 0;  ///< Of the first word of effective capabilities: to be given back.
};

}  // namespace cobuild
