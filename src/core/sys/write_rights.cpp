#include "core/sys/write_rights.hpp"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cobuild {
namespace {

/// The capabilities of the calling thread.
struct Capabilities {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3]{};

  bool get() { return ::syscall(SYS_capget, &header, words) == 0; }
  bool set() { return ::syscall(SYS_capset, &header, words) == 0; }
};

}  // namespace

LimitedWriting::LimitedWriting(WriteRights rights) noexcept {
  constexpr std::uint32_t kOverride = 1U << CAP_DAC_OVERRIDE;
  Capabilities own;
  if (rights == WriteRights::kAll || !own.get()) return;
  if ((own.words[0].effective & kOverride) == 0) return;
  own.words[0].effective &= ~kOverride;
  if (own.set()) taken_ = kOverride;
}

LimitedWriting::~LimitedWriting() {
  Capabilities own;
  if (taken_ == 0 || !own.get()) return;
  own.words[0].effective |= taken_;
  (void)own.set();
}

}  // namespace cobuild
