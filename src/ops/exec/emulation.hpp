#pragma once

/// Programs of other architectures: the kernel's binfmt_misc hands them to an emulator (F8.5).
///
/// What the machine has registered is used as it is. Where it has nothing, and we are root of a
/// user namespace, the namespace gets handlers of its own (Linux 6.7) for the static emulators in
/// PATH: they are seen by this build only, and gone with it. Handlers of the whole machine are its
/// owner's to install.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "core/async/shared.hpp"
#include "core/async/task.hpp"
#include "core/llb/ops.pb.h"
#include "ops/exec/sandbox.hpp"

namespace cobuild::ops {

/// How executables of an architecture begin, and who runs them elsewhere.
struct ForeignFormat {
  std::string_view architecture;  ///< In Go's names: "arm64".
  std::string_view emulator;      ///< As qemu calls it: "aarch64".
  bool is_64_bit;
  bool is_big_endian;
  std::uint16_t machine;  ///< e_machine of the ELF specification.
};

/// Null for architectures that we know nothing of.
[[nodiscard]] const ForeignFormat* find_foreign_format(std::string_view architecture);

/// The line for binfmt_misc's `register`: executables of `format`, static or not, are handed to
/// `interpreter`, which is opened now (F) and so needs not be in the container; argv[0] is kept
/// (P). docs.kernel.org/admin-guide/binfmt-misc.html
[[nodiscard]] std::string binfmt_registration(const ForeignFormat& format,
                                              const std::filesystem::path& interpreter);

/// Whether this machine's own programs are those of `architecture`, or it runs them by itself
/// (386 on amd64, arm on arm64).
[[nodiscard]] bool runs_natively(std::string_view architecture, std::string_view host);

/// Belongs to one build, on its loop.
class Emulation {
 public:
  /// `sandbox` says whether the user namespace is ours. PATH is where emulators are looked for.
  Emulation(asio::any_io_executor loop, const Sandbox& sandbox);

  /// Sees to it, once for each architecture, that programs for `platform` can be run. Returns why
  /// they cannot, and what to do about that; empty when they can. What a build runs may be native
  /// all the same, so it is for the caller to tell when a step has failed. Never throws but when
  /// cancelled.
  Task<std::string> prepare(pb::Platform platform);

 private:
  Task<std::string> prepare_now(std::string architecture);
  [[nodiscard]] static bool has_handler(const ForeignFormat& format);
  [[nodiscard]] std::string register_handlers();

  asio::any_io_executor loop_;
  SandboxKind kind_;
  bool registered_ = false;
  std::map<std::string, Shared<std::string>, std::less<>> prepared_;
};

}  // namespace cobuild::ops
