#include "ops/exec/emulation.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "core/base/error.hpp"
#include "core/llb/definition.hpp"
#include "core/sys/fs.hpp"
#include "core/sys/process.hpp"

namespace cobuild::ops {

namespace {

constexpr const char* kHandlers = "/proc/sys/fs/binfmt_misc";

constexpr std::array kFormats{
    ForeignFormat{"amd64", "x86_64", true, false, 62},
    ForeignFormat{"386", "i386", false, false, 3},
    ForeignFormat{"arm64", "aarch64", true, false, 183},
    ForeignFormat{"arm", "arm", false, false, 40},
    ForeignFormat{"riscv64", "riscv64", true, false, 243},
    ForeignFormat{"ppc64le", "ppc64le", true, false, 21},
    ForeignFormat{"ppc64", "ppc64", true, true, 21},
    ForeignFormat{"s390x", "s390x", true, true, 22},
    ForeignFormat{"mips64le", "mips64el", true, false, 8},
    ForeignFormat{"mips64", "mips64", true, true, 8},
    ForeignFormat{"loong64", "loongarch64", true, false, 258},
};

/// The first 20 bytes of an ELF file: identification, e_type, e_machine.
constexpr std::size_t kHeadBytes = 20;
constexpr std::size_t kProgramBytes = 256;    // the kernel wants more than a head to look at
constexpr unsigned char kExecutableType = 2;  // ET_EXEC; ET_DYN is 3

std::string elf_head(const ForeignFormat& format) {
  std::string head(kHeadBytes, '\0');
  head.replace(0, 4,
               "\x7f"
               "ELF");
  head[4] = format.is_64_bit ? 2 : 1;
  head[5] = format.is_big_endian ? 2 : 1;
  head[6] = 1;  // EV_CURRENT
  auto put = [&](std::size_t at, unsigned value) {
    head[at + (format.is_big_endian ? 1 : 0)] = static_cast<char>(value & 0xff);
    head[at + (format.is_big_endian ? 0 : 1)] = static_cast<char>(value >> 8);
  };
  put(16, kExecutableType);
  put(18, format.machine);
  return head;
}

/// Any OS ABI and padding; ET_EXEC and ET_DYN.
std::string elf_mask(const ForeignFormat& format) {
  std::string mask(kHeadBytes, '\xff');
  mask.replace(7, 9, 9, '\0');
  mask[format.is_big_endian ? 17 : 16] = '\xfe';
  return mask;
}

std::string escaped(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (char const c : bytes) {
    auto const byte = static_cast<unsigned char>(c);
    text += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return text;
}

/// In one piece, as binfmt_misc wants it.
void write_once(int fd, std::string_view text) {
  ssize_t const count = ::write(fd, text.data(), text.size());
  if (count != static_cast<ssize_t>(text.size())) {
    throw Error::from_errno(count < 0 ? errno : EIO, "write");
  }
}

/// Debian's name, then the one that BuildKit's images have (F8.5.3).
std::optional<std::filesystem::path> find_emulator(const ForeignFormat& format) {
  std::string const name(format.emulator);
  if (auto found = find_program("qemu-" + name + "-static")) return found;
  return find_program("buildkit-qemu-" + name);
}

std::string package_advice(const ForeignFormat& format) {
  return "apt-get install qemu-user-static (qemu-" + std::string(format.emulator) +
         "-static in PATH is enough for an ordinary user)";
}

}  // namespace

const ForeignFormat* find_foreign_format(std::string_view architecture) {
  for (const ForeignFormat& format : kFormats) {
    if (format.architecture == architecture) return &format;
  }
  return nullptr;
}

std::string binfmt_registration(const ForeignFormat& format,
                                const std::filesystem::path& interpreter) {
  return ":cobuild-" + std::string(format.emulator) + ":M::" + escaped(elf_head(format)) + ":" +
         escaped(elf_mask(format)) + ":" + interpreter.string() + ":POCF";
}

bool runs_natively(std::string_view architecture, std::string_view host) {
  return architecture.empty() || architecture == host ||
         (architecture == "386" && host == "amd64") || (architecture == "arm" && host == "arm64");
}

Emulation::Emulation(asio::any_io_executor loop, const Sandbox& sandbox)
    : loop_(std::move(loop)), kind_(sandbox.kind) {}

Task<std::string> Emulation::prepare(pb::Platform platform) {
  std::string const architecture = platform.architecture();
  if (runs_natively(architecture, llb::host_platform().architecture())) co_return std::string();
  auto found = prepared_.find(architecture);
  if (found == prepared_.end()) {
    auto compute = [this, architecture] { return prepare_now(architecture); };
    found = prepared_.emplace(architecture, Shared<std::string>(loop_, compute)).first;
  }
  Shared<std::string> answer = found->second;  // The map may grow while we wait.
  co_return co_await answer.get();
}

/// A handful of system calls: short enough for the loop, where processes are started.
Task<std::string> Emulation::prepare_now(std::string architecture) {
  std::string const what = "programs for " + architecture + " do not run on this machine";
  const ForeignFormat* const format = find_foreign_format(architecture);
  if (format == nullptr) co_return what;
  if (has_handler(*format)) co_return std::string();
  if (!find_emulator(*format)) {
    co_return what + ": there is no emulator; " + package_advice(*format);
  }
  if (kind_ != SandboxKind::kUserNamespace) {
    co_return what +
        ": their emulator is not registered with the kernel; apt-get install qemu-user-static "
        "binfmt-support, or run cobuild as an ordinary user, where it registers it for its own "
        "steps";
  }
  std::string const failure = register_handlers();
  if (has_handler(*format)) co_return std::string();
  co_return what + ": their emulator could not be registered for this build" +
      (failure.empty() ? std::string() : " (" + failure + ")") +
      ", for which Linux 6.7 is needed; on older ones root does it for the whole machine: apt-get "
      "install qemu-user-static binfmt-support";
}

/// Tried, not read: the handlers of a namespace outside of ours work, but cannot be listed.
bool Emulation::has_handler(const ForeignFormat& format) {
  try {
    // Nothing but a head: the kernel refuses it, or starts the emulator, which then does.
    UniqueFd const program(::memfd_create("cobuild-emulation", MFD_CLOEXEC));
    if (!program) throw Error::from_errno(errno, "memfd_create");
    write_once(program.get(), elf_head(format) + std::string(kProgramBytes, '\0'));
    ProcessOptions options;
    options.program = "/proc/self/fd/3";
    options.args = {"program"};
    options.fds = {{.fd = program.get(), .as = 3}};
    static_cast<void>(Process::spawn(options));  // Killed and reaped at once.
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// Once for all architectures: the machine's handlers are hidden by ours. Returns what went wrong.
std::string Emulation::register_handlers() {
  if (std::exchange(registered_, true)) return {};
  if (::mount("binfmt_misc", kHandlers, "binfmt_misc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) !=
      0) {
    return std::string("mount binfmt_misc: ") + std::strerror(errno);
  }
  std::string failure;
  for (const ForeignFormat& format : kFormats) {
    if (runs_natively(format.architecture, llb::host_platform().architecture())) continue;
    auto const emulator = find_emulator(format);
    if (!emulator) continue;
    try {
      UniqueFd const file = open_file(std::filesystem::path(kHandlers) / "register", O_WRONLY);
      write_once(file.get(), binfmt_registration(format, *emulator));
    } catch (const Error& error) {
      failure = error.what();
    }
  }
  return failure;
}

}  // namespace cobuild::ops
