#include "ops/exec/seccomp_filter.hpp"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <set>
#include <string>

#include "ops/exec/runtime_spec.hpp"

#if defined(__x86_64__)

namespace cobuild::ops {
namespace {

constexpr std::uint32_t kDenied = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kNotThere = SECCOMP_RET_ERRNO | ENOSYS;

/// What the kernel would do with `program`: the few instructions that it uses.
std::uint32_t verdict(const std::vector<sock_filter>& program, const seccomp_data& call) {
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& step = program[at];
    bool taken = false;
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&call) + step.k, 4);
        continue;
      case BPF_RET | BPF_K: return step.k;
      case BPF_JMP | BPF_JA: at += step.k; continue;
      case BPF_JMP | BPF_JEQ | BPF_K: taken = accumulator == step.k; break;
      case BPF_JMP | BPF_JGE | BPF_K: taken = accumulator >= step.k; break;
      case BPF_JMP | BPF_JGT | BPF_K: taken = accumulator > step.k; break;
      case BPF_JMP | BPF_JSET | BPF_K: taken = (accumulator & step.k) != 0; break;
      default: ADD_FAILURE() << "unknown instruction " << step.code; return 0;
    }
    at += taken ? step.jt : step.jf;
  }
  ADD_FAILURE() << "the program does not end";
  return 0;
}

std::uint32_t verdict(std::uint32_t arch, int number, std::uint64_t argument,
                      const std::set<std::string>& capabilities = sandbox_capabilities()) {
  seccomp_data call = {};
  call.arch = arch;
  call.nr = number;
  call.args[0] = argument;
  return verdict(seccomp_filter(capabilities), call);
}

struct CallCase {
  const char* name;
  std::uint32_t arch;
  int number;
  std::uint64_t argument;
  std::uint32_t expected;
};

TEST(SeccompFilter, DecidesAsTheProfileSays) {
  constexpr int kX32 = 0x40000000;
  constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
  const CallCase kCases[] = {
      {"read", AUDIT_ARCH_X86_64, SYS_read, 0, kAllow},
      {"openat2", AUDIT_ARCH_X86_64, SYS_openat2, 0, kAllow},
      {"arch_prctl", AUDIT_ARCH_X86_64, SYS_arch_prctl, 0, kAllow},
      {"ptrace", AUDIT_ARCH_X86_64, SYS_ptrace, 0, kAllow},
      {"chroot", AUDIT_ARCH_X86_64, SYS_chroot, 0, kAllow},
      {"mount", AUDIT_ARCH_X86_64, SYS_mount, 0, kDenied},
      {"bpf", AUDIT_ARCH_X86_64, SYS_bpf, 0, kDenied},
      {"io_uring_setup", AUDIT_ARCH_X86_64, SYS_io_uring_setup, 0, kDenied},
      {"kexec_load", AUDIT_ARCH_X86_64, SYS_kexec_load, 0, kDenied},
      {"clone3", AUDIT_ARCH_X86_64, SYS_clone3, 0, kNotThere},
      {"of the future", AUDIT_ARCH_X86_64, 5000, 0, kNotThere},
      {"clone", AUDIT_ARCH_X86_64, SYS_clone, SIGCHLD, kAllow},
      {"clone thread", AUDIT_ARCH_X86_64, SYS_clone, CLONE_VM | CLONE_THREAD, kAllow},
      {"clone user", AUDIT_ARCH_X86_64, SYS_clone, CLONE_NEWUSER | SIGCHLD, kDenied},
      {"clone mount", AUDIT_ARCH_X86_64, SYS_clone, CLONE_NEWNS, kDenied},
      {"socket inet", AUDIT_ARCH_X86_64, SYS_socket, AF_INET, kAllow},
      {"socket alg", AUDIT_ARCH_X86_64, SYS_socket, AF_ALG, kDenied},
      {"socket nfc", AUDIT_ARCH_X86_64, SYS_socket, AF_ALG + 1, kAllow},
      {"socket vsock", AUDIT_ARCH_X86_64, SYS_socket, AF_VSOCK, kDenied},
      {"socket xdp", AUDIT_ARCH_X86_64, SYS_socket, AF_VSOCK + 1, kAllow},
      {"personality 0", AUDIT_ARCH_X86_64, SYS_personality, 0, kAllow},
      {"personality ask", AUDIT_ARCH_X86_64, SYS_personality, 0xffffffff, kAllow},
      {"personality no aslr", AUDIT_ARCH_X86_64, SYS_personality, 0x40000, kDenied},
      {"personality wide", AUDIT_ARCH_X86_64, SYS_personality, 0x100000000, kDenied},
      {"i386 write", AUDIT_ARCH_I386, 4, 0, kAllow},
      {"i386 socketcall", AUDIT_ARCH_I386, 102, 0, kAllow},
      {"i386 mount", AUDIT_ARCH_I386, 21, 0, kDenied},
      {"i386 socket alg", AUDIT_ARCH_I386, 359, AF_ALG, kDenied},
      {"x32 write", AUDIT_ARCH_X86_64, kX32 + 1, 0, kAllow},
      {"x32 rt_sigaction", AUDIT_ARCH_X86_64, kX32 + 512, 0, kAllow},
      {"x32 mount", AUDIT_ARCH_X86_64, kX32 + 165, 0, kDenied},
      {"another machine", AUDIT_ARCH_AARCH64, 63, 0, SECCOMP_RET_KILL_PROCESS},
  };
  for (const CallCase& row : kCases) {
    EXPECT_EQ(verdict(row.arch, row.number, row.argument), row.expected) << row.name;
  }
}

TEST(SeccompFilter, CapabilitiesOpenTheirCalls) {
  std::set<std::string> const admin{"CAP_SYS_ADMIN"};
  EXPECT_EQ(verdict(AUDIT_ARCH_X86_64, SYS_mount, 0, admin), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(AUDIT_ARCH_X86_64, SYS_clone, CLONE_NEWUSER, admin), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(AUDIT_ARCH_X86_64, SYS_clone3, 0, admin), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(AUDIT_ARCH_X86_64, SYS_chroot, 0, admin), kDenied);
}

/// The kernel takes it, and a child under it behaves as the profile wants.
TEST(SeccompFilter, TheKernelTakesIt) {
  std::vector<sock_filter> program = seccomp_filter(sandbox_capabilities());
  ASSERT_LE(program.size(), static_cast<std::size_t>(BPF_MAXINSNS));
  pid_t const child = ::fork();
  if (child == 0) {
    sock_fprog const filter{static_cast<unsigned short>(program.size()), program.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(10);
    if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) ::_exit(11);
    if (::getppid() <= 0) ::_exit(12);
    if (::syscall(SYS_mount, nullptr, nullptr, nullptr, 0, nullptr) != -1 || errno != EPERM)
      ::_exit(13);
    if (::syscall(SYS_clone3, nullptr, 0) != -1 || errno != ENOSYS) ::_exit(14);
    if (::socket(AF_VSOCK, SOCK_STREAM, 0) != -1 || errno != EPERM) ::_exit(15);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(SeccompFilter, Base64IsThatOfTheProgram) {
  std::string const text = seccomp_filter_base64(sandbox_capabilities());
  std::size_t const bytes = seccomp_filter(sandbox_capabilities()).size() * sizeof(sock_filter);
  EXPECT_EQ(text.size(), (bytes + 2) / 3 * 4);
  EXPECT_TRUE(text.starts_with("IAAAAAQAAAA")) << "load the word at offset 4";
}

}  // namespace
}  // namespace cobuild::ops

#endif
