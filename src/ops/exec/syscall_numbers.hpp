#pragma once

/// The system call numbers of the ABIs that a machine runs. Includes nothing: see the sources.

namespace cobuild::ops {

/// `number` is the text of the kernel's macro: "56", "(__X32_SYSCALL_BIT + 56)", or the macro's own
/// name where the kernel headers of the build machine do not have the call.
struct SyscallNumberText {
  const char* name;
  const char* number;
};

/// Each ends with a name of nullptr. They exist on x86-64 only.
extern const SyscallNumberText kSyscallsX8664[];
extern const SyscallNumberText kSyscallsI386[];
extern const SyscallNumberText kSyscallsX32[];

}  // namespace cobuild::ops
